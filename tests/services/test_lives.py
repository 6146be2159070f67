"""Lives over several days, of worked orders and incidents, and what an interruption makes of one."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import incidents
from services.day import Day, events_of, intents
from services.engine import planned_statuses
from services.life import Life
from services.lives import Interruption, interrupted_life, life_of
from services.sessions import closing_micros, next_session, opening_micros, trade_date
from services.venue import planned_reports
from services.worked import children_of, is_parent

DAY = Day(orders=600, seed=3, incidents=True)
SUBMITTED = [intent for intent in intents(DAY) if intent["eventType"] == "ORDER_SUBMITTED"]
PARENTS = [intent for intent in SUBMITTED if is_parent(intent)]
WORKED_AT_VENUES = [intent for intent in SUBMITTED if not is_parent(intent)]


def test_a_session_follows_a_weekend() -> None:
    assert next_session(date(2026, 6, 12)) == date(2026, 6, 15)


def test_orders_good_till_canceled_trade_within_sessions_of_two_or_three_days() -> None:
    resting = [i for i in WORKED_AT_VENUES if i["timeInForce"] == "GOOD_TILL_CANCEL" and not incidents.is_incident(i)]
    days = set()
    for intent in resting:
        life = life_of(intent, DAY.seed)
        for fill in life.fills:
            at = intent["occurredAt"] + fill.at
            assert opening_micros(trade_date(at)) <= at <= closing_micros(trade_date(at))
        assert all(night.done < night.renewed for night in life.nights)
        if life.ending != "REJECTED":
            days.add(len(life.nights) + 1)
    assert days == {2, 3}


def test_children_add_up_to_their_parent_within_its_session() -> None:
    assert PARENTS
    for parent in PARENTS:
        children = children_of(parent, DAY.seed)
        assert sum(child["quantity"] for child in children) == parent["quantity"]
        assert len({child["key"] for child in children}) == len(children) > 1
        assert len({child["venue"] for child in children}) > 1
        for child in children:
            assert child["parentId"] == parent["orderId"]
            at = child["occurredAt"]
            assert parent["occurredAt"] < at < closing_micros(trade_date(at))
    placed = {intent["key"]: intent for intent in SUBMITTED}
    assert all(placed[child["key"]] == child for parent in PARENTS for child in children_of(parent, DAY.seed))


def test_a_parent_ends_as_its_children_do_and_no_venue_hears_of_it() -> None:
    endings = set()
    for parent in PARENTS:
        life = life_of(parent, DAY.seed)
        lives = [life_of(child, DAY.seed) for child in children_of(parent, DAY.seed)]
        done = sum(fill.final_quantity for one in lives for fill in one.fills)
        assert (life.ending == "FILLED") == (done == parent["quantity"])
        assert planned_reports(parent, life) == []
        statuses = [status for _, status in planned_statuses(parent, life)]
        assert all(status["order"]["isParent"] and status["venue"] is None for status in statuses)
        endings.add(life.ending)
    assert {"FILLED", "EXPIRED"} <= endings


def test_every_kind_of_incident_occurs_once_in_a_small_day() -> None:
    accounts = [intent["accountId"] for intent in SUBMITTED if incidents.is_incident(intent)]
    assert sorted(account[:5] for account in accounts) == sorted([*incidents.PREFIXES, incidents.WASHED])
    owners = DAY.owners
    assert {intent["accountId"] for intent in SUBMITTED} <= owners.keys()
    washed = [account for account in accounts if account.startswith(incidents.WASHED)]
    assert len({owners[account] for account in washed}) == 1


def test_events_of_a_day_are_numbered_without_gaps_by_engine_and_venue() -> None:
    numbers: dict[tuple[str, str], set[int]] = {}
    for topic, record in events_of(DAY):
        numbers.setdefault((topic, record["key"]), set()).add(record["sequence"])
    assert all(found == set(range(1, len(found) + 1)) for found in numbers.values())


def _story(intent: dict[str, Any], life: Life) -> list[tuple[int, dict[str, Any]]]:
    return planned_statuses(intent, life) + planned_reports(intent, life)


interruptions = st.lists(
    st.builds(
        Interruption,
        at=st.integers(1, 100_000_000),
        quantity=st.one_of(st.none(), st.integers(1, 500)),
        reason=st.sampled_from(("SELF_TRADE C1", "CANCEL_REQUESTED C2")),
    ),
    max_size=3,
    unique_by=lambda each: each.at,
)


@given(intent=st.sampled_from(WORKED_AT_VENUES), told=interruptions)
def test_an_interrupted_life_stays_within_its_terms(intent: dict[str, Any], told: list[Interruption]) -> None:
    life = interrupted_life(intent, DAY.seed, told)
    quantity = life.reductions[-1].quantity if life.reductions else intent["quantity"]
    assert life.filled <= quantity <= intent["quantity"]
    assert (life.filled == quantity) == (life.ending == "FILLED") or life.ending == "CANCELED"
    for at, ordered, _ in life.reductions:
        assert sum(fill.quantity for fill in life.fills if fill.at <= at) <= ordered
    if life.interrupted is not None and life.ending == "CANCELED":
        assert all(fill.at <= life.ended for fill in life.fills)
    reports = [report for _, report in planned_reports(intent, life)]
    assert all(report["cumQuantity"] <= report["orderQuantity"] for report in reports)
    statuses = {status["sequence"] for _, status in planned_statuses(intent, life)}
    assert statuses == set(range(1, len(statuses) + 1)) or life.cancel_requested is not None


@given(intent=st.sampled_from(WORKED_AT_VENUES), told=interruptions)
def test_the_order_in_which_interruptions_are_learnt_does_not_matter(
    intent: dict[str, Any], told: list[Interruption]
) -> None:
    lives = [interrupted_life(intent, DAY.seed, order) for order in permutations(told)]
    assert all(_story(intent, life) == _story(intent, lives[0]) for life in lives)


@pytest.mark.parametrize("quantity", [None, 10_000])
def test_an_interruption_after_the_end_changes_nothing(quantity: int | None) -> None:
    for intent in WORKED_AT_VENUES[:50]:
        life = life_of(intent, DAY.seed)
        late = Interruption(life.ended, quantity, "too late")
        assert interrupted_life(intent, DAY.seed, [late]) == life
