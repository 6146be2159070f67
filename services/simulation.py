"""Everything around the flows that a simulated day needs, in one thread: order entry, order engine and venue.

A process that runs it may be killed at any moment: each of the three resumes exactly from the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Final

from broker.contract import Log
from operators.codec.codec import Codec
from services.engine import OrderEngine
from services.order_entry import TOPIC as INTENTS_TOPIC
from services.order_entry import OrderEntry
from services.progress import GroupProgress
from services.simulated import INPUT_TOPIC as DECISIONS_TOPIC
from services.venue import Venue

CODEC_TOPICS: Final = (INTENTS_TOPIC, DECISIONS_TOPIC, OrderEngine.output_topic, Venue.output_topic)
_IDLE_WAIT_S: Final = 0.01
_ASK_EVERY_S: Final = 0.25


class Simulation:
    """The simulated surroundings; `intents` None leaves order entry to others.

    `prefix` stands before groups and transactional ids; `risk_group` is the consumer group of the risk check. A context
    manager that lets go of the log.
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

    def run(self, should_stop: Callable[[], bool], *, until_done: bool) -> None:
        """Works until told to stop or, with `until_done`, until the day is over; see `is_done`."""
        asked_at_s = time.monotonic()
        while not should_stop():
            if self.step():
                continue
            if until_done and time.monotonic() - asked_at_s >= _ASK_EVERY_S:
                if self.is_done():
                    return
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
        # In the order of the stream: what one group has caught up with can no longer grow when the next is asked.
        caught_up = all(self._progress.has_caught_up(group, [topic]) for group, topic in self._groups.items())
        return caught_up and not self._engine.pending and not self._venue.pending

    def close(self) -> None:
        """Lets go of the log."""
        self._resources.close()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
