"""The decision of pre-trade risk on one request, and the account's state after it.

The state's key is the account, so that limits of an account see all of its orders. The checks are in `risk_checks`,
what is reserved and released in `exposure`, limits and their scopes in `limits`.

| request | decided by | then |
|---|---|---|
| ORDER_SUBMITTED | every check | approved: the order's notional is reserved |
| REPLACE_REQUESTED | every check | approved: an increase is reserved at once, a decrease released when confirmed |
| CANCEL_REQUESTED | nothing: always approved | nothing is released before the cancel is confirmed |

Outcomes of an order are numbered from 1 without gaps while the order is open and among the last closed ones.
State of an account is never dropped: even a flat account has ClOrdIDs that must not be used again.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.events import Breach, EventType, OrderIntent, RiskOutcome, order_key
from operators.model.exposure import AccountRisk, OrderRisk, StatusApplied, Terms, on_status, with_order
from operators.model.limits import Limits, RiskControl, SymbolReference, limits_of
from operators.model.risk_checks import CL_ORD_IDS_KEPT, DIGEST_BYTES, Request, breaches_of, digest_of

__all__ = ["AccountRisk", "Decision", "StatusApplied", "on_intent", "on_status"]

_REQUESTS: Final = frozenset({EventType.ORDER_SUBMITTED, EventType.REPLACE_REQUESTED, EventType.CANCEL_REQUESTED})


class Decision(NamedTuple):
    """The account after a request, and what to answer."""

    state: AccountRisk
    outcome: RiskOutcome


def on_intent(
    state: AccountRisk | None,
    intent: OrderIntent,
    *,
    controls: Mapping[str, RiskControl],
    symbols: Mapping[str, SymbolReference],
    source: str = "risk-check",
) -> Decision:
    """Decides on one request, at the request's own time.

    `InvalidRecordError` for what cannot be decided at all: an event that is no request, or a key that is not the
    account and order it names.
    """
    if intent.event_type not in _REQUESTS or intent.key != order_key(intent.account_id, intent.order_id):
        raise InvalidRecordError(f"{intent.event_type} of {intent.account_id}, {intent.order_id} under {intent.key!r}")
    account = state or AccountRisk()
    limits = limits_of(controls, account_id=intent.account_id, symbol=intent.symbol)
    order = account.orders.get(intent.order_id)
    if intent.event_type == EventType.CANCEL_REQUESTED:
        breaches: list[Breach] = []
        after = order or _no_order(intent)
    else:
        request = Request(intent, limits, symbols.get(intent.symbol), account, order)
        breaches = breaches_of(request)
        after = order or _no_order(intent) if breaches else _approved(request)
        account = replace(account, messages=_messages(account.messages, intent.occurred_at, limits, breaches))
    after = replace(after, outcomes=after.outcomes + 1)
    account = replace(account, recent_ids=_recent_ids(account.recent_ids, intent.cl_ord_id))
    return Decision(with_order(account, intent.order_id, after), _outcome(intent, breaches, limits, after, source))


def _no_order(intent: OrderIntent) -> OrderRisk:
    """What is kept of an order that nobody approved: the number of its outcomes."""
    return OrderRisk(symbol=intent.symbol, side=intent.side, terms=Terms(0, 0), closed=True)


def _approved(request: Request) -> OrderRisk:
    """The order with the approved terms: in force for a new one, pending for a replace."""
    intent, price = request.intent, request.price
    assert price is not None, "a request that cannot be valued has a breach"
    terms = Terms(intent.quantity, price)
    if request.replaces:
        assert request.order is not None, "a replace of an unknown order has a breach"
        return replace(request.order, pending=(*request.order.pending, terms))
    outcomes = request.order.outcomes if request.order else 0
    return OrderRisk(symbol=intent.symbol, side=intent.side, terms=terms, leaves=intent.quantity, outcomes=outcomes)


def _messages(times: Sequence[int], at: int, limits: Limits, breaches: Sequence[Breach]) -> tuple[int, ...]:
    """The times of requests that later ones are counted with.

    A request over the rate does not count, or a client that goes on asking would never be served again. At most as many
    as the limit allows are kept, the latest; one from the future counts until its time has passed.
    """
    if not limits.rates or any(breach.check == "MESSAGE_RATE" for breach in breaches):
        return tuple(times)
    oldest = at - max(rate.window_micros for rate in limits.rates)
    kept = [time for time in times if time > oldest]
    insort(kept, at)
    return tuple(kept[-max(rate.messages for rate in limits.rates) :])


def _recent_ids(recent: bytes, cl_ord_id: str) -> bytes:
    return (recent + digest_of(cl_ord_id))[-CL_ORD_IDS_KEPT * DIGEST_BYTES :]


def _outcome(intent: OrderIntent, breaches: list[Breach], limits: Limits, order: OrderRisk, source: str) -> RiskOutcome:
    return RiskOutcome(
        event_type=EventType.RISK_REJECTED if breaches else EventType.RISK_APPROVED,
        occurred_at=intent.occurred_at,
        key=intent.key,
        sequence=order.outcomes,
        source=source,
        intent=intent,
        breaches=breaches,
        limits_version=limits.version,
    )
