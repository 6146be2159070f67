"""Self-trade prevention: an order that would trade with a resting order of its own account.

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
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from operators.model.events import Breach, RiskAction, order_key
from operators.model.risk.limits import SelfTrade, Severity
from operators.model.risk.request import Request, shown
from operators.model.risk.state import Resting

SELF_TRADE = "SELF_TRADE"


class SelfTradeDecision(NamedTuple):
    """Breaches, what the engine is to do to resting orders, and how much of the request may go on (None: all)."""

    breaches: Sequence[Breach] = ()
    actions: Sequence[RiskAction] = ()
    approved_quantity: int | None = None


def self_trade(request: Request, *, rejected: bool) -> SelfTradeDecision:
    """What self-trade prevention makes of a request that other checks have rejected or not."""
    rule = request.limits.self_trade
    met = _met(request) if rule else []
    if rule is None or not met:
        return SelfTradeDecision()
    mode, scope = rule
    rejects = mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH)
    left = request.intent.quantity
    takes: list[tuple[str, Resting, int]] = []
    if mode is SelfTrade.DECREMENT:
        filled = request.changed.filled if request.changed else 0
        open_quantity = max(0, left - filled)
        for order_id, resting in met:
            taken = min(resting.quantity, open_quantity)
            open_quantity -= taken
            takes.append((order_id, resting, taken))
        left = filled + open_quantity
        rejects = open_quantity == 0
    elif mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
        takes = [(order_id, resting, resting.quantity) for order_id, resting in met]
    breach = _breach(request, met[0][1].price, scope, Severity.HARD if rejects else Severity.WARN)
    if rejected:
        return SelfTradeDecision([breach])
    actions = [_action(request, *taken) for taken in takes if taken[2] > 0]
    reduced = mode is SelfTrade.DECREMENT and not rejects
    return SelfTradeDecision([breach], actions, left if reduced else None)


def _met(request: Request) -> list[tuple[str, Resting]]:
    """Resting orders that the request would trade with, in the order in which it meets them."""
    intent, sign = request.intent, request.sign
    if sign == 0 or intent.order_type not in ("LIMIT", "MARKET"):
        return []
    limit = intent.limit_price if intent.order_type == "LIMIT" else None
    if intent.order_type == "LIMIT" and limit is None:
        return []
    opposite = [
        (order_id, resting)
        for order_id, resting in request.book.all_resting(intent.symbol).items()
        if resting.sign == -sign and (limit is None or sign * (limit - resting.price) >= 0)
    ]
    return sorted(opposite, key=lambda each: sign * each[1].price)


def _breach(request: Request, price: int, scope: str, severity: Severity) -> Breach:
    limit = request.intent.limit_price
    return Breach(
        check=SELF_TRADE,
        scope=scope,
        limit=shown(price),
        attempted=None if limit is None else shown(limit),
        severity=severity.value,
    )


def _action(request: Request, order_id: str, resting: Resting, taken: int) -> RiskAction:
    return RiskAction(
        action="CANCEL" if taken == resting.quantity else "REDUCE",
        key=order_key(request.intent.account_id, order_id),
        quantity=taken,
        reason=SELF_TRADE,
    )
