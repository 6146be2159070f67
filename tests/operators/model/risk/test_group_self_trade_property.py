"""Whatever a group asks for and however late it hears: no two orders that would trade both work without an action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.model.events import EventType, RiskOutcome

MODES = ("CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "DECREMENT", "WARN")
QUANTITY_MAX = 60

QUANTITY = st.sampled_from([5, 10, 10, 10, QUANTITY_MAX + 10])
PRICE = st.integers(99, 101)
NEW_ORDER = st.tuples(
    st.just("submit"), st.sampled_from("AB"), st.integers(1, 2), st.sampled_from(["BUY", "SELL"]), QUANTITY,
    st.one_of(PRICE, PRICE, PRICE, st.none()),
)  # fmt: skip
REPLACE = st.tuples(st.just("replace"), st.integers(0, 2), QUANTITY, PRICE)
TOLD = st.tuples(st.just("tell"), st.integers(0, 2), st.sampled_from(["ack", "fill", "end", "ask", "ask", "yes", "no"]))
RELEASE = st.tuples(st.just("release"), st.integers(0, 2))
STEPS = st.lists(st.one_of(NEW_ORDER, NEW_ORDER, REPLACE, REPLACE, TOLD, TOLD, RELEASE), min_size=10, max_size=40)


@dataclass
class Working:
    """An order as its venue has it: terms in force, and approved replaces that it has not answered, oldest first."""

    key: str
    side: str
    terms: tuple[int, int]
    asked: list[tuple[int, int]] = field(default_factory=list)
    filled: int = 0
    pending: bool = False

    def would_trade(self, side: str, price: int | None) -> bool:
        sign = 1 if side == "BUY" else -1
        opposite = self.side != side
        return opposite and any(price is None or sign * (price - own) >= 0 for _, own in (self.terms, *self.asked))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(MODES), steps=STEPS)
def test_two_orders_that_would_trade_never_both_work_without_an_action(
    world: Callable[..., Any], mode: str, steps: list[tuple[Any, ...]]
) -> None:
    group = world(mode, max_order_quantity=QUANTITY_MAX)
    working: dict[str, Working] = {}
    for step in steps:
        match step:
            case "submit", account, number, side, quantity, price:
                key = f"{account}|{number}"
                outcome = group.submit(key, side, quantity, price)
                approved = approve(mode, outcome, working, side, price)
                if approved is not None and price is not None:
                    working[key] = Working(key, side, (approved, price))
            case "replace", index, quantity, price:
                order = pick(working, index)
                if order is not None:
                    outcome = group.replace(order.key, order.side, quantity, price)
                    approved = approve(mode, outcome, working, order.side, price)
                    if approved is not None:
                        order.asked.append((approved, price))
            case "tell", index, what:
                order = pick(working, index)
                if order is not None:
                    tell(group, order, what, working)
            case "release", index:
                if group.releases:
                    group.release(index % len(group.releases))


def approve(mode: str, outcome: RiskOutcome, working: dict[str, Working], side: str, price: int | None) -> int | None:
    """What is approved of a request, after holding it against every order at work; None if nothing is."""
    if outcome.event_type != EventType.RISK_APPROVED:
        return None
    acted_on = {action.key for action in outcome.actions}
    meets = {order.key for order in working.values() if order.would_trade(side, price)}
    if mode == "WARN":
        assert not meets or "SELF_TRADE" in [breach.check for breach in outcome.breaches]
    else:
        assert meets <= acted_on, f"{outcome.key} at {price} is approved beside {meets - acted_on}"
    return outcome.intent.quantity if outcome.approved_quantity is None else outcome.approved_quantity


def tell(group: Any, order: Working, what: str, working: dict[str, Working]) -> None:
    """Something happens to an order at its venue, and its status says so."""
    code = "PENDING_REPLACE" if order.pending else "NEW"
    if what == "ask" and order.asked:
        order.pending, code = True, "PENDING_REPLACE"
    elif what == "yes" and order.pending:
        order.terms, order.pending, code = order.asked.pop(0), False, "REPLACED"
    elif what == "no" and order.pending:
        order.asked.pop(0)
        order.pending, code = False, "NEW"
    elif what == "fill" and order.filled < order.terms[0] - 1:
        order.filled += 1
    elif what == "end":
        code = "CANCELED"
    if order.terms[0] <= order.filled:
        code = "FILLED"
    if code in ("CANCELED", "FILLED"):
        del working[order.key]
    group.tell(group.status(code, order.key, order.side, order.terms[0], order.terms[1], filled=order.filled))


def pick(working: dict[str, Working], index: int) -> Working | None:
    return list(working.values())[index % len(working)] if working else None
