"""The watch over a lane's reader: a partition that has more and gives nothing stops the flow, which then starts anew.

A client may lose a partition for good without saying so, for example when its leader was away for a moment. From
outside that looks like an idle topic, so the committed ends are asked for on another connection and compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from broker.contract import Log, TopicPartition
from config.errors import BrokenWorldError, ReadStalledError

LOOK_EVERY_S: Final = 0.25
STEP_S_MAX: Final = 1.0
ASK_EVERY_S_MAX: Final = 15.0

log = structlog.get_logger(__name__)


class StallWatch:
    """Adds up, by partition, how long its reader was asked and gave nothing although the log has more.

    Time counts only while the reader has nothing left in memory, and at most a second from look to look: a lane that
    is not called while an epoch takes long, or a process that was paused, has not waited for the log.
    """

    def __init__(
        self,
        stall_s: float,
        ends: Callable[[], Mapping[TopicPartition, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ends` gives the committed ends known now, without waiting; a partition that is missing is not watched."""
        self._stall_s, self._ends, self._clock = stall_s, ends, clock
        self._waited_s: dict[TopicPartition, float] = {}
        self._seen_at: dict[TopicPartition, int] = {}
        self._looked_at_s: float | None = None

    def look(self, positions: Mapping[TopicPartition, int], fetched: Mapping[TopicPartition, int]) -> None:
        """To be called after each read that took all the reader had.

        Raises `ReadStalledError` for a partition that stayed where it is, behind its end, for too long.
        """
        now_s = self._clock()
        if self._looked_at_s is not None and now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        step_s = 0.0 if self._looked_at_s is None else min(STEP_S_MAX, now_s - self._looked_at_s)
        self._looked_at_s = now_s
        ends = self._ends()
        for tp in self._seen_at.keys() - ends.keys():
            del self._seen_at[tp]
        for tp, end in ends.items():
            at = max(positions.get(tp, end), fetched.get(tp, 0))
            if at >= end or at != self._seen_at.get(tp):
                self._seen_at[tp], self._waited_s[tp] = at, 0.0
                continue
            self._waited_s[tp] += step_s
            if self._waited_s[tp] >= self._stall_s:
                raise ReadStalledError(
                    f"{tp.topic}[{tp.partition}] is committed up to offset {end}, and reading it has got no further "
                    f"than {at} for {self._waited_s[tp]:.0f} s (engine.read_stall_ms): the client has lost the "
                    "partition; a restart reads on from the last commit"
                )


class CommittedEnds:
    """A thread that asks for the committed ends of some partitions again and again, on a connection of its own."""

    def __init__(self, log_: Log, partitions: Iterable[TopicPartition], *, stall_s: float) -> None:
        self._log, self._partitions = log_, list(partitions)
        self._every_s = min(ASK_EVERY_S_MAX, stall_s / 4)
        self._ends: Mapping[TopicPartition, int] = {}
        self._answered_at_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="committed-ends", daemon=True)
        self._thread.start()

    def __call__(self) -> Mapping[TopicPartition, int]:
        """The ends as of a recent answer; nothing while the log does not answer, since then nobody can read either."""
        return self._ends if time.monotonic() - self._answered_at_s < 2 * self._every_s else {}

    def close(self) -> None:
        """Ends the thread; one that waits for an answer is left behind and dies with the process."""
        self._stop.set()
        self._thread.join(timeout=min(1.0, self._every_s))

    def _run(self) -> None:
        admin = self._log.admin()
        try:
            while not self._stop.wait(self._every_s):
                try:
                    self._ends, self._answered_at_s = admin.ends(self._partitions), time.monotonic()
                except BrokenWorldError as error:
                    log.warning("the ends of the partitions are not known now", error=str(error))
        finally:
            admin.close()
