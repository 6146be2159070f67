"""What an account has at risk: what its open orders reserve, and what its open positions cost.

| event | reserved for the order |
|---|---|
| order approved | quantity × reserve price |
| replace approved | the larger of the terms in force and every pending terms: an increase counts at request time |
| consolidated status | leaves × reserve price; pending terms that the status confirms come into force, down included |
| replace rejected, seen as a status that leaves PENDING_REPLACE with the old quantity | the pending terms are dropped |
| FILLED, CANCELED, EXPIRED, REJECTED | nothing |
| a bust that reopens | leaves × reserve price again, for leaves grew |

The reserve price is the limit price, else the stop price, else the reference price at approval. A status tells its
quantity but not its price, so where only the price was replaced the dearer of the two stays reserved.

Fills turn into a position by symbol at average cost (see `positions`), valued at filled quantity × AvgPx.
Statuses are absolute: each is used once, by its sequence, and leaves out nothing if one before it never came.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.events import OrderStatusChanged, OrdStatus, order_of
from operators.model.lifecycle import FINAL
from operators.model.money import fitting
from operators.model.positions import Holding, side_sign, traded

CLOSED_ORDERS_KEPT: Final = 64
"""So many closed orders of an account stay known, for the numbering of outcomes and for fills that come late."""

_CLOSING: Final = FINAL | {OrdStatus.FILLED}


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """Quantity in total and reserve price of one version of an order."""

    quantity: int
    price: int


class OrderRisk(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What risk knows of one order.

    `outcomes` counts decisions, `statuses` is the sequence of the last consolidated status. `pending` are approved
    replaces without an answer, oldest first; `replacing` that PENDING_REPLACE was seen since.
    """

    symbol: str
    side: str
    terms: Terms
    leaves: int = 0
    filled: int = 0
    filled_notional: int = 0
    outcomes: int = 0
    statuses: int = 0
    closed: bool = False
    pending: tuple[Terms, ...] = ()
    replacing: bool = False

    @property
    def reserved(self) -> int:
        """Millionths held for it."""
        wanted = [max(0, terms.quantity - self.filled) * terms.price for terms in self.pending]
        return max([self.leaves * self.terms.price, *wanted])

    @property
    def open_quantity(self) -> int:
        """The most that may still be executed."""
        return max([self.leaves, *(terms.quantity - self.filled for terms in self.pending)])

    @property
    def approved(self) -> bool:
        """Whether risk ever let it pass: approved terms have a price above zero."""
        return self.terms.price > 0


class AccountRisk(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """State of risk for one account: orders and their reservations, positions, and what was asked lately.

    `reserved` is the sum over `orders`, `open_notional` that over `holdings`, both in millionths. `closed` lists the
    closed orders, which are forgotten oldest first. `recent_ids` are 8-byte digests of ClOrdIDs, oldest first;
    `messages` the times in microseconds of recent requests, ascending.
    """

    orders: dict[str, OrderRisk] = {}
    closed: tuple[str, ...] = ()
    reserved: int = 0
    holdings: dict[str, Holding] = {}
    open_notional: int = 0
    recent_ids: bytes = b""
    messages: tuple[int, ...] = ()

    def quantity_of(self, symbol: str) -> int:
        """The signed position in a symbol."""
        return self.holdings.get(symbol, Holding()).quantity


class StatusApplied(NamedTuple):
    """The account after a status, and what was unusual about it: DUPLICATE or UNKNOWN_ORDER."""

    state: AccountRisk | None
    anomalies: tuple[str, ...] = ()


def on_status(state: AccountRisk | None, status: OrderStatusChanged) -> StatusApplied:
    """Takes in a consolidated status: releases, converts to position, confirms a replace. Repeating it does nothing.

    A status of an order that risk never approved, or forgot after it closed, changes nothing.
    `InvalidRecordError` for values no rule can work with: a filled quantity that is negative or has no price.
    """
    order_id = order_of(status.key)
    order = state.orders.get(order_id) if state else None
    if state is None or order is None:
        return StatusApplied(state, ("UNKNOWN_ORDER",))
    if status.sequence <= order.statuses:
        return StatusApplied(state, ("DUPLICATE",))
    filled, filled_notional = _filled(status)
    after = with_fill(
        state,
        order,
        quantity=filled - order.filled,
        notional=filled_notional - order.filled_notional,
    )
    changed = replace(order, statuses=status.sequence, filled=filled, filled_notional=filled_notional)
    return StatusApplied(with_order(after, order_id, _with_code(changed, status)))


def with_order(state: AccountRisk, order_id: str, order: OrderRisk) -> AccountRisk:
    """The account with this order in place of what was known of it; the oldest closed orders are forgotten."""
    before = state.orders.get(order_id)
    orders = state.orders | {order_id: order}
    closed = state.closed
    if before is not None and before.closed and not order.closed:
        closed = tuple(known for known in closed if known != order_id)
    elif order.closed and (before is None or not before.closed):
        closed = (*closed, order_id)
        for forgotten in closed[:-CLOSED_ORDERS_KEPT]:
            del orders[forgotten]
        closed = closed[-CLOSED_ORDERS_KEPT:]
    reserved = state.reserved + order.reserved - (before.reserved if before else 0)
    return replace(state, orders=orders, closed=closed, reserved=fitting(reserved, "reserved exposure"))


def with_fill(state: AccountRisk, order: OrderRisk, *, quantity: int, notional: int) -> AccountRisk:
    """The account after a change of an order's filled quantity (negative: a bust) and of what the fills are worth."""
    if quantity == 0:
        return state
    before = state.holdings.get(order.symbol, Holding())
    direction = 1 if quantity > 0 else -1
    after, _ = traded(before, signed_quantity=quantity * side_sign(order.side), notional=max(0, direction * notional))
    fitting(after.quantity, "position")
    holdings = {**state.holdings, order.symbol: after}
    if after.quantity == 0:
        del holdings[order.symbol]
    open_notional = state.open_notional + abs(after.cost_basis) - abs(before.cost_basis)
    return replace(state, holdings=holdings, open_notional=fitting(open_notional, "open notional"))


def _filled(status: OrderStatusChanged) -> tuple[int, int]:
    """Filled quantity, and what it is worth at the average price."""
    filled, average = status.status.filled_quantity, status.status.avg_price
    if filled < 0 or (filled > 0 and (average is None or average < 0)):
        raise InvalidRecordError(f"filled quantity {filled} at average price {average}")
    return filled, fitting(filled * (average or 0), "filled notional")


def _with_code(order: OrderRisk, status: OrderStatusChanged) -> OrderRisk:
    """The order with the terms that are in force by this status, and what is open under them."""
    code, quantity, leaves = status.status.code, status.order.quantity, status.status.leaves_quantity
    if code in _CLOSING:
        terms = replace(order.terms, quantity=quantity)
        return replace(order, terms=terms, leaves=0, closed=True, pending=(), replacing=False)
    order = _confirmed(order, quantity, code)
    leaves = max(0, quantity - order.filled if leaves is None else leaves)
    return replace(order, leaves=leaves, closed=False)


def _confirmed(order: OrderRisk, quantity: int, code: str) -> OrderRisk:
    """Moves pending terms into force or drops them, as far as the status tells which."""
    if quantity != order.terms.quantity:
        for index, terms in enumerate(order.pending):
            if terms.quantity == quantity:
                return replace(order, terms=terms, pending=order.pending[index + 1 :], replacing=False)
        order = replace(order, terms=replace(order.terms, quantity=quantity))
    if code == OrdStatus.PENDING_REPLACE:
        return replace(order, replacing=bool(order.pending))
    answered = order.replacing and code != OrdStatus.PENDING_CANCEL
    if order.pending and (answered or code == OrdStatus.REPLACED):
        same_quantity = [terms.price for terms in order.pending if terms.quantity == quantity]
        dearest = max([order.terms.price, *same_quantity])
        return replace(order, terms=Terms(quantity, dearest), pending=(), replacing=False)
    return order
