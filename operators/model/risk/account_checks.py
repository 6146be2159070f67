"""The checks of pre-trade risk that look at what the account has done, has open, and holds.

| check | applies to | breached when | unless |
|---|---|---|---|
| MESSAGE_RATE | new, replace | more in the rolling window than allowed, counted as the scope says: of the account, \
or of it in the symbol or by the session | |
| EXECUTION_THROTTLE | new, replace | more executions than allowed in the window have latched the scope, until a \
person re-arms it; WARN from the level that warns | |
| MAX_WORKING_ORDERS | new | more orders open than allowed, of the account or of it in the symbol | |
| ORDER_TO_TRADE | new, replace | more requests on the UTC day per execution than allowed | fewer than \
`orderToTradeFrom` requests |
| MAX_LONG, MAX_SHORT | buys; sells | position with all open orders of the side executed beyond the limit | |
| MAX_EXPOSURE | new, replace | gross: reserved + cost of positions, buys and sells both positive | it only reduces |
| MAX_NET_LONG, MAX_NET_SHORT | buys; sells | cost of long minus short positions, open orders of the side \
executed | it only reduces |
| MAX_CREDIT | buys | reserved by buys + paid for purchases − received for sales | it only reduces |
| MAX_DAILY_NOTIONAL | new, replace | executed on the UTC day, both sides positive, + reserved | it only reduces |
| MAX_DAILY_LOSS | new, replace | lost on the UTC day, realised and unrealised | it only reduces |

"It only reduces" as in `checks`. An order of a parent that risk knows adds nothing: the parent has counted it.
Sources: RTS 6 (EU 2017/589) article 15(1) to (4); NYSE Rule 7.19 (gross credit); FIX RiskLimitType(1530).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from operators.model.events import Breach
from operators.model.risk.limits import SEVERITIES
from operators.model.risk.limits_in_force import Level
from operators.model.risk.request import Breaches, Request, exceeds, over, over_money
from operators.model.risk.state import NEVER
from operators.model.risk.times import times_part, within


def _rate(request: Request) -> Breaches:
    intent, breaches = request.intent, list[Breach]()
    for counted in request.limits.rates:
        part = times_part("messages", counted.over, symbol=intent.symbol, session=intent.session)
        times = request.book.times(part)
        for count in counted.counts:
            recent = within(times, intent.occurred_at, count)
            breaches += over("MESSAGE_RATE", count.level, recent + 1, current=recent)
    return breaches


def _throttle(request: Request) -> Breaches:
    intent, breaches = request.intent, list[Breach]()
    for counted in request.limits.executions:
        latched_at = request.account.latched_at if counted.over == "account" else request.part.latched_at
        since = request.limits.rearmed_at.get(counted.over, NEVER)
        times = request.book.times(times_part("executions", counted.over, symbol=intent.symbol))
        for count in counted.counts:
            recent = within(times, intent.occurred_at, count, since)
            hard, warn = count.level
            if latched_at > since and hard is not None:
                value = float(hard.value)
                breaches.append(
                    Breach(check="EXECUTION_THROTTLE", scope=hard.scope, limit=value, current=float(recent))
                )
            else:
                breaches += over("EXECUTION_THROTTLE", Level(None, warn), recent, current=recent)
    return breaches


def _working(request: Request) -> Breaches:
    if request.replaces or not request.own_reservation:
        return ()
    breaches = list[Breach]()
    for count in request.limits.working:
        working = request.account.working if count.over == "account" else request.part.working
        breaches += over("MAX_WORKING_ORDERS", count.level, working + 1, current=working)
    return breaches


def _order_to_trade(request: Request) -> Breaches:
    account, level = request.account, request.limits.level("max_order_to_trade")
    requests, executions = account.requests + 1, max(1, account.executions)
    if requests <= request.limits.order_to_trade_from:
        return ()
    for limit, severity in zip(level, SEVERITIES, strict=True):
        if limit and requests > limit.value * executions:
            breach = Breach(
                check="ORDER_TO_TRADE",
                scope=limit.scope,
                limit=float(limit.value),
                current=account.requests / executions,
                attempted=requests / executions,
                severity=severity.value,
            )
            return [breach]
    return ()


def _position(request: Request) -> Breaches:
    part, sign = request.part, request.sign
    if not request.own_reservation or sign == 0 or request.added_quantity <= 0:
        return ()
    current = part.quantity + part.buying if sign > 0 else part.selling - part.quantity
    check, field = ("MAX_LONG", "max_long") if sign > 0 else ("MAX_SHORT", "max_short")
    return over(check, request.limits.level(field), current + request.added_quantity, current=current)


def _exposure(request: Request) -> Breaches:
    account = request.account
    return _unless_it_reduces(request, "MAX_EXPOSURE", "max_exposure", account.reserved + account.open_notional)


def _net(request: Request) -> Breaches:
    account, sign = request.account, request.sign
    if sign == 0:
        return ()
    reserved = account.reserved_buys if sign > 0 else account.reserved_sells
    check, field = ("MAX_NET_LONG", "max_net_long") if sign > 0 else ("MAX_NET_SHORT", "max_net_short")
    return _unless_it_reduces(request, check, field, sign * account.net_notional + reserved)


def _credit(request: Request) -> Breaches:
    account = request.account
    if request.sign <= 0:
        return ()
    return _unless_it_reduces(request, "MAX_CREDIT", "max_credit", account.reserved_buys - account.cash)


def _daily_notional(request: Request) -> Breaches:
    account = request.account
    return _unless_it_reduces(request, "MAX_DAILY_NOTIONAL", "max_daily_notional", account.traded + account.reserved)


def _daily_loss(request: Request) -> Breaches:
    lost, level = -request.account.day_result, request.limits.level("max_daily_loss")
    if not exceeds(level, lost) or request.only_reduces():
        return ()
    return over_money("MAX_DAILY_LOSS", level, lost, current=lost)


def _unless_it_reduces(request: Request, check: str, field: str, current: int) -> Breaches:
    """The breach of a limit by an amount of the account with what the request adds to it, unless it only reduces."""
    level, attempted = request.limits.level(field), current + request.added
    if not exceeds(level, attempted) or not request.own_reservation or request.only_reduces():
        return ()
    return over_money(check, level, attempted, current=current)


ACCOUNT_CHECKS: Final[tuple[Callable[[Request], Breaches], ...]] = (
    _rate,
    _throttle,
    _working,
    _order_to_trade,
    _position,
    _exposure,
    _net,
    _credit,
    _daily_notional,
    _daily_loss,
)
"""In the order in which breaches are reported."""
