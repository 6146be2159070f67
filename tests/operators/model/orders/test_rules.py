"""The scalar rules of one order's life."""

from __future__ import annotations

import msgspec
import pytest

from config.errors import InvalidRecordError
from operators.model.events import (
    EventType,
    ExecutionReport,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    OrdStatus,
    StatusDetail,
)
from operators.model.fees.tables import parse_schedule
from operators.model.orders.executions import Execution, Identity, Recall, execution_of
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import FOREVER_MS, AnomalyKind, Context, Order, Step, expire_at_ms, name_id

KEY = "ACC1|ORD1"
DAY_MICROS = 86_400_000_000
FEES = """
commission: [{from: 1970-01-01, per_share: "0.005", minimum: "1.00", maximum_of_notional: "0.01"}]
taf: [{from: 1970-01-01, per_share: "0.000195", cap: "9.79"}]
sec: [{from: 1970-01-01, per_million: "20.60"}]
venues: {"*": [{from: 1970-01-01, per_share: {ADDED: "-0.002", REMOVED: "0.003"}}]}
"""
CONTEXT = Context(parse_schedule(FEES))


def status(code: str, sequence: int, **changes: object) -> OrderStatusChanged:
    order = OrderSummary(id="ORD1", symbol="MSFT", side="SELL", quantity=300)
    event = OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CHANGED,
        occurred_at=1_000 * sequence,
        key=KEY,
        sequence=sequence,
        source="order-engine-1",
        order=msgspec.structs.replace(order, **changes.pop("order", {})),
        status=StatusDetail(code=code, reason=changes.pop("reason", None), filled_quantity=0),
        venue="XNAS",
        arrival_price=100_000_000,
    )
    return msgspec.structs.replace(event, **changes)


def fill(number: int, quantity: int, cumulative: int, **changes: object) -> ExecutionReport:
    event = ExecutionReport(
        event_type=EventType.EXECUTION_REPORTED,
        occurred_at=10_000 * number,
        key=KEY,
        sequence=number,
        source="gateway-1",
        venue="XNAS",
        trade_date=20_000,
        exec_id=f"E{number}",
        exec_type="TRADE",
        ord_status="PARTIALLY_FILLED",
        symbol="MSFT",
        side="SELL",
        order_quantity=300,
        last_quantity=quantity,
        last_price=101_000_000,
        liquidity="REMOVED",
        cum_quantity=cumulative,
        leaves_quantity=300 - cumulative,
    )
    return msgspec.structs.replace(event, **changes)


def play(*events: OrderStatusChanged | ExecutionReport, order: Order | None = None) -> list[Step]:
    """All steps of a history."""
    steps = []
    for event in events:
        taken = (
            on_status(order, event, CONTEXT)
            if isinstance(event, OrderStatusChanged)
            else on_execution(order, event, CONTEXT)
        )
        order = taken.order
        steps.append(taken)
    return steps


def codes(steps: list[Step]) -> list[str]:
    return [o.status.code for s in steps for o in s.outputs if isinstance(o, OrderStatusChanged)]


def kinds(steps: list[Step]) -> list[str]:
    return [anomaly.kind for s in steps for anomaly in s.anomalies]


def test_fills_lead_from_new_over_partially_filled_to_filled() -> None:
    steps = play(status("NEW", 1), fill(1, 100, 100), fill(2, 200, 300))
    assert codes(steps) == ["NEW", "PARTIALLY_FILLED", "FILLED"]
    assert kinds(steps) == []
    consolidated = [o for s in steps for o in s.outputs if isinstance(o, OrderStatusChanged)]
    assert [o.sequence for o in consolidated] == [1, 2, 3]
    assert [o.status.leaves_quantity for o in consolidated] == [300, 200, 0]
    assert [o.status.avg_price for o in consolidated] == [None, 101_000_000, 101_000_000]
    assert {(o.event_type, o.source, o.order.id) for o in consolidated} == {
        ("ORDER_STATUS_CONSOLIDATED", "status-aggregator", "ORD1")
    }


def test_an_enrichment_carries_price_slippage_and_fees_of_its_fill() -> None:
    steps = play(status("NEW", 1), fill(1, 100, 100))
    enriched = steps[1].outputs[1]
    assert isinstance(enriched, OrderEnriched)
    assert enriched.notional == 10_100_000_000
    assert enriched.slippage_bps == -100.0  # sold one percent above arrival: a gain
    assert {fee.kind: fee.amount for fee in enriched.fees} == {
        "COMMISSION": 1_000_000, "TAF": 19_500, "SEC": 208_060, "VENUE": 300_000,
    }  # fmt: skip
    assert enriched.total_fees == sum(fee.amount for fee in enriched.fees)
    assert enriched.sequence == steps[1].outputs[0].sequence


@pytest.mark.parametrize("code", ["CANCELED", "EXPIRED", "REJECTED"])
def test_an_ended_order_has_no_leaves_and_still_counts_a_late_fill(code: str) -> None:
    steps = play(
        status("NEW", 1), fill(1, 100, 100), status(code, 2, reason="why"), fill(2, 50, 150, leaves_quantity=0)
    )
    shown = "PARTIALLY_FILLED" if code == "REJECTED" else code
    assert codes(steps) == ["NEW", "PARTIALLY_FILLED", shown, shown]
    last = steps[-1].outputs[0]
    assert isinstance(last, OrderStatusChanged)
    assert (last.status.filled_quantity, last.status.leaves_quantity) == (150, 0)
    assert steps[2].outputs[0].status.reason == "why"
    assert kinds(steps) == []


def test_a_canceled_order_that_turns_out_filled_is_filled() -> None:
    assert codes(play(status("NEW", 1), status("CANCELED", 2), fill(1, 300, 300)))[-1] == "FILLED"


def test_an_execution_before_the_first_status_opens_the_order_and_the_status_fills_in_the_rest() -> None:
    steps = play(fill(1, 100, 100), status("NEW", 1, order={"parent_id": "ORD0"}))
    assert codes(steps) == ["PARTIALLY_FILLED", "PARTIALLY_FILLED"]
    first, second = steps[0].outputs[1], steps[1].outputs[0]
    assert isinstance(first, OrderEnriched)
    assert first.slippage_bps is None
    assert isinstance(second, OrderStatusChanged)
    assert (second.order.parent_id, second.arrival_price, second.sequence) == ("ORD0", 100_000_000, 2)


def test_a_repeated_execution_does_nothing_and_is_counted() -> None:
    steps = play(status("NEW", 1), fill(1, 100, 100), fill(1, 100, 100))
    assert steps[1].order is not None
    assert steps[2].order == msgspec.structs.replace(steps[1].order, anomalies=1)
    assert (list(steps[2].outputs), kinds(steps)) == ([], [AnomalyKind.DUPLICATE])


@pytest.mark.parametrize("change", [{"venue": "XNYS"}, {"trade_date": 20_001}, {"session": "S2"}])
def test_an_exec_id_is_unique_only_within_venue_and_trade_date(change: dict[str, object]) -> None:
    steps = play(fill(1, 100, 100), fill(1, 100, 200, sequence=2, **change))
    assert steps[-1].order is not None
    assert steps[-1].order.filled == 200


def test_executions_that_were_moved_out_are_asked_for() -> None:
    asked: list[Identity] = []

    def named(identity: Identity) -> list[Execution]:
        asked.append(identity)
        return [execution_of(fill(2, 100, 200))]

    taken = on_execution(play(fill(1, 100, 100))[0].order, fill(2, 100, 200), CONTEXT, Recall(named))
    assert kinds([taken]) == [AnomalyKind.DUPLICATE]
    assert asked == [("XNAS", None, 20_000, "E2")]


def test_a_repeated_or_outdated_status_does_not_move_the_order() -> None:
    steps = play(status("CANCELED", 2), status("NEW", 1), status("CANCELED", 2))
    assert codes(steps) == ["CANCELED"]
    assert kinds(steps) == [AnomalyKind.GAP, AnomalyKind.DUPLICATE, AnomalyKind.DUPLICATE]


def test_a_gap_is_counted_and_the_status_counts() -> None:
    steps = play(status("NEW", 1), status("CANCELED", 4))
    assert (codes(steps), kinds(steps)) == (["NEW", "CANCELED"], [AnomalyKind.GAP])


def test_each_source_has_its_own_sequence() -> None:
    steps = play(status("NEW", 1), status("SUSPENDED", 1, source="order-engine-2"), status("NEW", 2), status("NEW", 2))
    assert codes(steps) == ["NEW", "SUSPENDED", "NEW"]
    assert kinds(steps) == [AnomalyKind.DUPLICATE]


def test_nothing_leads_out_of_a_final_state() -> None:
    steps = play(status("REJECTED", 1), status("NEW", 2), status("REJECTED", 3))
    assert codes(steps) == ["REJECTED"]
    assert kinds(steps) == [AnomalyKind.ILLEGAL_TRANSITION]


def test_filled_more_than_ordered_counts_and_is_an_anomaly() -> None:
    steps = play(status("NEW", 1), fill(1, 400, 400, leaves_quantity=0))
    consolidated = steps[1].outputs[0]
    assert isinstance(consolidated, OrderStatusChanged)
    assert (consolidated.status.code, consolidated.status.leaves_quantity) == ("FILLED", 0)
    assert kinds(steps) == [AnomalyKind.OVERFILL]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"cum_quantity": 120}, AnomalyKind.CUM_MISMATCH),
        ({"leaves_quantity": 150}, AnomalyKind.CUM_MISMATCH),
        ({"leaves_quantity": 0}, AnomalyKind.LEAVES_ZERO_LIVE),
    ],
)
def test_what_the_venue_reports_against_its_fills_is_an_anomaly(change: dict[str, object], kind: AnomalyKind) -> None:
    steps = play(status("NEW", 1), fill(1, 100, 100, **change))
    assert kinds(steps) == [kind]
    assert steps[1].order is not None
    assert steps[1].order.filled == 100


def test_an_execution_out_of_order_counts() -> None:
    steps = play(fill(2, 100, 200), fill(1, 100, 100))
    assert steps[1].order is not None
    assert steps[1].order.filled == 200
    assert AnomalyKind.OUT_OF_ORDER in kinds(steps)


def test_a_cancel_by_the_venue_shows_once() -> None:
    report = fill(2, 0, 100, exec_type="CANCELED", last_price=None, text="done", leaves_quantity=0)
    steps = play(status("NEW", 1), fill(1, 100, 100), report, status("CANCELED", 2), report)
    assert codes(steps) == ["NEW", "PARTIALLY_FILLED", "CANCELED"]
    assert steps[2].outputs[0].status.reason == "done"
    assert kinds(steps) == [AnomalyKind.DUPLICATE]


def test_an_acknowledgement_of_the_venue_shows_until_the_engine_says_the_same() -> None:
    steps = play(
        fill(1, 0, 0, exec_type="NEW", last_price=None, leaves_quantity=300), status("NEW", 1), status("NEW", 2)
    )
    assert codes(steps) == ["NEW", "NEW"]  # the second because the arrival price is known now
    assert kinds(steps) == []


def test_a_pending_cancel_shows_over_fills() -> None:
    assert codes(play(status("NEW", 1), status("PENDING_CANCEL", 2), fill(1, 100, 100)))[-1] == "PENDING_CANCEL"


def test_the_arrival_price_stays_what_it_first_was() -> None:
    order = play(status("NEW", 1), status("NEW", 2, arrival_price=5))[-1].order
    assert order is not None
    assert order.arrival_price == 100_000_000
    order = play(status("NEW", 1, arrival_price=0), status("NEW", 2))[-1].order
    assert order is not None
    assert order.arrival_price == 100_000_000


@pytest.mark.parametrize(
    "event",
    [
        status("NEW", 1, order={"quantity": -1}),
        status("NEW", 0),
        status("WONDERFUL", 1),
        status("NEW", 1, order={"side": "UP"}),
        status("NEW", 1, occurred_at=-1),
        status("NEW", 1, key="ACC1"),
        status("NEW", 1, venue="X" * 256),
        fill(1, 0, 0),
        fill(1, -5, 0),
        fill(1, 5, 5, last_price=0),
        fill(1, 5, 5, last_price=None),
        fill(1, 2**40, 5, last_price=2**40),
        fill(1, 5, 5, order_quantity=-1),
        fill(1, 5, 5, exec_type="MAGIC"),
        fill(1, 5, 5, liquidity="DARK"),
        fill(1, 5, 5, liquidity="ROUTED"),
        fill(1, 5, 5, exec_id="E" * 256),
        fill(1, 5, 5, exec_id=""),
        fill(1, 5, 5, venue=""),
        fill(1, 5, 5, symbol=""),
        fill(1, 5, 5, trade_date=-1),
        fill(1, 5, 5, trade_date=0),
        fill(1, 5, 5, trade_date=84_006),
        fill(1, 5, 5, occurred_at=20_000 * DAY_MICROS - 1, trade_date=20_007),
        fill(1, 5, 5, occurred_at=84_005 * DAY_MICROS, trade_date=84_006),
    ],
)
def test_absurd_values_are_refused(event: OrderStatusChanged | ExecutionReport) -> None:
    with pytest.raises(InvalidRecordError):
        play(event)


@pytest.mark.parametrize(
    ("occurred_at", "trade_date"),
    [(20_000 * DAY_MICROS, 20_007), (20_000 * DAY_MICROS, 10_957), (10_957 * DAY_MICROS - 1, 20_007)],
)
def test_a_trade_date_may_lie_a_week_ahead_of_a_clock_that_was_set(occurred_at: int, trade_date: int) -> None:
    assert len(play(fill(1, 5, 5, occurred_at=occurred_at, trade_date=trade_date))[0].outputs) == 2


def test_a_total_beyond_64_bits_is_refused() -> None:
    order = play(fill(1, 2**31, 2**31, last_price=2**31))[0].order
    with pytest.raises(InvalidRecordError, match="notional"):
        play(fill(2, 2**31, 2**32, last_price=2**31 + 2**30), order=order)


def test_only_a_closed_order_expires() -> None:
    opened, closed = play(status("NEW", 1, occurred_at=5_000_000), status("CANCELED", 2, occurred_at=6_000_000))
    assert opened.order is not None
    assert expire_at_ms(opened.order, CONTEXT) == FOREVER_MS
    assert closed.order is not None
    assert expire_at_ms(closed.order, CONTEXT) == 6_000 + CONTEXT.retention_ms


def test_a_source_has_the_same_number_everywhere() -> None:
    assert name_id("order-engine-1") == name_id("order-engine-1") != name_id("order-engine-2")
    assert name_id("order-engine") == 433391507214066791


def test_every_status_can_be_consolidated() -> None:
    shown = {OrdStatus.FILLED: "NEW", OrdStatus.PARTIALLY_FILLED: "NEW", OrdStatus.REPLACED: "NEW"}
    assert [codes(play(status(code, 1))) for code in OrdStatus] == [[shown.get(code, code)] for code in OrdStatus]
