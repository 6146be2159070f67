"""The kernel that runs scalar logic: a bounded cache of states over the stores, and the loop around pure functions."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from broker.contract import Record
from config.errors import BadRecordError, ProcessingError
from operators.state.groups import GroupStores
from operators.state.store import HEADER_BYTES, NEVER, header
from operators.stream.kernel import StepOutcome, StreamBatch
from operators.stream.records import Changes, Columns, DeadLetter, Ints, Origin, RecordCopy, dead_letter
from operators.stream.step import Context, Logic, Output, Result

DUE_LIMIT: Final = 2_000
CLOCK_JUMP: Final = "CLOCK_JUMP"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """An output stream of a step: the topic whose schema its records have, and that schema as Arrow sees it."""

    topic: str
    schema: pa.Schema


@dataclass(slots=True)
class Entry:
    """A state in the cache, and when time must look at it."""

    state: Any
    due_ms: int = NEVER
    wall_due_ms: int = NEVER


@dataclass(slots=True)
class _Emitted:
    """Outputs of one stream during a call, in order."""

    keys: list[bytes] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)


class ScalarKernel:
    """Runs one step's logic record by record.

    Records of several inputs are taken in the order of event time as far as the order within each partition allows.
    States are read in bulk, kept in a bounded cache, and encoded once per key and call.
    """

    def __init__(
        self,
        step_id: str,
        logic: Logic[Any],
        stores: GroupStores,
        *,
        event_types: Mapping[str, type[msgspec.Struct]],
        streams: Mapping[str, StreamSpec],
        broadcast: Mapping[str, Mapping[str, Any]],
        stop_on_error: bool,
        cache_rows: int,
        clock_ahead_max_ms: int,
    ) -> None:
        self._step_id, self._logic, self._stores = step_id, logic, stores
        self._event_types = {topic: list[kind] for topic, kind in event_types.items()}  # type: ignore[valid-type]
        self._streams, self._broadcast = streams, broadcast
        self._stop_on_error, self._cache_rows = stop_on_error, cache_rows
        self._clock_ahead_max_ms = clock_ahead_max_ms
        self._cache: OrderedDict[tuple[int, str], Entry] = OrderedDict()
        self._decode = msgspec.msgpack.Decoder(logic.state_type).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def open(self, groups: Sequence[int]) -> None:
        self._stores.ensure(groups)

    def epoch_began(self) -> None:
        self._stores.epoch_began()

    def close(self, *, committed: bool) -> None:
        self._stores.close(committed=committed)

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        call = _Call(now_ms)
        for columns in inputs.values():
            self._stores.ensure(np.unique(columns.groups).tolist())
        self._run_due(call)
        rows = self._in_order(inputs)
        if rows:
            self._load_all(rows)
            for row in rows:
                self._on_record(row, call)
        return self._outcome(call, records_in=len(rows))

    def _in_order(self, inputs: Mapping[str, Columns]) -> list[_Row]:
        """All rows as records, in the order of event time as far as the order within each partition allows."""
        rows: list[_Row] = []
        ranks = []
        for role, columns in inputs.items():
            records = msgspec.convert(columns.rows(), self._event_types[columns.topic])
            rows += map(
                _Row, columns.groups.tolist(), [key.decode() for key in columns.keys], [role] * len(records), records,
                columns.times_ms.tolist(), columns.record_keys, columns.origin.records,
            )  # fmt: skip
            ranks.append(_running_maximum(columns.times_ms, columns.origin))
        order = np.argsort(np.concatenate(ranks), kind="stable").tolist() if ranks else []
        return [rows[i] for i in order]

    def _load_all(self, rows: Sequence[_Row]) -> None:
        """Brings the states of all keys into the cache with one read per key group."""
        wanted: dict[int, dict[bytes, str]] = {}
        for row in rows:
            if (row.group, row.key) not in self._cache:
                wanted.setdefault(row.group, {})[row.key.encode()] = row.key
        for group, keys in wanted.items():
            self._load(group, keys)

    def _load(self, group: int, keys: Mapping[bytes, str]) -> None:
        found = self._stores.get_many(group, list(keys))
        for raw, key in keys.items():
            value = found.get(raw)
            self._cache[group, key] = Entry(None) if value is None else self._entry(value)

    def _entry(self, value: bytes) -> Entry:
        due, wall = int.from_bytes(value[:8], "big"), int.from_bytes(value[8:HEADER_BYTES], "big")
        return Entry(self._decode(value[HEADER_BYTES:]), due, wall)

    def _entry_of(self, group: int, key: str) -> Entry:
        entry = self._cache.get((group, key))
        if entry is None:
            self._load(group, {key.encode(): key})
            entry = self._cache[group, key]
        return entry

    def _on_record(self, row: _Row, call: _Call) -> None:
        context = self._context(row, call)
        try:
            state_keys = self._logic.window_keys(row.key, row.record, context)
            results = [
                (key, self._logic.on_record(self._entry_of(row.group, key).state, key, row.role, row.record, context))
                for key in ([row.key] if state_keys is None else state_keys)
            ]
            if state_keys is not None and not state_keys:
                call.anomaly("LATE")
        except Exception as error:  # the one boundary where logic's errors become dead letters or stop the flow
            self._failed(row.source, error, call)
            return
        for key, result in results:
            self._accept(row.group, key, result, row, call)

    def _context(self, row: _Row, call: _Call) -> Context:
        """Event time moves with the record, unless the record is further ahead of the clock than clocks drift."""
        reached = self._stores.stream_time_ms(row.group)
        if row.time_ms > reached:
            if row.time_ms <= call.now_ms + self._clock_ahead_max_ms:
                reached = row.time_ms
                self._stores.advance_stream_time(row.group, reached)
                call.advanced.add(row.group)
            else:
                call.anomaly(CLOCK_JUMP)
        return Context(reached, call.now_ms, self._broadcast)

    def _accept(self, group: int, key: str, result: Result[Any], row: _Row | None, call: _Call) -> None:
        entry = self._cache[group, key]
        entry.state, entry.due_ms, entry.wall_due_ms = result.state, result.due_ms, result.wall_due_ms
        call.dirty[group, key] = entry
        for suffix, value in result.entries.items():
            call.entries.setdefault(group, {})[f"{key}{suffix}".encode()] = None if value is None else header() + value
        for kind in result.anomalies:
            call.anomaly(kind)
        for output in result.outputs:
            if row is None:
                call.emit(output, key.encode(), _timer_record(self._stores.changelog, group, key, now_ms=call.now_ms))
            else:
                call.emit(output, row.record_key, row.source)

    def _failed(self, record: Record, error: Exception, call: _Call) -> None:
        place = f"{record.topic()}-{record.partition()}@{record.offset()}"
        if self._stop_on_error:
            raise ProcessingError(
                f"step {self._step_id}: {type(error).__name__}: {error} on {place}; nothing of its epoch was committed"
            ) from error
        letter = dead_letter(record, step=self._step_id, error=error)
        if not isinstance(error, BadRecordError):  # a fault of the logic: whoever mends it wants to see where
            letter.message += "\n" + "".join(traceback.format_exception(error)[-3:])
        call.dead_letters.append(letter)

    def _run_due(self, call: _Call) -> None:
        """Calls back every key whose time has come since the last flush."""
        for group in self._stores.open_groups:
            reached = self._stores.stream_time_ms(group)
            for until, wall in ((reached, False), (call.now_ms, True)):
                for _, raw in self._stores.due(group, until, DUE_LIMIT, wall=wall):
                    self._on_due(group, raw.decode(), until, call, wall=wall)

    def _on_due(self, group: int, key: str, until_ms: int, call: _Call, *, wall: bool) -> None:
        entry = self._entry_of(group, key)
        due = entry.wall_due_ms if wall else entry.due_ms
        if due > until_ms or entry.state is None:
            return  # changed since the index was written; the next flush puts the index right
        context = Context(self._stores.stream_time_ms(group), call.now_ms, self._broadcast)
        try:
            result = self._logic.on_due(entry.state, key, context)
        except Exception as error:  # the same boundary, for timers
            self._failed(_timer_record(self._stores.changelog, group, key, now_ms=call.now_ms), error, call)
            result = Result(entry.state)
        self._accept(group, key, result, None, call)

    def _outcome(self, call: _Call, *, records_in: int) -> StepOutcome:
        outcome = StepOutcome(dead_letters=call.dead_letters, anomalies=call.anomalies, records_in=records_in)
        values: dict[int, dict[bytes, bytes | None]] = call.entries
        for (group, key), entry in call.dirty.items():
            value = None
            if entry.state is not None:
                value = header(entry.due_ms, entry.wall_due_ms) + self._encode(entry.state)
            values.setdefault(group, {})[key.encode()] = value
        for group, changed in values.items():
            self._stores.put_many(group, list(changed), list(changed.values()))
        for group in call.advanced:
            key, value = self._stores.stream_time_change(group)
            values.setdefault(group, {})[key] = value
        outcome.changes = [
            Changes(self._stores.changelog, group, list(changed), list(changed.values()))
            for group, changed in values.items()
        ]
        for name, emitted in call.emitted.items():
            outcome.streams[name] = [self._batch(name, emitted)]
        self._evict(call)
        return outcome

    def _batch(self, name: str, emitted: _Emitted) -> StreamBatch:
        spec = self._streams[name]
        return StreamBatch(
            pa.RecordBatch.from_pylist(emitted.values, schema=spec.schema), emitted.keys, Origin(emitted.sources)
        )

    def _evict(self, call: _Call) -> None:
        """Forgets keys without state, and the states longest unused beyond the cache's bound."""
        for at, entry in call.dirty.items():
            if entry.state is None:
                self._cache.pop(at, None)
            else:
                self._cache.move_to_end(at)
        while len(self._cache) > self._cache_rows:
            self._cache.popitem(last=False)


def _running_maximum(times: Ints, origin: Origin) -> Ints:
    """The latest time so far within each partition: sorting by it never swaps two records of a partition."""
    partitions = np.fromiter((record.partition() for record in origin.records), np.int64, len(times))
    result = np.empty_like(times)
    for partition in np.unique(partitions):
        rows = np.flatnonzero(partitions == partition)
        result[rows] = np.maximum.accumulate(times[rows])
    return result


def _timer_record(changelog: str, group: int, key: str, *, now_ms: int) -> Record:
    """Stands for a timer where a record is asked for: the key's place is its key group of the changelog."""
    return RecordCopy((changelog, group, -1, key.encode(), None, None, (0, now_ms)))


@dataclass(slots=True)
class _Row:
    """One record with all that handling it needs."""

    group: int
    key: str
    role: str
    record: Any
    time_ms: int
    record_key: bytes
    source: Record


@dataclass(slots=True)
class _Call:
    """What piles up during one call of the kernel."""

    now_ms: int
    dirty: dict[tuple[int, str], Entry] = field(default_factory=dict)
    entries: dict[int, dict[bytes, bytes | None]] = field(default_factory=dict)
    advanced: set[int] = field(default_factory=set)
    emitted: dict[str, _Emitted] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    anomalies: dict[str, int] = field(default_factory=dict)

    def anomaly(self, kind: str) -> None:
        self.anomalies[kind] = self.anomalies.get(kind, 0) + 1

    def emit(self, output: Output, record_key: bytes, source: Record) -> None:
        emitted = self.emitted.setdefault(output.stream, _Emitted())
        emitted.keys.append(record_key if output.key is None else output.key.encode())
        emitted.values.append(msgspec.to_builtins(output.value))
        emitted.sources.append(source)
