"""The pace of a worker that waits for another one's epoch: it sleeps a little in every step instead of none.

Bytewax calls no lane while an epoch is open elsewhere, yet it steps without pause once the lane's time has come, and
takes the processor from those it waits for. A keyed operator may ask to be notified at any time, so one of its keys on
each worker asks for every step of such a wait, and sleeps in it. A message that comes meanwhile waits for the sleep,
which is therefore a small share of the wait so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.operators import StatefulBatchLogic

KEYS: Final = 1_024
"""Bytewax spreads keys over workers by a hash: one worker of 32 gets none of so many once in 10^14 flows."""
LOOK_EVERY_S: Final = 0.005
SHARE: Final = 0.1
SLEEP_S_MIN: Final = 0.000_1
SLEEP_S_MAX: Final = 0.002
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
STEP_S_MAX: Final = 0.000_5
"""A step that took more of the processor did some work: the wait begins anew."""


class Pace:
    """What one process knows of its wait; belongs to the worker's thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`worked` tells the processor time of the worker's thread so far, in seconds."""
        self._clock, self._worked, self._sleep = clock, worked, sleep
        self._wakes_at_s: float | None = None
        self._idle_since_s = self._worked_s = 0.0
        self._taken = False

    def lane_waits(self, wakes_at_s: float) -> None:
        """The lane has ended its epoch and wants to be called at this time of the monotonic clock, or later."""
        self._wakes_at_s = wakes_at_s

    def lane_was_called(self) -> None:
        """The lane waits no more."""
        self._wakes_at_s = None

    def rest(self) -> None:
        """Sleeps if the lane's time has come and nothing was done since the last rest."""
        now_s, worked_s = self._clock(), self._worked()
        step_s, self._worked_s = worked_s - self._worked_s, worked_s
        if self._wakes_at_s is None or now_s < self._wakes_at_s or step_s > STEP_S_MAX:
            self._idle_since_s = now_s
        else:
            self._sleep(min(SLEEP_S_MAX, max(SLEEP_S_MIN, SHARE * (now_s - self._idle_since_s))))

    def rests_in_s(self) -> float:
        """How long until the next rest: none within a wait, else the time after which it looks for one."""
        if self._wakes_at_s is None:
            return LOOK_EVERY_S
        return max(0.0, self._wakes_at_s - self._clock())

    def take(self) -> bool:
        """True for the first that asks: one key of a process is enough."""
        first, self._taken = not self._taken, True
        return first


class Rest(StatefulBatchLogic[str, None, None]):
    """One key of the operator that rests; the first of a process does so for it."""

    def __init__(self, pace: Pace, reached: Callable[[str], object]) -> None:
        """`reached` is told each key: under those, and in any operator, Bytewax brings values to this process."""
        self._pace, self._rests, self._reached = pace, pace.take(), reached

    def on_batch(self, values: list[str]) -> tuple[Iterable[None], bool]:
        for key in values:
            self._reached(key)
        return [], self.RETAIN if self._rests else self.DISCARD

    def on_notify(self) -> tuple[Iterable[None], bool]:
        self._pace.rest()
        return [], self.RETAIN

    def notify_at(self) -> datetime | None:
        wait_s = self._pace.rests_in_s()
        # Bytewax took the time before the rest, so that now would be as much later as the rest was long.
        return datetime.now(UTC) + timedelta(seconds=wait_s) if wait_s else LONG_AGO

    def snapshot(self) -> None:
        return None


def rest_keys() -> list[tuple[str, str]]:
    """Keys for every worker of a flow, to be sent once; the value of each is the key itself."""
    return [(key, key) for key in (f"{number:04d}" for number in range(KEYS))]
