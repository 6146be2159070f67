"""The closing verdict of a demo: everything on its topics and in its views, held against the independent models."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

import config
from broker.contract import Log
from config.settings import Settings
from operators.codec.codec import Codec
from services.records import read_columns, read_topic
from services.truth_alerts import AlertTruth
from services.truth_fees import FeeTable
from services.verdict import Check, Verdict, verify
from services.verdict_alerts import episode, judge_alerts
from sinks.views import (
    ALERTS,
    CHILDREN,
    DASHBOARD,
    FLOW,
    POSITIONS,
    SURVEILLANCE,
    View,
    read_alerts,
    read_children,
    read_positions,
    read_windows,
)

TUMBLING_MS: Final = 60_000
_FEES_FILE: Final = Path(config.__file__).parent / "fees" / "us_equities.yaml"
_READ_EVERY_S: Final = 1.0
_SAME_READS: Final = 2


class _Views(NamedTuple):
    """What the views hold at one time, and the alerts told by then."""

    positions: dict[str, dict[str, Any]]
    dashboard: dict[str, dict[str, int]]
    children: dict[str, set[str]]
    open_episodes: set[str]
    alerts: list[dict[str, Any]]


def reckon(settings: Settings, log: Log, codec: Codec, owners: Mapping[str, str]) -> Verdict:
    """Judges decisions, order status, views and alerts; the flows must have caught up, and may go on running.

    `owners` by account. `BrokenWorldError` if the log cannot be read, `StoreError` if a view cannot.
    """
    decisions, parents = _decisions(log, codec)

    def read() -> _Views:
        alerts = [alert for records in read_topic(log, codec, "orders.alerts") for alert in records]
        of_parents = _children(settings, parents)
        return _Views(_positions(settings), _dashboard(settings), of_parents, _open_episodes(settings), alerts)

    views, expected_alerts = _settled(read), AlertTruth(owners)
    verdict = verify(
        log,
        codec,
        FeeTable.load(_FEES_FILE),
        positions=views.positions,
        dashboard=views.dashboard,
        children=views.children,
        also=[expected_alerts],
    )
    alerts = judge_alerts(expected_alerts, views.alerts, views.open_episodes)
    return Verdict([decisions, *verdict.checks, *alerts], verdict.counts)


def _decisions(log: Log, codec: Codec) -> tuple[Check, set[str]]:
    """Every intent has one decision, and nothing else has; and the keys that intents name as their parents'."""
    intents, decided, parents = Counter[tuple[str, int]](), Counter[tuple[str, int]](), set[str]()
    for batch in read_columns(log, codec, "orders.input"):
        columns = {name: batch.column(name).to_pylist() for name in ("key", "sequence", "accountId", "parentId")}
        intents.update(zip(columns["key"], columns["sequence"], strict=True))
        named = zip(columns["accountId"], columns["parentId"], strict=True)
        parents.update(f"{account}|{parent}" for account, parent in named if parent is not None)
    for batch in read_columns(log, codec, "risk.outcome"):
        sequences = batch.column("intent").field("sequence").to_pylist()
        decided.update(zip(batch.column("key").to_pylist(), sequences, strict=True))
    check = Check("one decision per intent")
    for intent in intents.keys() | decided.keys():
        check.equal(f"{intent[0]} {intent[1]}", decided[intent], intents[intent])
    return check, parents


def _positions(settings: Settings) -> dict[str, dict[str, Any]]:
    with View(settings, FLOW, POSITIONS) as view:
        return {
            f"{position.account_id}|{position.symbol}": msgspec.to_builtins(position)
            for position in read_positions(view)
        }


def _dashboard(settings: Settings) -> dict[str, dict[str, int]]:
    sums: dict[str, Counter[str]] = {}
    with View(settings, FLOW, DASHBOARD) as view:
        for window in read_windows(view, size_ms=TUMBLING_MS):
            figures = msgspec.to_builtins(window.aggregate)
            of_key = sums.setdefault(f"{window.symbol}|{window.venue}", Counter())
            of_key.update({name: value for name, value in figures.items() if isinstance(value, int)})
    return {key: dict(figures) for key, figures in sums.items()}


def _children(settings: Settings, parents: set[str]) -> dict[str, set[str]]:
    with View(settings, FLOW, CHILDREN) as view:
        return {parent: {child.key for child in read_children(view, parent)} for parent in parents}


def _open_episodes(settings: Settings) -> set[str]:
    with View(settings, SURVEILLANCE, ALERTS) as view:
        return {episode(msgspec.to_builtins(found.alert)) for found in read_alerts(view, open_only=True)}


def _settled(read: Callable[[], _Views]) -> _Views:
    """The views once they no longer change: stores follow what is committed within an epoch or two."""
    before, same = read(), 1
    while same < _SAME_READS:
        time.sleep(_READ_EVERY_S)
        now = read()
        before, same = now, same + 1 if now == before else 1
    return before
