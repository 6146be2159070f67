"""The position of one account in one symbol at average cost, from the fills in the enrichment stream.

The key is `account|symbol`, so that an account with thousands of symbols is not rewritten with every fill; the
positions of an account are the keys that start with `account|`.

| a fill | quantity | cost basis | realised |
|---|---|---|---|
| opens or adds | grows by it | grows by quantity × price | unchanged |
| reduces | shrinks by it | gives up its share of the basis | proceeds minus the share given up |
| flips through zero | the remainder, other sign | remainder × price | as if it had been closed |

A long position has a positive quantity and cost basis, a short one negative. The cost basis is kept as a total, never
per share: only the share of it that a reduction gives up is rounded (towards zero, to a millionth), and what is
not given up stays in the basis. So, to the last millionth and whatever the fills were,
`realised + quantity × mark − cost basis = cash + quantity × mark`, where cash is what was received minus what was paid.
Fees are kept beside, not in, realised.

A negative `lastQuantity` (a bust) counts as the opposite fill at its price: cash and quantity are exact again, while
average-cost realised depends on the path. Deriving it anew needs the fills of the order, which the order's state has.

No sequence per order is kept to refuse repeated events: the engine delivers each exactly once, and such a memory would
grow with every order the account ever had.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.costs import side_sign as side_sign
from operators.model.events import OrderEnriched, account_of
from operators.model.money import fitting


class Holding(NamedTuple):
    """A signed quantity and what it cost in millionths, with the same sign."""

    quantity: int = 0
    cost_basis: int = 0


class Position(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One account's position in one symbol. Amounts in millionths; sums count from the first fill."""

    account_id: str
    symbol: str
    quantity: int = 0
    cost_basis: int = 0
    realised: int = 0
    fees: int = 0
    traded_quantity: int = 0
    traded_notional: int = 0
    last_price: int
    updated_at: int

    @property
    def average_cost(self) -> int | None:
        """Cost per unit, rounded towards zero, for people; None when flat."""
        return abs(self.cost_basis) // abs(self.quantity) if self.quantity else None

    def unrealised(self, mark: int) -> int:
        """What closing at `mark` (millionths) would realise, exactly."""
        return self.quantity * mark - self.cost_basis


def position_key(account_id: str, symbol: str) -> str:
    """The key of a position."""
    return f"{account_id}|{symbol}"


def on_enriched(position: Position | None, event: OrderEnriched) -> Position | None:
    """Takes in one change of an order's fills; an event without one changes nothing.

    `InvalidRecordError` for a fill without a positive price, an unknown side, or sums that do not fit 64 bits.
    """
    if event.last_quantity == 0:
        return position
    price = event.last_price
    if price is None or price <= 0:
        raise InvalidRecordError(f"fill of {event.last_quantity} at price {price}")
    signed = event.last_quantity * side_sign(event.side)
    before = position or Position(
        account_id=account_of(event.key), symbol=event.symbol, last_price=price, updated_at=event.occurred_at
    )
    holding = Holding(before.quantity, before.cost_basis)
    holding, realised = traded(holding, signed_quantity=signed, notional=abs(signed) * price)
    return msgspec.structs.replace(
        before,
        quantity=fitting(holding.quantity, "position"),
        cost_basis=fitting(holding.cost_basis, "cost basis"),
        realised=fitting(before.realised + realised, "realised profit"),
        fees=fitting(before.fees + sum(fee.amount for fee in event.fees), "fees"),
        traded_quantity=fitting(before.traded_quantity + event.last_quantity, "traded quantity"),
        traded_notional=fitting(before.traded_notional + event.last_quantity * price, "traded notional"),
        last_price=price,
        updated_at=max(before.updated_at, event.occurred_at),
    )


def traded(holding: Holding, *, signed_quantity: int, notional: int) -> tuple[Holding, int]:
    """The holding after a trade (buy positive) of so much notional (never negative), and what the trade realised."""
    direction = 1 if signed_quantity > 0 else -1
    if holding.quantity * direction >= 0:
        return Holding(holding.quantity + signed_quantity, holding.cost_basis + direction * notional), 0
    closed = min(abs(signed_quantity), abs(holding.quantity))
    closing_notional = notional * closed // abs(signed_quantity)
    given_up = abs(holding.cost_basis) * closed // abs(holding.quantity)
    realised = -direction * (closing_notional - given_up)
    remainder = abs(signed_quantity) - closed
    if remainder:
        return Holding(direction * remainder, direction * (notional - closing_notional)), realised
    return Holding(holding.quantity + signed_quantity, holding.cost_basis + direction * given_up), realised
