"""The operator `roll_up_parents`: the consolidated status of parent orders, from what their children tell."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.orders.parents import FamilyChange, Parent, on_change
from operators.registry import Operator, scalar
from operators.stream.step import FOREVER, Context, Output, Result


class ParentsLogic:
    """Adds up the changes of a family; forgets a parent `retain_ms` after the last one, once it is closed."""

    state_type = Parent

    def __init__(self, retain_ms: int | None) -> None:
        self._retain_ms = retain_ms

    def on_record(
        self, state: Parent | None, key: str, role: str, record: FamilyChange, context: Context
    ) -> Result[Parent]:
        parent, status = on_change(state, key, record)
        outputs = [] if status is None else [Output("consolidated", status, key=key)]
        return Result(parent, outputs, due_ms=self._due_ms(parent))

    def on_due(self, state: Parent, key: str, context: Context) -> Result[Parent]:
        return Result(None)

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None

    def _due_ms(self, parent: Parent) -> int:
        if self._retain_ms is None or not parent.closed:
            return FOREVER
        return parent.last_event_at // 1_000 + self._retain_ms


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="roll_up_parents",
        keys=frozenset({"parent"}),
        inputs={"family": FamilyChange.__name__},
        outputs={"consolidated": "OrderStatusChanged"},
    ),
    lambda given: ParentsLogic(given.retain_ms),
    dormant=True,  # many flows have no parents
    flush_each_epoch=False,
)
