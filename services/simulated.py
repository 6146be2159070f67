"""The loop of a simulated service: read decisions, plan what follows, publish each message at its time, exactly once.

Protocol of one step:
    1. read committed records; a crash here costs nothing
    2. plan their consequences in memory and take those that are due
    3. write the due messages and the input offsets in one transaction; a crash before its commit repeats 1 to 3,
       a crash after it loses only memory
What is planned but not yet due lives in memory only. It is derived again at the start: all input up to the committed
offsets is planned once more, and what already stands on the output topic is struck off. The log is the outbox.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from broker.contract import Log, Reader, Record, TopicPartition
from operators.codec.codec import Codec
from services.agenda import Agenda, Identity, Plans, identity
from services.records import decode_rows, encode_rows
from services.takeover import takeover_explained

INPUT_TOPIC = "risk.outcome"
READ_RECORDS = 2_000
PUBLISH_RECORDS = 5_000
IDLE_S = 1.0


class SimulatedService:
    """A service that answers decisions of the risk check with messages on another topic, some of them later.

    Time is that of the newest input, so that messages of different orders interleave as in the simulated day; when the
    input has been silent for `IDLE_S`, the rest is published in order, up to `horizon`. With `now_micros` time is what
    it says instead, and nothing is published early. `prefix` stands before the group and the transactional id, which
    are `name`. `step` and `run` belong to one thread. What an order's life is after a restart follows from the log,
    but for a cancel of an order whose end was published ahead of time: that may be answered otherwise.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    output_topic: ClassVar[str]
    plans: ClassVar[Plans]

    def __init__(
        self,
        log: Log,
        codec: Codec,
        *,
        seed: int,
        prefix: str = "",
        now_micros: Callable[[], int] | None = None,
    ) -> None:
        self._log = log
        self._codec = codec
        self._group = prefix + self.name
        self._now_micros = now_micros
        self._agenda = Agenda(self.plans, seed)
        self._newest_input = 0
        self._silent_since = time.monotonic()
        self.horizon: float = math.inf
        """Nothing later than this is published, in microseconds UTC."""
        self.undecodable = 0
        self._transaction = log.transaction(self._group, self._group)
        self._reader = log.reader(self._group)
        self._restore()

    def step(self, timeout_s: float) -> int:
        """Reads, plans and publishes once; the number of records read and published. 0 means there was nothing to do.

        After a `BrokenWorldError` (the log failed, or a successor took over) this object is done; a new one resumes.
        """
        records = self._reader.read(READ_RECORDS, timeout_s)
        self._plan(records)
        due = self._due(bool(records))
        if records or due:
            with takeover_explained(self.name, self._group):
                self._transaction.begin()
                if due:
                    keys = [record["key"].encode() for record in due]
                    values = encode_rows(self._codec, self.output_topic, due)
                    self._transaction.send_batch(self.output_topic, keys, values)
                self._transaction.commit(_ends(records))
        return len(records) + len(due)

    def run(self, stop: threading.Event, timeout_s: float = 0.1) -> None:
        """Steps until told to stop; closes."""
        try:
            while not stop.is_set():
                self.step(timeout_s)
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the log; what was not published yet is derived again by the next start."""
        self._reader.close()
        self._transaction.close()

    @property
    def pending(self) -> int:
        """Messages planned and not yet published."""
        return len(self._agenda)

    @property
    def next_at(self) -> float:
        """When the next planned message is due; never if there is none."""
        return self._agenda.next_at

    def _plan(self, records: Sequence[Record]) -> None:
        for outcome in self._decoded(records):
            self._newest_input = max(self._newest_input, outcome["occurredAt"])
            self._agenda.add(outcome)

    def _decoded(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        if not records:
            return []
        rows, bad = decode_rows(self._codec, records[0].topic(), [record.value() for record in records])
        self.undecodable += bad
        return rows

    def _due(self, was_read: bool) -> list[dict[str, Any]]:
        now = time.monotonic()
        if was_read:
            self._silent_since = now
        until: float = self._now_micros() if self._now_micros is not None else self._newest_input
        if self._now_micros is None and now - self._silent_since >= IDLE_S and self._reader.at_end():
            until = math.inf
        return self._agenda.take_due(min(until, self.horizon), PUBLISH_RECORDS)

    def _restore(self) -> None:
        """Plans the committed input again, strikes off what was published, and stands ready to read on."""
        admin = self._log.admin()
        try:
            partition_counts = admin.topics()
            inputs = [TopicPartition(INPUT_TOPIC, n) for n in range(partition_counts[INPUT_TOPIC])]
            outputs = [TopicPartition(self.output_topic, n) for n in range(partition_counts[self.output_topic])]
            beginnings = admin.beginnings(inputs)
            committed = {**beginnings, **admin.committed(self._group, inputs)}
            output_beginnings, output_ends = admin.beginnings(outputs), admin.ends(outputs)
        finally:
            admin.close()
        for records in _read_between(self._reader, beginnings, committed):
            self._plan(records)
        if self._agenda:
            published = Counter[Identity]()
            for records in _read_between(self._reader, output_beginnings, output_ends):
                published.update(identity(row) for row in self._decoded(records) if row["source"] == self.source)
            self._agenda.strike_off(published)
        self._reader.assign(committed)


def _ends(records: Sequence[Record]) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int] = {}
    for record in records:
        ends[TopicPartition(record.topic(), record.partition())] = record.offset() + 1
    return ends


def _read_between(
    reader: Reader, beginnings: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> Iterator[Sequence[Record]]:
    """Batches of what stands before `ends`, each partition in order; records behind are left out."""
    positions = {partition: offset for partition, offset in beginnings.items() if offset < ends[partition]}
    if not positions:
        return
    reader.assign(positions)
    while any(position < ends[partition] for partition, position in positions.items()):
        records = reader.read(READ_RECORDS, 0.2)
        positions.update(_ends(records))
        before = [r for r in records if r.offset() < ends[TopicPartition(r.topic(), r.partition())]]
        if before:
            yield before
        elif not records and reader.at_end():
            # A log may end in markers that are no records.
            return
