"""What an account's open orders reserve, and how statuses release it and turn it into positions.

| event | reserved for the order |
|---|---|
| order approved | quantity × reserve price |
| replace approved | the larger of the terms in force and every pending terms: an increase counts at request time |
| consolidated status | leaves × reserve price; pending terms that the status confirms come into force, down included |
| replace rejected, seen as a status that leaves PENDING_REPLACE with the old terms | the pending terms are dropped |
| FILLED, CANCELED, EXPIRED, REJECTED; DONE_FOR_DAY and CALCULATED with nothing open | nothing |
| a bust that reopens | leaves × reserve price again, for leaves grew |
| a split (`splits`) | leaves × reserve price, both as after the split: a market order's price follows the ratio |
| an order of a parent that risk knows | nothing: the parent holds the reservation, and its statuses convert the fills |

The reserve price is the limit price, else the reference price at approval or a higher stop price. A status that tells
the limit price in force confirms a replace exactly. Where it tells none, terms are told apart by their quantity alone,
and of several prices the dearest stays reserved.

Fills are valued at filled quantity × AvgPx; what they do is in `position`. Statuses are absolute: each is used
once, by its source and sequence, and leaves out nothing if one before it never came. Once the aggregator of parents has
spoken of an order, no other source is listened to.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.events import OrderStatusChanged, OrdStatus, account_of, order_of
from operators.model.money import fitting
from operators.model.orders.parents import PARENT_SOURCE
from operators.model.positions.positions import side_sign
from operators.model.risk.book import Book
from operators.model.risk.limits import Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.position import DAY_MICROS, count_execution, mark_to, take_fill, take_split
from operators.model.risk.splits import Ratio, split_told
from operators.model.risk.state import CLOSED_KEPT, RESTING_TOGETHER, Closed, OrderRisk, Resting, SymbolRisk, Terms

_ENDED: Final = frozenset({OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.REJECTED})
_PAUSED: Final = frozenset({OrdStatus.DONE_FOR_DAY, OrdStatus.CALCULATED})


def on_status(
    book: Book, status: OrderStatusChanged, tables: Tables, *, limits: LimitsInForce, day: int | None = None
) -> tuple[str, ...]:
    """Takes in a consolidated status: releases, converts to position, confirms a replace. Repeating it does nothing.

    Returns what was unusual: DUPLICATE, or UNKNOWN_ORDER of an order that risk never saw, forgot after it closed, or
    that has fills though it was rejected; it changes nothing. `day` is the UTC day to count on, by default the
    status' own.
    `InvalidRecordError` for values no rule can work with: a filled quantity that is negative or has no price.
    """
    order_id = order_of(status.key)
    order = book.order(order_id)
    if order is None or not order.approved:
        return ("UNKNOWN_ORDER",) if order is None or status.status.filled_quantity > 0 else ()
    if status.sequence <= order.sequences.get(status.source, 0):
        return ("DUPLICATE",)
    order.sequences = order.sequences | {status.source: status.sequence}
    if status.source != PARENT_SOURCE and PARENT_SOURCE in order.sequences:
        return ()
    before = effect_of(order)
    filled, filled_notional = _filled(status)
    today = status.occurred_at // DAY_MICROS if day is None else day
    book.account.begin_day(today)
    quantity, notional = filled - order.filled, filled_notional - order.filled_notional
    if quantity != 0 or notional != 0:
        split = split_told(order, quantity=status.order.quantity, filled=filled, notional=filled_notional)
        if split is not None:
            _split(book, order, split, status.occurred_at // DAY_MICROS)
        elif order.parent is None:
            _fill(book, order, status, tables, limits, today, quantity, notional)
    order.filled, order.filled_notional = filled, filled_notional
    _take_code(order, status)
    settle(book, order_id, order, before)
    return ()


class Effect(msgspec.Struct, frozen=True, gc=False):
    """What an order adds to the sums it is part of; the price at which it rests; whether it is over."""

    quantity: int = 0
    reserved: int = 0
    working: int = 0
    located: int = 0
    price: int = 0
    closed: bool = False


NO_EFFECT: Final = Effect()
"""That of an order that nobody knows."""


def effect_of(order: OrderRisk) -> Effect:
    """What an order adds as it is now: to be taken before it is changed, for `settle`."""
    price = order.terms.price
    if not order.approved:
        return Effect(closed=order.closed)
    if order.closed:
        return Effect(0, 0, 0, order.filled, price, True)
    quantity = order.open_quantity
    return Effect(quantity, order.reserved, 1, order.filled + quantity, price)


def settle(book: Book, order_id: str, order: OrderRisk, before: Effect) -> None:
    """Puts what an order adds now in the place of what it added before it was changed, wherever it is counted."""
    after = effect_of(order)
    if after == before:
        return
    if after.closed and not before.closed:
        order.closed_number = book.account.closed_count
        _remember_closed(book, order_id)
    if order.approved:
        _count(book, order_id, order, before, after)


def _count(book: Book, order_id: str, order: OrderRisk, before: Effect, after: Effect) -> None:
    sign, quantity = side_sign(order.side), after.quantity - before.quantity
    if order.locate is not None and after.located != before.located:
        book.put_located(order.locate, book.located(order.locate) + after.located - before.located)
    account, symbol = book.account, book.symbol(order.symbol)
    if order.rests and (quantity or after.price != before.price):
        _rest(book, symbol, order_id, order)
    if order.parent is not None:
        _count_child(book, order.parent, quantity)
        return
    working, reserved = after.working - before.working, after.reserved - before.reserved
    symbol.working += working
    account.working += working
    if sign > 0:
        symbol.buying += quantity
        account.reserved_buys = fitting(account.reserved_buys + reserved, "reserved exposure")
    else:
        symbol.selling += quantity
        account.reserved_sells = fitting(account.reserved_sells + reserved, "reserved exposure")


def _rest(book: Book, symbol: SymbolRisk, order_id: str, order: OrderRisk) -> None:
    """Puts this order among the resting ones of the account in its symbol, or takes it away."""
    line = None
    if order.rests and not order.is_parent and order.open_quantity > 0:
        line = Resting(side_sign(order.side), order.terms.price, order.open_quantity)
    others = book.resting(order.symbol, order_id) if symbol.elsewhere and order_id not in symbol.resting else {}
    if order_id in others:
        book.put_resting(order.symbol, order_id, _with_line(others, order_id, line))
        symbol.elsewhere -= line is None
    elif symbol.resting.get(order_id) == line:
        return
    elif order_id in symbol.resting or len(symbol.resting) < RESTING_TOGETHER:
        symbol.resting = _with_line(symbol.resting, order_id, line)
    else:
        book.put_resting(order.symbol, order_id, _with_line(others, order_id, line))
        symbol.elsewhere += 1


def _with_line(resting: dict[str, Resting], order_id: str, line: Resting | None) -> dict[str, Resting]:
    if line is not None:
        return resting | {order_id: line}
    return {known: each for known, each in resting.items() if known != order_id}


def _count_child(book: Book, parent_id: str, quantity: int) -> None:
    """The children of a parent may execute so much more. A parent rests nowhere itself."""
    parent = book.order(parent_id)
    if parent is not None:
        parent.is_parent, parent.children = True, max(0, parent.children + quantity)
        _rest(book, book.symbol(parent.symbol), parent_id, parent)


def _remember_closed(book: Book, order_id: str) -> None:
    """Puts a closing order into the ring; the one pushed out is forgotten unless it is open or closed anew since."""
    number = book.account.closed_count
    slot = number % CLOSED_KEPT
    oldest = book.closed(slot) if number >= CLOSED_KEPT else None
    if oldest is not None and oldest.order_id != order_id:
        order = book.order(oldest.order_id)
        if order is not None and order.closed and order.closed_number == oldest.number:
            book.put_order(oldest.order_id, None)
    book.put_closed(slot, Closed(order_id, number))
    book.account.closed_count = number + 1


def _fill(
    book: Book,
    order: OrderRisk,
    status: OrderStatusChanged,
    tables: Tables,
    limits: LimitsInForce,
    today: int,
    quantity: int,
    notional: int,
) -> None:
    """What changed in an order's fills, as position and as an execution."""
    account, symbol, known = book.account, book.symbol(order.symbol), tables.symbols.get(order.symbol)
    is_today = today == account.day
    take_fill(account, symbol, order, quantity=quantity, notional=notional, today=is_today)
    mark_to(account, symbol, known)
    if quantity > 0:
        account_id = account_of(status.key)
        reference = tables.accounts.get(account_id)
        desk = reference.desk if reference else None
        applying = limits.applying(tables.controls, account_id=account_id, symbol=order.symbol, desk=desk)
        count_execution(book, order.symbol, status.occurred_at, applying, today=is_today)


def _split(book: Book, order: OrderRisk, split: Ratio, day: int) -> None:
    """An order's terms and the account's position in its symbol, after a split. It is no execution."""
    order.terms = split.terms(order.terms)
    order.pending = tuple([split.terms(terms) for terms in order.pending])
    if order.parent is None:
        take_split(book.account, book.symbol(order.symbol), split, day)


def _filled(status: OrderStatusChanged) -> tuple[int, int]:
    """Filled quantity, and what it is worth at the average price."""
    filled, average = status.status.filled_quantity, status.status.avg_price
    if filled < 0 or (filled > 0 and (average is None or average < 0)):
        raise InvalidRecordError(f"filled quantity {filled} at average price {average}")
    return filled, fitting(filled * (average or 0), "filled notional")


def by_status(order: OrderRisk, status: OrderStatusChanged) -> OrderRisk:
    """A copy of the order with the terms that are in force by this status, and what is open under them."""
    changed = replace(order)
    _take_code(changed, status)
    return changed


def _take_code(order: OrderRisk, status: OrderStatusChanged) -> None:
    """Takes over the terms that are in force by a status, and what is open under them."""
    code, quantity, leaves = status.status.code, status.order.quantity, status.status.leaves_quantity
    if code in _ENDED or (code in _PAUSED and leaves == 0):
        order.terms = _with_quantity(order.terms, quantity)
        order.leaves, order.closed, order.pending, order.replacing = 0, True, (), False
        return
    _confirm(order, quantity, status.order.limit_price, code)
    order.leaves = max(0, quantity - order.filled if leaves is None else leaves)
    order.closed = False


def _confirm(order: OrderRisk, quantity: int, limit: int | None, code: str) -> None:
    """Moves pending terms into force or drops them, as far as a status tells which."""
    if not _is(order.terms, quantity, limit):
        for index, terms in enumerate(order.pending):
            if _is(terms, quantity, limit):
                order.terms = _dearest(order, terms, limit)
                order.pending, order.replacing = order.pending[index + 1 :], False
                return
        price = limit if limit is not None and limit > 0 and order.terms.limited else order.terms.price
        order.terms = replace(order.terms, quantity=quantity, price=price)
    if code == OrdStatus.PENDING_REPLACE:
        order.replacing = bool(order.pending)
    elif order.pending and order.replacing and code != OrdStatus.PENDING_CANCEL:
        if limit is None:
            # Without a price, a status of the same quantity may have confirmed another price as well as rejected it.
            order.terms = _dearest(order, _with_quantity(order.terms, quantity), None)
        order.pending, order.replacing = (), False


def _is(terms: Terms, quantity: int, limit: int | None) -> bool:
    """Whether these may be the terms that a status tells."""
    return terms.quantity == quantity and (limit is None or not terms.limited or terms.price == limit)


def _with_quantity(terms: Terms, quantity: int) -> Terms:
    return terms if terms.quantity == quantity else replace(terms, quantity=quantity)


def _dearest(order: OrderRisk, terms: Terms, limit: int | None) -> Terms:
    """The terms, at the dearest price that they may have by a status that tells their limit price or not."""
    if limit is not None:
        return terms
    same = [known.price for known in (order.terms, *order.pending) if known.quantity == terms.quantity]
    return replace(terms, price=max([terms.price, *same]))
