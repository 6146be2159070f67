"""The operator `children`: the children of each parent order, as a view."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.views.children import Children, add_child, forget_children
from operators.model.views.milestones import Milestone
from operators.registry import Build, Operator, scalar
from operators.stream.step import FOREVER, Context, Result


class ChildrenLogic:
    """Writes down each child once; forgets a parent `retain_ms` after its last child became known."""

    state_type = Children

    def __init__(self, retain_ms: int | None) -> None:
        self._retain_ms = retain_ms

    def on_record(
        self, state: Children | None, key: str, role: str, record: Milestone, context: Context
    ) -> Result[Children]:
        added = add_child(state, record)
        due_ms = FOREVER if self._retain_ms is None else added.state.last_at // 1_000 + self._retain_ms
        return Result(added.state, due_ms=due_ms, entries={added.suffix: added.value})

    def on_due(self, state: Children, key: str, context: Context) -> Result[Children]:
        return Result(None, entries=forget_children(state))

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


def _logic(given: Build) -> ChildrenLogic:
    return ChildrenLogic(given.retain_ms)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(name="children", keys=frozenset({"parent"}), inputs={"children": "Milestone"}, outputs={}), _logic
)
