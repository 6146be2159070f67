"""The operator `join_status_executions`: engine statuses and venue executions of an order, joined and enriched.

A columnar kernel: the orders at hand are rows of a table in memory, a bounded cache over the key groups' stores; a
batch is folded into it whole. Every changed row is put to the stores at once, so any row may leave the table between
two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from config.errors import ProcessingError
from config.topology import OperatorSpec
from operators.model.orders.fold import fold_executions, fold_statuses
from operators.model.orders.folded import Folded
from operators.model.orders.layout import Column
from operators.model.orders.old_executions import names_beside
from operators.model.orders.parents import FamilyChange
from operators.model.orders.schemas import ANOMALY
from operators.model.orders.state import Context
from operators.model.orders.table import OrderTable, chunk_count
from operators.registry import Build, Operator
from operators.state.groups import GroupStores
from operators.state.store import HEADER_BYTES, NEVER, header
from operators.steps.fee_schedules import fee_schedule, fee_schedule_problems
from operators.steps.turns import EXECUTION, STATUS, turns
from operators.stream.event_time import EventTime
from operators.stream.kernel import StepOutcome, StreamBatch
from operators.stream.keys import RECORD_KEY
from operators.stream.records import Changes, Columns, DeadLetter, Ints

EXPIRE_LIMIT: Final = 2_000
"""Closed orders forgotten at most per key group and call: forgetting must not hold up what is new."""
EVICT_SHARE: Final = 8
_BESIDE: Final = b"\x00"
_NEVER: Final = NEVER.to_bytes(8, "big")
_DAY_MS: Final = 86_400_000

Fold = Callable[[OrderTable, pa.RecordBatch, Ints, Context], Folded]


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """Options of the join. `fees` names a table under config/fees, or the path of another one."""

    fees: str = "us_equities"


class JoinKernel:
    """The join over all key groups of one process."""

    def __init__(
        self,
        step_id: str,
        stores: GroupStores,
        context: Context,
        *,
        stop_on_error: bool,
        cache_rows: int,
        clock_ahead_max_ms: int,
    ) -> None:
        self._step_id, self._stores, self._context = step_id, stores, context
        self._stop_on_error, self._cache_rows = stop_on_error, cache_rows
        self._event_time = EventTime(stores, clock_ahead_max_ms)
        self._table = OrderTable(self._load_beside)
        self._groups = np.zeros(1024, np.int64)
        self._calls = 0

    def open(self, groups: Sequence[int]) -> None:
        self._stores.ensure(groups)

    def epoch_began(self) -> None:
        self._stores.epoch_began()

    def close(self, *, committed: bool) -> None:
        self._stores.close(committed=committed)

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        outcome, changed = StepOutcome(), list[Ints]()
        self._calls += 1
        changes = _Changes(self._stores)
        for fold, columns, rows in self._in_turns(inputs, now_ms, outcome):
            folded = fold(self._table, columns.batch, rows, self._context)
            self._deliver(folded, columns, outcome, changes)
            changed.append(folded.rows)
        if changed:
            self._put_rows(np.unique(np.concatenate(changed)), changes)
        self._expire(changes)
        for group in self._event_time.take_advanced():
            changes.of(group).append(*self._stores.stream_time_change(group))
        if not changed and (proof := self._stores.proof()) is not None:
            group, key, value = proof
            changes.of(group).append(key, value)
        outcome.changes = changes.take()
        self._evict()
        return outcome

    def _in_turns(
        self, inputs: Mapping[str, Columns], now_ms: int, outcome: StepOutcome
    ) -> Iterator[tuple[Fold, Columns, Ints]]:
        """What is to be folded, one after the other: see `turns`. An order's events of one role may come in parts."""
        given = []
        for role, fold in _FOLDS:
            columns = inputs.get(role)
            if columns is not None and len(columns):
                self._event_time.advance(columns.groups, columns.times_ms, now_ms, outcome.anomalies)
                given.append((fold, columns, self._rows(columns)))
                outcome.records_in += len(columns)
        if len(given) < len(_FOLDS):
            yield from given
            return
        rows_and_times = [(rows, columns.batch.column("occurredAt").to_numpy()) for _, columns, rows in given]
        of_roles = turns(*rows_and_times[STATUS], *rows_and_times[EXECUTION])
        for turn in range(int(max(of_role.max() for of_role in of_roles)) + 1):
            fold, columns, rows = given[turn % len(_FOLDS)]
            chosen = np.flatnonzero(of_roles[turn % len(_FOLDS)] == turn)
            if len(chosen) == len(rows):
                yield fold, columns, rows
            elif len(chosen):
                yield fold, columns.take(chosen), rows[chosen]

    def _rows(self, columns: Columns) -> Ints:
        """The table's row of each record's key; rows that are not in memory are read, those that are nowhere made."""
        table, keys = self._table, columns.keys
        rows = table.find(keys)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            self._load(missing.tolist(), columns)
            rows[missing] = table.find([keys[i] for i in missing.tolist()])
        table.last_used[rows] = self._calls
        return rows

    def _load(self, missing: Sequence[int], columns: Columns) -> None:
        wanted: dict[int, dict[bytes, None]] = {}
        for i, group in zip(missing, columns.groups[np.array(missing)].tolist(), strict=True):
            wanted.setdefault(group, {})[columns.keys[i]] = None
        add = self._table.add
        for group, keys in wanted.items():
            found = self._stores.get_many(group, list(keys))
            rows = np.array([add(key) for key in keys], np.int64)
            self._grow(int(rows.max()))
            self._groups[rows] = group
            if found:
                known = [(row, found[key]) for row, key in zip(rows.tolist(), keys, strict=True) if key in found]
                self._table.put_many([row for row, _ in known], [value[HEADER_BYTES:] for _, value in known])

    def _grow(self, row: int) -> None:
        if row >= len(self._groups):
            self._groups = np.concatenate([self._groups, np.zeros(max(len(self._groups), row), np.int64)])

    def _load_beside(self, key: bytes, names: Sequence[bytes]) -> list[bytes]:
        keys = [key + _BESIDE + name for name in names]
        found = self._stores.get_many(int(self._groups[self._table.index[key]]), keys)
        return [found[beside][HEADER_BYTES:] for beside in keys]

    def _deliver(self, folded: Folded, columns: Columns, outcome: StepOutcome, changes: _Changes) -> None:
        for stream, batch, positions in (
            ("consolidated", folded.consolidated, folded.consolidated_from),
            ("enriched", folded.enriched, folded.enriched_from),
            ("family", folded.family, folded.family_from),
        ):
            if batch.num_rows:
                keys = batch.column("key").cast(pa.binary())
                outcome.streams.setdefault(stream, []).append(StreamBatch(batch, keys, columns.origin, positions))
        if folded.anomalies:
            records = [msgspec.to_builtins(anomaly) for _, anomaly in folded.anomalies]
            batch = pa.RecordBatch.from_pylist(records, schema=ANOMALY)
            positions = np.array([position for position, _ in folded.anomalies], np.int64)
            keys = batch.column("key").cast(pa.binary())
            outcome.streams.setdefault("anomalies", []).append(StreamBatch(batch, keys, columns.origin, positions))
        for _, anomaly in folded.anomalies:
            outcome.anomalies[anomaly.kind] = outcome.anomalies.get(anomaly.kind, 0) + 1
        for position, error in folded.rejected:
            outcome.dead_letters.append(self._dead_letter(columns, position, error))
        for beside in folded.beside:
            group = int(self._groups[self._table.index[beside.key]])
            name, value = beside.key + _BESIDE + beside.name, header() + beside.value
            self._stores.put_many(group, [name], [value])
            changes.of(group).append(name, value)

    def _dead_letter(self, columns: Columns, position: int, error: Exception) -> DeadLetter:
        letter = columns.dead_letter(position, step=self._step_id, error=error)
        if self._stop_on_error:
            place = f"{letter.topic}-{letter.partition}@{letter.offset}"
            raise ProcessingError(f"step {self._step_id}: {error} on {place}; nothing of its epoch was committed")
        return letter

    def _put_rows(self, rows: Ints, changes: _Changes) -> None:
        groups, table = self._groups[rows], self._table
        due = table.numbers[:, Column.EXPIRE_AT_MS]
        for group in np.unique(groups).tolist():
            chosen = rows[groups == group]
            heads = due[chosen].astype(">i8").tobytes()
            keys = [table.keys[row] for row in chosen.tolist()]
            values = [
                heads[at : at + 8] + _NEVER + body
                for at, body in zip(range(0, len(heads), 8), table.serialise(chosen), strict=True)
            ]
            self._stores.put_many(group, keys, values)
            changes.of(group).extend(keys, values)

    def _expire(self, changes: _Changes) -> None:
        """Forgets closed orders whose time has come: the row, what lies beside it, and their places in the table."""
        for group in self._stores.open_groups:
            until_ms = self._stores.stream_time_ms(group)
            due = [key for _, key in self._stores.due(group, until_ms, EXPIRE_LIMIT)]
            if not due:
                continue
            gone: list[bytes] = []
            for key, value in self._stores.get_many(group, due).items():
                # Later events may have put it off since the index was written.
                if int.from_bytes(value[:8], "big") <= until_ms:
                    gone.append(key)
                    gone += [key + _BESIDE + name for name in names_beside(chunk_count(value[HEADER_BYTES:]))]
            self._table.drop([self._table.index[key] for key in gone if key in self._table.index])
            self._stores.put_many(group, gone, [None] * len(gone))
            changes.of(group).extend(gone, [None] * len(gone))

    def _evict(self) -> None:
        """Lets the rows longest unused leave the table when it is over its bound; the stores have them."""
        over = len(self._table) - self._cache_rows
        if over <= 0:
            return
        used = np.fromiter(self._table.index.values(), np.int64, len(self._table))
        count = min(len(used), over + self._cache_rows // EVICT_SHARE)
        oldest = used[np.argpartition(self._table.last_used[used], count - 1)[:count]]
        self._table.drop(oldest[self._table.last_used[oldest] < self._calls].tolist())


class _Pending:
    """New values of one key group."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.values: list[bytes | None] = []

    def append(self, key: bytes, value: bytes | None) -> None:
        self.keys.append(key)
        self.values.append(value)

    def extend(self, keys: Iterable[bytes], values: Iterable[bytes | None]) -> None:
        self.keys += keys
        self.values += values


class _Changes:
    """What a call changed, by key group, on its way to the changelog."""

    def __init__(self, stores: GroupStores) -> None:
        self._changelog = stores.changelog
        self._pending: dict[int, _Pending] = {}

    def of(self, group: int) -> _Pending:
        return self._pending.setdefault(group, _Pending())

    def take(self) -> list[Changes]:
        return [Changes(self._changelog, group, p.keys, p.values) for group, p in self._pending.items() if p.keys]


# In the order of the turns' roles.
_FOLDS: Final[tuple[tuple[str, Fold], ...]] = (("status", fold_statuses), ("executions", fold_executions))


def _build(given: Build) -> JoinKernel:
    options: JoinOptions = given.options
    context = Context(fees=fee_schedule(options.fees), retention_ms=given.retain_ms or 7 * _DAY_MS)
    return JoinKernel(
        given.step_id,
        given.stores,
        context,
        stop_on_error=given.stop_on_error,
        cache_rows=given.cache_rows,
        clock_ahead_max_ms=given.clock_ahead_max_ms,
    )


OPERATOR: Final = Operator(
    OperatorSpec(
        name="join_status_executions",
        keys=frozenset({RECORD_KEY}),
        inputs={"status": "OrderStatusChanged", "executions": "ExecutionReport"},
        outputs={
            "consolidated": "OrderStatusChanged",
            "enriched": "OrderEnriched",
            "anomalies": "OrderAnomaly",
            "family": FamilyChange.__name__,
        },
        options=JoinOptions,
        option_problems=fee_schedule_problems,
    ),
    _build,
    flush_each_epoch=False,
    internal={FamilyChange.__name__: FamilyChange},
)
