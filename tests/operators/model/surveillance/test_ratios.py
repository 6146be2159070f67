"""Ratios over windows of event time: judged once, whatever the order of arrival within the grace."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.model.surveillance.alerts import OrderAlert
from operators.model.surveillance.ratios import (
    Pane,
    RatioLimits,
    RatioWatch,
    is_empty,
    next_due_ms,
    on_milestone,
    on_time,
)
from operators.model.views.milestones import Milestone

LIMITS = RatioLimits(
    every_ms=60_000, panes=5, grace_ms=30_000, orders_min=4, cancel_ratio=0.7, order_to_trade_ratio=3.0
)
S = 1_000_000


def happened(kind: str, at_s: float, order: int = 0) -> Milestone:
    return Milestone(kind=kind, occurred_at=int(at_s * S), key=f"ACC1|O{order}", symbol="MSFT", venue="XNAS")


class Account:
    """The ratios of one account, with the event time of its key group."""

    def __init__(self, key: str = "ACC1") -> None:
        self.key = key
        self.state: RatioWatch | None = None
        self.alerts: list[OrderAlert] = []
        self.late = 0
        self.time_ms = 0

    def take(self, milestone: Milestone) -> None:
        self.time_ms = max(self.time_ms, milestone.occurred_at // 1_000)
        self._keep(on_milestone(self.state, self.key, milestone, limits=LIMITS, event_time_ms=self.time_ms, source="s"))

    def pass_time(self, until_s: float, *, timers: bool = True) -> None:
        self.time_ms = max(self.time_ms, int(until_s * 1_000))
        if timers and self.state is not None and next_due_ms(self.state, LIMITS) <= self.time_ms:
            self._keep(on_time(self.state, self.key, limits=LIMITS, event_time_ms=self.time_ms, source="s"))

    def _keep(self, judged: Any) -> None:
        self.state, self.late = judged.state, self.late + judged.late
        self.alerts += judged.alerts

    @property
    def told(self) -> list[tuple[str, str, float]]:
        return [(alert.kind, alert.state, alert.occurred_at / S) for alert in self.alerts]


def day(*milestones: Milestone, until_s: float, key: str = "ACC1") -> Account:
    account = Account(key)
    for milestone in milestones:
        account.take(milestone)
    account.pass_time(until_s)
    return account


def placed(count: int, at_s: float = 10) -> list[Milestone]:
    return [happened("PLACED", at_s, order) for order in range(count)]


def canceled(count: int, at_s: float = 20) -> list[Milestone]:
    return [happened("CANCELED", at_s, order) for order in range(count)]


TRADED = [happened("TRADED", 15), happened("TRADED", 15)]


def test_an_account_that_cancels_nearly_everything_is_told_once_and_cleared_by_its_first_quiet_window() -> None:
    account = day(*placed(4), *canceled(3), *TRADED, until_s=1_000)
    assert account.told == [("CANCEL_RATIO", "RAISED", 60), ("CANCEL_RATIO", "CLEARED", 360)]
    raised = account.alerts[0]
    assert (raised.measured, raised.limit, raised.unit) == (0.75, 0.7, "ratio")
    assert (raised.window_start, raised.window_end) == (-240 * S, 60 * S)
    assert (raised.scope, raised.key, raised.symbol) == ("ACCOUNT", "ACC1", None)
    assert raised.order_keys == ["ACC1|O0", "ACC1|O1", "ACC1|O2"]


def test_the_scope_follows_the_key() -> None:
    alert = day(*placed(4), *canceled(4), *TRADED, until_s=100, key="ACC1|MSFT").alerts[0]
    assert (alert.scope, alert.key, alert.symbol) == ("ACCOUNT_SYMBOL", "ACC1", "MSFT")


def test_a_window_is_judged_when_its_grace_is_over_and_not_before() -> None:
    assert day(*placed(4), *canceled(4), *TRADED, until_s=89.9).told == []
    assert day(*placed(4), *canceled(4), *TRADED, until_s=90).told == [("CANCEL_RATIO", "RAISED", 60)]


def test_few_orders_are_no_pattern() -> None:
    assert day(*placed(3), *canceled(3), until_s=1_000).told == []


def test_orders_that_hardly_trade_are_told_and_a_bust_takes_its_fill_back() -> None:
    enough = [happened("TRADED", 15), happened("TRADED", 15)]
    assert day(*placed(6), *enough, until_s=100).told == []
    account = day(*placed(6), *enough, happened("BUSTED", 16), until_s=100)
    assert account.told == [("ORDER_TO_TRADE_RATIO", "RAISED", 60)]


def test_what_comes_when_all_its_windows_are_judged_is_late_and_counts_nowhere() -> None:
    account = day(*placed(4), until_s=1_000)
    account.take(happened("CANCELED", 20))
    assert account.late == 1
    assert account.state is not None
    assert account.state.panes == {}


def test_a_state_that_never_told_anything_may_be_forgotten() -> None:
    account = day(*placed(3), until_s=1_000)
    assert account.state is not None
    assert is_empty(account.state)


counts = st.builds(
    Pane, st.integers(0, 9), st.integers(0, 9), st.integers(-3, 9),
    st.sets(st.sampled_from("abcdefghijkl")).map(lambda keys: tuple(sorted(keys)[:8])),
    st.sets(st.sampled_from("abcdefghijkl")).map(lambda keys: tuple(sorted(keys)[:8])),
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(counts, counts, counts)
def test_panes_are_merged_in_any_order(a: Pane, b: Pane, c: Pane) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == c.merge(a).merge(b)


events = st.lists(
    st.tuples(st.sampled_from(["PLACED", "CANCELED", "TRADED", "BUSTED"]), st.integers(0, 900), st.integers(0, 20)),
    max_size=60,
).map(lambda given: sorted(given, key=lambda event: event[1]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events, st.data())
def test_alerts_do_not_depend_on_the_order_of_arrival_within_the_grace_nor_on_batches(
    given_events: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    in_time, shuffled = Account(), Account()
    delayed = sorted((at_s + data.draw(st.integers(0, 29)), number) for number, (_, at_s, _) in enumerate(given_events))
    for kind, at_s, order in given_events:
        in_time.take(happened(kind, at_s, order))
    for arrives_s, number in delayed:
        kind, at_s, order = given_events[number]
        shuffled.pass_time(arrives_s, timers=data.draw(st.booleans()))
        shuffled.take(happened(kind, at_s, order))
    for account in (in_time, shuffled):
        account.pass_time(5_000)
    assert in_time.alerts == shuffled.alerts
    assert in_time.state == shuffled.state
    assert (in_time.late, shuffled.late) == (0, 0)
