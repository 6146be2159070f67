"""The checks of pre-trade risk, all evaluated for every request, every breach reported: here those of the order itself.

| check | applies to | breached when |
|---|---|---|
| LIMITS_MISSING | new, replace | no scope gives a required limit, named after the scope that requires it |
| LIMITS_STALE | new, replace | the limits of an applying scope, which is named, are older than allowed |
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

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

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
    Breaches,
    Request,
    exceeds,
    over,
    over_money,
    shown,
)
from operators.model.risk.short_sale import short_sale

_BPS: Final = 10_000
_MILLI: Final = 1_000

Check = Callable[[Request], Breaches]


def breaches_of(request: Request) -> list[Breach]:
    """Every breach of every check."""
    breaches: list[Breach] = []
    for check in CHECKS:
        breaches += check(request)
    return breaches


def possible_resend(request: Request) -> Breaches:
    """The breach of a request that the client may have sent before, and did."""
    intent = request.intent
    if intent.poss_resend and request.book.knows_id(intent.cl_ord_id):
        return [Breach(check="POSSIBLE_RESEND", scope=request.account_scope)]
    return ()


def _limits_missing(request: Request) -> Breaches:
    missing = request.limits.missing(account_known=request.reference is not None)
    return [Breach(check="LIMITS_MISSING", scope=f"{scope}/{check}") for check, scope in missing]


def _limits_stale(request: Request) -> Breaches:
    if not request.limits.given_at:
        return ()
    level, now = request.limits.level("limits_age_max_ms"), request.intent.occurred_at
    return [
        replace(breach, scope=scope)
        for given_at, scope in request.limits.given_at
        for breach in over_age("LIMITS_STALE", level, now - given_at)
    ]


def _words(request: Request) -> Breaches:
    intent = request.intent
    known = request.symbol is not None, intent.side in SIDES, intent.order_type in ORDER_TYPES
    if all(known):
        return ()
    scope = request.symbol_scope
    checks = ("UNKNOWN_SYMBOL", "INVALID_SIDE", "INVALID_ORDER_TYPE")
    return [Breach(check=check, scope=scope) for check, is_known in zip(checks, known, strict=True) if not is_known]


def _quantity(request: Request) -> Breaches:
    quantity, symbol = request.intent.quantity, request.symbol
    breaches = list(over("MAX_ORDER_QUANTITY", request.limits.level("max_order_quantity"), quantity))
    if symbol and (symbol.lot <= 0 or quantity % symbol.lot):
        lot = Breach(check="LOT_SIZE", scope=request.symbol_scope, limit=float(symbol.lot), attempted=float(quantity))
        breaches.insert(0, lot)
    if quantity <= 0:
        breaches.insert(
            0, Breach(check="INVALID_QUANTITY", scope=request.symbol_scope, limit=1.0, attempted=float(quantity))
        )
    return breaches


def _prices(request: Request) -> Breaches:
    intent, symbol = request.intent, request.symbol
    breaches = []
    for needed_by, price in ((NEEDS_LIMIT, intent.limit_price), (NEEDS_STOP, intent.stop_price)):
        if intent.order_type not in needed_by:
            continue
        if price is None or price <= 0:
            attempted = None if price is None else shown(price)
            breaches.append(Breach(check="INVALID_PRICE", scope=request.symbol_scope, attempted=attempted))
        elif symbol and (symbol.tick <= 0 or price % symbol.tick):
            tick = shown(symbol.tick)
            breaches.append(Breach(check="TICK_SIZE", scope=request.symbol_scope, limit=tick, attempted=shown(price)))
    return breaches


def _trading_state(request: Request) -> Breaches:
    if not request.limits.stopped:
        return ()
    breaches = []
    for state, scope in request.limits.stopped:
        if state is TradingState.HALTED:
            breaches.append(Breach(check="TRADING_HALTED", scope=scope))
        elif not request.only_reduces():
            breaches.append(Breach(check="TRADING_REDUCING", scope=scope))
    return breaches


def _restricted(request: Request) -> Breaches:
    if not request.limits.restrictions:
        return ()
    side = "BUY" if request.sign > 0 else "SELL"
    # A side nobody knows restricts both: whoever wrote it wanted something stopped.
    return [
        Breach(check="RESTRICTED", scope=scope)
        for restriction, scope in request.limits.restrictions
        if is_valid_on(request.day, restriction.valid_from, restriction.valid_until)
        and (restriction.side == side or restriction.side not in ("BUY", "SELL"))
    ]


def _notional(request: Request) -> Breaches:
    if request.price is None:
        return ()
    notional = request.intent.quantity * request.price
    return over_money("MAX_ORDER_NOTIONAL", request.limits.level("max_order_notional"), notional)


def _reference(request: Request) -> Breaches:
    intent, symbol = request.intent, request.symbol
    if symbol is None or intent.order_type == "STOP_LIMIT":
        return ()
    if symbol.reference_price is None or symbol.reference_price <= 0:
        return [Breach(check="REFERENCE_MISSING", scope=request.symbol_scope)]
    age = intent.occurred_at - symbol.price_at
    return over_age("REFERENCE_STALE", request.limits.level("reference_age_max_ms"), age)


def over_age(check: str, level: Level, age_micros: int) -> Breaches:
    """The breach of a level in milliseconds by an age in microseconds, shown in milliseconds."""
    if not exceeds(level, -(-age_micros // _MILLI)):
        return ()
    in_micros = Level(*[limit and Limit(limit.value * _MILLI, limit.scope) for limit in level])
    return over(check, in_micros, age_micros, unit=_MILLI)


def _collar(request: Request) -> Breaches:
    intent = request.intent
    reference = intent.stop_price if intent.order_type == "STOP_LIMIT" else None
    if intent.order_type == "LIMIT" and request.symbol:
        reference = request.symbol.reference_price
    if reference is None or intent.limit_price is None or intent.side not in SIDES:
        return ()
    sign, breaches = side_sign(intent.side), []
    for check, field, direction in (
        ("PRICE_COLLAR", "collar_bps", sign),
        ("PRICE_COLLAR_AWAY", "collar_away_bps", -sign),
    ):
        distance = direction * (intent.limit_price - reference) * _BPS
        if distance <= 0:
            continue
        for limit, severity in zip(request.limits.level(field), SEVERITIES, strict=True):
            if limit is not None and distance > limit.value * reference:
                bound = reference * (_BPS + direction * limit.value) // _BPS
                breaches.append(
                    Breach(
                        check=check,
                        scope=limit.scope,
                        limit=shown(bound),
                        current=shown(reference),
                        attempted=shown(intent.limit_price),
                        severity=severity.value,
                    )
                )
                break
    return breaches


def _identity(request: Request) -> Breaches:
    intent, order = request.intent, request.order
    known = request.book.knows_id(intent.cl_ord_id)
    if not known and order is None and not request.replaces:
        return ()
    breaches, scope = [], request.account_scope
    if known:
        breaches.append(Breach(check="DUPLICATE_CL_ORD_ID", scope=scope))
    if not request.replaces:
        if order is not None and order.approved:
            breaches.append(Breach(check="DUPLICATE_ORDER", scope=scope))
    elif order is None or order.closed:
        breaches.append(Breach(check="UNKNOWN_ORDER", scope=scope))
    elif (order.symbol, order.side) != (intent.symbol, intent.side) or (
        intent.locate_id is not None and order.locate is not None and intent.locate_id != order.locate
    ):
        breaches.append(Breach(check="CHANGED_TERMS", scope=scope))
    return breaches


def _look_alike(request: Request) -> Breaches:
    intent = request.intent
    if request.replaces or not request.part.recent:
        return ()
    ages = [
        max(0, intent.occurred_at - recent.at)
        for recent in request.part.recent
        if (recent.side, recent.quantity, recent.price) == (intent.side, intent.quantity, intent.limit_price)
    ]
    for limit, severity in zip(request.limits.level("duplicate_window_ms"), SEVERITIES, strict=True):
        if ages and limit is not None and min(ages) < limit.value * _MILLI:
            breach = Breach(
                check="LOOK_ALIKE_ORDER",
                scope=limit.scope,
                limit=float(limit.value),
                attempted=shown(min(ages), _MILLI),
                severity=severity.value,
            )
            return [breach]
    return ()


def _parent(request: Request) -> Breaches:
    parent, intent = request.parent, request.intent
    if parent is None:
        return ()
    scope = request.account_scope
    differs = (parent.symbol, parent.side) != (intent.symbol, intent.side)
    terms = [Breach(check="PARENT_TERMS", scope=scope)] if differs else []
    attempted = parent.children + request.added_quantity
    level = Level(Limit(parent.open_quantity, scope))
    return [*terms, *over("PARENT_QUANTITY", level, attempted, current=parent.children)]


CHECKS: Final[tuple[Check, ...]] = (
    _limits_missing,
    _limits_stale,
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
