"""The verdict on surveillance: what it told, compared with what the inputs bear out and what they demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from services.truth_alerts import AlertTruth, Told
from services.verdict import Check


def judge_alerts(truth: AlertTruth, alerts: Sequence[Mapping[str, Any]], open_episodes: Set[str]) -> list[Check]:
    """Compares; the alerts of each key in the order of the log, `open_episodes` those of the view."""
    raised = {_told(alert) for alert in alerts if alert["state"] == "RAISED"}
    borne_out, demanded = Check("alerts borne out by the inputs"), Check("alerts that must be raised")
    may = truth.may()
    for told in raised:
        borne_out.compared += 1
        if told not in may:
            borne_out.fail(told.subject, f"{told.kind} without a cause")
    for one_of in truth.must():
        demanded.compared += 1
        if not raised & one_of:
            told = min(one_of)
            demanded.fail(told.subject, f"{told.kind} was not told")
    return [borne_out, demanded, *_episodes(alerts, open_episodes)]


def episode(alert: Mapping[str, Any]) -> str:
    """What names the alert's episode."""
    return f"{alert['kind']} {alert['key']} {alert['symbol'] or ''} {alert['raisedAt']}"


def _told(alert: Mapping[str, Any]) -> Told:
    subject = " ".join(sorted(alert["orderKeys"])) if alert["kind"] == "WASH_TRADE" else alert["key"]
    return Told(alert["kind"], subject)


def _episodes(alerts: Iterable[Mapping[str, Any]], open_episodes: Set[str]) -> list[Check]:
    """Raised once, then cleared at most once; and the view has open what is not cleared."""
    once, view = Check("one alert at the beginning and one at the end of an episode"), Check("open alerts of the view")
    states: dict[str, list[str]] = {}
    for alert in alerts:
        states.setdefault(episode(alert), []).append(alert["state"])
    for name, told in states.items():
        once.compared += 1
        if told not in (["RAISED"], ["RAISED", "CLEARED"]):
            once.fail(name, f"is told as {', '.join(told)}")
    still_open = {name for name, told in states.items() if told[-1] == "RAISED"}
    for name in still_open | open_episodes:
        view.equal(name, name in open_episodes, name in still_open)
    return [once, view]
