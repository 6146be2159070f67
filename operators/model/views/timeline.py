"""Everything that was said about one order, in the order in which it arrived.

| origin | from | what it tells |
|---|---|---|
| RISK | risk.outcome | the decision on a request of the client, with the request and every breached check |
| ENGINE | orders.status | the order engine's own transition |
| VENUE | orders.executions | a venue's message, as the venue reported it |
| ANOMALY | orders.anomalies | what contradicts what is known of the order |
| CONSOLIDATED | orders.status | the status after joining engine and venues, or a parent's from its children |
| ENRICHMENT | orders.enrichment | a change of the fills, with what they cost |
| ALERT | orders.alerts | what surveillance wants a person to look at |

An order may have a hundred thousand events, so its state is not rewritten with each: it holds the last entries only.
Every `CHUNK_ENTRIES` they move, once and for all, into a chunk under the order's key and `chunk_suffix(number)`. A
reader takes the chunks 0 to `chunks` - 1 and then the state's own entries; entries are numbered from 0 without gaps.
They are put into the order of time when they are read (`timeline_order`): what was written is never moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.events import (
    Breach,
    EventType,
    ExecutionReport,
    OrderAnomaly,
    OrderEnriched,
    OrderStatusChanged,
    RiskOutcome,
)
from operators.model.surveillance.alerts import OrderAlert
from operators.model.views.milestones import Milestone, MilestoneKind, OrderEvent, Progress, advance

CHUNK_ENTRIES: Final = 64
"""Part of stored state: entries per chunk."""

TimelineEvent = OrderEvent | RiskOutcome | OrderAnomaly | OrderAlert


class Origin(StrEnum):
    """Who spoke; events of one time are read in this order."""

    RISK = "RISK"
    ENGINE = "ENGINE"
    VENUE = "VENUE"
    ANOMALY = "ANOMALY"
    CONSOLIDATED = "CONSOLIDATED"
    ENRICHMENT = "ENRICHMENT"
    ALERT = "ALERT"


class Entry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One event. Quantities and prices are as its origin reports them; what it does not tell is null.

    `kind` is the status code of a status, the ExecType of a venue's message, the event type of a decision, the
    ExecType of an enrichment or its event type where that is a plain trade, and the kind of an anomaly or alert.
    `code` is the OrdStatus, the event type of the request decided on, or the state of an alert. New fields go to the
    end: chunks are never rewritten.
    """

    index: int
    occurred_at: int
    origin: str
    source: str
    sequence: int
    kind: str
    code: str | None = None
    venue: str | None = None
    quantity: int | None = None
    filled: int | None = None
    leaves: int | None = None
    average_price: int | None = None
    last_quantity: int | None = None
    last_price: int | None = None
    exec_id: str | None = None
    text: str | None = None
    fees: int | None = None
    correlation_id: str | None = None
    cl_ord_id: str | None = None
    price: int | None = None
    exec_ref_id: str | None = None
    limits_version: str | None = None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """State of one order's timeline: its progress, how many chunks were written, and the entries after them.

    `parent_id` is that of the order it is a child of.
    """

    progress: Progress
    chunks: int = 0
    entries: tuple[Entry, ...] = ()
    last_event_at: int
    parent_id: str | None = None

    @property
    def count(self) -> int:
        """Entries so far."""
        return self.chunks * CHUNK_ENTRIES + len(self.entries)

    @property
    def closed_at(self) -> int | None:
        """The latest time (microseconds) anything was said of an order that has ended; None while it is open.

        A key of which no status ever came, such as a request that risk has rejected, is not open.
        """
        open_ = self.progress.ended_at is None and self.progress.first_status_at is not None
        return None if open_ else self.last_event_at


class Appended(NamedTuple):
    """The timeline after an event, the chunk that became full (by key suffix), and the milestones it brought.

    `child` tells the parent's timeline of this order, when its parent became known.
    """

    state: Timeline
    writes: Mapping[str, bytes]
    milestones: Sequence[Milestone]
    child: Milestone | None = None


def append(timeline: Timeline | None, event: TimelineEvent) -> Appended:
    """Takes in one event, known before or not: a timeline shows what came, repeats included.

    `InvalidRecordError` for a key that could be mistaken for a chunk's.
    """
    if "\0" in event.key:
        raise InvalidRecordError(f"key {event.key!r} has a NUL: it could be taken for a chunk of another order")
    progress = timeline.progress if timeline else Progress()
    milestones: Sequence[Milestone] = ()
    if isinstance(event, OrderEvent):
        progress, milestones = advance(progress, event)
    parent_id = timeline.parent_id if timeline else None
    child = None if parent_id else _child(event)
    chunks = timeline.chunks if timeline else 0
    entries = timeline.entries if timeline else ()
    entries = (*entries, _entry(event, chunks * CHUNK_ENTRIES + len(entries)))
    last_event_at = max(event.occurred_at, timeline.last_event_at if timeline else event.occurred_at)
    writes = {}
    if len(entries) == CHUNK_ENTRIES:
        writes[chunk_suffix(chunks)] = msgspec.msgpack.encode(entries)
        chunks, entries = chunks + 1, ()
    state = Timeline(
        progress=progress,
        chunks=chunks,
        entries=entries,
        last_event_at=last_event_at,
        parent_id=child.parent_id if child else parent_id,
    )
    return Appended(state, writes, milestones, child)


def forget(timeline: Timeline) -> Mapping[str, None]:
    """The chunks to delete, by key suffix, when the timeline itself is dropped."""
    return {chunk_suffix(number): None for number in range(timeline.chunks)}


def chunk_suffix(number: int) -> str:
    """What follows the order's key in the key of a chunk; keys of orders have no NUL."""
    return f"\0{number:08d}"


def all_entries(timeline: Timeline, chunks: Iterable[bytes]) -> Iterator[Entry]:
    """Every entry from the first, given the timeline's chunks in ascending order."""
    for chunk in chunks:
        yield from _DECODER.decode(chunk)
    yield from timeline.entries


_DECODER: Final = msgspec.msgpack.Decoder(tuple[Entry, ...])


def _child(event: TimelineEvent) -> Milestone | None:
    """That the event's order is a child, if the event says so; an order cannot be its own parent."""
    if isinstance(event, OrderStatusChanged):
        parent_id, order_id, symbol = event.order.parent_id, event.order.id, event.order.symbol
    elif isinstance(event, RiskOutcome):
        parent_id, order_id, symbol = event.intent.parent_id, event.intent.order_id, event.intent.symbol
    else:
        return None
    if not parent_id or parent_id == order_id:
        return None
    return Milestone(
        kind=MilestoneKind.CHILD,
        occurred_at=event.occurred_at,
        key=event.key,
        symbol=symbol,
        venue=event.venue if isinstance(event, OrderStatusChanged) else event.intent.venue,
        parent_id=parent_id,
    )


def _entry(event: TimelineEvent, index: int) -> Entry:
    if isinstance(event, OrderStatusChanged):
        return _of_status(event, index)
    if isinstance(event, ExecutionReport):
        return _of_report(event, index)
    if isinstance(event, OrderEnriched):
        return _of_enrichment(event, index)
    if isinstance(event, RiskOutcome):
        return _of_decision(event, index)
    return _of_anomaly(event, index) if isinstance(event, OrderAnomaly) else _of_alert(event, index)


def _of_status(event: OrderStatusChanged, index: int) -> Entry:
    consolidated = event.event_type == EventType.ORDER_STATUS_CONSOLIDATED
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.CONSOLIDATED if consolidated else Origin.ENGINE,
        source=event.source,
        sequence=event.sequence,
        kind=event.status.code,
        code=event.status.code,
        venue=event.venue,
        quantity=event.order.quantity,
        filled=event.status.filled_quantity,
        leaves=event.status.leaves_quantity,
        average_price=event.status.avg_price,
        text=event.status.reason,
        correlation_id=event.correlation_id,
        cl_ord_id=event.order.cl_ord_id,
        price=event.order.limit_price,
    )


def _of_report(event: ExecutionReport, index: int) -> Entry:
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.VENUE,
        source=event.source,
        sequence=event.sequence,
        kind=event.exec_type,
        code=event.ord_status,
        venue=event.venue,
        quantity=event.order_quantity,
        filled=event.cum_quantity,
        leaves=event.leaves_quantity,
        average_price=event.avg_price,
        last_quantity=event.last_quantity,
        last_price=event.last_price,
        exec_id=event.exec_id,
        text=event.text or event.reject_reason or event.restatement_reason,
        correlation_id=event.correlation_id,
        cl_ord_id=event.cl_ord_id,
        price=event.price,
        exec_ref_id=event.exec_ref_id,
    )


def _of_enrichment(event: OrderEnriched, index: int) -> Entry:
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.ENRICHMENT,
        source=event.source,
        sequence=event.sequence,
        kind=event.exec_type or event.event_type,
        venue=event.last_venue or event.venue,
        filled=event.filled_quantity,
        average_price=event.avg_price,
        last_quantity=event.last_quantity,
        last_price=event.last_price,
        exec_id=event.last_exec_id,
        fees=event.total_fees,
        correlation_id=event.correlation_id,
        exec_ref_id=event.exec_ref_id,
    )


def _of_decision(event: RiskOutcome, index: int) -> Entry:
    intent = event.intent
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.RISK,
        source=event.source,
        sequence=event.sequence,
        kind=event.event_type,
        code=intent.event_type,
        venue=intent.venue,
        quantity=intent.quantity,
        text="; ".join(_in_words(breach) for breach in event.breaches) or None,
        correlation_id=intent.correlation_id,
        cl_ord_id=intent.cl_ord_id,
        price=intent.limit_price,
        limits_version=event.limits_version,
    )


def _in_words(breach: Breach) -> str:
    figures = (("limit", breach.limit), ("current", breach.current), ("attempted", breach.attempted))
    told = ", ".join(f"{name} {value:.10g}" for name, value in figures if value is not None)
    severity = "" if breach.severity == "HARD" else f" {breach.severity}"
    return f"{breach.check}{severity} {breach.scope}{f' ({told})' if told else ''}"


def _of_anomaly(event: OrderAnomaly, index: int) -> Entry:
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.ANOMALY,
        source=event.source,
        sequence=event.sequence,
        kind=event.kind,
        venue=event.venue,
        exec_id=event.exec_id,
        text=event.detail,
        correlation_id=event.correlation_id,
    )


def _of_alert(event: OrderAlert, index: int) -> Entry:
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.ALERT,
        source=event.source,
        sequence=event.sequence,
        kind=event.kind,
        code=event.state,
        text=event.detail,
        correlation_id=event.correlation_id,
    )
