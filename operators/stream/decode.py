"""From records as read to columns: decoding, the `where` of a source, event times, and dead letters for what is bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from broker.contract import Record
from config.errors import DecodeError, InvalidRecordError
from operators.codec.codec import Codec
from operators.codec.sources import SchemaSource
from operators.model.arrays import all_are, texts_are
from operators.state.store import KEY_BYTES_MAX
from operators.stream.records import Columns, DeadLetter, Flags, Ints, Origin, Read, dead_letter

HEADER_BYTES: Final = 5
_MEMO_MAX: Final = 1_000
RECORD_BYTES_MAX: Final = 8_192
EVENT_AHEAD_MAX_MS: Final = 86_400_000
_MICROS_PER_MS: Final = 1_000
_KEY_FIELD: Final = "key"
_NUL: Final = b"\0"


@dataclass(frozen=True, slots=True)
class SourceDecoder:
    """How one source's records become columns: its topic, what it wants, and the column that holds event time."""

    name: str
    topic: str
    where: Mapping[str, str] = field(default_factory=dict)
    event_time: str = "occurredAt"


class Decoder:
    """Decodes what a lane read, source by source, with everything that waits in one batch."""

    def __init__(
        self,
        codec: Codec,
        schemas: SchemaSource,
        sources: Sequence[SourceDecoder],
        on_error: Callable[[DeadLetter], DeadLetter],
        *,
        record_bytes_max: int = RECORD_BYTES_MAX,
        event_ahead_max_ms: int = EVENT_AHEAD_MAX_MS,
    ) -> None:
        self._codec, self.on_error = codec, on_error
        self._record_bytes_max, self._event_ahead_max_ms = record_bytes_max, event_ahead_max_ms
        self._sources = {source.name: source for source in sources}
        self._filters = {
            source.name: FirstFieldFilter(*next(iter(source.where.items())), schemas)
            for source in sources
            if source.where and next(iter(source.where)) == codec.arrow_schema(source.topic).names[0]
        }

    def __call__(self, reads: Sequence[Read], *, now_ms: int) -> tuple[dict[str, Columns], list[DeadLetter]]:
        """The columns of every source with rows, and the records that could not be decoded or are out of bounds."""
        by_source: dict[str, list[Read]] = {}
        for read in reads:
            by_source.setdefault(read.source, []).append(read)
        streams, dead = {}, []
        for name, parts in by_source.items():
            columns, bad = self._decode(self._sources[name], parts, now_ms)
            dead += bad
            if columns is not None and len(columns):
                streams[name] = columns
        return streams, dead

    def _decode(
        self, source: SourceDecoder, parts: Sequence[Read], now_ms: int
    ) -> tuple[Columns | None, list[DeadLetter]]:
        wanted = self._filters.get(source.name)
        records: list[Record] = []
        counts: list[int] = []
        for part in parts:
            kept = wanted(part.records) if wanted else part.records
            records += kept
            counts.append(len(kept))
        if not records:
            return None, []
        partitions = np.repeat(np.array([part.partition for part in parts], np.int64), counts)
        values, giants = [r.value() for r in records], list[DeadLetter]()
        if _largest(values) > self._record_bytes_max:
            records, partitions, giants = self._without_giants(records, partitions)
            values = [r.value() for r in records]
        keys = [r.key() for r in records]
        decoded = self._codec.decode(source.topic, values)
        dead = giants + [self.on_error(dead_letter(records[i], step="decode", error=error)) for i, error in decoded.bad]
        rows, batch = decoded.rows, decoded.batch
        own = keys if len(rows) == len(keys) else [keys[i] for i in rows.tolist()]
        keep = usable_keys(own)
        letters = [] if keep.all() else [(row, key_error(own[row])) for row in np.flatnonzero(~keep).tolist()]
        if _KEY_FIELD in batch.schema.names:
            letters += _strangers(batch.column(_KEY_FIELD), own, keep)
        for name, value in source.where.items():
            if not all_are(column := batch.column(name), value.encode()):
                keep &= pc.fill_null(pc.equal(column, value), False).to_numpy(zero_copy_only=False)
        letters += self._ahead(batch.column(source.event_time), keep, now_ms)
        dead += [
            self.on_error(dead_letter(records[rows[row]], step="decode", error=e))
            for row, e in sorted(letters, key=_row)
        ]
        if not keep.all():
            rows, batch = rows[keep], batch.filter(pa.array(keep))
        if not len(rows):
            return None, dead
        return self._columns(source, records, partitions, keys, rows, batch), dead

    def _without_giants(
        self, records: Sequence[Record], partitions: Ints
    ) -> tuple[list[Record], Ints, list[DeadLetter]]:
        """Takes out records too large to be worked on: what is kept and sent because of them might not fit the log."""
        sizes = np.array([len(record.value() or b"") for record in records])
        letters = [
            self.on_error(dead_letter(records[i], step="decode", error=self._size_error(int(sizes[i]))))
            for i in np.flatnonzero(sizes > self._record_bytes_max).tolist()
        ]
        kept = np.flatnonzero(sizes <= self._record_bytes_max)
        return [records[i] for i in kept.tolist()], partitions[kept], letters

    def _size_error(self, size_bytes: int) -> InvalidRecordError:
        most = f"engine.record_bytes_max allows {self._record_bytes_max}"
        return InvalidRecordError(f"the record has {size_bytes} bytes; {most}")

    def _ahead(self, times: pa.Array, keep: Flags, now_ms: int) -> list[tuple[int, InvalidRecordError]]:
        """Takes out rows of a day that has not come: windows, trading days and limits would go on from there."""
        micros, latest = times.to_numpy(zero_copy_only=False), (now_ms + self._event_ahead_max_ms) * _MICROS_PER_MS
        if micros.max(initial=latest) <= latest:
            return []
        ahead = np.flatnonzero(keep & (micros > latest)).tolist()
        keep[ahead] = False
        return [(row, self._ahead_error(int(micros[row]) // _MICROS_PER_MS - now_ms)) for row in ahead]

    def _ahead_error(self, ahead_ms: int) -> InvalidRecordError:
        most = f"engine.event_ahead_max_ms allows {self._event_ahead_max_ms}"
        return InvalidRecordError(f"its event time is {ahead_ms} ms ahead of the clock; {most}")

    def _columns(
        self,
        source: SourceDecoder,
        records: Sequence[Record],
        partitions: Ints,
        keys: Sequence[bytes | None],
        rows: Ints,
        batch: pa.RecordBatch,
    ) -> Columns:
        if len(rows) < len(records):
            picked = rows.tolist()
            records, keys, partitions = [records[i] for i in picked], [keys[i] for i in picked], partitions[rows]
        times = batch.column(source.event_time).to_numpy(zero_copy_only=False) // _MICROS_PER_MS
        own: Sequence[bytes] = keys  # type: ignore[assignment] # records without a key were left out above
        return Columns(source.topic, batch, own, own, partitions, times, Origin(records))


def _largest(values: Sequence[bytes | None]) -> int:
    try:
        return max(map(len, values))  # type: ignore[arg-type] # a null raises
    except TypeError:
        return max(len(value or b"") for value in values)


def usable_keys(keys: Sequence[bytes | None]) -> Flags:
    """Under which of these keys state can be kept."""
    given = [key or b"" for key in keys]
    lengths = np.fromiter(map(len, given), np.int64, len(given))
    usable: Flags = (lengths > 0) & (lengths <= KEY_BYTES_MAX)
    if _NUL in b"".join(given):
        usable &= np.array([_NUL not in key for key in given], np.bool_)
    return usable


def _strangers(named: pa.Array, own: Sequence[bytes | None], keep: Flags) -> list[tuple[int, InvalidRecordError]]:
    """Takes out rows whose payload names another key than the record's: their state would go to the wrong place."""
    if keep.all() and texts_are(named, own):  # type: ignore[arg-type] # keys under which state can be kept are no nulls
        return []
    same = pc.fill_null(pc.equal(named.cast(pa.binary()), pa.array(own, pa.binary())), False)
    strangers = np.flatnonzero(keep & ~same.to_numpy(zero_copy_only=False)).tolist()
    keep[strangers] = False
    return [
        (row, InvalidRecordError(f"the record's key is {own[row]!r}, its payload names {named[row].as_py()!r}"))
        for row in strangers
    ]


def _row(letter: tuple[int, InvalidRecordError]) -> int:
    return letter[0]


def key_error(key: bytes | None) -> InvalidRecordError:
    """Why no state can be kept under this key."""
    if not key:
        return InvalidRecordError("the record has no key; it must be accountId|orderId")
    if _NUL in key:
        return InvalidRecordError(f"the key {key!r} has a NUL, which separates what is stored beside a state")
    return InvalidRecordError(f"the key has {len(key)} bytes; at most {KEY_BYTES_MAX} can be kept as state")


class FirstFieldFilter:
    """Leaves out, undecoded, records whose first field is a text other than the one wanted.

    A source that reads its own flow's outputs back skips half its input this way. Whatever does not plainly open with
    another text stays in and is judged by the codec, so that nothing malformed is passed over.
    """

    def __init__(self, field: str, wanted: str, schemas: SchemaSource) -> None:
        self._field, self._schemas = field, schemas
        text = wanted.encode()
        self._prefix = bytes([len(text) << 1]) + text  # Avro: zigzag length, then UTF-8
        self._cut = HEADER_BYTES + len(self._prefix)
        self._skip: dict[bytes, bytes] = {}
        """By the first bytes of a value: all bytes that it must open with to be left out; none if it stays in."""

    def __call__(self, records: Sequence[Record]) -> list[Record]:
        """The records to be decoded."""
        cut, skip = self._cut, self._skip
        kept = []
        for record in records:
            value = record.value()
            if value is not None:
                opening = skip.get(value[:cut])
                if opening is None:
                    opening = self._judge(value)
                if opening and value.startswith(opening):
                    continue
            kept.append(record)
        return kept

    def _judge(self, value: bytes) -> bytes:
        start = value[: self._cut]
        plain = len(start) == self._cut and start[0] == 0 and start[HEADER_BYTES] & 0x81 == 0
        length = start[HEADER_BYTES] >> 1 if plain else 0
        text = value[HEADER_BYTES + 1 : HEADER_BYTES + 1 + length]
        unwanted = (
            plain
            and length > 0
            and start[HEADER_BYTES:] != self._prefix
            and len(text) == length
            and _is_name(text)
            and self._opens_with_the_field(int.from_bytes(start[1:HEADER_BYTES], "big"))
        )
        opening = start[: HEADER_BYTES + 1] + text if unwanted else b""
        if len(self._skip) < _MEMO_MAX:
            self._skip[start] = opening
        return opening

    def _opens_with_the_field(self, schema_id: int) -> bool:
        """Whether the writer's schema is known and has the field first, as a text: versions may order fields anew."""
        try:
            first = self._schemas.by_id(schema_id).document["fields"][0]
        except (DecodeError, LookupError, TypeError):
            return False
        return bool(first["name"] == self._field and _type_name(first["type"]) == "string")


def _type_name(avro_type: Any) -> Any:
    return avro_type.get("type") if isinstance(avro_type, dict) else avro_type


def _is_name(text: bytes) -> bool:
    return text.replace(b"_", b"").isalnum()
