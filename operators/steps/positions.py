"""The operator `positions`: the position of each account in each symbol, as a view."""

from __future__ import annotations

from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.events import OrderEnriched
from operators.model.positions import Position, on_enriched
from operators.registry import Operator, scalar
from operators.stream.step import Context, Result


class Positions:
    """Adds up the fills of an account in a symbol. Positions are kept for good: a flat one still has its result."""

    state_type = Position

    def on_record(
        self, state: Position | None, key: str, role: str, record: OrderEnriched, context: Context
    ) -> Result[Position]:
        return Result(on_enriched(state, record))

    def on_due(self, state: Position, key: str, context: Context) -> Result[Position]:
        raise AssertionError("positions ask for no timer")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="positions",
        keys=frozenset({"account_symbol"}),
        inputs={"enrichment": "OrderEnriched"},
        outputs={},
    ),
    lambda _: Positions(),
)
