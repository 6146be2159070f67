"""The checks of pre-trade risk, all evaluated for every request, every breach reported.

| check | applies to | breached when |
|---|---|---|
| LIMITS_MISSING | new, replace | no scope gives the limit named after the scope |
| UNKNOWN_SYMBOL | new, replace | there is no reference record of the symbol |
| INVALID_SIDE, INVALID_ORDER_TYPE | new, replace | a word we do not know |
| INVALID_QUANTITY, LOT_SIZE | new, replace | not above zero; not a multiple of the lot |
| INVALID_PRICE, TICK_SIZE | new, replace | a price the type needs is not above zero; not a multiple of the tick |
| TRADING_HALTED | new, replace | a scope is HALTED |
| TRADING_REDUCING | new, replace | a scope is REDUCING and the request does not only lower a position |
| MAX_ORDER_QUANTITY | new, replace | quantity above the limit |
| MAX_ORDER_NOTIONAL | new, replace | quantity × price above the limit |
| REFERENCE_MISSING, REFERENCE_STALE | MARKET, LIMIT | none, or older than allowed |
| PRICE_COLLAR | LIMIT, STOP_LIMIT | a buy above, a sell below the reference or stop price by more than the collar |
| DUPLICATE_CL_ORD_ID | new, replace | the account used this ClOrdID among its last 512 |
| DUPLICATE_ORDER | new | the order was approved before |
| UNKNOWN_ORDER, CHANGED_TERMS | replace | no such order is open; another symbol or side |
| MESSAGE_RATE | new, replace | more requests of the account in the rolling window than allowed |
| MAX_EXPOSURE | new, replace | reserved + cost of open positions above the limit, unless it only lowers a position |

Cancels pass: nothing may keep an order from being withdrawn. A MARKET order is valued at the reference price, a STOP at
its stop price. A request only lowers a position if, with all that is open on its side, it cannot exceed it.
In a breach, amounts and prices are in the currency, quantities in units, ages and windows in milliseconds.

Sources: SEC rule 15c3-5(c)(1); EU 2017/589 (RTS 6) articles 12 and 15; FIX OrdType(40), Side(54).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

from operators.model.events import Breach, EventType, OrderIntent, Side
from operators.model.exposure import AccountRisk, OrderRisk, Terms
from operators.model.limits import FIRM, Limits, SymbolReference, TradingState, account_scope, symbol_scope
from operators.model.money import MICROS
from operators.model.positions import side_sign

DIGEST_BYTES: Final = 8
CL_ORD_IDS_KEPT: Final = 512
_BPS: Final = 10_000

_SIDES: Final = frozenset(side.value for side in Side)
_NEEDS_LIMIT: Final = frozenset({"LIMIT", "STOP_LIMIT"})
_NEEDS_STOP: Final = frozenset({"STOP", "STOP_LIMIT"})
_ORDER_TYPES: Final = frozenset({"MARKET"}) | _NEEDS_LIMIT | _NEEDS_STOP


class Request(NamedTuple):
    """A new or replace request with all that the checks look at. `order` is the order as known before."""

    intent: OrderIntent
    limits: Limits
    symbol: SymbolReference | None
    account: AccountRisk
    order: OrderRisk | None

    @property
    def replaces(self) -> bool:
        """Whether it changes an order."""
        return self.intent.event_type == EventType.REPLACE_REQUESTED

    @property
    def price(self) -> int | None:
        """What a unit is valued at: limit price, stop price or reference by type; None if that is not there."""
        intent = self.intent
        if intent.order_type in _NEEDS_LIMIT:
            return intent.limit_price
        if intent.order_type in _NEEDS_STOP:
            return intent.stop_price
        return self.symbol.reference_price if self.symbol else None

    def reservation(self) -> tuple[int, int]:
        """What the account has reserved now, and what it would have with this request."""
        now = self.account.reserved
        terms = Terms(self.intent.quantity, self.price or 0)
        if not self.replaces or self.order is None:
            return now, now + terms.quantity * terms.price
        wanted = max(0, terms.quantity - self.order.filled) * terms.price
        return now, now + max(0, wanted - self.order.reserved)

    def only_reduces(self) -> bool:
        """Whether it can only lower the position, with everything else open on its side executed too."""
        intent, account = self.intent, self.account
        if intent.side not in _SIDES:
            return False
        sign = side_sign(intent.side)
        held = account.quantity_of(intent.symbol)
        if held * sign >= 0:
            return False
        others = sum(
            order.open_quantity
            for order_id, order in account.orders.items()
            if order_id != intent.order_id and order.symbol == intent.symbol and side_sign(order.side) == sign
        )
        filled = self.order.filled if self.replaces and self.order else 0
        return others + intent.quantity - filled <= abs(held)


Check = Callable[[Request], Iterator[Breach]]


def breaches_of(request: Request) -> list[Breach]:
    """Every breach of every check."""
    return [breach for check in CHECKS for breach in check(request)]


def digest_of(cl_ord_id: str) -> bytes:
    """What is kept of a ClOrdID: 8 bytes, so that two different ones are taken for one once in 10^19 times."""
    return blake2b(cl_ord_id.encode(), digest_size=DIGEST_BYTES).digest()


def _limits_missing(request: Request) -> Iterator[Breach]:
    limits = request.limits
    required = {
        "MAX_ORDER_QUANTITY": limits.quantity,
        "MAX_ORDER_NOTIONAL": limits.notional,
        "PRICE_COLLAR": limits.collar_bps,
        "REFERENCE_AGE": limits.reference_age_ms,
        "MESSAGE_RATE": limits.rates or None,
        "MAX_EXPOSURE": limits.exposure,
    }
    for name, limit in required.items():
        if limit is None:
            yield Breach(check="LIMITS_MISSING", scope=f"{FIRM}/{name}")


def _words(request: Request) -> Iterator[Breach]:
    intent = request.intent
    scope = symbol_scope(intent.symbol)
    if request.symbol is None:
        yield Breach(check="UNKNOWN_SYMBOL", scope=scope)
    if intent.side not in _SIDES:
        yield Breach(check="INVALID_SIDE", scope=scope)
    if intent.order_type not in _ORDER_TYPES:
        yield Breach(check="INVALID_ORDER_TYPE", scope=scope)


def _quantity(request: Request) -> Iterator[Breach]:
    quantity, symbol, limit = request.intent.quantity, request.symbol, request.limits.quantity
    scope = symbol_scope(request.intent.symbol)
    if quantity <= 0:
        yield Breach(check="INVALID_QUANTITY", scope=scope, limit=1.0, attempted=float(quantity))
    if symbol and (symbol.lot <= 0 or quantity % symbol.lot):
        yield Breach(check="LOT_SIZE", scope=scope, limit=float(symbol.lot), attempted=float(quantity))
    if limit and quantity > limit.value:
        yield Breach(check="MAX_ORDER_QUANTITY", scope=limit.scope, limit=float(limit.value), attempted=float(quantity))


def _prices(request: Request) -> Iterator[Breach]:
    intent, symbol = request.intent, request.symbol
    scope = symbol_scope(intent.symbol)
    for needed_by, price in ((_NEEDS_LIMIT, intent.limit_price), (_NEEDS_STOP, intent.stop_price)):
        if intent.order_type not in needed_by:
            continue
        if price is None or price <= 0:
            yield Breach(check="INVALID_PRICE", scope=scope, attempted=None if price is None else _currency(price))
        elif symbol and (symbol.tick <= 0 or price % symbol.tick):
            yield Breach(check="TICK_SIZE", scope=scope, limit=_currency(symbol.tick), attempted=_currency(price))


def _trading_state(request: Request) -> Iterator[Breach]:
    for state, scope in request.limits.states:
        if state is TradingState.HALTED:
            yield Breach(check="TRADING_HALTED", scope=scope)
        elif state is TradingState.REDUCING and not request.only_reduces():
            yield Breach(check="TRADING_REDUCING", scope=scope)


def _notional(request: Request) -> Iterator[Breach]:
    limit, price = request.limits.notional, request.price
    if limit and price is not None:
        notional = request.intent.quantity * price
        if notional > limit.value:
            yield _money_breach("MAX_ORDER_NOTIONAL", limit.scope, limit=limit.value, attempted=notional)


def _reference(request: Request) -> Iterator[Breach]:
    intent, symbol, age_max = request.intent, request.symbol, request.limits.reference_age_ms
    if symbol is None or intent.order_type in _NEEDS_STOP:
        return
    scope = symbol_scope(intent.symbol)
    if symbol.reference_price is None or symbol.reference_price <= 0:
        yield Breach(check="REFERENCE_MISSING", scope=scope)
    elif age_max:
        age_ms = (intent.occurred_at - symbol.price_at) / 1000
        if age_ms > age_max.value:
            yield Breach(check="REFERENCE_STALE", scope=age_max.scope, limit=float(age_max.value), attempted=age_ms)


def _collar(request: Request) -> Iterator[Breach]:
    intent, collar = request.intent, request.limits.collar_bps
    reference = intent.stop_price if intent.order_type == "STOP_LIMIT" else None
    if intent.order_type == "LIMIT" and request.symbol:
        reference = request.symbol.reference_price
    if collar is None or reference is None or intent.limit_price is None or intent.side not in _SIDES:
        return
    sign = side_sign(intent.side)
    if sign * (intent.limit_price - reference) * _BPS > collar.value * reference:
        bound = reference * (_BPS + sign * collar.value) // _BPS
        yield Breach(
            check="PRICE_COLLAR",
            scope=collar.scope,
            limit=_currency(bound),
            current=_currency(reference),
            attempted=_currency(intent.limit_price),
        )


def _identity(request: Request) -> Iterator[Breach]:
    intent, order = request.intent, request.order
    scope = account_scope(intent.account_id)
    if _is_recent(request.account.recent_ids, digest_of(intent.cl_ord_id)):
        yield Breach(check="DUPLICATE_CL_ORD_ID", scope=scope)
    if not request.replaces:
        if order is not None and order.approved:
            yield Breach(check="DUPLICATE_ORDER", scope=scope)
    elif order is None or order.closed:
        yield Breach(check="UNKNOWN_ORDER", scope=scope)
    elif (order.symbol, order.side) != (intent.symbol, intent.side):
        yield Breach(check="CHANGED_TERMS", scope=scope)


def _rate(request: Request) -> Iterator[Breach]:
    times = request.account.messages
    for rate in request.limits.rates:
        recent = len(times) - bisect_right(times, request.intent.occurred_at - rate.window_micros)
        if recent >= rate.messages:
            yield Breach(
                check="MESSAGE_RATE",
                scope=rate.scope,
                limit=float(rate.messages),
                current=float(recent),
                attempted=float(recent + 1),
            )


def _exposure(request: Request) -> Iterator[Breach]:
    limit, open_notional = request.limits.exposure, request.account.open_notional
    now, then = request.reservation()
    if limit and then + open_notional > limit.value and not request.only_reduces():
        yield _money_breach(
            "MAX_EXPOSURE",
            limit.scope,
            limit=limit.value,
            current=now + open_notional,
            attempted=then + open_notional,
        )


CHECKS: Final[tuple[Check, ...]] = (
    _limits_missing,
    _words,
    _quantity,
    _prices,
    _trading_state,
    _notional,
    _reference,
    _collar,
    _identity,
    _rate,
    _exposure,
)
"""In the order in which breaches are reported."""


def _is_recent(recent: bytes, digest: bytes) -> bool:
    at = recent.find(digest)
    while at >= 0 and at % DIGEST_BYTES:
        at = recent.find(digest, at + 1)
    return at >= 0


def _money_breach(check: str, scope: str, *, limit: int, attempted: int, current: int | None = None) -> Breach:
    return Breach(
        check=check,
        scope=scope,
        limit=_currency(limit),
        current=None if current is None else _currency(current),
        attempted=_currency(attempted),
    )


def _currency(micros: int) -> float:
    """An amount as the contract wants it in a breach: shown to people, never calculated with."""
    return micros / MICROS
