"""The operator `risk_check`: every request of a client gets one decision, against the limits in force."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.events import OrderIntent
from operators.model.exposure import AccountRisk, on_status
from operators.model.risk import on_intent
from operators.registry import Operator, scalar
from operators.stream.step import Context, Output, Result


class RiskCheck:
    """Decides on intents; learns from consolidated statuses what of the reserved exposure was filled or released."""

    state_type = AccountRisk

    def on_record(
        self, state: AccountRisk | None, key: str, role: str, record: Any, context: Context
    ) -> Result[AccountRisk]:
        if isinstance(record, OrderIntent):
            decision = on_intent(
                state, record, controls=context.broadcast["controls"], symbols=context.broadcast["symbols"]
            )
            return Result(decision.state, [Output("decisions", decision.outcome)])
        applied = on_status(state, record)
        return Result(applied.state, anomalies=applied.anomalies)

    def on_due(self, state: AccountRisk, key: str, context: Context) -> Result[AccountRisk]:
        raise AssertionError("risk asks for no timer")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="risk_check",
        keys=frozenset({"account"}),
        inputs={"intents": "OrderIntent", "statuses": "OrderStatusChanged"},
        outputs={"decisions": "RiskOutcome"},
        needs_broadcast=frozenset({"controls", "symbols"}),
    ),
    lambda _: RiskCheck(),
)
