"""The kernel that runs scalar logic: a bounded cache of states over the stores, and the loop around pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from broker.contract import Record
from broker.record_size import RECORD_BYTES_MAX_DEFAULT
from config.errors import EncodeError, InvalidRecordError, ProcessingError, RecordTooLargeError
from operators.state.groups import GroupStores
from operators.state.store import NEVER, header
from operators.stream.event_time import CLOCK_JUMP
from operators.stream.kernel import StepOutcome, StreamBatch
from operators.stream.records import Changes, Columns, Origin, dead_letter
from operators.stream.rows import records_of
from operators.stream.scalar_call import (
    CHARACTERS_ALWAYS_FIT,
    Call,
    Emitted,
    Row,
    check_state_key,
    running_maximum,
    timer_record,
)
from operators.stream.state_cache import StateCache
from operators.stream.step import Context, Logic, Result
from operators.stream.streams import StreamSpec

DUE_LIMIT: Final = 2_000
# What encoders raise for a value that their schema does not take, such as a sum beyond 64 bits, and what an output or a
# state is that the log would refuse.
_UNFIT: Final = (pa.ArrowException, EncodeError, OverflowError, RecordTooLargeError, TypeError, ValueError)


class ScalarKernel:
    """Runs one step's logic record by record.

    Records of several inputs are taken in the order of event time as far as the order within each partition allows.
    States are read in bulk, kept in a bounded cache, and encoded once per key and call. If something that logic
    returned cannot be encoded, or a state or an output is larger than the log takes, the call is undone and made again
    with every result checked, so that one record is refused and not the batch: logic is pure.
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
        record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT,
    ) -> None:
        self._step_id, self._logic, self._stores = step_id, logic, stores
        self._event_types = event_types
        self._streams, self._broadcast = streams, broadcast
        self._stop_on_error = stop_on_error
        self._clock_ahead_max_ms, self._record_bytes_max = clock_ahead_max_ms, record_bytes_max
        self._cache = StateCache(step_id, stores, logic.state_type, cache_rows)
        self._encode = msgspec.msgpack.Encoder().encode

    def open(self, groups: Sequence[int]) -> None:
        self._stores.ensure(groups)

    def epoch_began(self) -> None:
        self._stores.epoch_began()

    def close(self, *, committed: bool) -> None:
        self._stores.close(committed=committed)

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        for columns in inputs.values():
            self._stores.ensure(np.unique(columns.groups).tolist())
        call = self._run(inputs, Call(now_ms))
        try:
            encoded = self._encoded(call)
        except _UNFIT:
            self._undo(call)
            call = self._run(inputs, Call(now_ms, checked=True))
            encoded = self._encoded(call)
        return self._outcome(call, *encoded)

    def _run(self, inputs: Mapping[str, Columns], call: Call) -> Call:
        self._run_due(call)
        rows = self._in_order(inputs, call)
        self._cache.load((row.group, row.key) for row in rows)
        for row in rows:
            self._on_record(row, call)
        return call

    def _undo(self, call: Call) -> None:
        self._cache.undo(call)
        for group, time_ms in call.advanced_from.items():
            self._stores.advance_stream_time(group, time_ms)

    def _in_order(self, inputs: Mapping[str, Columns], call: Call) -> list[Row]:
        """All rows as records, in the order of event time as far as the order within each partition allows."""
        rows: list[Row] = []
        ranks = []
        for role, given in inputs.items():
            columns, records = self._records(given, call)
            call.records_in += len(given)
            rows += map(
                Row, columns.groups.tolist(), [key.decode() for key in columns.keys], [role] * len(records), records,
                columns.times_ms.tolist(), columns.record_keys, columns.origin.records,
            )  # fmt: skip
            ranks.append(running_maximum(columns.times_ms, columns.origin))
        order = np.argsort(np.concatenate(ranks), kind="stable").tolist() if ranks else []
        return [rows[i] for i in order]

    def _records(self, columns: Columns, call: Call) -> tuple[Columns, list[Any]]:
        """The rows as records; those that the event type does not take are refused."""
        kind = self._event_types[columns.topic]
        try:
            return columns, records_of(columns.batch, kind)
        except msgspec.ValidationError:
            kept, records = [], []
            for row, values in enumerate(columns.rows()):
                try:
                    records.append(msgspec.convert(values, kind))
                    kept.append(row)
                except msgspec.ValidationError as error:
                    self._failed(columns.origin.records[row], InvalidRecordError(str(error)), call)
            return columns.take(np.array(kept, np.int64)), records

    def _on_record(self, row: Row, call: Call) -> None:
        context = self._context(row, call)
        try:
            windows = self._logic.window_keys(row.key, row.record, context)
            for key in windows or ():
                check_state_key(key)
        except (
            Exception
        ) as error:  # the same boundary as below; what the stores raise lies between them, it is no fault
            self._failed(row.source, error, call)
            return
        keys = [row.key] if windows is None else windows
        if not keys:
            call.anomaly("LATE")
        states = [self._cache.state(row.group, key).state for key in keys]
        try:
            results = []
            for key, state in zip(keys, states, strict=True):
                context.entry = partial(self._cache.entry, call, row.group, key)
                context.part = partial(self._cache.part, call, row.group, key)
                results.append((key, self._logic.on_record(state, key, row.role, row.record, context)))
            for key, result in results:
                self._check(key, result, row.record_key, call)
        except ProcessingError:
            raise
        except Exception as error:  # the one boundary where logic's errors become dead letters or stop the flow
            self._failed(row.source, error, call)
            return
        for key, result in results:
            self._accept(row.group, key, result, row, call)

    def _check(self, key: str, result: Result[Any], record_key: bytes, call: Call) -> None:
        """Raises for a result that cannot be kept; what encoding would find is looked for only in a checked call."""
        for suffixes in (result.entries, result.parts):
            if suffixes and len(key) + max(map(len, suffixes)) > CHARACTERS_ALWAYS_FIT:
                for suffix in suffixes:
                    check_state_key(key, suffix)
        if call.checked:
            state = header() + self._encode(result.state)
            self._check_size(key.encode(), state)
            for suffix, value in result.entries.items():
                self._check_size(f"{key}{suffix}".encode(), None if value is None else header() + value)
            for suffix, value in result.parts.items():
                self._check_size(f"{key}{suffix}".encode(), None if value is None else header() + self._encode(value))
            for output in result.outputs:
                output_key = record_key if output.key is None else output.key.encode()
                self._streams[output.stream].check(output_key, msgspec.to_builtins(output.value))

    def _check_size(self, key: bytes, value: bytes | None) -> None:
        """Raises `RecordTooLargeError` for a value that the changelog does not take."""
        size = len(key) + (len(value) if value is not None else 0)
        if size > self._record_bytes_max:
            raise RecordTooLargeError(
                topic=self._stores.changelog, index=0, size_bytes=size, size_bytes_max=self._record_bytes_max
            )

    def _context(self, row: Row, call: Call) -> Context:
        """Event time moves with the record, unless the record is further ahead of the clock than clocks drift."""
        reached = self._stores.stream_time_ms(row.group)
        if row.time_ms > reached:
            if row.time_ms <= call.now_ms + self._clock_ahead_max_ms:
                call.advanced_from.setdefault(row.group, reached)
                reached = row.time_ms
                self._stores.advance_stream_time(row.group, reached)
            else:
                call.anomaly(CLOCK_JUMP)
        return Context(reached, call.now_ms, self._broadcast)

    def _accept(self, group: int, key: str, result: Result[Any], row: Row | None, call: Call) -> None:
        self._cache.accept(call, group, key, result)
        for kind in result.anomalies:
            call.anomaly(kind)
        for output in result.outputs:
            if row is None:
                call.emit(output, key.encode(), timer_record(self._stores.changelog, group, key, now_ms=call.now_ms))
            else:
                call.emit(output, row.record_key, row.source)

    def _failed(self, record: Record, error: Exception, call: Call) -> None:
        place = f"{record.topic()}-{record.partition()}@{record.offset()}"
        if self._stop_on_error:
            raise ProcessingError(
                f"step {self._step_id}: {type(error).__name__}: {error} on {place}; nothing of its epoch was committed"
            ) from error
        call.dead_letters.append(dead_letter(record, step=self._step_id, error=error))

    def _run_due(self, call: Call) -> None:
        """Calls back every key whose time has come since the last flush."""
        for group in self._stores.open_groups:
            reached = self._stores.stream_time_ms(group)
            for until, wall in ((reached, False), (call.now_ms, True)):
                for _, raw in self._stores.due(group, until, DUE_LIMIT, wall=wall):
                    self._on_due(group, raw.decode(), until, call, wall=wall)

    def _on_due(self, group: int, key: str, until_ms: int, call: Call, *, wall: bool) -> None:
        entry = self._cache.state(group, key)
        due = entry.wall_due_ms if wall else entry.due_ms
        if due > until_ms or entry.state is None:
            return  # changed since the index was written; the next flush puts the index right
        context = Context(
            self._stores.stream_time_ms(group), call.now_ms, self._broadcast,
            partial(self._cache.entry, call, group, key), partial(self._cache.part, call, group, key),
        )  # fmt: skip
        try:
            result = self._logic.on_due(entry.state, key, context)
            self._check(key, result, key.encode(), call)
        except ProcessingError:
            raise
        except Exception as error:  # the same boundary, for timers; one that failed is not tried again
            self._failed(timer_record(self._stores.changelog, group, key, now_ms=call.now_ms), error, call)
            due_ms, wall_due_ms = (entry.due_ms, NEVER) if wall else (NEVER, entry.wall_due_ms)
            result = Result(entry.state, due_ms=due_ms, wall_due_ms=wall_due_ms)
        self._accept(group, key, result, None, call)

    def _encoded(self, call: Call) -> tuple[dict[int, dict[bytes, bytes | None]], dict[str, list[StreamBatch]]]:
        """New values by key group and outputs by stream, as bytes and columns."""
        values = self._cache.encoded(call)
        for changed in values.values():
            if (
                max(map(len, changed)) + max(map(len, filter(None, changed.values())), default=0)
                > self._record_bytes_max
            ):
                for raw, value in changed.items():
                    self._check_size(raw, value)
        return values, {name: [self._batch(name, emitted)] for name, emitted in call.emitted.items()}

    def _outcome(
        self, call: Call, values: dict[int, dict[bytes, bytes | None]], streams: dict[str, list[StreamBatch]]
    ) -> StepOutcome:
        outcome = StepOutcome(streams, [], call.dead_letters, call.anomalies, call.records_in)
        for group, changed in values.items():
            self._stores.put_many(group, list(changed), list(changed.values()))
        for group in call.advanced_from:
            name, time = self._stores.stream_time_change(group)
            values.setdefault(group, {})[name] = time
        if not values and (proof := self._stores.proof()) is not None:
            group, name, time = proof
            values[group] = {name: time}
        outcome.changes = [
            Changes(self._stores.changelog, group, list(changed), list(changed.values()))
            for group, changed in values.items()
        ]
        self._cache.evict(call)
        return outcome

    def _batch(self, name: str, emitted: Emitted) -> StreamBatch:
        spec = self._streams[name]
        batch = pa.RecordBatch.from_pylist(emitted.values, schema=spec.schema)
        return spec.encoded(StreamBatch(batch, emitted.keys, Origin(emitted.sources)))
