"""What trading an order cost against the market: slippage, interval VWAP and implementation shortfall.

`side` is +1 for a buy and -1 for any kind of sell, so that every figure is positive where the result is worse for the
client, and negative where it is better.

| figure | formula | benchmark |
|---|---|---|
| slippage, bps | side × (AvgPx − benchmark) / benchmark × 10,000 | arrival price, or interval VWAP |
| interval VWAP | (turnover now − then) / (volume now − then) | then: first acceptance |
| delay | side × filled × (arrival − decision) | decision price |
| execution | side × (notional − filled × arrival) | arrival price |
| opportunity | side × unfilled × (price at the end − decision) | decision price; once the order has ended |
| fees | explicit fees of the order | |
| shortfall | delay + execution + opportunity + fees | paper minus actual result (Perold 1988) |

Delay and execution add up to side × (notional − filled × decision): what the fills cost beyond the decision price.
Arrival price, decision price, and the market's volume and turnover then are those of the first acceptance, whatever a
later replace says. A price that is not positive is no benchmark. Market volume and turnover count from the market's
open: across a change of day there is no interval, and the caller must give none.

Every function has a columnar twin over arrays, equal to the last bit, with `NONE` for what is missing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.errors import InvalidRecordError
from operators.model.arrays import Array, Flags, Ints
from operators.model.events import ImplementationShortfall, Side
from operators.model.money import INT64_MAX, INT64_MIN

NONE: Final = INT64_MIN
"""Stands for a missing value in an array."""

_SELLS: Final = frozenset(side.value for side in Side) - {Side.BUY}
_BUY: Final = list(Side).index(Side.BUY)
_EXACT: Final = 2.0**60
"""Below this estimate no sum of a few products leaves 64 bits."""


def side_sign(side: str) -> int:
    """+1 for a buy, -1 for any kind of sell; `InvalidRecordError` for a word that is no side."""
    if side == Side.BUY:
        return 1
    if side in _SELLS:
        return -1
    raise InvalidRecordError(f"side {side}")


def side_signs(sides: Ints) -> Ints:
    """The same for sides by their number among the members of `Side`, all of them valid."""
    return np.where(sides == _BUY, 1, -1)


def slippage_bps(sign: int, average_price: int | None, benchmark: int | None) -> float | None:
    """What the average price is worse than a benchmark, in basis points; None where either is missing."""
    if average_price is None or benchmark is None or benchmark <= 0:
        return None
    return sign * (float(average_price - benchmark) / float(benchmark) * 1e4) + 0.0  # no negative zero


def slippages_bps(signs: Ints, average_prices: Ints, benchmarks: Ints) -> tuple[NDArray[np.float64], Flags]:
    """Slippage per order, and where it is known. Average prices that are not missing must not be negative."""
    known = (benchmarks > 0) & (average_prices != NONE)
    benchmark = np.where(known, benchmarks, 1)
    cost = (np.where(known, average_prices, 1) - benchmark).astype(np.float64) / benchmark.astype(np.float64) * 1e4
    return signs * cost + 0.0, known


class Market(NamedTuple):
    """What the market traded since it opened: quantity, and its value in millionths."""

    volume: int
    turnover: int


def interval_vwap(then: Market | None, now: Market | None) -> int | None:
    """The market's average price in millionths between two moments of a day, rounded down.

    None where one of them is not known or nothing was traded between.
    """
    if then is None or now is None or min(*then, *now) < 0:
        return None
    volume, turnover = now.volume - then.volume, now.turnover - then.turnover
    return turnover // volume if volume > 0 and turnover >= volume else None


def interval_vwaps(then_volume: Ints, then_turnover: Ints, volume: Ints, turnover: Ints) -> Ints:
    """The interval VWAP per order, `NONE` where there is none."""
    known = (np.minimum(then_volume, then_turnover) >= 0) & (np.minimum(volume, turnover) >= 0)
    quantity = np.where(known, volume, 0) - np.where(known, then_volume, 0)
    value = np.where(known, turnover, 0) - np.where(known, then_turnover, 0)
    known = (quantity > 0) & (value >= quantity)
    return np.where(known, value // np.where(known, quantity, 1), NONE)


def implementation_shortfall(
    sign: int,
    *,
    quantity: int,
    filled: int,
    notional: int,
    decision_price: int | None,
    arrival_price: int | None,
    fees: int,
    ended: bool,
    end_price: int | None = None,
) -> ImplementationShortfall | None:
    """The shortfall so far, in millionths; with its opportunity part once the order has `ended`.

    None without decision and arrival price, or if a part does not fit 64 bits: then one of the prices is absurd, and a
    wrong benchmark is no reason to lose a fill. The opportunity is None while it is not known, and 0 when everything
    was filled; `total` is the sum of what is known.
    """
    if decision_price is None or arrival_price is None or decision_price <= 0 or arrival_price <= 0:
        return None
    delay = sign * filled * (arrival_price - decision_price)
    execution = sign * (notional - filled * arrival_price)
    opportunity, unfilled = None, max(0, quantity - filled)
    if ended and unfilled == 0:
        opportunity = 0
    elif ended and end_price is not None and end_price > 0:
        opportunity = sign * unfilled * (end_price - decision_price)
    total = delay + execution + (opportunity or 0) + fees
    if any(not INT64_MIN < part <= INT64_MAX for part in (delay, execution, opportunity or 0, total)):
        return None
    return ImplementationShortfall(
        decision_price=decision_price,
        delay=delay,
        execution=execution,
        opportunity=opportunity,
        fees=fees,
        total=total,
    )


class Shortfalls(NamedTuple):
    """The shortfall per order, and where it is known; what stands elsewhere means nothing."""

    known: Flags
    decision_price: Ints
    delay: Ints
    execution: Ints
    opportunity: Ints
    """`NONE` while it is not known."""
    fees: Ints
    total: Ints

    def column(self, fields: list[Any]) -> Array:
        """As the Arrow column of an enrichment, given the fields of its struct."""
        opportunity = pa.array(self.opportunity, mask=self.opportunity == NONE)
        amounts = (pa.array(self.decision_price), pa.array(self.delay), pa.array(self.execution), opportunity)
        arrays = [*amounts, pa.array(self.fees), pa.array(self.total)]
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=pa.array(~self.known))


def implementation_shortfalls(
    signs: Ints,
    *,
    quantity: Ints,
    filled: Ints,
    notional: Ints,
    decision_price: Ints,
    arrival_price: Ints,
    fees: Ints,
    ended: Flags,
    end_price: Ints,
) -> Shortfalls:
    """`implementation_shortfall` of many orders."""
    known = (decision_price > 0) & (arrival_price > 0)
    decision, arrival = np.where(known, decision_price, 0), np.where(known, arrival_price, 0)
    unfilled = np.maximum(0, quantity - filled)
    has_end = ended & (end_price > 0)
    end = np.where(has_end, end_price, decision)
    delay = signs * filled * (arrival - decision)
    execution = signs * (notional - filled * arrival)
    opportunity = signs * unfilled * (end - decision)
    total = delay + execution + opportunity + fees
    opportunity = np.where(ended & (has_end | (unfilled == 0)), opportunity, NONE)
    found = Shortfalls(known, decision, delay, execution, opportunity, fees, total)
    prices = np.maximum(np.maximum(arrival, decision), end).astype(np.float64)
    estimate = (np.abs(filled.astype(np.float64)) + unfilled) * prices + np.abs(notional.astype(np.float64))
    for i in np.flatnonzero(known & (estimate + np.abs(fees.astype(np.float64)) >= _EXACT)).tolist():
        one = implementation_shortfall(
            int(signs[i]),
            quantity=int(quantity[i]),
            filled=int(filled[i]),
            notional=int(notional[i]),
            decision_price=int(decision_price[i]),
            arrival_price=int(arrival_price[i]),
            fees=int(fees[i]),
            ended=bool(ended[i]),
            end_price=int(end_price[i]),
        )
        known[i] = one is not None
        if one is not None:
            delay[i], execution[i], total[i] = one.delay, one.execution, one.total
            opportunity[i] = NONE if one.opportunity is None else one.opportunity
    return found
