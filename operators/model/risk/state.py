"""What risk keeps of an account, in parts, so that an event rewrites what it changes and not the whole account.

| part | under | holds | written by |
|---|---|---|---|
| account | the account id | totals over all orders and positions | nearly every event |
| order | `|order|<order id>` | one order and what it reserves | events of the order |
| symbol | `|symbol|<symbol>` | position, open quantities, resting orders in one symbol | events in the symbol |
| ClOrdIDs | `|ids|<00..3f>` | digests of the ClOrdIDs used, by a part of the digest | requests |
| times | `|times|<of what>` | of recent messages or executions, as far as limits ask for them | requests, executions |
| locate | `|locate|<locate id>` | how much of a locate is used up | events of its orders |
| resting | `|resting|<symbol>|<00..3f>` | resting orders that found no room in the symbol's part | their events |
| closed | `|closed|<slot>` | which order closed when, so that the oldest can be forgotten | closing orders |

What an event reads and writes of them goes through a `book.Book`, which gives its event copies of account, orders and
symbols: the event changes these in place, and nobody else has them. What is inside of them is never changed in place.

The sizes are bounded: `CLOSED_KEPT` closed orders, 64 × `IDS_PER_BUCKET` ClOrdIDs, at most as many times as the limits
count. What grows is one part per open order, and a line per resting order: up to `RESTING_TOGETHER` of them in the
symbol's part, the others spread over 64 parts.
"""

from __future__ import annotations

from typing import Final

import msgspec

NEVER: Final = -(2**63)
"""A time before any other."""

CLOSED_KEPT: Final = 1_024
"""So many closed orders of an account stay known, for the numbering of outcomes, late fills, busts and corrections."""
IDS_PER_BUCKET: Final = 64
"""The account's last so many ClOrdIDs of each of 64 buckets stay known: some 4,000 in all."""
RESTING_TOGETHER: Final = 16
"""So many resting orders of an account in a symbol are kept in the symbol's part."""


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """Quantity in total and reserve price of one version of an order; whether the price is its limit price."""

    quantity: int
    price: int
    limited: bool = True


class OrderRisk(msgspec.Struct, array_like=True, kw_only=True):
    """What risk knows of one order.

    `outcomes` counts decisions, `sequences` has the last consolidated status by source. `pending` are approved replaces
    without an answer, oldest first; `replacing` that PENDING_REPLACE was seen since. `parent` is the order that holds
    the reservation for this one; `children` what orders of which this one is the parent may still execute.
    """

    symbol: str
    side: str
    terms: Terms
    leaves: int = 0
    filled: int = 0
    filled_notional: int = 0
    outcomes: int = 0
    sequences: dict[str, int] = {}
    closed: bool = False
    closed_number: int = -1
    pending: tuple[Terms, ...] = ()
    replacing: bool = False
    rests: bool = False
    """Whether it stands in a book at its price once accepted: a LIMIT order."""
    parent: str | None = None
    is_parent: bool = False
    children: int = 0
    locate: str | None = None

    @property
    def open_quantity(self) -> int:
        """The most that may still be executed."""
        if self.closed:
            return 0
        if not self.pending:
            return self.leaves
        return max(self.leaves, *[terms.quantity - self.filled for terms in self.pending])

    @property
    def reserved(self) -> int:
        """Millionths held for it."""
        if self.closed or self.parent is not None:
            return 0
        in_force = self.leaves * self.terms.price
        if not self.pending:
            return in_force
        return max(in_force, *[(terms.quantity - self.filled) * terms.price for terms in self.pending])

    @property
    def approved(self) -> bool:
        """Whether risk ever let it pass: approved terms have a price above zero."""
        return self.terms.price > 0


class Resting(msgspec.Struct, frozen=True, array_like=True):
    """An open limit order as others of the account may meet it: +1 for a buy, -1 for a sale; price; open quantity."""

    sign: int
    price: int
    quantity: int


class Recent(msgspec.Struct, frozen=True, array_like=True):
    """An approved new order as look-alikes are told by: when, and its terms."""

    at: int
    side: str
    quantity: int
    price: int | None


class SymbolRisk(msgspec.Struct, array_like=True, kw_only=True):
    """An account in one symbol. Signed position and its cost in millionths, with the same sign; `mark` values a unit.

    `buying` and `selling` are what open orders may still execute, `elsewhere` counts resting orders in other parts.
    `latched_at` is when the execution throttle of the symbol closed, in microseconds. `split_day` is the latest UTC day
    of a split that the position went through; -1 is none.
    """

    quantity: int = 0
    cost_basis: int = 0
    mark: int = 0
    buying: int = 0
    selling: int = 0
    working: int = 0
    resting: dict[str, Resting] = {}
    elsewhere: int = 0
    recent: tuple[Recent, ...] = ()
    latched_at: int = NEVER
    split_day: int = -1

    @property
    def unrealised(self) -> int:
        """What closing at the mark would realise."""
        return self.quantity * self.mark - self.cost_basis if self.mark else 0


class AccountRisk(msgspec.Struct, array_like=True, kw_only=True):
    """Totals of one account, in millionths where they are money.

    `reserved_buys` and `reserved_sells` are sums over orders, `open_notional` that of |cost| over positions,
    `net_notional` that of signed cost, `cash` what was received minus what was paid. `day` is a UTC day since 1970;
    `traded`, `requests` and `executions` count on it, and `result_before` is the result as the day began.
    """

    reserved_buys: int = 0
    reserved_sells: int = 0
    open_notional: int = 0
    net_notional: int = 0
    cash: int = 0
    realised: int = 0
    unrealised: int = 0
    working: int = 0
    closed_count: int = 0
    latched_at: int = NEVER
    day: int = 0
    traded: int = 0
    requests: int = 0
    executions: int = 0
    result_before: int = 0

    @property
    def reserved(self) -> int:
        """Millionths held for all open orders."""
        return self.reserved_buys + self.reserved_sells

    @property
    def day_result(self) -> int:
        """Won (lost, where negative) since the day began, realised and unrealised."""
        return self.realised + self.unrealised - self.result_before

    def begin_day(self, day: int) -> None:
        """Counts on this day from now on: a later one begins with nothing traded, an earlier one changes nothing."""
        if day > self.day:
            self.day, self.traded, self.requests, self.executions = day, 0, 0, 0
            self.result_before = self.realised + self.unrealised


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """An order that closed, as the so many-th of its account."""

    order_id: str
    number: int
