"""Self-trade prevention across the accounts of one STP group: what is held of a request before its account decides.

Requests of a group in a symbol pass here one after the other, each before its account sees it, and are held as if they
were approved. So of two that would trade with each other the later one always meets the earlier one, whatever their
accounts make of them and whenever.

| event | the group's orders |
|---|---|
| request for a LIMIT order | held: a new order, or one more version of a known one; unless prevention rejects it |
| release: its account rejected the request | that version is forgotten |
| consolidated status | terms, fills and answers to replaces as in `exposure`; an order that ended is forgotten |
| cancel request | stay: nothing is gone before a status says so |

Until its release a rejected request is met like an order. That may prevent a trade that could not have happened; the
other way round, one that could happen would not be prevented. An order that a bust reopens after it ended, and one
that was approved before its account joined the group, are met by their own account alone until they are replaced.
Orders of accounts that have left the group are not met.
"""

from __future__ import annotations

from msgspec.structs import replace

from operators.model.events import EventType, OrderIntent, OrderStatusChanged, OrdStatus, Side, order_key
from operators.model.positions.positions import side_sign
from operators.model.risk.exposure import by_status
from operators.model.risk.group_book import GroupBook, GroupOrder
from operators.model.risk.limits import SelfTrade, Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.request import in_force
from operators.model.risk.self_trade import Met, SelfTradeDecision, prevented, reach_of
from operators.model.risk.shared import SelfTradeRelease, SharedRequest, rejects
from operators.model.risk.state import OrderRisk, Terms

_SIDES = frozenset(side.value for side in Side)
_UNKNOWN = Terms(0, 0)
"""Terms in force that nobody has told: those of an order that is first heard of when it is replaced."""


def on_request(
    book: GroupBook, request: SharedRequest, tables: Tables, *, limits: LimitsInForce, at: int
) -> SharedRequest:
    """The request with what prevention makes of it; `at` is the time reached, in microseconds, for its number."""
    intent = request.intent
    if not _may_trade(intent):
        return request
    known = book.order(request.key, side_sign(intent.side))
    rule = in_force(intent, tables, limits).self_trade
    decision = SelfTradeDecision() if rule is None else _prevented(book, request, known, tables, rule)
    found = replace(
        request,
        breaches=[*request.breaches, *decision.breaches],
        actions=list(decision.actions),
        approved_quantity=decision.approved_quantity,
    )
    if intent.order_type != "LIMIT" or rejects(found.breaches):
        return found
    number = book.next_number(at)
    quantity = intent.quantity if decision.approved_quantity is None else decision.approved_quantity
    _hold(book, intent, known, Terms(quantity, intent.limit_price or 0), number)
    return replace(found, number=number)


def on_release(book: GroupBook, release: SelfTradeRelease) -> None:
    """Forgets what was held for a request that its account rejected. Repeating it does nothing."""
    for sign in (1, -1):
        known = book.order(release.key, sign)
        if known is not None and release.number in (known.number, *known.pending):
            _release(book, release, sign, known)


def _release(book: GroupBook, release: SelfTradeRelease, sign: int, known: GroupOrder) -> None:
    order, number, pending = known.order, known.number, known.pending
    versions = [(n, terms) for n, terms in zip(pending, order.pending, strict=True) if n != release.number]
    if release.number == number:
        number, terms = versions.pop(0) if versions else (0, _UNKNOWN)
        order = replace(order, terms=terms, leaves=terms.quantity)
    order = replace(order, pending=tuple(t for _, t in versions), replacing=order.replacing and bool(versions))
    if order.terms == _UNKNOWN and not versions:
        book.put(release.key, sign, None)
        _count_child(book, order.parent, sign, -1)
        return
    book.put(release.key, sign, replace(known, order=order, number=number, pending=tuple(n for n, _ in versions)))


def on_status(book: GroupBook, status: OrderStatusChanged) -> tuple[str, ...]:
    """Takes in a consolidated status; says DUPLICATE of one heard before. Orders that are not held change nothing."""
    sign = side_sign(status.order.side)
    known = book.order(status.key, sign)
    if known is None:
        return ()
    if status.sequence <= known.order.sequences.get(status.source, 0):
        return ("DUPLICATE",)
    before = replace(
        known.order,
        sequences=known.order.sequences | {status.source: status.sequence},
        filled=max(0, status.status.filled_quantity),
        is_parent=known.order.is_parent or bool(status.order.is_parent),
    )
    order = by_status(before, status)
    if order.closed:
        book.put(status.key, sign, None)
        return ()
    if before.replacing and not order.pending and not _confirms(status, before):
        order = replace(order, pending=before.pending[1:])  # the one that was asked first is answered, no other
    pending = known.pending[len(known.pending) - len(order.pending) :]
    book.put(status.key, sign, replace(known, order=order, number=0, pending=pending))
    return ()


def _confirms(status: OrderStatusChanged, order: OrderRisk) -> bool:
    """Whether a status tells that a replace of the order is in force, and not that one was rejected."""

    def tells(terms: Terms) -> bool:
        return status.order.quantity == terms.quantity and status.order.limit_price in (None, terms.price)

    moved = status.status.code == OrdStatus.REPLACED or not tells(order.terms)
    return moved and any(map(tells, order.pending))


def _may_trade(intent: OrderIntent) -> bool:
    """Whether a request can bring an order that trades: not a cancel, and nothing its account cannot take."""
    return (
        intent.event_type in (EventType.ORDER_SUBMITTED, EventType.REPLACE_REQUESTED)
        and intent.key == order_key(intent.account_id, intent.order_id)
        and intent.side in _SIDES
        and intent.quantity > 0
        and (intent.order_type != "LIMIT" or (intent.limit_price or 0) > 0)
    )


def _prevented(
    book: GroupBook, request: SharedRequest, known: GroupOrder | None, tables: Tables, rule: tuple[SelfTrade, str]
) -> SelfTradeDecision:
    intent = request.intent
    reach = reach_of(intent)
    if reach is None:
        return SelfTradeDecision()
    met = [
        Met(key, line.price, line.quantity)
        for key, line in book.opposite(side_sign(intent.side), reach.limit)
        if _is_member(key, request.stp_group, tables)
    ]
    replaces = intent.event_type == EventType.REPLACE_REQUESTED
    filled = known.order.filled if known is not None and replaces else 0
    return prevented(intent, met, rule, filled=filled)


def _is_member(key: str, group: str | None, tables: Tables) -> bool:
    account = tables.accounts.get(key.partition("|")[0])
    return account is not None and account.stp_group == group


def _hold(book: GroupBook, intent: OrderIntent, known: GroupOrder | None, terms: Terms, number: int) -> None:
    """Holds the terms: as a version of a known order, else as an order, whose terms in force a replace leaves open."""
    sign = side_sign(intent.side)
    if known is not None:
        order = replace(known.order, pending=(*known.order.pending, terms))
        book.put(intent.key, sign, replace(known, order=order, pending=(*known.pending, number)))
        return
    order = OrderRisk(symbol=intent.symbol, side=intent.side, terms=_UNKNOWN, rests=True)
    if intent.event_type == EventType.REPLACE_REQUESTED:
        order = replace(order, pending=(terms,))
        book.put(intent.key, sign, GroupOrder(order=order, since=number, pending=(number,)))
        return
    parent = None if intent.parent_id is None else order_key(intent.account_id, intent.parent_id)
    order = replace(order, terms=terms, leaves=terms.quantity, parent=parent)
    book.put(intent.key, sign, GroupOrder(order=order, since=number, number=number))
    _count_child(book, parent, sign, 1)


def _count_child(book: GroupBook, parent: str | None, sign: int, difference: int) -> None:
    """Counts an order with its parent, if that is an order of the group."""
    known = None if parent is None else book.order(parent, sign)
    if parent is not None and known is not None:
        book.put(parent, sign, replace(known, children=max(0, known.children + difference)))
