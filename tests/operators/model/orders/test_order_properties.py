"""What holds of an order whatever happens to it, and in whatever order it is heard of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.model.events import ExecutionReport, OrderEnriched, OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.fees.tables import parse_schedule
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import Context, Order, Output, visible

KEY = "ACC1|ORD1"
FEES = """
commission: [{from: 1970-01-01, per_share: "0.005", minimum: "1.00", maximum_of_notional: "0.01"}]
taf: [{from: 1970-01-01, per_share: "0.000195", cap: "0.01"}]
sec: [{from: 1970-01-01, per_million: "20.60"}]
cat: [{from: 1970-01-01, per_share: "0.0000035"}]
venues: {"*": [{from: 1970-01-01, per_share: {ADDED: "-0.002", REMOVED: "0.003"}}]}
"""
CONTEXT = Context(parse_schedule(FEES))
DAY = 20_000
Event = OrderStatusChanged | ExecutionReport


def status(sequence: int, code: str, quantity: int = 1_000) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CHANGED", occurred_at=sequence, key=KEY, sequence=sequence, source="engine",
        order=OrderSummary(id="ORD1", symbol="MSFT", side="SELL", quantity=quantity, limit_price=9_000_000),
        status=StatusDetail(code=code, filled_quantity=0), venue="XNAS", arrival_price=10_000_000,
    )  # fmt: skip


def report(exec_type: str, exec_id: str, quantity: int, price: int, ref: str | None = None) -> ExecutionReport:
    return ExecutionReport(
        event_type="EXECUTION_REPORTED", occurred_at=1, key=KEY, sequence=0, source="gateway", venue="XNAS",
        trade_date=DAY, exec_id=exec_id, exec_ref_id=ref, exec_type=exec_type, ord_status="NEW", symbol="MSFT",
        side="SELL", order_quantity=1_000, price=9_000_000, last_quantity=quantity, last_price=price,
        liquidity="REMOVED", cum_quantity=0, leaves_quantity=0,
    )  # fmt: skip


@dataclass
class Trade:
    """A trade with its corrections and maybe a bust, as messages, and what is left of it in the end."""

    messages: list[ExecutionReport]
    quantity: int
    notional: int


@st.composite
def trades(draw: st.DrawFn) -> list[Trade]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        versions = draw(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10**8)), min_size=1, max_size=4))
        messages, named = [], ""
        for version, (quantity, price) in enumerate(versions):
            kind, exec_id = ("TRADE_CORRECT" if version else "TRADE"), f"E{number}.{version}"
            messages.append(report(kind, exec_id, quantity, price, named or None))
            named = exec_id
        quantity, price = versions[-1]
        if draw(st.booleans()):
            messages.append(report("TRADE_CANCEL", f"B{number}", quantity, price, named))
            quantity = 0
        made.append(Trade(messages, quantity, quantity * price))
    return made


def play(events: list[Event]) -> tuple[Order, list[Output]]:
    order, outputs = None, list[Output]()
    for number, event in enumerate(events, start=1):
        if isinstance(event, ExecutionReport):
            taken = on_execution(order, msgspec.structs.replace(event, sequence=number), CONTEXT)
        else:
            taken = on_status(order, event, CONTEXT)
        order = taken.order
        outputs += taken.outputs
    assert order is not None
    return order, outputs


@settings(deadline=None)
@given(trades(), st.randoms(use_true_random=False))
def test_what_is_filled_is_the_sum_of_the_live_fills_in_any_order_of_arrival(made: list[Trade], random: Random) -> None:
    messages: list[Event] = [message for trade in made for message in trade.messages]
    told_in_order, _ = play(messages)
    random.shuffle(messages)
    order, outputs = play(messages)
    assert order.filled == sum(trade.quantity for trade in made)
    assert order.notional == sum(trade.notional for trade in made)
    assert (order.total_fees, order.commission) == (told_in_order.total_fees, told_in_order.commission)
    assert order.waiting == ()
    enriched = [output for output in outputs if isinstance(output, OrderEnriched)]
    assert sum(output.last_quantity for output in enriched) == order.filled
    assert sum(fee.amount for output in enriched for fee in output.fees) == order.total_fees


@settings(deadline=None)
@given(trades(), st.lists(st.sampled_from(["NEW", "PARTIALLY_FILLED", "PENDING_CANCEL", "CANCELED"])), st.data())
def test_all_interleavings_of_engine_and_venue_end_alike(
    made: list[Trade], codes: list[str], data: st.DataObject
) -> None:
    statuses: list[Event] = [status(number, code) for number, code in enumerate(codes, start=1)]
    messages: list[Event] = [message for trade in made for message in trade.messages]
    ends = set()
    for _ in range(2):
        left, right, mixed = list(statuses), list(messages), list[Event]()
        while left and right:
            mixed.append((left if data.draw(st.booleans()) else right).pop(0))
        order, _ = play([*mixed, *left, *right])
        ends.add((order.filled, order.notional, order.total_fees, order.code, order.leaves, order.quantity))
    assert len(ends) == 1


@settings(deadline=None)
@given(trades(), st.lists(st.sampled_from(["NEW", "SUSPENDED", "FILLED", "PENDING_CANCEL"])), st.randoms())
def test_a_status_is_sent_if_and_only_if_something_that_shows_has_changed(
    made: list[Trade], codes: list[str], random: Random
) -> None:
    events: list[Event] = [status(number, code) for number, code in enumerate(codes, start=1)]
    messages: list[Event] = [message for trade in made for message in trade.messages]
    random.shuffle(messages)
    order, sequence = None, 0
    for number, event in enumerate([*events, *messages], start=1):
        if isinstance(event, ExecutionReport):
            taken = on_execution(order, msgspec.structs.replace(event, sequence=number), CONTEXT)
        else:
            taken = on_status(order, event, CONTEXT)
        assert taken.order is not None
        sent = [output for output in taken.outputs if isinstance(output, OrderStatusChanged)]
        showed, shows = order and order.code and visible(order), taken.order.code and visible(taken.order)
        assert len(sent) == (shows is not None and showed != shows)
        for output in sent:
            sequence += 1
            status_now = output.status
            assert (output.sequence, status_now.leaves_quantity) == (sequence, taken.order.leaves)
        order = taken.order


@settings(deadline=None)
@given(trades(), st.lists(st.integers(0, 40), max_size=10))
def test_messages_told_again_change_nothing_but_the_count_of_anomalies(made: list[Trade], again: list[int]) -> None:
    messages: list[Event] = [message for trade in made for message in trade.messages]
    once, _ = play(messages)
    twice, outputs = play([*messages, *(messages[number % len(messages)] for number in again)])
    assert msgspec.structs.replace(twice, anomalies=once.anomalies) == once
    assert twice.anomalies == once.anomalies + len(again)
    assert [o.sequence for o in outputs if isinstance(o, OrderStatusChanged)] == list(range(1, once.sequence + 1))
