"""Alerts on single orders: deadlines in event time, fills outside the collar, each episode told once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.model.surveillance.alerts import OrderAlert
from operators.model.surveillance.orders import OrderLimits, OrderWatch, next_due_ms, on_milestone, on_time
from operators.model.views.milestones import Milestone

KEY = "ACC1|ORD1"
LIMITS = OrderLimits(acknowledgement_ms=5_000, pending_ms=30_000, open_ms=3_600_000, grace_ms=2_000, collar_bps=500)
S = 1_000_000
"""A second in microseconds."""


def happened(kind: str, at_s: float, **fields: Any) -> Milestone:
    return Milestone(kind=kind, occurred_at=int(at_s * S), key=KEY, symbol="MSFT", venue="XNAS", **fields)


class Watching:
    """One order and the event time of its key group, timers included."""

    def __init__(self) -> None:
        self.state: OrderWatch | None = None
        self.alerts: list[OrderAlert] = []
        self.time_ms = 0

    def take(self, milestone: Milestone) -> None:
        self.time_ms = max(self.time_ms, milestone.occurred_at // 1_000)
        watched = on_milestone(self.state, milestone, limits=LIMITS, event_time_ms=self.time_ms, source="s")
        self.state = watched.state
        self.alerts += watched.alerts

    def pass_time(self, until_s: float, *, timers: bool = True) -> None:
        self.time_ms = max(self.time_ms, int(until_s * 1_000))
        if timers:
            self.fire()

    def fire(self) -> None:
        if self.state is not None and next_due_ms(self.state, LIMITS) <= self.time_ms:
            watched = on_time(self.state, KEY, limits=LIMITS, event_time_ms=self.time_ms, source="s")
            self.state = watched.state
            self.alerts += watched.alerts

    @property
    def told(self) -> list[tuple[str, str, float]]:
        return [(alert.kind, alert.state, alert.occurred_at / S) for alert in self.alerts]


def watching(*milestones: Milestone, until_s: float = 0) -> Watching:
    order = Watching()
    for milestone in milestones:
        order.take(milestone)
    order.pass_time(until_s)
    return order


PLACED, NEW = happened("PLACED", 0), happened("ACKNOWLEDGED", 1)

CASES: list[tuple[str, list[Milestone], float, list[tuple[str, str, float]]]] = [
    ("answered in time", [PLACED, NEW], 60, []),
    ("silence within the grace", [PLACED], 6.9, []),
    ("silence beyond it", [PLACED], 7, [("UNACKNOWLEDGED", "RAISED", 5)]),
    ("told again", [PLACED, PLACED], 9, [("UNACKNOWLEDGED", "RAISED", 5)]),
    ("rejected in time", [PLACED, happened("REJECTED", 2)], 60, []),
    ("a fill is an answer", [PLACED, happened("TRADED", 2, quantity=1, price=100)], 60, []),
    (
        "answered after the limit, within the grace",
        [PLACED, happened("ACKNOWLEDGED", 6)],
        60,
        [("UNACKNOWLEDGED", "RAISED", 5), ("UNACKNOWLEDGED", "CLEARED", 6)],
    ),
    (
        "answered late, and told that it was answered before",
        [PLACED, happened("CANCELED", 6), NEW],
        60,
        [],
    ),
    (
        "ended after the limit",
        [PLACED, happened("CANCELED", 6), happened("ACKNOWLEDGED", 5.5)],
        60,
        [("UNACKNOWLEDGED", "RAISED", 5), ("UNACKNOWLEDGED", "CLEARED", 5.5)],
    ),
    (
        "a pending cancel without answer",
        [PLACED, NEW, happened("PENDING", 10, code="PENDING_CANCEL")],
        42,
        [("STUCK_PENDING", "RAISED", 40)],
    ),
    (
        "answered late",
        [PLACED, NEW, happened("PENDING", 10, code="PENDING_CANCEL"), happened("ANSWERED", 50, code="NEW")],
        60,
        [("STUCK_PENDING", "RAISED", 40), ("STUCK_PENDING", "CLEARED", 50)],
    ),
    (
        "another request starts anew",
        [
            PLACED, NEW, happened("PENDING", 10, code="PENDING_REPLACE"),
            happened("PENDING", 35, code="PENDING_CANCEL"), happened("CANCELED", 60),
        ],
        100,
        [],
    ),
    ("open for too long", [PLACED, NEW], 3_602, [("STUCK_OPEN", "RAISED", 3_600)]),
    ("good till canceled", [happened("PLACED", 0, time_in_force="GOOD_TILL_CANCEL"), NEW], 9_999, []),
    ("good till a date, which the venue tells", [PLACED, happened("ACKNOWLEDGED", 1, time_in_force="GOOD_TILL_DATE")],
     9_999, []),
    (
        "canceled in the end",
        [PLACED, NEW, happened("CANCELED", 4_000)],
        9_999,
        [("STUCK_OPEN", "RAISED", 3_600), ("STUCK_OPEN", "CLEARED", 4_000)],
    ),
    (
        "reopened",
        [PLACED, NEW, happened("FILLED", 9), happened("REOPENED", 10)],
        3_613,
        [("STUCK_OPEN", "RAISED", 3_610)],
    ),
    ("done", [PLACED, NEW, happened("DONE", 100, code="DONE_FOR_DAY")], 9_999, []),
    ("never placed", [happened("ACKNOWLEDGED", 1)], 9_999, []),
]  # fmt: skip


@pytest.mark.parametrize(("milestones", "until_s", "told"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_deadlines(milestones: list[Milestone], until_s: float, told: list[tuple[str, str, float]]) -> None:
    assert watching(*milestones, until_s=until_s).told == told


def test_an_answer_that_happened_in_time_and_is_told_after_the_grace_clears_the_alert_and_says_so() -> None:
    order = watching(PLACED, until_s=20)
    order.take(NEW)
    raised, cleared = order.alerts
    assert (raised.state, cleared.state, cleared.occurred_at) == ("RAISED", "CLEARED", raised.raised_at)
    assert "told late" in cleared.detail


def fill(at_s: float, price: int, exec_id: str = "E1", kind: str = "TRADED", **fields: Any) -> Milestone:
    return happened(kind, at_s, quantity=1, price=price, reference_price=1_000, exec_id=exec_id, **fields)


def test_a_fill_outside_the_collar_is_told_once_until_one_is_inside() -> None:
    prices = [1_000, 1_050, 1_051, 900, 1_000, 949]
    order = watching(PLACED, NEW, *(fill(10 + at, price, f"E{at}") for at, price in enumerate(prices)))
    assert order.told == [
        ("FILL_OUTSIDE_COLLAR", "RAISED", 12),
        ("FILL_OUTSIDE_COLLAR", "CLEARED", 14),
        ("FILL_OUTSIDE_COLLAR", "RAISED", 15),
    ]
    first = order.alerts[0]
    assert (first.measured, first.limit, first.unit, first.order_keys) == (510, 500, "bps", [KEY])
    assert "E2" in first.detail


@pytest.mark.parametrize(("reference", "clears"), [("E1", True), ("E9", False)])
def test_the_bust_of_the_fill_outside_clears_the_alert_and_no_other_bust_does(reference: str, clears: bool) -> None:
    order = watching(PLACED, NEW, fill(10, 2_000), happened("BUSTED", 11, quantity=-1, exec_ref_id=reference))
    assert [state for _, state, _ in order.told] == (["RAISED", "CLEARED"] if clears else ["RAISED"])


def test_a_fill_without_a_reference_is_not_judged() -> None:
    assert watching(PLACED, NEW, happened("TRADED", 9, quantity=1, price=5)).told == []


def test_alerts_are_numbered_without_gaps_and_carry_the_correlation_id() -> None:
    order = watching(happened("PLACED", 0, correlation_id="R1"), fill(10, 2_000), fill(11, 1_000), until_s=9_999)
    assert [alert.sequence for alert in order.alerts] == list(range(1, len(order.alerts) + 1))
    assert {alert.correlation_id for alert in order.alerts} == {"R1"}


KINDS = [
    ("PLACED", None), ("ACKNOWLEDGED", None), ("PENDING", "PENDING_CANCEL"), ("PENDING", "PENDING_REPLACE"),
    ("ANSWERED", "NEW"), ("CANCELED", None), ("FILLED", None), ("REOPENED", "NEW"), ("TRADED", None), ("BUSTED", None),
]  # fmt: skip
histories = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 20), st.sampled_from([900, 1_000]), st.integers(0, 50)),
    max_size=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories, st.data())
def test_alerts_do_not_depend_on_when_timers_are_looked_at(history: list[Any], data: st.DataObject) -> None:
    """Timers fire at the start of a batch; other records of the key group move event time in between."""
    plain, cut = Watching(), Watching()
    at_s = 0
    for (kind, code), wait_s, price, elsewhere_s in history:
        at_s += wait_s
        milestone = happened(
            kind, at_s, code=code, quantity=1, price=price, reference_price=1_000, exec_id=f"E{at_s}",
            exec_ref_id=f"E{at_s - 1}",
        )  # fmt: skip
        for order, fires in ((plain, False), (cut, data.draw(st.booleans()))):
            order.pass_time(at_s + elsewhere_s, timers=fires)
            order.take(milestone)
    for order in (plain, cut):
        order.pass_time(at_s + 10_000)
    assert plain.alerts == cut.alerts
    assert plain.state == cut.state


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_every_episode_is_raised_once_and_cleared_at_most_once(history: list[Any]) -> None:
    order = Watching()
    at_s = 0
    for (kind, code), wait_s, price, elsewhere_s in history:
        at_s += wait_s
        order.take(happened(kind, at_s, code=code, quantity=1, price=price, reference_price=1_000, exec_id=f"E{at_s}"))
        order.pass_time(at_s + elsewhere_s)
    for kind in {alert.kind for alert in order.alerts}:
        states = [alert.state for alert in order.alerts if alert.kind == kind]
        assert states[0] == "RAISED"
        assert all(before != after for before, after in pairwise(states))
    assert [alert.sequence for alert in order.alerts] == list(range(1, len(order.alerts) + 1))
