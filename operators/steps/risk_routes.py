"""The operator `route_requests`: sends the requests that concern more than one account past the steps that see others.

Columnar and without state: all other requests go through as they are, whole batches of them untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from config.topology import OperatorSpec
from operators.model.risk.shared import GroupStatus, SharedRequest, SharedScopes
from operators.registry import Build, Operator
from operators.stream.broadcast import Table
from operators.stream.kernel import StepOutcome, StreamBatch
from operators.stream.records import Columns, Flags


class RouteKernel:
    """The step of one process.

    What goes which way is settled for an epoch: a change of the tables must not let a later message of an order take a
    shorter way than an earlier one that is still on its own.
    """

    def __init__(self, controls: Table, accounts: Table) -> None:
        self._controls, self._accounts = controls, accounts
        self._changes = (-1, -1)
        self._scopes = SharedScopes({})

    def open(self, groups: Sequence[int]) -> None:
        """Keeps no state, so there is none to take over."""

    def epoch_began(self) -> None:
        changes = self._controls.changes, self._accounts.changes
        if changes != self._changes:
            self._changes = changes
            self._scopes = SharedScopes.of(self._controls, self._accounts)

    def close(self, *, committed: bool) -> None:
        """Keeps no state, so there is none to let go of."""

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        outcome = StepOutcome(records_in=sum(map(len, inputs.values())))
        intents, statuses = inputs.get("intents"), inputs.get("statuses")
        if intents is not None:
            for stream, batch in self._routed(intents):
                outcome.streams[stream] = [batch]
        if statuses is not None and self._scopes.groups:
            groups = self._groups(statuses)
            grouped = np.array([group is not None for group in groups])
            if grouped.any():
                told, names = statuses.take(np.flatnonzero(grouped)), [group for group in groups if group is not None]
                batch = told.batch.append_column("stpGroup", pa.array(names, pa.string()))
                outcome.streams["statuses"] = [StreamBatch(batch, told.record_keys, told.origin)]
        return outcome

    def _routed(self, intents: Columns) -> list[tuple[str, StreamBatch]]:
        if self._scopes.empty:
            return [("plain", _whole(intents))]
        groups = self._groups(intents)
        grouped, counted = np.array([group is not None for group in groups]), self._counted(intents)
        routed = []
        plain = ~grouped & ~counted
        if plain.any():
            routed.append(("plain", _whole(intents if plain.all() else intents.take(np.flatnonzero(plain)))))
        for stream, chosen in (("grouped", grouped), ("counted", counted & ~grouped)):
            if chosen.any():
                rows = np.flatnonzero(chosen)
                names = [groups[row] for row in rows.tolist()]
                routed.append((stream, _shared(intents.take(rows), names, counted[rows])))
        return routed

    def _groups(self, columns: Columns) -> list[str | None]:
        """The STP group of each row's account."""
        of = self._scopes.groups.get
        return [of(key.partition(b"|")[0]) for key in columns.record_keys]

    def _counted(self, intents: Columns) -> Flags:
        """Whether each row counts against a total over accounts, or may, and so goes past those that do."""
        if self._scopes.counts_all or not self._scopes.symbols:
            return np.full(len(intents), self._scopes.counts_all)
        symbols = intents.batch.column("symbol").to_pylist()
        return np.array([symbol in self._scopes.symbols for symbol in symbols])


def _whole(intents: Columns) -> StreamBatch:
    return StreamBatch(intents.batch, intents.record_keys, intents.origin)


def _shared(intents: Columns, groups: Sequence[str | None], counted: Flags) -> StreamBatch:
    """The rows as columns of `SharedRequest`, of which nothing was found yet."""
    batch = intents.batch
    columns: dict[str, Any] = {
        "occurredAt": batch.column("occurredAt"),
        "key": batch.column("key"),
        "symbol": batch.column("symbol"),
        "intent": pa.StructArray.from_arrays(batch.columns, names=batch.schema.names),
        "stpGroup": pa.array(groups, pa.string()),
        "counted": pa.array(counted),
    }
    return StreamBatch(pa.RecordBatch.from_pydict(columns), intents.record_keys, intents.origin)


def _build(given: Build) -> RouteKernel:
    controls, accounts = given.broadcast["controls"], given.broadcast["accounts"]
    assert isinstance(controls, Table)
    assert isinstance(accounts, Table)
    return RouteKernel(controls, accounts)


OPERATOR: Final[Operator] = Operator(
    OperatorSpec(
        name="route_requests",
        keys=frozenset({"order"}),
        inputs={"intents": "OrderIntent", "statuses": "OrderStatusChanged"},
        outputs={
            "plain": "OrderIntent",
            "grouped": SharedRequest.__name__,
            "counted": SharedRequest.__name__,
            "statuses": GroupStatus.__name__,
        },
        needs_broadcast=frozenset({"controls", "accounts"}),
    ),
    _build,
    internal={SharedRequest.__name__: SharedRequest, GroupStatus.__name__: GroupStatus},
)
