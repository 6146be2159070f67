"""What must be told of a day with incidents, what may be, and that an error of surveillance is seen and named."""

from __future__ import annotations

from typing import Any

import pytest

from services import incidents
from services.day import Day, events_of
from services.truth_alerts import AlertTruth, Told
from services.verdict_alerts import episode, judge_alerts

DAY = Day(orders=600, seed=3, incidents=True)


@pytest.fixture(scope="module")
def truth() -> AlertTruth:
    truth, events = AlertTruth(DAY.owners), list(events_of(DAY))
    truth.add_statuses(record for topic, record in events if topic == "orders.status")
    truth.add_executions(record for topic, record in events if topic == "orders.executions")
    return truth


def alert(told: Told, state: str = "RAISED") -> dict[str, Any]:
    keys = told.subject.split(" ")
    named = {"kind": told.kind, "state": state, "key": keys[-1], "symbol": "MSFT", "orderKeys": keys}
    return {**named, "raisedAt": 1_781_190_000_000_000}


def demanded(truth: AlertTruth) -> list[dict[str, Any]]:
    return [alert(min(one_of)) for one_of in truth.must()]


def broken(truth: AlertTruth, alerts: list[dict[str, Any]], open_episodes: set[str] | None = None) -> list[str]:
    found = {episode(one) for one in alerts} if open_episodes is None else open_episodes
    return [check.name for check in judge_alerts(truth, alerts, found) if not check.holds]


def test_each_incident_must_be_told_and_of_clean_accounts_nothing_but_washes(truth: AlertTruth) -> None:
    must = {told for one_of in truth.must() for told in one_of}
    assert {told.kind for told in must} == {
        "WASH_TRADE", "UNACKNOWLEDGED", "STUCK_OPEN", "STUCK_PENDING", "FILL_OUTSIDE_COLLAR"
    }  # fmt: skip
    assert all(told.subject.startswith(incidents.PREFIXES) for told in must)
    clean = {told.kind for told in truth.may() if not told.subject.startswith(incidents.PREFIXES)}
    assert clean <= {"WASH_TRADE"}


def test_what_is_demanded_and_once_is_right(truth: AlertTruth) -> None:
    assert broken(truth, demanded(truth)) == []


def test_an_alert_that_is_not_told_is_missed(truth: AlertTruth) -> None:
    assert broken(truth, demanded(truth)[1:]) == ["alerts that must be raised"]


def test_an_alert_without_a_cause_is_seen(truth: AlertTruth) -> None:
    false_alarm = alert(Told("STUCK_OPEN", "ACC00001|ORD00000001"))
    assert broken(truth, [*demanded(truth), false_alarm]) == ["alerts borne out by the inputs"]


def test_an_alert_that_is_told_twice_or_only_cleared_is_seen(truth: AlertTruth) -> None:
    once = demanded(truth)
    twice = "one alert at the beginning and one at the end of an episode"
    assert broken(truth, [*once, once[0]]) == [twice]
    ended = {**once[0], "raisedAt": 7, "state": "CLEARED"}
    assert broken(truth, [*once, ended], {episode(one) for one in once}) == [twice]


def test_a_view_that_forgets_or_keeps_an_episode_is_seen(truth: AlertTruth) -> None:
    once = demanded(truth)
    assert broken(truth, once, set()) == ["open alerts of the view"]
    over = [*once, {**once[0], "state": "CLEARED"}]
    assert broken(truth, over) == ["open alerts of the view"]
    assert broken(truth, over, {episode(one) for one in once[1:]}) == []


def test_a_wash_between_accounts_of_different_owners_is_none(truth: AlertTruth) -> None:
    strangers = AlertTruth({account: account for account in DAY.owners})
    events = list(events_of(DAY))
    strangers.add_statuses(record for topic, record in events if topic == "orders.status")
    strangers.add_executions(record for topic, record in events if topic == "orders.executions")
    assert not [told for told in strangers.may() if told.kind == "WASH_TRADE"]
