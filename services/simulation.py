"""Everything around the flows that a simulated day needs, in one thread: order entry, order engine and venue.

A process that runs it may be killed at any moment: each of the three resumes exactly from the log.

A simulated day takes seconds, the night after it no time at all, and flows that are behind would read the next morning
beside the evening before. So `nights` lets a day begin only when given flows are through with the one before, as they
are in the world.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from broker.contract import Log
from operators.codec.codec import Codec
from services.closing import Closing
from services.engine import OrderEngine
from services.order_entry import TOPIC as INTENTS_TOPIC
from services.order_entry import OrderEntry
from services.progress import GroupProgress
from services.sessions import day_end_micros
from services.simulated import INPUT_TOPIC as DECISIONS_TOPIC
from services.venue import Venue

CODEC_TOPICS: Final = (INTENTS_TOPIC, DECISIONS_TOPIC, OrderEngine.output_topic, Venue.output_topic)
_IDLE_WAIT_S: Final = 0.01
_ASK_EVERY_S: Final = 0.25


class Simulation(Closing):
    """The simulated surroundings; `intents` None leaves order entry to others.

    `prefix` stands before groups and transactional ids; `risk_group` is the consumer group of the risk check. With
    `nights`, topics by consumer group of other flows, a day begins when these too have read all of the day before. A
    context manager that lets go of the log.
    """

    def __init__(
        self,
        log: Log,
        codec: Codec,
        *,
        seed: int,
        prefix: str,
        risk_group: str,
        intents: Iterable[dict[str, Any]] | None = None,
        rate_per_s: float | None = None,
        nights: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        with ExitStack() as stack:
            self._engine = OrderEngine(log, codec, seed=seed, prefix=prefix)
            stack.callback(self._engine.close)
            self._venue = Venue(log, codec, seed=seed, prefix=prefix)
            stack.callback(self._venue.close)
            self._entry = None
            if intents is not None:
                self._entry = OrderEntry(log, codec, intents, rate_per_s=rate_per_s, prefix=prefix)
                stack.callback(self._entry.close)
            self._progress = stack.enter_context(GroupProgress(log, f"{prefix}simulation"))
            self._resources = stack.pop_all()
        self._groups = {
            risk_group: INTENTS_TOPIC,
            prefix + self._engine.name: DECISIONS_TOPIC,
            prefix + self._venue.name: DECISIONS_TOPIC,
        }
        self._nights = nights
        self._workers = [each for each in (self._entry, self._engine, self._venue) if each is not None]
        if nights is not None:
            self._set_horizon(0.0)

    def run(self, should_stop: Callable[[], bool], *, until_done: bool) -> None:
        """Works until told to stop or, with `until_done`, until the day is over; see `is_done`."""
        asked_at_s = -_ASK_EVERY_S
        while not should_stop():
            if self.step():
                continue
            if time.monotonic() - asked_at_s >= _ASK_EVERY_S:
                if until_done and self.is_done():
                    return
                if self._is_night():
                    self._set_horizon(day_end_micros(int(self._next_at)))
                    continue
                asked_at_s = time.monotonic()
            time.sleep(_IDLE_WAIT_S)

    def step(self) -> int:
        """Lets each of the three work once, without waiting; how many records that took in and gave out."""
        sent = self._entry.step(0.0) if self._entry is not None and not self._entry.finished else 0
        return sent + self._engine.step(0.0) + self._venue.step(0.0)

    def is_done(self) -> bool:
        """Whether every intent was sent, decided upon, and led to all that follows from it."""
        if self._entry is None or not self._entry.finished:
            return False
        return self._caught_up() and not self._engine.pending and not self._venue.pending

    def _caught_up(self) -> bool:
        # In the order of the stream: what one group has caught up with can no longer grow when the next is asked.
        return all(self._progress.has_caught_up(group, [topic]) for group, topic in self._groups.items())

    @property
    def _next_at(self) -> float:
        return min(each.next_at for each in self._workers)

    def _is_night(self) -> bool:
        """Whether all that is left belongs to a later day, and everybody is through with this one."""
        if self._nights is None or not self._horizon < self._next_at < math.inf or not self._caught_up():
            return False
        return all(self._progress.has_caught_up(group, topics) for group, topics in self._nights.items())

    def _set_horizon(self, horizon: float) -> None:
        self._horizon = horizon
        for each in self._workers:
            each.horizon = horizon

    def close(self) -> None:
        """Lets go of the log."""
        self._resources.close()
