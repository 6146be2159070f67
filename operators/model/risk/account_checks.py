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

from collections.abc import Callable, Iterator
from typing import Final

from operators.model.events import Breach
from operators.model.risk.limits import SEVERITIES
from operators.model.risk.limits_in_force import Level
from operators.model.risk.position import times_part, within
from operators.model.risk.request import Request, over, over_money
from operators.model.risk.state import NEVER


def _rate(request: Request) -> Iterator[Breach]:
    intent = request.intent
    for count in request.limits.rates:
        part = times_part("messages", count.over, symbol=intent.symbol, session=intent.session)
        recent = within(request.book.times(part), intent.occurred_at, count)
        yield from over("MESSAGE_RATE", count.level, recent + 1, current=recent)


def _throttle(request: Request) -> Iterator[Breach]:
    intent = request.intent
    for count in request.limits.executions:
        latched_at = request.account.latched_at if count.over == "account" else request.part.latched_at
        since = request.limits.rearmed_at.get(count.over, NEVER)
        part = times_part("executions", count.over, symbol=intent.symbol)
        recent = within(request.book.times(part), intent.occurred_at, count, since)
        if latched_at > since and count.level.hard is not None:
            limit = count.level.hard
            yield Breach(check="EXECUTION_THROTTLE", scope=limit.scope, limit=float(limit.value), current=float(recent))
        else:
            yield from over("EXECUTION_THROTTLE", Level(None, count.level.warn), recent, current=recent)


def _working(request: Request) -> Iterator[Breach]:
    if request.replaces or not request.own_reservation:
        return
    for count in request.limits.working:
        working = request.account.working if count.over == "account" else request.part.working
        yield from over("MAX_WORKING_ORDERS", count.level, working + 1, current=working)


def _order_to_trade(request: Request) -> Iterator[Breach]:
    account, level = request.account, request.limits.level("max_order_to_trade")
    requests, executions = account.requests + 1, max(1, account.executions)
    for limit, severity in zip(level, SEVERITIES, strict=True):
        if limit and requests > limit.value * executions and requests > request.limits.order_to_trade_from:
            yield Breach(
                check="ORDER_TO_TRADE",
                scope=limit.scope,
                limit=float(limit.value),
                current=account.requests / executions,
                attempted=requests / executions,
                severity=severity.value,
            )
            return


def _position(request: Request) -> Iterator[Breach]:
    part, sign = request.part, request.sign
    if not request.own_reservation or sign == 0:
        return
    current = part.quantity + part.buying if sign > 0 else part.selling - part.quantity
    check, field = ("MAX_LONG", "max_long") if sign > 0 else ("MAX_SHORT", "max_short")
    attempted = current + request.added_quantity
    if request.added_quantity > 0:
        yield from over(check, request.limits.level(field), attempted, current=current)


def _exposure(request: Request) -> Iterator[Breach]:
    account = request.account
    current = account.reserved + account.open_notional
    if request.own_reservation and not request.only_reduces():
        level = request.limits.level("max_exposure")
        yield from over_money("MAX_EXPOSURE", level, current + request.added, current=current)


def _net(request: Request) -> Iterator[Breach]:
    account, sign = request.account, request.sign
    if not request.own_reservation or sign == 0 or request.only_reduces():
        return
    reserved = account.reserved_buys if sign > 0 else account.reserved_sells
    current = sign * account.net_notional + reserved
    check, field = ("MAX_NET_LONG", "max_net_long") if sign > 0 else ("MAX_NET_SHORT", "max_net_short")
    yield from over_money(check, request.limits.level(field), current + request.added, current=current)


def _credit(request: Request) -> Iterator[Breach]:
    account = request.account
    if request.own_reservation and request.sign > 0 and not request.only_reduces():
        current = account.reserved_buys - account.cash
        level = request.limits.level("max_credit")
        yield from over_money("MAX_CREDIT", level, current + request.added, current=current)


def _daily(request: Request) -> Iterator[Breach]:
    account = request.account
    if request.only_reduces():
        return
    if request.own_reservation:
        current = account.traded + account.reserved
        level = request.limits.level("max_daily_notional")
        yield from over_money("MAX_DAILY_NOTIONAL", level, current + request.added, current=current)
    lost = -account.day_result
    yield from over_money("MAX_DAILY_LOSS", request.limits.level("max_daily_loss"), lost, current=lost)


ACCOUNT_CHECKS: Final[tuple[Callable[[Request], Iterator[Breach]], ...]] = (
    _rate,
    _throttle,
    _working,
    _order_to_trade,
    _position,
    _exposure,
    _net,
    _credit,
    _daily,
)
"""In the order in which breaches are reported."""
