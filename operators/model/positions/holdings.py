"""What a position is made of: its holding at average cost, and the running sums under average cost and FIFO.

| a trade | quantity | cost basis | realised |
|---|---|---|---|
| opens or adds | grows by it | grows by quantity × price | unchanged |
| reduces | shrinks by it | gives up what the closed part cost | proceeds minus what is given up |
| flips through zero | the remainder, other sign | remainder × price | as if it had been closed |
| splits the holding | is scaled | unchanged | unchanged |

Average cost gives up the closed part's share of the whole basis, FIFO the basis of the oldest lots. A long position has
a positive quantity and cost basis, a short one negative. The basis is kept as a total, never per share: only the share
of it that a reduction gives up is rounded (towards zero, to a millionth), and what is not given up stays in the basis.
So, to the last millionth, under either method and whatever the trades were, `realised + quantity × mark − cost basis =
cash + quantity × mark`, where cash is what was received minus what was paid; and both realise the same once flat.
"""

from __future__ import annotations

from typing import NamedTuple


class Holding(NamedTuple):
    """A signed quantity and what it cost in millionths, with the same sign."""

    quantity: int = 0
    cost_basis: int = 0


class Sums(NamedTuple):
    """A position after some of its fills.

    `head` is the number of the fill that is the oldest open lot under FIFO, `head_quantity` and `head_basis` what is
    left of it, never negative; of a flat position they mean nothing. `last_price` is the last fill's, split included.
    """

    quantity: int = 0
    cost_basis: int = 0
    realised: int = 0
    fifo_cost_basis: int = 0
    fifo_realised: int = 0
    head: int = 0
    head_quantity: int = 0
    head_basis: int = 0
    last_price: int = 0

    @property
    def direction(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.quantity > 0) - (self.quantity < 0)


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
