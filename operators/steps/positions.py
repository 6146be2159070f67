# ruff: noqa: RUF009  # `option` makes the dataclass field that holds the declaration; it is no shared default value
"""The operator `positions`: the position of each account in each symbol, as a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from config.options import Declaration, option
from config.topology import OperatorSpec
from config.units import DurationMs
from operators.model.events import OrderEnriched
from operators.model.positions.positions import BookingRules, Position, on_enriched
from operators.registry import Build, Operator, scalar
from operators.stream.step import Context, Result

_DAY_MS: Final = 86_400_000
_KEEP_FILLS: Final = DurationMs(90 * _DAY_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsOptions:
    """Options of positions."""

    fees: Literal["inside", "beside"] = option(
        "beside", Declaration("whether the realised result is shown net of fees, or with the fees beside it")
    )
    keep_fills_ms: DurationMs = option(
        _KEEP_FILLS,
        Declaration("how long a fill is kept to be busted or corrected as if it had never been", minimum=_DAY_MS),
    )


class Positions:
    """Adds up the fills of an account in a symbol. Positions are kept for good: a flat one still has its result."""

    state_type = Position

    def __init__(self, options: PositionsOptions) -> None:
        self._rules = BookingRules(
            fees_inside=options.fees == "inside", keep_days=max(1, options.keep_fills_ms // _DAY_MS)
        )

    def on_record(
        self, state: Position | None, key: str, role: str, record: OrderEnriched, context: Context
    ) -> Result[Position]:
        booked = on_enriched(state, record, context.entry, self._rules)
        return Result(booked.position, entries=booked.entries, anomalies=booked.anomalies)

    def on_due(self, state: Position, key: str, context: Context) -> Result[Position]:
        raise AssertionError("positions ask for no timer")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


def _logic(given: Build) -> Positions:
    return Positions(given.options)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="positions",
        keys=frozenset({"account_symbol"}),
        inputs={"enrichment": "OrderEnriched"},
        outputs={},
        options=PositionsOptions,
    ),
    _logic,
)
