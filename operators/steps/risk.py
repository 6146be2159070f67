"""The operator `risk_check`: every request of a client gets one decision, against the limits in force.

A request that concerns other accounts comes with what the steps before found among those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.events import EventType, OrderIntent
from operators.model.risk.book import Book
from operators.model.risk.decision import on_intent
from operators.model.risk.exposure import on_status
from operators.model.risk.limits import Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.position import DAY_MICROS
from operators.model.risk.shared import SelfTradeRelease, SharedRequest, release_of
from operators.model.risk.state import AccountRisk
from operators.registry import Operator, scalar
from operators.stream.step import Context, Output, Result


class RiskCheck:
    """Decides on intents; learns from consolidated statuses what of the reserved exposure was filled or released.

    The account's totals are the state; its orders, symbols and memories are parts beside it (`risk.state`), of which
    an event reads and writes those it is about. Days are counted by event time as far as the engine believes it.
    """

    state_type = AccountRisk

    def __init__(self) -> None:
        self._limits = LimitsInForce()
        self._broadcast: Mapping[str, Mapping[str, Any]] | None = None
        self._tables = Tables({}, {})

    def on_record(
        self, state: AccountRisk | None, key: str, role: str, record: Any, context: Context
    ) -> Result[AccountRisk]:
        if context.broadcast is not self._broadcast:  # one and the same while the process runs, changed in place
            self._broadcast, self._tables = context.broadcast, Tables.of(context.broadcast)
        book, tables = Book(state, context.part), self._tables
        day = min(record.occurred_at, context.event_time_ms * 1_000 + 999) // DAY_MICROS
        shared = record if isinstance(record, SharedRequest) else None
        intent = record if shared is None else shared.intent
        if isinstance(intent, OrderIntent):
            outcome = on_intent(book, intent, tables, limits=self._limits, day=day, shared=shared)
            outputs = [Output("decisions", outcome)]
            if shared is not None and shared.number and outcome.event_type == EventType.RISK_REJECTED:
                outputs.append(Output("releases", release_of(shared, source=outcome.source)))
            return Result(book.account, outputs, parts=book.changes())
        anomalies = on_status(book, record, tables, limits=self._limits, day=day)
        return Result(state if anomalies else book.account, parts=book.changes(), anomalies=anomalies)

    def on_due(self, state: AccountRisk, key: str, context: Context) -> Result[AccountRisk]:
        raise AssertionError("risk asks for no timer")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="risk_check",
        keys=frozenset({"account"}),
        inputs={
            "intents": "OrderIntent",
            "grouped": SharedRequest.__name__,
            "counted": SharedRequest.__name__,
            "statuses": "OrderStatusChanged",
        },
        outputs={"decisions": "RiskOutcome", "releases": SelfTradeRelease.__name__},
        needs_broadcast=frozenset({"controls", "symbols", "accounts", "locates"}),
    ),
    lambda _: RiskCheck(),
)
