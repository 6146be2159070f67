"""Simulated order entry: a day's intents onto orders.input, each exactly once, as fast as wanted."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterable
from typing import Any

from broker.contract import Log, TopicPartition
from operators.codec.codec import Codec
from services.records import encode_rows
from services.takeover import takeover_explained

TOPIC = "orders.input"
BATCH_RECORDS = 2_000
STEP_S = 0.02


class OrderEntry:
    """Sends intents in order; `rate_per_s` None means as fast as the log takes them.

    How many were sent is committed with them, as the group's offset on the first partition, so that a restart with the
    same intents goes on where its predecessor ended. `step` and `run` belong to one thread.
    """

    def __init__(
        self,
        log: Log,
        codec: Codec,
        intents: Iterable[dict[str, Any]],
        *,
        rate_per_s: float | None = None,
        prefix: str = "",
    ) -> None:
        name = self._name = f"{prefix}order-entry"
        self._codec = codec
        self._rate_per_s = rate_per_s
        self._transaction = log.transaction(name, name)
        self._progress = TopicPartition(TOPIC, 0)
        admin = log.admin()
        try:
            self.sent = admin.committed(name, [self._progress]).get(self._progress, 0)
        finally:
            admin.close()
        self._sent_before = self.sent
        self._intents = itertools.islice(iter(intents), self.sent, None)
        self._next = next(self._intents, None)
        self._started = time.monotonic()
        self.horizon: float = math.inf
        """Nothing that occurs later than this is sent, in microseconds UTC."""

    def step(self, timeout_s: float) -> int:
        """Sends what is due, waiting up to `timeout_s` for something to be; the number sent.

        After a `BrokenWorldError` (the log failed, or a successor took over) this object is done; a new one resumes.
        """
        due = self._due()
        if not due and not self.finished:
            time.sleep(min(timeout_s, STEP_S))
            due = self._due()
        batch = self._take(due)
        if batch:
            with takeover_explained("order entry", self._name):
                self._transaction.begin()
                keys = [intent["key"].encode() for intent in batch]
                self._transaction.send_batch(TOPIC, keys, encode_rows(self._codec, TOPIC, batch))
                self._transaction.commit({self._progress: self.sent + len(batch)})
            self.sent += len(batch)
        return len(batch)

    @property
    def finished(self) -> bool:
        """Whether every intent was sent."""
        return self._next is None

    @property
    def next_at(self) -> float:
        """When the next intent occurs; never if there is none."""
        return math.inf if self._next is None else float(self._next["occurredAt"])

    def run(self, stop: threading.Event, timeout_s: float = STEP_S) -> None:
        """Steps until everything is sent or it is told to stop; closes."""
        try:
            while not stop.is_set() and not self.finished:
                self.step(timeout_s)
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the log."""
        self._transaction.close()

    def _take(self, due: int) -> list[dict[str, Any]]:
        batch: list[dict[str, Any]] = []
        while self._next is not None and len(batch) < due and self._next["occurredAt"] <= self.horizon:
            batch.append(self._next)
            self._next = next(self._intents, None)
        return batch

    def _due(self) -> int:
        if self._rate_per_s is None:
            return BATCH_RECORDS
        allowed = int((time.monotonic() - self._started) * self._rate_per_s)
        return min(allowed - (self.sent - self._sent_before), BATCH_RECORDS)
