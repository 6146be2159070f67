"""The decision of pre-trade risk on one request, and the account's state after it.

The state's key is the account, so that limits of an account see all of its orders. The checks are in `checks` and
its neighbours, what is reserved and released in `exposure`, limits and their scopes in `limits` and `limits_in_force`.

| request | decided by | then |
|---|---|---|
| ORDER_SUBMITTED | every check | approved: the order's notional is reserved |
| REPLACE_REQUESTED | every check | approved: an increase is reserved at once, a decrease released when confirmed |
| CANCEL_REQUESTED | nothing: always approved | nothing is released before the cancel is confirmed |
| PossResend of a known ClOrdID, but no cancel | POSSIBLE_RESEND alone: rejected | nothing: it is no new request, and \
counts as none |

A rejection answers the request of its ClOrdID. It never ends an order that was approved before.
Outcomes of an order are numbered from 1 without gaps while the order is open and among the last closed ones.
State of an account is never dropped: even a flat account has ClOrdIDs that must not be used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.events import Breach, EventType, OrderIntent, RiskAction, RiskOutcome, order_key
from operators.model.risk.book import Book
from operators.model.risk.checks import breaches_of, possible_resend
from operators.model.risk.exposure import NO_EFFECT, Effect, effect_of, settle
from operators.model.risk.limits import Severity, Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.position import DAY_MICROS, mark_to
from operators.model.risk.request import Request, in_force
from operators.model.risk.self_trade import SELF_TRADE, SelfTradeDecision, self_trade
from operators.model.risk.shared import SharedRequest, rejects
from operators.model.risk.state import OrderRisk, Recent, Terms
from operators.model.risk.times import remembered, times_part
from operators.model.risk.total_rates import RATES

RECENT_KEPT: Final = 64
"""So many approved new orders of an account in a symbol are compared with, to find look-alikes."""

_REQUESTS: Final = frozenset({EventType.ORDER_SUBMITTED, EventType.REPLACE_REQUESTED, EventType.CANCEL_REQUESTED})


def on_intent(
    book: Book,
    intent: OrderIntent,
    tables: Tables,
    *,
    limits: LimitsInForce,
    day: int | None = None,
    source: str = "risk-check",
    shared: SharedRequest | None = None,
) -> RiskOutcome:
    """Decides on one request, at the request's own time; `day` is the UTC day to count on, by default the request's.

    `shared` is what was found for the request where other accounts are looked at.

    `InvalidRecordError` for what cannot be decided at all: an event that is no request, or a key that is not the
    account and order it names.
    """
    if intent.event_type not in _REQUESTS or intent.key != order_key(intent.account_id, intent.order_id):
        raise InvalidRecordError(f"{intent.event_type} of {intent.account_id}, {intent.order_id} under {intent.key!r}")
    if intent.event_type == EventType.CANCEL_REQUESTED:
        book.add_id(intent.cl_ord_id)
        return _answer(book, intent, in_force(intent, tables, limits).version, source)
    today = intent.occurred_at // DAY_MICROS if day is None else day
    book.account.begin_day(today)
    mark_to(book.account, book.symbol(intent.symbol), tables.symbols.get(intent.symbol))
    request = Request.of(intent, book, tables, limits, today)
    breaches = possible_resend(request)
    if breaches:
        return _answer(book, intent, request.limits.version, source, breaches)
    return _decide(request, source, shared)


def _decide(request: Request, source: str, shared: SharedRequest | None) -> RiskOutcome:
    book, intent = request.book, request.intent
    breaches = breaches_of(request)
    if shared is not None:
        breaches += [breach for breach in shared.breaches if breach.check != SELF_TRADE]
    prevented = _prevented(request, shared, rejected=rejects(breaches))
    breaches += prevented.breaches
    before = NO_EFFECT if request.order is None else effect_of(request.order)
    if not rejects(breaches):
        quantity = intent.quantity if prevented.approved_quantity is None else prevented.approved_quantity
        _approve(request, quantity)
        if not request.replaces:
            _remember_look(request)
    _count_request(request, breaches)
    book.add_id(intent.cl_ord_id)
    return _answer(
        book, intent, request.limits.version, source, breaches, prevented.actions, prevented.approved_quantity, before
    )


def _prevented(request: Request, shared: SharedRequest | None, *, rejected: bool) -> SelfTradeDecision:
    """What was found among the orders of the group, which has those of the account as well; else among its own."""
    breaches = [] if shared is None else [breach for breach in shared.breaches if breach.check == SELF_TRADE]
    if shared is None or not breaches:
        return self_trade(request, rejected=rejected)
    return SelfTradeDecision(breaches, shared.actions, shared.approved_quantity).beside(rejected)


def _no_order(intent: OrderIntent) -> OrderRisk:
    """What is kept of an order that nobody approved: the number of its outcomes."""
    return OrderRisk(symbol=intent.symbol, side=intent.side, terms=Terms(0, 0), closed=True)


def _approve(request: Request, quantity: int) -> None:
    """Keeps the order with the approved terms: in force for a new one, pending for a replace."""
    intent, terms, order = request.intent, replace(request.terms, quantity=quantity), request.order
    assert terms.price > 0, "a request that cannot be valued has a breach"
    if request.replaces:
        assert order is not None, "a replace of an unknown order has a breach"
        order.pending = (*order.pending, terms)
        return
    approved = OrderRisk(
        symbol=intent.symbol,
        side=intent.side,
        terms=terms,
        leaves=quantity,
        outcomes=order.outcomes if order else 0,
        rests=intent.order_type == "LIMIT",
        parent=intent.parent_id if request.parent is not None else None,
        locate=intent.locate_id,
    )
    request.book.put_order(intent.order_id, approved)


def _count_request(request: Request, breaches: Sequence[Breach]) -> None:
    """Remembers that there was a request, for the message rates and the order-to-trade ratio.

    One over the rate does not count with those to come, or a client that goes on asking would never be served again.
    """
    book, intent = request.book, request.intent
    if request.day == book.account.day:
        book.account.requests += 1
    if any(breach.check in RATES and breach.severity == Severity.HARD for breach in breaches):
        return
    for counted in request.limits.rates:
        part = times_part("messages", counted.over, symbol=intent.symbol, session=intent.session)
        book.put_times(part, remembered(book.times(part), intent.occurred_at, counted))


def _remember_look(request: Request) -> None:
    """Remembers an approved new order, as long as some look-alike window asks for it."""
    window, intent, part = request.limits.look_alike_micros, request.intent, request.part
    if not window and not part.recent:
        return
    recent = [known for known in part.recent if known.at > intent.occurred_at - window]
    if window:
        recent.append(Recent(intent.occurred_at, intent.side, intent.quantity, intent.limit_price))
    part.recent = tuple(recent[-RECENT_KEPT:])


def _answer(
    book: Book,
    intent: OrderIntent,
    version: str,
    source: str,
    breaches: Sequence[Breach] = (),
    actions: Sequence[RiskAction] = (),
    approved_quantity: int | None = None,
    before: Effect | None = None,
) -> RiskOutcome:
    """Says what was decided, as one outcome more of the order; `before` is what it added before that, if not as now."""
    order = book.order(intent.order_id)
    if order is None:
        order = _no_order(intent)
        book.put_order(intent.order_id, order)
        before = NO_EFFECT
    order.outcomes += 1
    if before is not None:
        settle(book, intent.order_id, order, before)
    return RiskOutcome(
        event_type=EventType.RISK_REJECTED if rejects(breaches) else EventType.RISK_APPROVED,
        occurred_at=intent.occurred_at,
        key=intent.key,
        sequence=order.outcomes,
        source=source,
        intent=intent,
        breaches=list(breaches),
        limits_version=version,
        approved_quantity=approved_quantity,
        actions=list(actions),
    )
