"""The operator `count_messages`: message rates over all accounts in a scope together."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.risk.book import Book
from operators.model.risk.limits import Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.shared import SharedRequest
from operators.model.risk.total_rates import Totals, on_request
from operators.registry import Operator, scalar
from operators.steps.shared_streams import with_shared_streams
from operators.stream.step import Context, Output, Result


class CountMessages:
    """All requests that count against a total over accounts, one after the other."""

    state_type = Totals

    def __init__(self) -> None:
        self._limits = LimitsInForce()

    def on_record(
        self, state: Totals | None, key: str, role: str, record: SharedRequest, context: Context
    ) -> Result[Totals]:
        book = Book(None, context.part)
        tables = Tables(context.broadcast["controls"], {}, context.broadcast["accounts"])
        totals, found = on_request(state or Totals(), book, record, tables, limits=self._limits)
        return Result(totals, [Output("checked", found)], parts=book.changes())

    def on_due(self, state: Totals, key: str, context: Context) -> Result[Totals]:
        raise AssertionError("counting asks for no timer")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


OPERATOR: Final[Operator] = with_shared_streams(
    scalar(
        OperatorSpec(
            name="count_messages",
            keys=frozenset({"firm"}),
            inputs={"grouped": SharedRequest.__name__, "others": SharedRequest.__name__},
            outputs={"checked": SharedRequest.__name__},
            needs_broadcast=frozenset({"controls", "accounts"}),
        ),
        lambda _: CountMessages(),
    ),
    "checked",
)
