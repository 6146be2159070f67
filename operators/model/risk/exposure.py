"""What an account's open orders reserve, and how statuses release it and turn it into positions.

| event | reserved for the order |
|---|---|
| order approved | quantity × reserve price |
| replace approved | the larger of the terms in force and every pending terms: an increase counts at request time |
| consolidated status | leaves × reserve price; pending terms that the status confirms come into force, down included |
| replace rejected, seen as a status that leaves PENDING_REPLACE with the old terms | the pending terms are dropped |
| FILLED, CANCELED, EXPIRED, REJECTED; DONE_FOR_DAY and CALCULATED with nothing open | nothing |
| a bust that reopens | leaves × reserve price again, for leaves grew |
| an order of a parent that risk knows | nothing: the parent holds the reservation, and its statuses convert the fills |

The reserve price is the limit price, else the reference price at approval or a higher stop price. A status that tells
the limit price in force confirms a replace exactly. Where it tells none, terms are told apart by their quantity alone,
and of several prices the dearest stays reserved.

Fills are valued at filled quantity × AvgPx; what they do is in `position`. Statuses are absolute: each is used
once, by its source and sequence, and leaves out nothing if one before it never came. Once the aggregator of parents has
spoken of an order, no other source is listened to.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.events import OrderStatusChanged, OrdStatus, order_of
from operators.model.money import fitting
from operators.model.orders.parents import PARENT_SOURCE
from operators.model.positions.positions import side_sign
from operators.model.risk.book import Book
from operators.model.risk.limits import Tables, scopes_of
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.position import DAY_MICROS, with_execution, with_fill, with_mark, with_symbol
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
    if order is None or (not order.approved and status.status.filled_quantity > 0):
        return ("UNKNOWN_ORDER",)
    if not order.approved:
        return ()
    if status.sequence <= order.sequences.get(status.source, 0):
        return ("DUPLICATE",)
    sequences = order.sequences | {status.source: status.sequence}
    if PARENT_SOURCE in sequences and status.source != PARENT_SOURCE:
        with_order(book, order_id, replace(order, sequences=sequences))
        return ()
    filled, filled_notional = _filled(status)
    today = status.occurred_at // DAY_MICROS if day is None else day
    book.account = book.account.on_day(today)
    if order.parent is None:
        _fill(
            book, order, status, tables, limits, today, filled - order.filled, filled_notional - order.filled_notional
        )
    changed = replace(order, sequences=sequences, filled=filled, filled_notional=filled_notional)
    with_order(book, order_id, by_status(changed, status))
    return ()


def with_order(book: Book, order_id: str, order: OrderRisk) -> None:
    """Keeps this order in place of what was known of it, and what that changes in the sums it is part of."""
    before = book.order(order_id)
    if order.closed and (before is None or not before.closed):
        order = replace(order, closed_number=book.account.closed_count)
        _remember_closed(book, order_id)
    book.put_order(order_id, order)
    if not order.approved:
        return
    effects = _effect(before), _effect(order)
    if effects[0] != effects[1] or (before is not None and before.terms.price != order.terms.price):
        _count(book, order_id, order, *effects)


def by_status(order: OrderRisk, status: OrderStatusChanged) -> OrderRisk:
    """The order with the terms that are in force by this status, and what is open under them."""
    code, quantity, leaves = status.status.code, status.order.quantity, status.status.leaves_quantity
    if code in _ENDED or (code in _PAUSED and leaves == 0):
        terms = replace(order.terms, quantity=quantity)
        return replace(order, terms=terms, leaves=0, closed=True, pending=(), replacing=False)
    order = _confirmed(order, quantity, status.order.limit_price, code)
    leaves = max(0, quantity - order.filled if leaves is None else leaves)
    return replace(order, leaves=leaves, closed=False)


class _Effect(NamedTuple):
    """What an order adds to the sums it is part of."""

    quantity: int = 0
    reserved: int = 0
    working: int = 0
    located: int = 0


def _effect(order: OrderRisk | None) -> _Effect:
    if order is None or not order.approved:
        return _Effect()
    quantity = order.open_quantity
    return _Effect(quantity, order.reserved, int(not order.closed), order.filled + quantity)


def _count(book: Book, order_id: str, order: OrderRisk, before: _Effect, after: _Effect) -> None:
    """Puts what an order adds now in the place of what it added before."""
    sign, quantity = side_sign(order.side), after.quantity - before.quantity
    if order.locate is not None and after.located != before.located:
        book.put_located(order.locate, book.located(order.locate) + after.located - before.located)
    symbol = _with_resting(book, book.symbol(order.symbol), order_id, order)
    if order.parent is not None:
        book.put_symbol(order.symbol, symbol)
        parent = book.order(order.parent)
        if parent is not None:
            _with_children(book, order.parent, parent, quantity)
        return
    after_symbol = replace(
        symbol,
        buying=symbol.buying + (quantity if sign > 0 else 0),
        selling=symbol.selling + (quantity if sign < 0 else 0),
        working=symbol.working + after.working - before.working,
    )
    with_symbol(book, order.symbol, after_symbol)
    reserved = after.reserved - before.reserved
    account = book.account
    book.account = replace(
        account,
        reserved_buys=fitting(account.reserved_buys + (reserved if sign > 0 else 0), "reserved exposure"),
        reserved_sells=fitting(account.reserved_sells + (reserved if sign < 0 else 0), "reserved exposure"),
    )


def _with_resting(book: Book, symbol: SymbolRisk, order_id: str, order: OrderRisk) -> SymbolRisk:
    """The account's part in a symbol with this order among its resting ones, or no longer."""
    line = None
    if order.rests and not order.is_parent and order.open_quantity > 0:
        line = Resting(side_sign(order.side), order.terms.price, order.open_quantity)
    others = book.resting(order.symbol, order_id) if symbol.elsewhere and order_id not in symbol.resting else {}
    if order_id in others:
        book.put_resting(order.symbol, order_id, _with_line(others, order_id, line))
        return symbol if line is not None else replace(symbol, elsewhere=symbol.elsewhere - 1)
    if symbol.resting.get(order_id) == line:
        return symbol
    if order_id in symbol.resting or len(symbol.resting) < RESTING_TOGETHER:
        return replace(symbol, resting=_with_line(symbol.resting, order_id, line))
    book.put_resting(order.symbol, order_id, _with_line(others, order_id, line))
    return replace(symbol, elsewhere=symbol.elsewhere + 1)


def _with_line(resting: dict[str, Resting], order_id: str, line: Resting | None) -> dict[str, Resting]:
    if line is not None:
        return resting | {order_id: line}
    return {known: each for known, each in resting.items() if known != order_id}


def _with_children(book: Book, parent_id: str, parent: OrderRisk, quantity: int) -> None:
    """A parent whose children may execute so much more. It rests nowhere itself."""
    after = replace(parent, is_parent=True, children=max(0, parent.children + quantity))
    book.put_symbol(parent.symbol, _with_resting(book, book.symbol(parent.symbol), parent_id, after))
    book.put_order(parent_id, after)


def _remember_closed(book: Book, order_id: str) -> None:
    """Puts a closing order into the ring; the one pushed out is forgotten unless it is open or closed anew since."""
    number = book.account.closed_count
    slot = number % CLOSED_KEPT
    oldest = book.closed(slot)
    if oldest is not None and oldest.order_id != order_id:
        order = book.order(oldest.order_id)
        if order is not None and order.closed and order.closed_number == oldest.number:
            book.put_order(oldest.order_id, None)
    book.put_closed(slot, Closed(order_id, number))
    book.account = replace(book.account, closed_count=number + 1)


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
    if quantity == 0 and notional == 0:
        return
    is_today = today == book.account.day
    with_fill(book, order, quantity=quantity, notional=notional, today=is_today)
    known = tables.symbols.get(order.symbol)
    with_mark(book, order.symbol, known.reference_price if known else None)
    if quantity > 0:
        account_id = status.key.partition("|")[0]
        account = tables.accounts.get(account_id)
        scopes = scopes_of(account_id=account_id, symbol=order.symbol, desk=account.desk if account else None)
        with_execution(book, order.symbol, status.occurred_at, limits.of(tables.controls, scopes), today=is_today)


def _filled(status: OrderStatusChanged) -> tuple[int, int]:
    """Filled quantity, and what it is worth at the average price."""
    filled, average = status.status.filled_quantity, status.status.avg_price
    if filled < 0 or (filled > 0 and (average is None or average < 0)):
        raise InvalidRecordError(f"filled quantity {filled} at average price {average}")
    return filled, fitting(filled * (average or 0), "filled notional")


def _confirmed(order: OrderRisk, quantity: int, limit: int | None, code: str) -> OrderRisk:
    """Moves pending terms into force or drops them, as far as the status tells which."""
    in_force = _is(order.terms, quantity, limit)
    if not in_force or code == OrdStatus.REPLACED:
        for index, terms in enumerate(order.pending):
            if _is(terms, quantity, limit):
                return replace(
                    order, terms=_dearest(order, terms, limit), pending=order.pending[index + 1 :], replacing=False
                )
    if not in_force:
        price = limit if limit is not None and limit > 0 and order.terms.limited else order.terms.price
        order = replace(order, terms=replace(order.terms, quantity=quantity, price=price))
    if code == OrdStatus.PENDING_REPLACE:
        return replace(order, replacing=bool(order.pending))
    if order.pending and order.replacing and code != OrdStatus.PENDING_CANCEL:
        # Without a price, a status of the same quantity may have confirmed another price as well as rejected it.
        terms = order.terms if limit is not None else _dearest(order, replace(order.terms, quantity=quantity), None)
        return replace(order, terms=terms, pending=(), replacing=False)
    return order


def _is(terms: Terms, quantity: int, limit: int | None) -> bool:
    """Whether these may be the terms that a status tells."""
    return terms.quantity == quantity and (limit is None or not terms.limited or terms.price == limit)


def _dearest(order: OrderRisk, terms: Terms, limit: int | None) -> Terms:
    """The terms, at the dearest price that they may have by a status that tells their limit price or not."""
    if limit is not None:
        return terms
    same = [known.price for known in (order.terms, *order.pending) if known.quantity == terms.quantity]
    return replace(terms, price=max([terms.price, *same]))
