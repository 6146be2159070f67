"""The operator `timeline`: everything that was said about an order, as a view, and its milestones, as a stream."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.views.timeline import Timeline, append, forget
from operators.registry import Build, Operator, scalar
from operators.stream.keys import RECORD_KEY
from operators.stream.step import FOREVER, Context, Output, Result


class TimelineLogic:
    """Appends every event of an order; forgets the order `retain_ms` after the last event of a closed one."""

    state_type = Timeline

    def __init__(self, retain_ms: int | None) -> None:
        self._retain_ms = retain_ms

    def on_record(self, state: Timeline | None, key: str, role: str, record: Any, context: Context) -> Result[Timeline]:
        appended = append(state, record)
        outputs = [Output("milestones", milestone) for milestone in appended.milestones]
        if appended.child is not None:
            outputs.append(Output("children", appended.child))
        return Result(appended.state, outputs, due_ms=self._due_ms(appended.state), entries=appended.writes)

    def on_due(self, state: Timeline, key: str, context: Context) -> Result[Timeline]:
        return Result(None, entries=forget(state))

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None

    def _due_ms(self, state: Timeline) -> int:
        if self._retain_ms is None or state.closed_at is None:
            return FOREVER
        return state.closed_at // 1_000 + self._retain_ms


def _logic(given: Build) -> TimelineLogic:
    return TimelineLogic(given.retain_ms)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="timeline",
        keys=frozenset({RECORD_KEY}),
        inputs={
            "decisions": "RiskOutcome",
            "status": "OrderStatusChanged",
            "executions": "ExecutionReport",
            "anomalies": "OrderAnomaly",
            "enrichment": "OrderEnriched",
            "alerts": "OrderAlert",
        },
        outputs={"milestones": "Milestone", "children": "Milestone"},
    ),
    _logic,
)
