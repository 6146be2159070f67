"""Self-trade prevention: an order that would trade with a resting order of its own account or of its STP group.

Two orders would trade if they are on opposite sides and the new one is a MARKET order or its limit price reaches the
other's. Those at the best price, and there the oldest first known, are met first.

| mode | the request | the resting orders it would meet |
|---|---|---|
| CANCEL_NEWEST | rejected | stay |
| CANCEL_OLDEST | approved, with a warning | are to be canceled |
| CANCEL_BOTH | rejected | are to be canceled |
| DECREMENT | approved for what is left when what would trade is taken away; rejected if nothing is | \
are to be reduced or canceled by as much |
| WARN | approved, with a warning | stay |

The flow decides, the engine acts: what has to happen to other orders stands in the outcome's `actions`, and what was
approved of the request in `approvedQuantity`. They keep their reservation until a status says that they are gone. A
request that is rejected for another reason asks for no actions.

Orders of other accounts are looked at before the request reaches its own, in `group_self_trade`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from operators.model.events import Breach, OrderIntent, RiskAction, order_key
from operators.model.risk.limits import SelfTrade, Severity
from operators.model.risk.request import Request, shown

SELF_TRADE = "SELF_TRADE"


class SelfTradeDecision(NamedTuple):
    """Breaches, what the engine is to do to resting orders, and how much of the request may go on (None: all)."""

    breaches: Sequence[Breach] = ()
    actions: Sequence[RiskAction] = ()
    approved_quantity: int | None = None

    def beside(self, rejected: bool) -> SelfTradeDecision:
        """The same, for a request that other checks have rejected or not."""
        return SelfTradeDecision(self.breaches) if rejected else self


class Met(NamedTuple):
    """A resting order that a request would trade with: its key, its price, the most that may be open of it."""

    key: str
    price: int
    quantity: int


class Reach(NamedTuple):
    """The worst price at which a request trades; None is any."""

    limit: int | None


def self_trade(request: Request, *, rejected: bool) -> SelfTradeDecision:
    """What self-trade prevention makes of a request that other checks have rejected or not."""
    rule = request.limits.self_trade
    if rule is None:
        return SelfTradeDecision()
    filled = request.changed.filled if request.changed else 0
    return prevented(request.intent, _met(request), rule, filled=filled).beside(rejected)


def prevented(
    intent: OrderIntent, met: Sequence[Met], rule: tuple[SelfTrade, str], *, filled: int
) -> SelfTradeDecision:
    """What a mode and the scope it comes from make of a request that would trade with these, in this order.

    `filled` is what the order already has of the quantity that a replace asks for.
    """
    if not met:
        return SelfTradeDecision()
    mode, scope = rule
    left: int | None = None
    rejects = mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH)
    takes: list[tuple[Met, int]] = []
    if mode is SelfTrade.DECREMENT:
        open_quantity = max(0, intent.quantity - filled)
        for each in met:
            taken = min(each.quantity, open_quantity)
            open_quantity -= taken
            takes.append((each, taken))
        rejects = open_quantity == 0
        left = None if rejects else filled + open_quantity
    elif mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
        takes = [(each, each.quantity) for each in met]
    breach = _breach(intent, met[0].price, scope, Severity.HARD if rejects else Severity.WARN)
    return SelfTradeDecision([breach], [_action(*take) for take in takes if take[1] > 0], left)


def reach_of(intent: OrderIntent) -> Reach | None:
    """How far a request reaches into the other side; None if it does not trade when it comes, as a stop order."""
    if intent.order_type == "MARKET":
        return Reach(None)
    if intent.order_type == "LIMIT" and intent.limit_price is not None:
        return Reach(intent.limit_price)
    return None


def _met(request: Request) -> list[Met]:
    """Resting orders of the account that the request would trade with, in the order in which it meets them."""
    intent, sign, reach = request.intent, request.sign, reach_of(request.intent)
    if sign == 0 or reach is None:
        return []
    opposite = [
        Met(order_key(intent.account_id, order_id), resting.price, resting.quantity)
        for order_id, resting in request.book.all_resting(intent.symbol).items()
        if resting.sign == -sign and (reach.limit is None or sign * (reach.limit - resting.price) >= 0)
    ]
    return sorted(opposite, key=lambda each: sign * each.price)


def _breach(intent: OrderIntent, price: int, scope: str, severity: Severity) -> Breach:
    limit = intent.limit_price
    return Breach(
        check=SELF_TRADE,
        scope=scope,
        limit=shown(price),
        attempted=None if limit is None else shown(limit),
        severity=severity.value,
    )


def _action(met: Met, taken: int) -> RiskAction:
    return RiskAction(
        action="CANCEL" if taken == met.quantity else "REDUCE", key=met.key, quantity=taken, reason=SELF_TRADE
    )
