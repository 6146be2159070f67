"""The flow `views` on histories of orders: timelines, children, dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from flows.tester import FlowTester
from operators.model.events import (
    Breach,
    DayQuantities,
    Event,
    ExecutionReport,
    OrderAnomaly,
    OrderEnriched,
    OrderIntent,
    OrderStatusChanged,
    OrderSummary,
    RiskOutcome,
    StatusDetail,
)
from operators.model.surveillance.alerts import OrderAlert
from operators.model.views.children import Children, read_child
from operators.model.views.dashboard import TOTAL_SIZE_MS, Aggregate, merge
from operators.model.views.timeline import Timeline, all_entries
from operators.model.views.timeline_order import read_in_order
from operators.state.windows import parse_window_key

AT = 1_790_000_000_000_000
S = 1_000_000
KEY = "ACC1|ORD1"


class Story:
    """Events of orders at one venue, one after the other in time."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], Iterator[int]] = {}
        self.at = AT

    def number(self, key: str, source: str) -> int:
        return next(self._numbers.setdefault((key, source), count(1)))

    def status(self, code: str, key: str = KEY, *, consolidated: bool = False, **fields: Any) -> OrderStatusChanged:
        self.at += S
        source = fields.pop("source", "aggregator" if consolidated else "engine")
        leaves, filled = fields.pop("leaves", 100), fields.pop("filled", 0)
        venue = fields.pop("venue", "XNAS")
        return OrderStatusChanged(
            event_type="ORDER_STATUS_CONSOLIDATED" if consolidated else "ORDER_STATUS_CHANGED",
            occurred_at=self.at, key=key, sequence=self.number(key, source), source=source, venue=venue,
            order=OrderSummary(id=key.partition("|")[2], symbol="MSFT", side="BUY", quantity=100, **fields),
            status=StatusDetail(code=code, filled_quantity=filled, leaves_quantity=leaves),
        )  # fmt: skip

    def report(self, exec_type: str = "NEW", key: str = KEY, **fields: Any) -> ExecutionReport:
        self.at += S
        values: dict[str, Any] = {"exec_id": f"E{self.at}", "cum_quantity": 0, "leaves_quantity": 100} | fields
        return ExecutionReport(
            event_type="EXECUTION_REPORTED", occurred_at=self.at, key=key, venue="XNAS", trade_date=20_717,
            exec_type=exec_type, ord_status="NEW", symbol="MSFT", side="BUY", order_quantity=100,
            sequence=self.number(key, "gateway"), source="gateway", **values,
        )  # fmt: skip

    def enriched(self, quantity: int, notional: int, key: str = KEY, **fields: Any) -> OrderEnriched:
        """`notional` is that of all live fills after it."""
        self.at += S
        values: dict[str, Any] = {"last_price": 10, "last_exec_id": f"E{self.at}"} | fields
        return OrderEnriched(
            event_type="ORDER_ENRICHED", occurred_at=self.at, key=key, sequence=1, source="aggregator",
            symbol="MSFT", venue="XNAS", side="BUY", filled_quantity=0, last_quantity=quantity, notional=notional,
            **values,
        )  # fmt: skip

    def decision(self, key: str = KEY, **fields: Any) -> RiskOutcome:
        self.at += S
        account_id, _, order_id = key.partition("|")
        intent = OrderIntent(
            event_type="ORDER_SUBMITTED", occurred_at=self.at, key=key, sequence=1, source="entry",
            account_id=account_id, order_id=order_id, cl_ord_id="C1", user_token="U", symbol="MSFT", side="BUY",
            quantity=100, order_type="LIMIT", limit_price=10, correlation_id="R1", **fields,
        )  # fmt: skip
        return RiskOutcome(
            event_type="RISK_APPROVED", occurred_at=self.at, key=key, sequence=self.number(key, "risk"), source="risk",
            intent=intent, limits_version="7",
            breaches=[Breach(check="COLLAR", scope="FIRM", limit=500.0, attempted=510.0, severity="WARN")],
        )  # fmt: skip


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def flow() -> Iterator[FlowTester]:
    with FlowTester("views") as tester:
        yield tester


TOPICS: dict[type[Event], str] = {
    RiskOutcome: "risk.outcome",
    OrderStatusChanged: "orders.status",
    ExecutionReport: "orders.executions",
    OrderAnomaly: "orders.anomalies",
    OrderEnriched: "orders.enrichment",
    OrderAlert: "orders.alerts",
}


def play(flow: FlowTester, *events: Event) -> None:
    for event in events:
        flow.send(TOPICS[type(event)], event)
    flow.run()


def lines_of(flow: FlowTester, key: str = KEY) -> list[tuple[str, str, tuple[str, ...]]]:
    held = flow.store("timeline")
    state = msgspec.msgpack.decode(held[key], type=Timeline)
    chunks = [held[name] for name in sorted(held) if name.startswith(f"{key}\0")]
    return [
        (line.entry.origin, line.entry.kind, line.marks)
        for line in read_in_order(key, list(all_entries(state, chunks)))
    ]


def test_a_timeline_has_everything_that_was_said_in_the_order_of_time(flow: FlowTester, story: Story) -> None:
    decision, new, acknowledged = story.decision(), story.status("NEW"), story.report()
    anomaly = OrderAnomaly(
        event_type="ORDER_ANOMALY", occurred_at=acknowledged.occurred_at, key=KEY, kind="CUM_MISMATCH", detail="why",
        sequence=1, source="aggregator", correlation_id="R1",
    )  # fmt: skip
    consolidated = story.status("NEW", consolidated=True)
    alert = OrderAlert(
        event_type="ORDER_ALERT", occurred_at=story.at + S, key=KEY, kind="STUCK_OPEN", state="RAISED",
        severity="WARNING", scope="ORDER", raised_at=story.at + S, detail="open", sequence=4, source="surveillance",
    )  # fmt: skip
    of_account = msgspec.structs.replace(alert, key="ACC1", scope="ACCOUNT")
    play(flow, consolidated, alert, of_account, anomaly)
    flow.crash()
    play(flow, acknowledged, new, decision)
    assert lines_of(flow) == [
        ("RISK", "RISK_APPROVED", ()),
        ("ENGINE", "NEW", ()),
        ("VENUE", "NEW", ()),
        ("ANOMALY", "CUM_MISMATCH", ()),
        ("CONSOLIDATED", "NEW", ()),
        ("ALERT", "STUCK_OPEN", ()),
    ]
    held = flow.store("timeline", Timeline)
    assert set(held) == {KEY}
    told = {entry.origin: entry for entry in held[KEY].entries}
    assert told["RISK"].text == "COLLAR WARN FIRM (limit 500, attempted 510)"
    assert (told["RISK"].limits_version, told["RISK"].cl_ord_id, told["RISK"].correlation_id) == ("7", "C1", "R1")
    assert told["ANOMALY"].text == "why"
    assert flow.dead_letters() == []


def test_gaps_repeats_and_late_events_are_marked(flow: FlowTester, story: Story) -> None:
    first, second, third = story.report(), story.report("PENDING_CANCEL"), story.report("CANCELED")
    play(flow, first, third, third)
    play(flow, second)
    assert [marks for _, _, marks in lines_of(flow)] == [(), ("LATE",), (), ("DUPLICATE",)]
    lost = story.report("PENDING_CANCEL"), story.report("PENDING_REPLACE")
    play(flow, lost[1])
    assert lines_of(flow)[-1][2] == ("GAP",)


def test_a_parent_knows_its_children_from_statuses_and_from_requests(flow: FlowTester, story: Story) -> None:
    children = [f"ACC1|C{number}" for number in range(3)]
    play(
        flow,
        story.status("NEW", children[0], parent_id="ORD1"),
        story.status("NEW", children[0], parent_id="ORD1", consolidated=True),
        story.decision(children[1], parent_id="ORD1"),
    )
    flow.crash(lose_state=True)
    play(flow, story.status("NEW", children[1], parent_id="ORD1"), story.status("NEW", children[2], parent_id="ORD1"))
    play(flow, story.status("NEW", is_parent=True), story.status("NEW", KEY, parent_id="ORD1"))
    held = flow.store("children")
    assert msgspec.msgpack.decode(held[KEY], type=Children).count == 3
    assert [read_child(held[name]).key for name in sorted(held) if "\0" in name] == children
    assert len(held) == 4


def dashboard(flow: FlowTester) -> dict[int, Aggregate]:
    """Sums over the windows of one size: what hopping windows overlap is counted as often as they do."""
    sums: dict[int, Aggregate] = {}
    for key, body in flow.store("dashboard").items():
        _, size_ms, _ = parse_window_key(key)
        figures = msgspec.msgpack.decode(body, type=Aggregate)
        sums[size_ms] = merge(sums.get(size_ms, Aggregate()), figures)
    return sums


def test_the_dashboard_follows_busts_corrections_splits_and_reopened_orders(flow: FlowTester, story: Story) -> None:
    play(
        flow,
        story.status("NEW"),
        story.report(),
        story.enriched(40, 400),
        story.enriched(60, 1_000),
        story.status("FILLED", consolidated=True, leaves=0),
    )
    flow.crash()
    play(
        flow,
        story.enriched(-60, 400, exec_type="TRADE_CANCEL", exec_ref_id="E2"),
        story.status("PARTIALLY_FILLED", consolidated=True, leaves=60),
        story.enriched(-10, 330, exec_type="TRADE_CORRECT", last_price=11, exec_ref_id="E1", replaced_quantity=40),
        story.enriched(30, 330, exec_type="RESTATED", last_price=None, replaced_quantity=30),
        story.status("CANCELED", consolidated=True, leaves=0),
        story.enriched(0, 330, last_price=None),
    )
    figures = dashboard(flow)
    for one in (figures[60_000], figures[TOTAL_SIZE_MS]):
        assert (one.orders, one.fills, one.traded_quantity, one.traded_notional) == (1, 1, 30, 330)
        assert (one.filled, one.reopened, one.canceled, one.open_change) == (1, 1, 1, 0)
    assert figures[60_000].vwap == 11
    assert figures[60_000].first_fill.total == 1
    assert figures[300_000].fills == 5
    kinds = [milestone.kind for milestone in flow.read("orders.milestones")]
    assert kinds.count("BUSTED") == kinds.count("CORRECTED") == 1
    assert {letter.headers["orderflow.step"] for letter in flow.dead_letters()} <= {"positions"}


def test_a_parent_is_no_order_of_a_venue_and_a_day_order_that_is_done_is_open_no_more(
    flow: FlowTester, story: Story
) -> None:
    play(
        flow,
        story.status("NEW", "ACC1|P", is_parent=True),
        story.status("PARTIALLY_FILLED", "ACC1|P", consolidated=True, source="parent-aggregator", filled=10),
        story.status("NEW", "ACC1|C", parent_id="P"),
        story.status("DONE_FOR_DAY", "ACC1|C", parent_id="P", consolidated=True, leaves=0),
        story.status("NEW", "ACC1|D", parent_id="P"),
        story.status("DONE_FOR_DAY", "ACC1|D", parent_id="P", consolidated=True, leaves=100),
    )
    total = dashboard(flow)[TOTAL_SIZE_MS]
    assert (total.orders, total.done, total.open_change) == (2, 1, 1)


def test_a_milestone_that_comes_after_its_windows_is_late_and_yet_in_the_total(flow: FlowTester, story: Story) -> None:
    late = story.status("NEW", "ACC1|LATE")
    story.at += 3_600 * S
    play(flow, story.status("NEW"))
    play(flow, late)
    figures = dashboard(flow)
    assert (figures[60_000].orders, figures[TOTAL_SIZE_MS].orders) == (1, 2)


def test_a_request_that_risk_rejects_is_forgotten_when_nothing_follows(flow: FlowTester, story: Story) -> None:
    play(flow, story.decision("ACC1|REJECTED"), story.status("NEW", "ACC1|OPEN"))
    assert set(flow.store("timeline")) == {"ACC1|REJECTED", "ACC1|OPEN"}
    story.at += 8 * 86_400 * S
    for number in range(8):  # some key in each partition, to move event time in all of them
        play(flow, story.status("NEW", f"ACC1|N{number}"))
    flow.run()
    kept = set(flow.store("timeline"))
    assert "ACC1|OPEN" in kept
    assert "ACC1|REJECTED" not in kept


def test_day_quantities_do_no_harm(flow: FlowTester, story: Story) -> None:
    status = story.status("NEW", consolidated=True)
    day = DayQuantities(trade_date=20_717, order_quantity=100, filled_quantity=0)
    status = msgspec.structs.replace(status, status=msgspec.structs.replace(status.status, day=day))
    play(flow, status)
    assert flow.dead_letters() == []
    assert lines_of(flow) == [("CONSOLIDATED", "NEW", ())]
