"""The flow `surveillance`: alerts of every kind, each told once, through crashes and however records are cut."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from flows.tester import FlowTester
from operators.model.risk.limits import AccountReference
from operators.model.surveillance.alerts import AlertEpisode, OrderAlert
from operators.model.views.milestones import Milestone

AT = 1_790_000_000_000_000
S = 1_000_000
MINUTE = 60 * S
TOPIC = "orders.milestones"


def happened(kind: str, at_s: float, key: str = "A1|O1", **fields: Any) -> Milestone:
    values: dict[str, Any] = {"symbol": "MSFT", "venue": "XNAS"} | fields
    return Milestone(kind=kind, occurred_at=AT + int(at_s * S), key=key, **values)


def account(account_id: str, owner: str | None) -> AccountReference:
    return AccountReference(
        event_type="ACCOUNT_REFERENCE", version=1, occurred_at=AT, key=account_id, owner=owner, sequence=1,
        source="operations",
    )  # fmt: skip


OWNERS = {"B1": "OWN", "B2": "OWN", "B3": None, **{f"W{number}": f"X{number}" for number in range(300)}}
ACCOUNTS = [account(name, owner) for name, owner in OWNERS.items()]


def silence(at_s: float) -> list[Milestone]:
    """Something harmless in every partition and of many accounts, so that event time moves everywhere."""
    return [happened("ACKNOWLEDGED", at_s, f"Z{number}|O") for number in range(300)] + [
        happened("TRADED", at_s, f"W{number}|O", symbol=f"S{number}", quantity=1, price=1, side="BUY", exec_id="E")
        for number in range(300)
    ]


def told(alerts: Iterable[OrderAlert]) -> list[tuple[str, str, str, str]]:
    return sorted((alert.kind, alert.state, alert.key, alert.symbol or "") for alert in alerts)


def fill(at_s: float, key: str, side: str, price: int = 100, **fields: Any) -> Milestone:
    values: dict[str, Any] = {"kind": "TRADED", "quantity": 5, "exec_id": f"{key}-{at_s}"} | fields
    return happened(values.pop("kind"), at_s, key, side=side, price=price, **values)


def cancels(count: int, at_s: float, name: str = "A3") -> list[Milestone]:
    return [
        happened(kind, at_s + number / 10, f"{name}|C{number}")
        for number in range(count)
        for kind in ("PLACED", "ACKNOWLEDGED", "CANCELED")
    ]


DAY: Sequence[Milestone] = [
    happened("PLACED", 0),
    happened("PLACED", 0, "A2|PEND"),
    happened("ACKNOWLEDGED", 1, "A2|PEND"),
    happened("PENDING", 2, "A2|PEND", code="PENDING_CANCEL"),
    *cancels(60, 3),
    fill(10, "B1|BUY", "BUY"),
    fill(11, "B3|OTHER", "SELL"),
    fill(12, "B2|SELL", "SELL"),
    fill(13, "B1|BUY", "BUY", price=150, reference_price=100),
    happened("ACKNOWLEDGED", 20),
    happened("ANSWERED", 50, "A2|PEND", code="NEW"),
    fill(60, "B1|BUY", "BUY", price=101, reference_price=100),
]

EXPECTED = [
    ("CANCEL_RATIO", "CLEARED", "A3", ""),
    ("CANCEL_RATIO", "CLEARED", "A3", "MSFT"),
    ("CANCEL_RATIO", "RAISED", "A3", ""),
    ("CANCEL_RATIO", "RAISED", "A3", "MSFT"),
    ("FILL_OUTSIDE_COLLAR", "CLEARED", "B1|BUY", "MSFT"),
    ("FILL_OUTSIDE_COLLAR", "RAISED", "B1|BUY", "MSFT"),
    ("STUCK_OPEN", "RAISED", "A1|O1", "MSFT"),
    ("STUCK_OPEN", "RAISED", "A2|PEND", "MSFT"),
    ("STUCK_PENDING", "CLEARED", "A2|PEND", "MSFT"),
    ("STUCK_PENDING", "RAISED", "A2|PEND", "MSFT"),
    ("UNACKNOWLEDGED", "CLEARED", "A1|O1", "MSFT"),
    ("UNACKNOWLEDGED", "RAISED", "A1|O1", "MSFT"),
    ("WASH_TRADE", "CLEARED", "B2|SELL", "MSFT"),
    ("WASH_TRADE", "RAISED", "B2|SELL", "MSFT"),
]


@pytest.fixture
def flow() -> Any:
    # One partition, as the order of records in it is then the same however they are cut into batches.
    with FlowTester("surveillance", partitions=1) as tester:
        tester.send("reference.accounts", *ACCOUNTS)
        yield tester


def quiet(flow: FlowTester) -> None:
    for at_s in (1_000, 9 * 3_600, 9 * 3_600 + 10):
        flow.send(TOPIC, *silence(at_s))
        flow.run()


def test_every_kind_of_alert_is_raised_once_and_cleared_once(flow: FlowTester) -> None:
    flow.send(TOPIC, *DAY)
    flow.run()
    quiet(flow)
    alerts = flow.read("orders.alerts")
    assert told(alerts) == EXPECTED
    assert flow.dead_letters() == []
    held = flow.store("alerts", AlertEpisode)
    assert len(held) == len([alert for alert in alerts if alert.state == "RAISED"])
    assert sorted(each.alert.kind for each in held.values() if each.cleared is None) == ["STUCK_OPEN", "STUCK_OPEN"]


@pytest.mark.parametrize("seed", range(6))
def test_alerts_do_not_depend_on_batches_nor_on_crashes(flow: FlowTester, seed: int) -> None:
    choose = random.Random(seed)
    rest = list(DAY)
    while rest:
        count = choose.randint(1, 30)
        flow.send(TOPIC, *rest[:count])
        rest = rest[count:]
        if choose.random() < 0.3:
            flow.process_uncommitted()
            flow.crash(lose_state=choose.random() < 0.5)
        if choose.random() < 0.7:
            flow.run()
    flow.run()
    flow.crash(lose_state=True)
    quiet(flow)
    alerts = flow.read("orders.alerts")
    assert told(alerts) == EXPECTED
    by_source: dict[tuple[str, str, str | None], list[int]] = {}
    for alert in alerts:
        place = (alert.source, alert.key, alert.symbol)
        by_source.setdefault(place, []).append(alert.sequence)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_source.values())


def test_the_same_milestones_give_the_same_alerts_to_the_last_field(flow: FlowTester) -> None:
    flow.send(TOPIC, *DAY)
    flow.run()
    quiet(flow)
    with FlowTester("surveillance", partitions=1) as other:
        other.send("reference.accounts", *ACCOUNTS)
        for milestone in DAY:
            other.send(TOPIC, milestone)
            other.run()
        quiet(other)
        key = ("kind", "state", "key", "symbol")
        assert _sorted(flow.read("orders.alerts"), key) == _sorted(other.read("orders.alerts"), key)


def _sorted(alerts: list[OrderAlert], names: Sequence[str]) -> list[OrderAlert]:
    return sorted(alerts, key=lambda alert: tuple(str(getattr(alert, name)) for name in names))


def test_state_of_what_is_over_is_forgotten(flow: FlowTester) -> None:
    flow.send(TOPIC, *DAY, happened("CANCELED", 100), happened("CANCELED", 100, "A2|PEND"))
    flow.run()
    for at_s in (1_000, 20 * 86_400, 20 * 86_400 + 100):
        flow.send(TOPIC, happened("TRADED", at_s, "B1|LAST", side="BUY", price=1, quantity=1, exec_id=f"E{at_s}"))
        flow.run()
    assert set(flow.store("orders")) <= {"B1|LAST"}


def test_a_corrected_price_reaches_the_watch_for_wash_trades(flow: FlowTester) -> None:
    bought = fill(1, "B1|BUY", "BUY", price=101)
    corrected = fill(
        2, "B1|BUY", "BUY", kind="CORRECTED", exec_id="K", exec_ref_id=bought.exec_id, quantity=0, notional=-5
    )
    flow.send(TOPIC, bought, corrected, fill(3, "B2|SELL", "SELL"))
    flow.run()
    assert [(alert.kind, alert.key, alert.measured) for alert in flow.read("orders.alerts")] == [
        ("WASH_TRADE", "B2|SELL", 5)
    ]
