"""Waiting for flows that somebody else runs: what is waited for is said, and that it is in vain at some point."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from config.errors import BrokenWorldError
from services.progress import GroupProgress

LOOK_EVERY_S: Final = 5.0


class Patience:
    """Watches consumer groups that ought to get further. `look` is cheap to call often; belongs to one thread.

    `groups` are topics by consumer group, by the name of the flow that commits for it. `tell` is given a sentence at
    each look that finds a group behind and no further than at the look before.
    """

    def __init__(
        self,
        progress: GroupProgress,
        groups: Mapping[str, tuple[str, Sequence[str]]],
        *,
        give_up_s: float,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._groups, self._give_up_s = progress, groups, give_up_s
        self._tell, self._clock = tell, clock
        self._looked_at_s = clock()
        self._moved: dict[str, tuple[int, float]] = {}
        """By flow: how far it was, and since when."""

    def look(self) -> None:
        """Looks every few seconds. `BrokenWorldError` once a flow has been behind and got no further for too long."""
        now_s = self._clock()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        for flow, (group, topics) in self._groups.items():
            self._look_at(flow, group, topics, now_s)

    def _look_at(self, flow: str, group: str, topics: Sequence[str], now_s: float) -> None:
        committed = self._progress.committed(group, topics)
        before, since_s = self._moved.get(flow, (None, now_s))
        if committed != before or self._progress.has_caught_up(group, topics):
            self._moved[flow] = (committed, now_s)
            return
        waited_s, lag = now_s - since_s, self._progress.lag(group, topics)
        what = (
            f"{flow} has got no further for {waited_s:.0f} s and is {lag} records behind on {', '.join(topics)} "
            f"(consumer group {group})"
        )
        if waited_s >= self._give_up_s:
            raise BrokenWorldError(f"given up: {what}. Does `orderflow run {flow}` or `orderflow up` run on this log?")
        self._tell(f"waiting: {what}; does `orderflow run {flow}` run? Given up after {self._give_up_s:.0f} s")
