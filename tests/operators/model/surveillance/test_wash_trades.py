"""Wash trades: accounts of one owner on both sides at one price."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.model.surveillance.alerts import OrderAlert
from operators.model.surveillance.wash_trades import (
    FILLS_KEPT,
    WashLimits,
    WashWatch,
    is_empty,
    next_due_ms,
    on_fill,
    on_time,
)
from operators.model.views.milestones import Milestone

LIMITS = WashLimits(window_ms=60_000, quiet_ms=600_000, grace_ms=30_000)
S = 1_000_000


def fill(at_s: float, account: str, side: str, price: int = 100, number: int = 0, **fields: Any) -> Milestone:
    values: dict[str, Any] = {"kind": "TRADED", "quantity": 10, "exec_id": f"E{number}"} | fields
    return Milestone(
        occurred_at=int(at_s * S), key=f"{account}|O{number}", symbol="MSFT", venue="XNAS", side=side, price=price,
        owner_id="OWN1", **values,
    )  # fmt: skip


class Owner:
    """The fills of one owner in one symbol, with the event time of the key group."""

    def __init__(self) -> None:
        self.state: WashWatch | None = None
        self.alerts: list[OrderAlert] = []
        self.time_ms = 0

    def take(self, milestone: Milestone) -> None:
        self.time_ms = max(self.time_ms, milestone.occurred_at // 1_000)
        judged = on_fill(self.state, milestone, limits=LIMITS, event_time_ms=self.time_ms, source="s")
        self.state = judged.state
        self.alerts += judged.alerts

    def pass_time(self, until_s: float, *, timers: bool = True) -> None:
        self.time_ms = max(self.time_ms, int(until_s * 1_000))
        if timers and self.state is not None and next_due_ms(self.state, LIMITS) <= self.time_ms:
            judged = on_time(self.state, limits=LIMITS, event_time_ms=self.time_ms)
            self.state = judged.state
            self.alerts += judged.alerts

    @property
    def told(self) -> list[tuple[str, float]]:
        return [(alert.state, alert.occurred_at / S) for alert in self.alerts]


def owner(*fills: Milestone, until_s: float = 0) -> Owner:
    found = Owner()
    for one in fills:
        found.take(one)
    found.pass_time(until_s)
    return found


def test_two_accounts_of_one_owner_on_both_sides_at_one_price_are_told_on_the_later_order() -> None:
    [alert] = owner(fill(1, "A1", "BUY"), fill(50, "A2", "SELL_SHORT", number=1, quantity=7)).alerts
    assert (alert.key, alert.order_keys, alert.symbol) == ("A2|O1", ["A1|O0", "A2|O1"], "MSFT")
    assert (alert.measured, alert.unit, alert.severity, alert.scope) == (7, "quantity", "CRITICAL", "ORDER")
    assert "A1 and A2 of owner OWN1" in alert.detail


def test_a_fill_that_arrives_late_matches_as_well_and_the_later_order_is_named() -> None:
    [alert] = owner(fill(50, "A2", "SELL", number=1), fill(1, "A1", "BUY")).alerts
    assert (alert.key, alert.occurred_at) == ("A2|O1", 50 * S)


@pytest.mark.parametrize(
    "other",
    [
        fill(2, "A1", "SELL", number=1),
        fill(2, "A2", "BUY", number=1),
        fill(2, "A2", "SELL", price=101, number=1),
        fill(61.000001, "A2", "SELL", number=1),
    ],
    ids=["same account", "same side", "another price", "too far apart"],
)
def test_what_is_no_match(other: Milestone) -> None:
    assert owner(fill(1, "A1", "BUY"), other).told == []


def test_a_busted_fill_matches_nothing() -> None:
    bust = fill(2, "A1", "BUY", kind="BUSTED", exec_id="B1", exec_ref_id="E0", quantity=-10)
    assert owner(fill(1, "A1", "BUY"), bust, fill(3, "A2", "SELL", number=1)).told == []


def correction(number: int, of: str, price: int, quantity: int = 0) -> Milestone:
    """A correction of a fill of A1, which changes its quantity by so much."""
    return fill(2, "A1", "BUY", price, 0, kind="CORRECTED", exec_id=f"K{number}", exec_ref_id=of, quantity=quantity)


def test_a_corrected_fill_matches_by_its_corrected_price_and_quantity() -> None:
    sale = fill(3, "A2", "SELL", number=1)
    [alert] = owner(fill(1, "A1", "BUY", price=101), correction(1, "E0", 100, -4), sale).alerts
    assert alert.measured == 6
    assert owner(fill(1, "A1", "BUY"), correction(1, "E0", 101), sale).told == []
    assert owner(fill(1, "A1", "BUY", price=101), sale, correction(1, "E0", 100)).told == [("RAISED", 3)]


def test_a_corrected_fill_is_known_to_its_bust_by_the_correction() -> None:
    bust = fill(2, "A1", "BUY", kind="BUSTED", exec_id="B1", exec_ref_id="K1", quantity=-10)
    sale = fill(3, "A2", "SELL", number=1)
    assert owner(fill(1, "A1", "BUY"), correction(1, "E0", 100), bust, sale).told == []


def test_matches_close_to_each_other_are_one_episode_and_quiet_ends_it() -> None:
    fills = [fill(at_s, account, side, number=at_s) for at_s in (1, 300, 590) for account, side in
             (("A1", "BUY"), ("A2", "SELL"))]  # fmt: skip
    assert owner(*fills, until_s=5_000).told == [("RAISED", 1), ("CLEARED", 1_190)]
    again = [fill(9_000, "A1", "BUY", number=9), fill(9_001, "A2", "SELL", number=9)]
    assert owner(*fills, *again).told == [("RAISED", 1), ("CLEARED", 1_190), ("RAISED", 9_001)]


def test_what_is_kept_is_bounded_and_is_forgotten() -> None:
    busy = owner(*(fill(1, "A1", "BUY", number=number) for number in range(2 * FILLS_KEPT)))
    assert busy.state is not None
    assert len(busy.state.fills) == FILLS_KEPT
    busy.pass_time(91)
    assert is_empty(busy.state)


fills = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(["A1", "A2", "A3"]), st.sampled_from(["BUY", "SELL"]),
              st.sampled_from([100, 101])),
    max_size=30,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fills, st.data())
def test_alerts_do_not_depend_on_when_timers_are_looked_at(given_fills: list[Any], data: st.DataObject) -> None:
    plain, cut = Owner(), Owner()
    at_s = 0
    for number, (wait_s, account, side, price) in enumerate(given_fills):
        at_s += wait_s
        one = fill(at_s, account, side, price, number)
        elsewhere_s = at_s + data.draw(st.integers(0, 700))
        for each, fires in ((plain, False), (cut, data.draw(st.booleans()))):
            each.pass_time(elsewhere_s, timers=fires)
            each.take(one)
    for each in (plain, cut):
        each.pass_time(at_s + 5_000)
    assert plain.alerts == cut.alerts
    states = [alert.state for alert in plain.alerts]
    assert states == ["RAISED", "CLEARED"] * (len(states) // 2)
