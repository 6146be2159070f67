"""The operator `join_status_executions`: engine statuses and venue executions of an order, joined and enriched.

A columnar kernel: the orders at hand are rows of a table in memory, a bounded cache over the key groups' stores; a
batch is folded into it whole. What it comes to is made ready before any of it is kept, so that an event of which
something does not fit, a row, an output or a sum, is refused alone and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from config.errors import BrokenWorldError, ProcessingError
from config.topology import OperatorSpec
from operators.model.arrays import places
from operators.model.events import OrderAnomaly
from operators.model.orders.fold import fold_executions, fold_statuses
from operators.model.orders.folded import Folded
from operators.model.orders.parents import FamilyChange
from operators.model.orders.schemas import ANOMALY
from operators.model.orders.state import Context
from operators.registry import Build, Operator
from operators.state.groups import GroupStores
from operators.steps.cached_orders import CachedOrders, Values
from operators.steps.fee_schedules import fee_schedule, fee_schedule_problems
from operators.steps.folding import Fold, Made, Part, halves
from operators.steps.turns import EXECUTION, STATUS, turns
from operators.stream.event_time import EventTime
from operators.stream.kernel import StepOutcome, StreamBatch
from operators.stream.keys import RECORD_KEY
from operators.stream.records import Changes, Columns, DeadLetter, Ints
from operators.stream.streams import StreamSpec, put_together

_DAY_MS: Final = 86_400_000


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
        streams: Mapping[str, StreamSpec],
        stop_on_error: bool,
        cache_rows: int,
        clock_ahead_max_ms: int,
        record_bytes_max: int,
    ) -> None:
        self._step_id, self._stores, self._context = step_id, stores, context
        self._streams, self._stop_on_error = streams, stop_on_error
        self._event_time = EventTime(stores, clock_ahead_max_ms)
        self._orders = CachedOrders(step_id, stores, rows_max=cache_rows, record_bytes_max=record_bytes_max)

    def open(self, groups: Sequence[int]) -> None:
        self._stores.ensure(groups)

    def epoch_began(self) -> None:
        self._stores.epoch_began()

    def close(self, *, committed: bool) -> None:
        self._stores.close(committed=committed)

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        outcome = StepOutcome()
        self._orders.call_began()
        parts = list(self._in_turns(inputs, now_ms, outcome))
        if parts:
            self._fold(parts, outcome)
        for forgotten in self._orders.expire():
            outcome.changes.append(self._changes(forgotten))
        for group in self._event_time.take_advanced():
            outcome.changes.append(self._changes(_one(group, *self._stores.stream_time_change(group))))
        if not parts and (proof := self._stores.proof()) is not None:
            outcome.changes.append(self._changes(_one(*proof)))
        self._orders.evict()
        return outcome

    def _fold(self, parts: Sequence[Part], outcome: StepOutcome) -> None:
        """Folds a batch. If something of it does not fit, its halves: one event is refused, and not the batch.

        Halving is in the order of processing, and what a half comes to is kept before the next one begins.
        """
        waiting = [parts]
        while waiting:
            parts = waiting.pop()
            try:
                made = self._make(parts)
            except BrokenWorldError:
                raise
            except Exception as error:  # the one boundary where a fault of one event becomes its dead letter
                self._orders.take_back(np.unique(np.concatenate([part.rows for part in parts])))
                if sum(map(len, parts)) > 1:
                    first, second = halves(parts)
                    waiting += [second, first]
                    continue
                made = Made(dead_letters=[self._dead_letter(parts[0].columns, 0, error)])
            self._keep(made, outcome)

    def _in_turns(self, inputs: Mapping[str, Columns], now_ms: int, outcome: StepOutcome) -> Iterator[Part]:
        """What is to be folded, one after the other: see `turns`. An order's events of one role may come in parts."""
        given: list[Part] = []
        for role, fold in _FOLDS:
            columns = inputs.get(role)
            if columns is not None and len(columns):
                self._event_time.advance(columns.groups, columns.times_ms, now_ms, outcome.anomalies)
                given.append(Part(fold, columns, self._orders.rows(columns)))
                outcome.records_in += len(columns)
        if len(given) < len(_FOLDS):
            yield from given
            return
        rows_and_times = [(part.rows, part.columns.batch.column("occurredAt").to_numpy()) for part in given]
        of_roles = turns(*rows_and_times[STATUS], *rows_and_times[EXECUTION])
        for turn in range(int(max(of_role.max() for of_role in of_roles)) + 1):
            part = given[turn % len(_FOLDS)]
            chosen = places(of_roles[turn % len(_FOLDS)] == turn)
            if len(chosen) == len(part):
                yield part
            elif len(chosen):
                yield Part(part.fold, part.columns.take(chosen), part.rows[chosen])

    def _make(self, parts: Sequence[Part]) -> Made:
        """Folds the parts. Raises whatever says that something of it does not fit its row, its schema or the log."""
        made, rows = Made(), list[Ints]()
        for part in parts:
            folded = part.fold(self._orders.table, part.columns.batch, part.rows, self._context)
            self._tell(made, folded, part.columns)
            made.new += self._orders.beside(folded.beside)
            rows.append(folded.rows)
        for stream, spec in self._streams.items():
            if (told := made.streams.get(stream)) is not None:
                made.streams[stream] = [spec.encoded(batch) for batch in put_together(told)]
        made.new += self._orders.changed(np.unique(np.concatenate(rows)))
        return made

    def _tell(self, made: Made, folded: Folded, columns: Columns) -> None:
        streams = [
            ("consolidated", folded.consolidated, folded.consolidated_from),
            ("enriched", folded.enriched, folded.enriched_from),
            ("family", folded.family, folded.family_from),
        ]
        if folded.anomalies:
            streams.append(("anomalies", *_batch_of(folded.anomalies)))
        for stream, batch, positions in streams:
            if batch.num_rows:
                told = StreamBatch(batch, batch.column("key").view(pa.binary()), columns.origin, positions)
                made.streams.setdefault(stream, []).append(told)
        for _, anomaly in folded.anomalies:
            made.anomalies[anomaly.kind] = made.anomalies.get(anomaly.kind, 0) + 1
        for position, error in folded.rejected:
            made.dead_letters.append(self._dead_letter(columns, position, error))

    def _keep(self, made: Made, outcome: StepOutcome) -> None:
        """Puts what was made to the stores and on its way to the log."""
        self._orders.put(made.new)
        outcome.changes += map(self._changes, made.new)
        for stream, batches in made.streams.items():
            outcome.streams.setdefault(stream, []).extend(batches)
        for kind, count in made.anomalies.items():
            outcome.anomalies[kind] = outcome.anomalies.get(kind, 0) + count
        outcome.dead_letters += made.dead_letters

    def _changes(self, new: Values) -> Changes:
        return Changes(self._stores.changelog, new.group, new.keys, new.values)

    def _dead_letter(self, columns: Columns, position: int, error: Exception) -> DeadLetter:
        letter = columns.dead_letter(position, step=self._step_id, error=error)
        if self._stop_on_error:
            place = f"{letter.topic}-{letter.partition}@{letter.offset}"
            raise ProcessingError(
                f"step {self._step_id}: {letter.error}: {error} on {place}; nothing of its epoch was committed"
            ) from error
        return letter


def _one(group: int, key: bytes, value: bytes) -> Values:
    return Values(group, [key], [value])


def _batch_of(told: Sequence[tuple[int, OrderAnomaly]]) -> tuple[pa.RecordBatch, Ints]:
    """Anomalies with the positions of the events behind them, as columns."""
    records = [msgspec.to_builtins(anomaly) for _, anomaly in told]
    positions = np.array([position for position, _ in told], np.int64)
    return pa.RecordBatch.from_pylist(records, schema=ANOMALY), positions


# In the order of the turns' roles.
_FOLDS: Final[tuple[tuple[str, Fold], ...]] = (("status", fold_statuses), ("executions", fold_executions))


def _build(given: Build) -> JoinKernel:
    options: JoinOptions = given.options
    context = Context(fees=fee_schedule(options.fees), retention_ms=given.retain_ms or 7 * _DAY_MS)
    return JoinKernel(
        given.step_id,
        given.stores,
        context,
        streams=given.streams,
        stop_on_error=given.stop_on_error,
        cache_rows=given.cache_rows,
        clock_ahead_max_ms=given.clock_ahead_max_ms,
        record_bytes_max=given.record_bytes_max,
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
