"""Short sales: how a sale must be marked, the locate it needs, and the price it may have.

| check | applies to | breached when |
|---|---|---|
| SHORT_SALE_MARKING | SELL | more than the long position minus what other open sales may execute |
| LOCATE_MISSING | SELL_SHORT, SELL_SHORT_EXEMPT | no locate id, and the symbol is not easy to borrow |
| LOCATE_UNKNOWN | the same | there is no locate of this id for the account and symbol |
| LOCATE_EXPIRED | the same | not valid on this UTC day |
| LOCATE_EXHAUSTED | the same | with what its orders executed and may still execute, more than was located |
| SHORT_SALE_PRICE | SELL_SHORT while the circuit breaker is on | no limit price above the bid; no bid, or an old one |

Marking and locates are looked at where a control says so, as HARD or WARN. What an order did not execute goes back to
its locate when it ends. Sources: Regulation SHO (17 CFR 242) 200(g) marking, 203(b)(1) locate, 201(b) price test.
"""

from __future__ import annotations

from msgspec.structs import replace

from operators.model.events import Breach, Side
from operators.model.risk.limits import is_valid_on
from operators.model.risk.limits_in_force import Level, Limit
from operators.model.risk.request import SHORT_SIDES, Breaches, Request, over, shown

_MILLI = 1_000


def short_sale(request: Request) -> Breaches:
    """Every breach of a sale."""
    if request.sign >= 0:
        return ()
    return [*_marking(request), *_locate(request), *_price(request)]


def _marking(request: Request) -> Breaches:
    rule = request.limits.short_sale_marking
    if rule is None or request.intent.side != Side.SELL or not request.own_reservation:
        return ()
    severity, scope = rule
    part, added = request.part, request.added_quantity
    attempted = part.selling + added
    if added <= 0 or attempted <= part.quantity:
        return ()
    breach = Breach(
        check="SHORT_SALE_MARKING",
        scope=scope,
        limit=float(max(0, part.quantity)),
        current=float(part.selling),
        attempted=float(attempted),
        severity=severity.value,
    )
    return [breach]


def _locate(request: Request) -> Breaches:
    rule, intent, symbol = request.limits.locate, request.intent, request.symbol
    if rule is None or intent.side not in SHORT_SIDES or (symbol is not None and symbol.easy_to_borrow):
        return ()
    severity, scope = rule
    order, locate = request.order, request.locate
    if not (intent.locate_id or (order and order.locate)):
        check = "LOCATE_MISSING"
    elif locate is None or (locate.account_id, locate.symbol) != (intent.account_id, intent.symbol):
        check = "LOCATE_UNKNOWN"
    elif not is_valid_on(request.day, locate.valid_from, locate.valid_until):
        check = "LOCATE_EXPIRED"
    else:
        used, level = request.book.located(locate.key), Level(Limit(locate.quantity, scope))
        exhausted = over("LOCATE_EXHAUSTED", level, used + request.added_quantity, current=used)
        return [replace(breach, severity=severity.value) for breach in exhausted]
    return [Breach(check=check, scope=scope, severity=severity.value)]


def _price(request: Request) -> Breaches:
    intent, symbol = request.intent, request.symbol
    if symbol is None or symbol.short_restricted_until is None or intent.side != Side.SELL_SHORT:
        return ()
    if intent.occurred_at >= symbol.short_restricted_until:
        return ()
    bid_at = symbol.occurred_at if symbol.bid_at is None else symbol.bid_at
    age = request.limits.level("reference_age_max_ms").hard
    is_old = age is not None and intent.occurred_at - bid_at > age.value * _MILLI
    bid = None if is_old else symbol.bid_price
    if bid is not None and intent.limit_price is not None and intent.limit_price > bid:
        return ()
    breach = Breach(
        check="SHORT_SALE_PRICE",
        scope=request.symbol_scope,
        limit=None if bid is None else shown(bid),
        attempted=None if intent.limit_price is None else shown(intent.limit_price),
    )
    return [breach]
