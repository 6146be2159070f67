"""The loop of a simulated service: read decisions, plan what follows, publish each message at its time, exactly once.

Protocol of one step:
    1. read committed records; a crash here costs nothing
    2. plan their consequences in memory and take those that are due
    3. write the due messages and the input offsets in one transaction; a crash before its commit repeats 1 to 3,
       a crash after it loses only memory
What is planned but not yet due lives in memory only. It is derived again at the start: all input up to the committed
offsets is planned once more, and what already stands on the output topic is struck off. The log is the outbox.

| decision | what follows |
|---|---|
| an order is approved | its life, for the approved quantity |
| an order is refused | `Plans.refusal` |
| a cancel is approved | the answer that the order's life foresees, else an interruption of it, else a reject |
| a replace is approved | a reject (`Plans.request_reject`): the simulated venue takes none |
| an action of risk on a resting order | CANCEL or REDUCE as an interruption of that order's life |
| a request for an order that is not here | nothing: an engine passes on only what it knows |
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from broker.contract import Log, Reader, Record, TopicPartition
from operators.codec.codec import Codec
from services.life import Life
from services.lives import Interruption, interrupted_life
from services.records import decode_rows, encode_rows
from services.takeover import takeover_explained

INPUT_TOPIC = "risk.outcome"
READ_RECORDS = 2_000
PUBLISH_RECORDS = 5_000
IDLE_S = 1.0
INTERRUPTION_MICROS: Final = 1_000
"""From a decision, or from the request to cancel, to its effect on an order."""
FINISHED_KEPT: Final = 10_000
"""So many orders of which all is told are kept to answer late requests."""

Intent = Mapping[str, Any]
Planned = tuple[int, dict[str, Any]]
"""When to publish, in microseconds UTC of the simulated day, and the record."""


def _nothing(*_: Any) -> list[Planned]:
    return []


@dataclass(frozen=True, slots=True)
class Plans:
    """What a service says, as pure functions of what is decided."""

    order: Callable[[Intent, Life], list[Planned]]
    """What follows from the approval of an order, apart from the answer to the cancel that its life foresees."""
    cancel: Callable[[Intent, Intent, Life], list[Planned]]
    """The answer to that cancel; intent, cancel and life."""
    refusal: Callable[[Mapping[str, Any]], list[Planned]] = _nothing
    """What follows when risk refused an order; the outcome."""
    request_reject: Callable[[Intent, Intent, Life], list[Planned]] = _nothing
    """The answer to a request that changes nothing; intent, request and life."""


@dataclass(slots=True)
class _Order:
    """An approved order, with all that has happened to it beside its own life."""

    intent: Intent
    interruptions: list[Interruption] = field(default_factory=list)
    cancel: Intent | None = None
    """The cancel that its life foresees, once it is here."""
    unpublished: int = 0


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
        self._seed = seed
        self._group = prefix + self.name
        self._now_micros = now_micros
        self._pending: list[tuple[int, int, dict[str, Any]]] = []
        self._ties = itertools.count()
        self._orders: dict[str, _Order] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._early: defaultdict[str, list[tuple[int, int | None, str]]] = defaultdict(list)
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
            self._note_published(due)
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
        return len(self._pending)

    @property
    def next_at(self) -> float:
        """When the next planned message is due; never if there is none."""
        return self._pending[0][0] if self._pending else math.inf

    def _plan(self, records: Sequence[Record]) -> None:
        for outcome in self._decoded(records):
            self._newest_input = max(self._newest_input, outcome["occurredAt"])
            for action in outcome["actions"]:
                quantity = action["quantity"] if action["action"] == "REDUCE" else None
                reason = f"{action['reason']} {outcome['intent']['clOrdId']}"
                self._interrupt(action["key"], outcome["occurredAt"], quantity, reason)
            self._take(outcome)

    def _take(self, outcome: Mapping[str, Any]) -> None:
        intent, approved = outcome["intent"], outcome["eventType"] == "RISK_APPROVED"
        if intent["eventType"] != "ORDER_SUBMITTED":
            if approved:
                self._request(intent)
        elif approved:
            self._open({**intent, "quantity": outcome["approvedQuantity"] or intent["quantity"]})
        else:
            self._push(self.plans.refusal(outcome))

    def _open(self, intent: Intent) -> None:
        """Begins an order's life, with what was to happen to it before it was here: partitions are read apart."""
        order = self._orders[intent["key"]] = _Order(intent)
        early = self._early.pop(intent["key"], ())
        order.interruptions += [_interruption(intent, *told) for told in early]
        self._push(self.plans.order(intent, self._life(order)))

    def _request(self, request: Intent) -> None:
        order = self._orders.get(request["key"])
        if order is None:
            return
        life, at = self._life(order), request["occurredAt"] - order.intent["occurredAt"]
        cancels = request["eventType"] == "CANCEL_REQUESTED"
        if cancels and life.cancel_requested == at and order.cancel is None:
            order.cancel = request
            self._push(self.plans.cancel(order.intent, request, life))
        elif cancels and order.unpublished and at + INTERRUPTION_MICROS < life.ended:
            reason = f"CANCEL_REQUESTED {request['clOrdId']}"
            self._interrupt(request["key"], request["occurredAt"], None, reason)
        else:
            self._push(self.plans.request_reject(order.intent, request, life))

    def _interrupt(self, key: str, at: int, quantity: int | None, reason: str) -> None:
        """Plans the order anew: what was published stays, what was only planned makes room."""
        order = self._orders.get(key)
        if order is None:
            self._early[key].append((at, quantity, reason))
            return
        planned = Counter(_identity(message) for _, message in self._messages(order))
        waiting = Counter(_identity(message) for _, _, message in self._pending if message["key"] == key)
        order.interruptions.append(_interruption(order.intent, at, quantity, reason))
        self._pending = [planned for planned in self._pending if planned[2]["key"] != key]
        heapq.heapify(self._pending)
        order.unpublished = 0
        published = planned - waiting
        self._push([message for message in self._messages(order) if not _strike(published, message[1])])

    def _messages(self, order: _Order) -> list[Planned]:
        """All that is to be said of the order, as far as is known."""
        life = self._life(order)
        answers = self.plans.cancel(order.intent, order.cancel, life) if order.cancel is not None else []
        return [*self.plans.order(order.intent, life), *answers]

    def _life(self, order: _Order) -> Life:
        return interrupted_life(order.intent, self._seed, order.interruptions)

    def _push(self, planned: Sequence[Planned]) -> None:
        for published, message in planned:
            heapq.heappush(self._pending, (published, next(self._ties), message))
            if order := self._orders.get(message["key"]):
                order.unpublished += 1

    def _note_published(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Lets go of the oldest orders of which everything is told."""
        for message in messages:
            order = self._orders.get(message["key"])
            if order is not None:
                order.unpublished -= 1
                if not order.unpublished:
                    self._finished[message["key"]] = None
        while len(self._finished) > FINISHED_KEPT:
            key, _ = self._finished.popitem(last=False)
            if not self._orders[key].unpublished:
                del self._orders[key]

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
        until = min(until, self.horizon)
        due: list[dict[str, Any]] = []
        while self._pending and self._pending[0][0] <= until and len(due) < PUBLISH_RECORDS:
            due.append(heapq.heappop(self._pending)[2])
        return due

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
        published: Counter[tuple[str, int]] = Counter()
        if self._pending:
            for records in _read_between(self._reader, output_beginnings, output_ends):
                own = (row for row in self._decoded(records) if row["source"] == self.source)
                published.update(_identity(row) for row in own)
        in_order = sorted(self._pending, key=lambda item: item[:2])
        self._pending = [planned for planned in in_order if not _strike(published, planned[2])]
        waiting = Counter(planned[2]["key"] for planned in self._pending)
        for key, order in self._orders.items():
            order.unpublished = waiting[key]
            if not waiting[key]:
                self._finished[key] = None
        self._reader.assign(committed)


def _interruption(intent: Intent, at: int, quantity: int | None, reason: str) -> Interruption:
    return Interruption(max(at + INTERRUPTION_MICROS - intent["occurredAt"], 1), quantity, reason)


def _identity(message: Mapping[str, Any]) -> tuple[str, int]:
    return message["key"], message["sequence"]


def _strike(published: Counter[tuple[str, int]], message: Mapping[str, Any]) -> bool:
    """Whether the message was published; it is struck off then."""
    identity = _identity(message)
    if not published[identity]:
        return False
    published[identity] -= 1
    return True


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
