"""The codec of the product: values of a topic to columns or records and back, bad ones told apart from good ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from config.errors import ConfigurationError, DecodeError, EncodeError, Problem
from operators.codec.columnar import Array, ArrowSchema, Columns, MalformedBatchError, RecordBatch, supported
from operators.codec.records import RecordWriter, read_record
from operators.codec.resolution import resolution
from operators.codec.schema import Schema, kind
from operators.codec.sources import SchemaSource
from operators.codec.wire import HEADER_BYTES, schema_id

_NO_COLUMNS = "a map, fixed, bytes, enum, union of several types, or a named type more than once"
_SPLIT_PARTS = 8
_SPLIT_MIN = 32
"""A failing batch of more values than this is split further: below, reading singly is cheaper than more batches."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a batch of values: `batch` holds the good ones in arrival order, in the reader's schema.

    `rows[i]` is the position among the given values of row i; `bad` holds the positions of the others, in order, each
    with the reason.
    """

    batch: RecordBatch
    rows: npt.NDArray[np.int64]
    bad: list[tuple[int, DecodeError]]


class Codec:
    """Decodes what topics hold into the schemas this process knows, and encodes with them.

    `readers` gives the schema of each topic's values as text; subjects are named `<topic>-value`. Schemas of writers
    come from the source by the id in each value. Nothing is registered: encoding looks up the id of the reader's
    schema once, and an unregistered one is a `ConfigurationError`. Methods may be called from several threads.
    """

    def __init__(self, schemas: SchemaSource, readers: Mapping[str, str]) -> None:
        self._schemas = schemas
        self._readers = {topic: Schema(0, f"{topic}-value", text) for topic, text in readers.items()}
        problems = [
            Problem(f"the schema of {topic} uses what has no columns: {_NO_COLUMNS}")
            for topic, reader in self._readers.items()
            if not supported(reader.parsed)
        ]
        if problems:
            raise ConfigurationError(problems)
        self._arrow = {topic: Columns(reader).arrow for topic, reader in self._readers.items()}
        self._paths: dict[tuple[str, int], _Path] = {}
        self._writers: dict[str, tuple[RecordWriter, Columns]] = {}

    @classmethod
    def latest(cls, schemas: SchemaSource, topics: Iterable[str]) -> Codec:
        """A codec that knows the newest version of each topic's contract."""
        return cls(schemas, {topic: schemas.latest(f"{topic}-value").text for topic in topics})

    def arrow_schema(self, topic: str) -> ArrowSchema:
        """The columns that `decode` gives and `encode` takes: times int64 microseconds, dates int32 days."""
        self._reader(topic)
        return self._arrow[topic]

    def decode(self, topic: str, values: Sequence[bytes | None]) -> Decoded:
        """All values of a topic; what cannot be read, nulls included, is in `bad` and costs only itself."""
        self._reader(topic)
        if values:
            try:
                path = self._path(topic, schema_id(values[0]))
                return Decoded(path.decode(values), np.arange(len(values)), [])
            except (DecodeError, MalformedBatchError):
                pass  # some value is bad, or written with another schema than the first: the slow way tells which
        return self._decode_apart(topic, values)

    def decode_record(self, topic: str, value: bytes | None) -> dict[str, Any]:
        """One value as Avro-named fields, read by fastavro: times are integers. `DecodeError` if it cannot be read."""
        return self._path(topic, schema_id(value)).decode_record(value or b"")

    def encode(self, topic: str, batch: RecordBatch) -> Array:
        """One framed value per row, as a binary Arrow array, which crosses processes cheaply; `to_pylist` gives bytes.

        Columns are found by name, in any order, others ignored. Timestamps in microseconds and dates are accepted for
        integers. `EncodeError` if a column is missing or of another type, or a row lacks a value that the schema wants.
        """
        return self._writer(topic)[1].encode(batch)

    def encode_records(self, topic: str, records: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """One framed value per record, written by fastavro; missing fields take their defaults."""
        writer = self._writer(topic)[0]
        return [_write(writer, row, record) for row, record in enumerate(records)]

    def _reader(self, topic: str) -> Schema:
        reader = self._readers.get(topic)
        if reader is None:
            raise ConfigurationError([Problem(f"the codec knows no schema for topic {topic}")])
        return reader

    def _writer(self, topic: str) -> tuple[RecordWriter, Columns]:
        if topic not in self._writers:
            reader = self._reader(topic)
            schema = self._schemas.registered(f"{topic}-value", reader.text)
            self._writers[topic] = (RecordWriter(schema), Columns(schema))
        return self._writers[topic]

    def _path(self, topic: str, identity: int) -> _Path:
        path = self._paths.get((topic, identity))
        if path is None:
            reader = self._reader(topic)
            path = self._paths[topic, identity] = _Path(self._schemas.by_id(identity), reader, self._arrow[topic])
        return path

    def _decode_apart(self, topic: str, values: Sequence[bytes | None]) -> Decoded:
        """The slow way: values grouped by schema id, bad ones isolated."""
        bad: list[tuple[int, DecodeError]] = []
        groups: dict[int, list[tuple[int, bytes]]] = {}
        for i, value in enumerate(values):
            try:
                groups.setdefault(schema_id(value), []).append((i, value or b""))
            except DecodeError as error:
                bad.append((i, error))
        parts = [_empty(self._arrow[topic])]
        good: list[int] = []
        for identity, entries in groups.items():
            try:
                path = self._path(topic, identity)
            except DecodeError as error:
                bad.extend((i, error) for i, _ in entries)
                continue
            for part, rows in path.isolate(entries, bad):
                parts.append(part)
                good.extend(rows)
        rows_read = np.array(good, np.int64)
        batch = pa.concat_batches(parts)
        if len(groups) > 1:
            order = np.argsort(rows_read)
            rows_read, batch = rows_read[order], batch.take(pa.array(order))
        return Decoded(batch, rows_read, sorted(bad, key=lambda entry: entry[0]))


class _Path:
    """How values written with one schema become the columns of another: at once, reshaped, or record by record."""

    def __init__(self, writer: Schema, reader: Schema, target: ArrowSchema) -> None:
        if kind(writer.document) != "record":
            raise DecodeError(f"schema id {writer.id} is {writer.text}, expected the record {reader.parsed['name']}")
        self._writer, self._reader, self._target = writer, reader, target
        self._columns = Columns(writer) if supported(writer.parsed) else None
        same = writer.layout == reader.layout
        self._other_reader = None if same else reader
        self._resolve = None if same or self._columns is None else resolution(writer, reader, target)
        self._by_record = self._columns is None or not (same or self._resolve is not None)

    def decode(self, values: Sequence[bytes | None]) -> RecordBatch:
        """All values in the reader's columns; `MalformedBatchError` if any one is bad or all must be read by record."""
        if self._by_record or self._columns is None:
            raise MalformedBatchError("the schemas differ in a way that is resolved record by record")
        batch = self._columns.decode(values)
        return batch if self._resolve is None else self._resolve(batch)

    def decode_record(self, value: bytes) -> dict[str, Any]:
        """One value in the reader's fields. What the columns refuse is refused here as well, so that both agree."""
        record = self._read(value)
        try:
            if self._columns is not None:
                self._columns.decode([value])
            else:
                self._batch([record])
        except (MalformedBatchError, pa.ArrowInvalid, OverflowError) as error:
            raise self._error(value, error) from error
        return record

    def isolate(
        self, entries: list[tuple[int, bytes]], bad: list[tuple[int, DecodeError]]
    ) -> Iterator[tuple[RecordBatch, list[int]]]:
        """Batches of the good values with their positions; the others go to `bad`, so that each costs only itself.

        A batch that fails is split. Of a small one fastavro reads each value, as it knows which is bad and why, and
        the rest is tried again.
        """
        if self._by_record:
            yield self._singly(entries, bad)
            return
        try:
            yield self.decode([value for _, value in entries]), [i for i, _ in entries]
            return
        except MalformedBatchError:
            pass
        if len(entries) > _SPLIT_MIN:
            size = -(-len(entries) // _SPLIT_PARTS)
            for start in range(0, len(entries), size):
                yield from self.isolate(entries[start : start + size], bad)
            return
        readable = _sieve(entries, self._read, bad)
        if len(readable) == len(entries):
            yield self._singly(entries, bad)
        elif readable:
            yield from self.isolate([entry for entry, _ in readable], bad)

    def _singly(
        self, entries: list[tuple[int, bytes]], bad: list[tuple[int, DecodeError]]
    ) -> tuple[RecordBatch, list[int]]:
        readable = _sieve(entries, self._read, bad)
        try:
            if self._columns is not None:
                self._columns.decode([value for (_, value), _ in readable])
        except MalformedBatchError:
            readable = _sieve([entry for entry, _ in readable], self.decode_record, bad)
        return self._batch([record for _, record in readable]), [i for (i, _), _ in readable]

    def _read(self, value: bytes) -> dict[str, Any]:
        # The boundary to fastavro, which raises what its parser stumbles over: EOFError, IndexError, ValueError, ...
        try:
            return read_record(value, self._writer, self._other_reader)
        except Exception as error:
            raise self._error(value, error) from error

    def _batch(self, records: list[dict[str, Any]]) -> RecordBatch:
        return pa.RecordBatch.from_pylist(records, schema=self._target)

    def _error(self, value: bytes, error: Exception) -> DecodeError:
        expected = f"expected {self._writer.parsed['name']} of schema id {self._writer.id}"
        if self._by_record:
            expected += f", readable as {self._reader.parsed['name']}"
        return DecodeError(f"{len(value) - HEADER_BYTES} bytes, {expected}: {type(error).__name__} {error}".rstrip())


def _sieve(
    entries: list[tuple[int, bytes]],
    read: Callable[[bytes], dict[str, Any]],
    bad: list[tuple[int, DecodeError]],
) -> list[tuple[tuple[int, bytes], dict[str, Any]]]:
    """The entries that can be read, each with its record; the others go to `bad`."""
    readable = []
    for entry in entries:
        try:
            readable.append((entry, read(entry[1])))
        except DecodeError as error:
            bad.append((entry[0], error))
    return readable


def _write(writer: RecordWriter, row: int, record: Mapping[str, Any]) -> bytes:
    # The boundary to fastavro, which raises what its writer stumbles over: KeyError, TypeError, ValueError, ...
    try:
        return writer.write(record)
    except Exception as error:
        raise EncodeError(f"row {row} does not fit its schema: {error or type(error).__name__}", row) from error


def _empty(schema: ArrowSchema) -> RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)
