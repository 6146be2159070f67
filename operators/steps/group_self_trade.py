"""The operator `prevent_self_trades`: holds an STP group's requests against each other before they are decided."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.risk.group_book import GroupBook, GroupState
from operators.model.risk.group_self_trade import on_release, on_request, on_status
from operators.model.risk.limits import Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.shared import GroupStatus, SelfTradeRelease, SharedRequest
from operators.registry import Operator, scalar
from operators.steps.shared_streams import with_shared_streams
from operators.stream.step import Context, Output, Result


class PreventSelfTrades:
    """One STP group in one symbol. Requests go on to where they are counted, or to their account."""

    state_type = GroupState

    def __init__(self) -> None:
        self._limits = LimitsInForce()

    def on_record(
        self, state: GroupState | None, key: str, role: str, record: Any, context: Context
    ) -> Result[GroupState]:
        book = GroupBook(state, context.part)
        if isinstance(record, SharedRequest):
            tables = Tables(context.broadcast["controls"], {}, context.broadcast["accounts"])
            at = context.event_time_ms * 1_000
            found = on_request(book, record, tables, limits=self._limits, at=at)
            stream = "counted" if record.counted else "checked"
            return Result(book.state, [Output(stream, found)], parts=book.changes())
        if isinstance(record, SelfTradeRelease):
            on_release(book, record)
            return Result(book.state, parts=book.changes())
        assert isinstance(record, GroupStatus)
        anomalies = on_status(book, record)
        return Result(book.state, parts=book.changes(), anomalies=anomalies)

    def on_due(self, state: GroupState, key: str, context: Context) -> Result[GroupState]:
        raise AssertionError("self-trade prevention asks for no timer")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


OPERATOR: Final[Operator] = with_shared_streams(
    scalar(
        OperatorSpec(
            name="prevent_self_trades",
            keys=frozenset({"stp_group_symbol"}),
            inputs={
                "requests": SharedRequest.__name__,
                "statuses": GroupStatus.__name__,
                "releases": SelfTradeRelease.__name__,
            },
            outputs={"checked": SharedRequest.__name__, "counted": SharedRequest.__name__},
            needs_broadcast=frozenset({"controls", "accounts"}),
        ),
        lambda _: PreventSelfTrades(),
    ),
    "checked",
    "counted",
)
