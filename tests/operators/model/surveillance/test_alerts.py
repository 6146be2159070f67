"""Alerts as events and as episodes; what surveillance and views write is what the contracts say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from operators.model.risk.limits import AccountReference
from operators.model.surveillance.alerts import (
    AlertEpisode,
    AlertKind,
    AlertScope,
    OrderAlert,
    cleared,
    episode_key,
    raised,
    with_alert,
)
from operators.model.views.milestones import Milestone

SCHEMAS = Path(__file__).resolve().parents[4] / "config" / "schemas"


def alert(**fields: Any) -> OrderAlert:
    given = raised(AlertKind.WASH_TRADE, at=5, key="A|O", scope=AlertScope.ORDER, detail="why", sequence=1, source="s")
    return msgspec.structs.replace(given, **fields)


@pytest.mark.parametrize(
    ("struct", "file"),
    [
        (OrderAlert, "orders.alerts-value/v1.avsc"),
        (AccountReference, "reference.accounts-value/v1.avsc"),
        (Milestone, "orders.milestones-value/v2.avsc"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_struct_has_the_fields_of_its_contract(struct: Any, file: str) -> None:
    fields = {field.encode_name: field for field in msgspec.inspect.type_info(struct).fields}  # type: ignore[attr-defined]
    contract = {field["name"]: field for field in json.loads((SCHEMAS / file).read_text())["fields"]}
    assert fields.keys() == contract.keys()
    for name, field in fields.items():
        nullable = any(isinstance(part, msgspec.inspect.NoneType) for part in getattr(field.type, "types", ()))
        assert nullable == (isinstance(contract[name]["type"], list) and "null" in contract[name]["type"]), name


@pytest.mark.parametrize("first", ["raised", "cleared"])
def test_an_episode_has_its_beginning_and_its_end_in_whatever_order_they_come(first: str) -> None:
    beginning = alert(measured=1.0)
    end = cleared(beginning, at=9, detail="over", sequence=2)
    episode: AlertEpisode | None = None
    for one in (beginning, end) if first == "raised" else (end, beginning):
        episode = with_alert(episode, one)
    assert episode == AlertEpisode(raised=beginning, cleared=end)
    assert episode_key(beginning) == episode_key(end)
    assert (end.raised_at, end.occurred_at, end.measured) == (5, 9, None)


def test_episodes_of_one_time_are_told_apart_by_kind_and_symbol() -> None:
    keys = {episode_key(alert()), episode_key(alert(kind="STUCK_OPEN")), episode_key(alert(symbol="MSFT"))}
    assert len(keys) == 3


def test_what_is_critical_is_said_so() -> None:
    severities = {
        kind: raised(kind, at=1, key="A", scope=AlertScope.ACCOUNT, detail="", sequence=1, source="s").severity
        for kind in AlertKind
    }
    assert {kind for kind, severity in severities.items() if severity == "CRITICAL"} == {
        AlertKind.UNACKNOWLEDGED, AlertKind.FILL_OUTSIDE_COLLAR, AlertKind.WASH_TRADE
    }  # fmt: skip
