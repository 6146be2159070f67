"""Everything that was said about one order, in the order in which it arrived.

| origin | from | what it tells |
|---|---|---|
| ENGINE | orders.status | the order engine's own transition |
| CONSOLIDATED | orders.status | the status after joining engine and venues |
| VENUE | orders.executions | a venue's message, as the venue reported it |
| ENRICHMENT | orders.enrichment | a change of the fills, with what they cost |

An order may have a hundred thousand events, so its state is not rewritten with each: it holds the last entries only.
Every `CHUNK_ENTRIES` they move, once and for all, into a chunk under the order's key and `chunk_suffix(number)`. A
reader takes the chunks 0 to `chunks` - 1 and then the state's own entries; entries are numbered from 0 without gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.events import EventType, ExecutionReport, OrderEnriched, OrderStatusChanged
from operators.model.milestones import Milestone, OrderEvent, Progress, advance

CHUNK_ENTRIES: Final = 64
"""Part of stored state: entries per chunk."""


class Origin(StrEnum):
    """Who spoke."""

    ENGINE = "ENGINE"
    CONSOLIDATED = "CONSOLIDATED"
    VENUE = "VENUE"
    ENRICHMENT = "ENRICHMENT"


class Entry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One event. Quantities and prices are as its origin reports them; what it does not tell is null.

    `kind` is the status code of a status, the ExecType of a venue's message, the event type of an enrichment. New
    fields go to the end: chunks are never rewritten.
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


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """State of one order's timeline: its progress, how many chunks were written, and the entries after them."""

    progress: Progress
    chunks: int = 0
    entries: tuple[Entry, ...] = ()
    last_event_at: int

    @property
    def count(self) -> int:
        """Entries so far."""
        return self.chunks * CHUNK_ENTRIES + len(self.entries)

    @property
    def closed_at(self) -> int | None:
        """The latest time (microseconds) anything was said of an order that has ended; None while it is open."""
        return None if self.progress.ended_at is None else self.last_event_at


class Appended(NamedTuple):
    """The timeline after an event, the chunk that became full (by key suffix), and the milestones it brought."""

    state: Timeline
    writes: Mapping[str, bytes]
    milestones: Sequence[Milestone]


def append(timeline: Timeline | None, event: OrderEvent) -> Appended:
    """Takes in one event, known before or not: a timeline shows what came, repeats included.

    `InvalidRecordError` for a key that could be mistaken for a chunk's.
    """
    if "\0" in event.key:
        raise InvalidRecordError(f"key {event.key!r} has a NUL: it could be taken for a chunk of another order")
    progress, milestones = advance(timeline.progress if timeline else None, event)
    chunks = timeline.chunks if timeline else 0
    entries = timeline.entries if timeline else ()
    entries = (*entries, _entry(event, chunks * CHUNK_ENTRIES + len(entries)))
    last_event_at = max(event.occurred_at, timeline.last_event_at if timeline else event.occurred_at)
    writes = {}
    if len(entries) == CHUNK_ENTRIES:
        writes[chunk_suffix(chunks)] = msgspec.msgpack.encode(entries)
        chunks, entries = chunks + 1, ()
    state = Timeline(progress=progress, chunks=chunks, entries=entries, last_event_at=last_event_at)
    return Appended(state, writes, milestones)


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


def _entry(event: OrderEvent, index: int) -> Entry:
    if isinstance(event, OrderStatusChanged):
        return _of_status(event, index)
    if isinstance(event, ExecutionReport):
        return _of_report(event, index)
    return _of_enrichment(event, index)


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
        last_quantity=event.last_quantity,
        last_price=event.last_price,
        exec_id=event.exec_id,
        text=event.text,
    )


def _of_enrichment(event: OrderEnriched, index: int) -> Entry:
    return Entry(
        index=index,
        occurred_at=event.occurred_at,
        origin=Origin.ENRICHMENT,
        source=event.source,
        sequence=event.sequence,
        kind=event.event_type,
        venue=event.venue,
        filled=event.filled_quantity,
        average_price=event.avg_price,
        last_quantity=event.last_quantity,
        last_price=event.last_price,
        exec_id=event.last_exec_id,
        fees=event.total_fees,
    )
