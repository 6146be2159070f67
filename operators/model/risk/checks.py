"""The checks of pre-trade risk, all evaluated for every request, every breach reported: here those of the order itself.

| check | applies to | breached when |
|---|---|---|
| LIMITS_MISSING | new, replace | no scope gives a required limit, named after the scope that requires it |
| UNKNOWN_SYMBOL | new, replace | there is no reference record of the symbol |
| INVALID_SIDE, INVALID_ORDER_TYPE | new, replace | a word we do not know |
| INVALID_QUANTITY, LOT_SIZE | new, replace | not above zero; not a multiple of the lot |
| INVALID_PRICE, TICK_SIZE | new, replace | a price the type needs is not above zero; not a multiple of the tick |
| TRADING_HALTED | new, replace | a scope is HALTED |
| TRADING_REDUCING | new, replace | a scope is REDUCING and the request does not only lower a position |
| RESTRICTED | new, replace | a scope is on the restricted list for the side, on this UTC day |
| MAX_ORDER_QUANTITY | new, replace | quantity above the limit |
| MAX_ORDER_NOTIONAL | new, replace | quantity × price above the limit |
| REFERENCE_MISSING, REFERENCE_STALE | MARKET, LIMIT, STOP | none, or older than allowed |
| PRICE_COLLAR | LIMIT, STOP_LIMIT | a buy above, a sell below the reference or stop price by more than the collar |
| PRICE_COLLAR_AWAY | LIMIT, STOP_LIMIT | a buy below, a sell above it by more than that collar |
| POSSIBLE_RESEND | PossResend | the ClOrdID is known: no new request, and no other check is made |
| DUPLICATE_CL_ORD_ID | new, replace | the account used this ClOrdID among its latest (`state`) |
| DUPLICATE_ORDER | new | the order was approved before |
| UNKNOWN_ORDER, CHANGED_TERMS | replace | no such order is open; another symbol, side or locate |
| LOOK_ALIKE_ORDER | new | the same symbol, side, quantity and price was approved within the window |
| PARENT_TERMS, PARENT_QUANTITY | orders of a known parent | another symbol or side; more than it has open |

The checks of what the account has are in `account_checks`, those of short sales in `short_sale`, self-trade
prevention in `self_trade`. HARD breaches reject; a WARN breach stands in the outcome and rejects nothing.

Cancels pass: nothing may keep an order from being withdrawn. A MARKET order is valued at the reference price, a STOP at
that or its stop price, whichever is higher. A request only lowers a position if, with all that is open on its side, it
cannot exceed it.
In a breach, amounts and prices are in the currency, quantities in units, ages and windows in milliseconds.

Sources: SEC rule 15c3-5(c)(1) and (2); EU 2017/589 (RTS 6) articles 12 and 15; FIX OrdType(40), Side(54),
PossResend(97).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from operators.model.events import Breach
from operators.model.positions.positions import side_sign
from operators.model.risk.account_checks import ACCOUNT_CHECKS
from operators.model.risk.limits import SEVERITIES, TradingState, is_valid_on
from operators.model.risk.limits_in_force import Level, Limit
from operators.model.risk.request import (
    NEEDS_LIMIT,
    NEEDS_STOP,
    ORDER_TYPES,
    SIDES,
    Request,
    over,
    over_money,
    shown,
)
from operators.model.risk.short_sale import short_sale

_BPS: Final = 10_000
_MILLI: Final = 1_000

Check = Callable[[Request], Iterator[Breach]]


def breaches_of(request: Request) -> list[Breach]:
    """Every breach of every check."""
    return [breach for check in CHECKS for breach in check(request)]


def possible_resend(request: Request) -> list[Breach]:
    """The breach of a request that the client may have sent before, and did."""
    intent = request.intent
    if intent.poss_resend and request.book.knows_id(intent.cl_ord_id):
        return [Breach(check="POSSIBLE_RESEND", scope=request.account_scope)]
    return []


def _limits_missing(request: Request) -> Iterator[Breach]:
    for check, scope in request.limits.missing(account_known=request.reference is not None):
        yield Breach(check="LIMITS_MISSING", scope=f"{scope}/{check}")


def _words(request: Request) -> Iterator[Breach]:
    intent, scope = request.intent, request.symbol_scope
    if request.symbol is None:
        yield Breach(check="UNKNOWN_SYMBOL", scope=scope)
    if intent.side not in SIDES:
        yield Breach(check="INVALID_SIDE", scope=scope)
    if intent.order_type not in ORDER_TYPES:
        yield Breach(check="INVALID_ORDER_TYPE", scope=scope)


def _quantity(request: Request) -> Iterator[Breach]:
    quantity, symbol, scope = request.intent.quantity, request.symbol, request.symbol_scope
    if quantity <= 0:
        yield Breach(check="INVALID_QUANTITY", scope=scope, limit=1.0, attempted=float(quantity))
    if symbol and (symbol.lot <= 0 or quantity % symbol.lot):
        yield Breach(check="LOT_SIZE", scope=scope, limit=float(symbol.lot), attempted=float(quantity))
    yield from over("MAX_ORDER_QUANTITY", request.limits.level("max_order_quantity"), quantity)


def _prices(request: Request) -> Iterator[Breach]:
    intent, symbol, scope = request.intent, request.symbol, request.symbol_scope
    for needed_by, price in ((NEEDS_LIMIT, intent.limit_price), (NEEDS_STOP, intent.stop_price)):
        if intent.order_type not in needed_by:
            continue
        if price is None or price <= 0:
            yield Breach(check="INVALID_PRICE", scope=scope, attempted=None if price is None else shown(price))
        elif symbol and (symbol.tick <= 0 or price % symbol.tick):
            yield Breach(check="TICK_SIZE", scope=scope, limit=shown(symbol.tick), attempted=shown(price))


def _trading_state(request: Request) -> Iterator[Breach]:
    for state, scope in request.limits.states:
        if state is TradingState.HALTED:
            yield Breach(check="TRADING_HALTED", scope=scope)
        elif state is TradingState.REDUCING and not request.only_reduces():
            yield Breach(check="TRADING_REDUCING", scope=scope)


def _restricted(request: Request) -> Iterator[Breach]:
    side = "BUY" if request.sign > 0 else "SELL"
    for restriction, scope in request.limits.restrictions:
        days = is_valid_on(request.day, restriction.valid_from, restriction.valid_until)
        # A side nobody knows restricts both: whoever wrote it wanted something stopped.
        if days and (restriction.side == side or restriction.side not in ("BUY", "SELL")):
            yield Breach(check="RESTRICTED", scope=scope)


def _notional(request: Request) -> Iterator[Breach]:
    if request.price is not None:
        notional = request.intent.quantity * request.price
        yield from over_money("MAX_ORDER_NOTIONAL", request.limits.level("max_order_notional"), notional)


def _reference(request: Request) -> Iterator[Breach]:
    intent, symbol = request.intent, request.symbol
    if symbol is None or intent.order_type == "STOP_LIMIT":
        return
    if symbol.reference_price is None or symbol.reference_price <= 0:
        yield Breach(check="REFERENCE_MISSING", scope=request.symbol_scope)
        return
    level = request.limits.level("reference_age_max_ms")
    in_micros = Level(*(limit and Limit(limit.value * _MILLI, limit.scope) for limit in level))
    yield from over("REFERENCE_STALE", in_micros, intent.occurred_at - symbol.price_at, unit=_MILLI)


def _collar(request: Request) -> Iterator[Breach]:
    intent = request.intent
    reference = intent.stop_price if intent.order_type == "STOP_LIMIT" else None
    if intent.order_type == "LIMIT" and request.symbol:
        reference = request.symbol.reference_price
    if reference is None or intent.limit_price is None or intent.side not in SIDES:
        return
    sign = side_sign(intent.side)
    for check, field, direction in (
        ("PRICE_COLLAR", "collar_bps", sign),
        ("PRICE_COLLAR_AWAY", "collar_away_bps", -sign),
    ):
        for limit, severity in zip(request.limits.level(field), SEVERITIES, strict=True):
            distance = direction * (intent.limit_price - reference) * _BPS
            if limit is not None and distance > limit.value * reference:
                bound = reference * (_BPS + direction * limit.value) // _BPS
                yield Breach(
                    check=check,
                    scope=limit.scope,
                    limit=shown(bound),
                    current=shown(reference),
                    attempted=shown(intent.limit_price),
                    severity=severity.value,
                )
                break


def _identity(request: Request) -> Iterator[Breach]:
    intent, order, scope = request.intent, request.order, request.account_scope
    if request.book.knows_id(intent.cl_ord_id):
        yield Breach(check="DUPLICATE_CL_ORD_ID", scope=scope)
    if not request.replaces:
        if order is not None and order.approved:
            yield Breach(check="DUPLICATE_ORDER", scope=scope)
    elif order is None or order.closed:
        yield Breach(check="UNKNOWN_ORDER", scope=scope)
    elif (order.symbol, order.side) != (intent.symbol, intent.side) or (
        intent.locate_id is not None and order.locate is not None and intent.locate_id != order.locate
    ):
        yield Breach(check="CHANGED_TERMS", scope=scope)


def _look_alike(request: Request) -> Iterator[Breach]:
    intent = request.intent
    ages = [
        max(0, intent.occurred_at - recent.at)
        for recent in request.part.recent
        if (recent.side, recent.quantity, recent.price) == (intent.side, intent.quantity, intent.limit_price)
    ]
    if request.replaces or not ages:
        return
    for limit, severity in zip(request.limits.level("duplicate_window_ms"), SEVERITIES, strict=True):
        if limit is not None and min(ages) < limit.value * _MILLI:
            yield Breach(
                check="LOOK_ALIKE_ORDER",
                scope=limit.scope,
                limit=float(limit.value),
                attempted=shown(min(ages), _MILLI),
                severity=severity.value,
            )
            return


def _parent(request: Request) -> Iterator[Breach]:
    parent, intent, scope = request.parent, request.intent, request.account_scope
    if parent is None:
        return
    if (parent.symbol, parent.side) != (intent.symbol, intent.side):
        yield Breach(check="PARENT_TERMS", scope=scope)
    attempted = parent.children + request.added_quantity
    level = Level(Limit(parent.open_quantity, scope))
    yield from over("PARENT_QUANTITY", level, attempted, current=parent.children)


CHECKS: Final[tuple[Check, ...]] = (
    _limits_missing,
    _words,
    _quantity,
    _prices,
    _trading_state,
    _restricted,
    _notional,
    _reference,
    _collar,
    _identity,
    _look_alike,
    _parent,
    *ACCOUNT_CHECKS,
    short_sale,
)
"""In the order in which breaches are reported. Self-trade prevention comes last, as it depends on the others."""
