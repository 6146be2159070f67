from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.views.dashboard import (
    NO_REASON,
    REASON_CHARACTERS_MAX,
    Aggregate,
    add,
    add_to_total,
    dashboard_key,
    merge,
)
from operators.model.views.milestones import Milestone, MilestoneKind


def milestone(kind: str, **fields: Any) -> Milestone:
    values = {"occurred_at": 1, "key": "ACC1|ORD1", "symbol": "MSFT", "venue": "XNAS"}
    return Milestone(kind=kind, **(values | fields))


def aggregate_of(*milestones: Milestone) -> Aggregate:
    aggregate = Aggregate()
    for one in milestones:
        aggregate = add(aggregate, one)
    return aggregate


milestones = st.lists(
    st.builds(
        Milestone,
        kind=st.sampled_from([kind.value for kind in MilestoneKind if kind != MilestoneKind.CHILD]),
        occurred_at=st.just(1),
        key=st.just("ACC1|ORD1"),
        symbol=st.just("MSFT"),
        venue=st.just("XNAS"),
        quantity=st.integers(-1000, 1000),
        price=st.integers(1, 10**9),
        latency_micros=st.none() | st.integers(0, 10**9),
        reason=st.none() | st.sampled_from(["PRICE", "SIZE"]),
    ),
    max_size=20,
)


@given(milestones, milestones, milestones)
def test_merging_is_associative_commutative_and_equal_to_adding_everything(
    a: list[Milestone], b: list[Milestone], c: list[Milestone]
) -> None:
    left, middle, right = aggregate_of(*a), aggregate_of(*b), aggregate_of(*c)
    whole = aggregate_of(*a, *b, *c)
    assert merge(merge(left, middle), right) == merge(left, merge(middle, right)) == merge(right, merge(left, middle))
    assert merge(merge(left, middle), right) == whole


@given(milestones)
def test_merging_with_nothing_changes_nothing(given_milestones: list[Milestone]) -> None:
    aggregate = aggregate_of(*given_milestones)
    assert merge(aggregate, Aggregate()) == aggregate
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(aggregate), type=Aggregate) == aggregate


def test_figures_of_a_window() -> None:
    aggregate = aggregate_of(
        milestone("PLACED", quantity=100),
        milestone("PLACED", quantity=300),
        milestone("PLACED", quantity=100),
        milestone("ACKNOWLEDGED", latency_micros=100),
        milestone("TRADED", quantity=100, price=10, latency_micros=50),
        milestone("TRADED", quantity=100, price=13),
        milestone("FILLED"),
        milestone("CANCELED"),
        milestone("REJECTED", reason="PRICE_COLLAR"),
        milestone("REOPENED"),
    )
    assert (aggregate.orders, aggregate.fills, aggregate.filled, aggregate.canceled, aggregate.rejected) == (
        3,
        2,
        1,
        1,
        1,
    )
    assert (aggregate.traded_quantity, aggregate.traded_notional, aggregate.vwap) == (200, 2300, 11)
    assert aggregate.fill_rate == 0.4
    assert aggregate.open_change == 1
    assert aggregate.reject_reasons == {"PRICE_COLLAR": 1}
    assert aggregate.acknowledgement.quantile(0.5) == 100
    assert (aggregate.first_fill.total, aggregate.first_fill.quantile(0.99)) == (1, 50)


def test_a_bust_takes_its_fill_back() -> None:
    aggregate = aggregate_of(milestone("TRADED", quantity=5, price=10), milestone("TRADED", quantity=-5, price=10))
    assert (aggregate.fills, aggregate.traded_quantity, aggregate.traded_notional) == (0, 0, 0)
    assert aggregate.vwap is None
    assert aggregate.fill_rate is None


def test_busts_and_corrections_change_the_sums_by_their_own_notional() -> None:
    aggregate = aggregate_of(
        milestone("TRADED", quantity=5, price=10, notional=50),
        milestone("TRADED", quantity=5, price=10, notional=50),
        milestone("BUSTED", quantity=-5, price=10, notional=-50),
        milestone("CORRECTED", quantity=0, price=12, notional=10),
        milestone("CORRECTED", quantity=-2, price=12, notional=-24),
    )
    assert (aggregate.fills, aggregate.traded_quantity, aggregate.traded_notional, aggregate.vwap) == (1, 3, 36, 12)


def test_an_order_that_is_done_is_not_open_any_more_and_pending_ones_are() -> None:
    kinds = ["PLACED", "PLACED", "PENDING", "ANSWERED", "DONE"]
    aggregate = aggregate_of(*(milestone(kind) for kind in kinds))
    assert (aggregate.done, aggregate.open_change) == (1, 1)


@given(milestones)
def test_a_total_has_the_sums_of_the_windows_and_neither_latencies_nor_reasons(
    given_milestones: list[Milestone],
) -> None:
    total = Aggregate()
    for one in given_milestones:
        total = add_to_total(total, one)
    whole = aggregate_of(*given_milestones)
    assert (total.open_change, total.traded_notional) == (whole.open_change, whole.traded_notional)
    assert (total.acknowledgement.total, total.first_fill.total) == (0, 0)
    assert set(total.reject_reasons) <= {NO_REASON}


def test_a_reject_without_reason_is_counted_and_a_long_reason_is_cut() -> None:
    aggregate = aggregate_of(milestone("REJECTED"), milestone("REJECTED", reason="x" * 500))
    assert aggregate.reject_reasons == {NO_REASON: 1, "x" * REASON_CHARACTERS_MAX: 1}


def test_an_order_without_venue_has_a_row_of_its_own() -> None:
    assert dashboard_key(milestone("REJECTED", venue=None)) == "MSFT|"
    assert dashboard_key(milestone("PLACED")) == "MSFT|XNAS"


@pytest.mark.parametrize(
    "wrong",
    [milestone("INVENTED"), milestone("TRADED", quantity=1), milestone("TRADED", quantity=2**40, price=2**40)],
    ids=["unknown kind", "no price", "too large"],
)
def test_a_milestone_no_rule_can_work_with_is_refused(wrong: Milestone) -> None:
    with pytest.raises(InvalidRecordError):
        add(None, wrong)
