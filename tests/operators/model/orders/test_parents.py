"""A parent is what its children add up to, whatever they do and in whatever order it is heard of."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.model.events import ExecutionReport, OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.fees.tables import parse_schedule
from operators.model.orders.parents import FamilyChange, Parent, on_change
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import Context, Order

CONTEXT = Context(parse_schedule("{}"))
PARENT = "ACC1|P1"
Event = OrderStatusChanged | ExecutionReport


def es(order_id: str, code: str, quantity: int = 100, **changes: Any) -> OrderStatusChanged:
    parent = None if order_id == "P1" else "P1"
    order = OrderSummary(id=order_id, parent_id=parent, symbol="MSFT", side="BUY", quantity=quantity)
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CHANGED", occurred_at=1, key=f"ACC1|{order_id}", sequence=0, source="engine",
        order=msgspec.structs.replace(order, is_parent=order_id == "P1" or None),
        status=StatusDetail(code=code, filled_quantity=0), **changes,
    )  # fmt: skip


def vm(order_id: str, exec_type: str, last: int = 0, price: int = 0, **changes: Any) -> ExecutionReport:
    event = ExecutionReport(
        event_type="EXECUTION_REPORTED", occurred_at=2, key=f"ACC1|{order_id}", sequence=0, source="gateway",
        venue="XNAS", trade_date=20_000, exec_id="", exec_type=exec_type, ord_status=exec_type, symbol="MSFT",
        side="BUY", order_quantity=100, last_quantity=last, last_price=price or None, cum_quantity=0, leaves_quantity=0,
    )  # fmt: skip
    return msgspec.structs.replace(event, **changes)


def play(events: list[Event]) -> tuple[dict[str, Order], Parent | None, list[OrderStatusChanged]]:
    """Orders, the parent, and its consolidated statuses. Messages get the next sequence of their order."""
    orders, sequences = dict[str, Order](), dict[tuple[str, str], int]()
    parent, statuses = None, list[OrderStatusChanged]()
    for event in events:
        place = event.key, event.source
        sequences[place] = number = sequences.get(place, 0) + 1
        known = orders.get(event.key)
        if isinstance(event, OrderStatusChanged):
            step = on_status(known, msgspec.structs.replace(event, sequence=number), CONTEXT)
        else:
            exec_id = event.exec_id or f"E{number}"
            step = on_execution(known, msgspec.structs.replace(event, sequence=number, exec_id=exec_id), CONTEXT)
        if step.order is not None:
            orders[event.key] = step.order
        for output in step.outputs:
            if isinstance(output, FamilyChange):
                assert output.parent_id == "P1"
                parent, status = on_change(parent, PARENT, output)
                statuses += [status] if status is not None else []
    return orders, parent, statuses


def shown(events: list[Event]) -> list[tuple[str, int, int | None, int | None, int]]:
    return [
        (s.status.code, s.status.filled_quantity, s.status.leaves_quantity, s.status.avg_price, s.order.quantity)
        for s in play(events)[2]
    ]


def test_a_parent_the_engine_is_silent_of_is_the_sum_of_its_children() -> None:
    assert shown([
        es("C1", "NEW"), es("C2", "NEW", 50), vm("C1", "TRADE", 40, 10), vm("C2", "TRADE", 50, 13),
        vm("C1", "TRADE", 60, 10),
    ]) == [
        ("NEW", 0, 100, None, 100), ("NEW", 0, 150, None, 150), ("PARTIALLY_FILLED", 40, 110, 10, 150),
        ("PARTIALLY_FILLED", 90, 60, 11, 150), ("FILLED", 150, 0, 11, 150),
    ]  # fmt: skip


def test_one_childs_reject_does_not_fail_the_parent() -> None:
    assert shown([es("C1", "NEW"), es("C2", "NEW", 50), es("C2", "REJECTED", 50)]) == [
        ("NEW", 0, 100, None, 100), ("NEW", 0, 150, None, 150), ("NEW", 0, 100, None, 100),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (("REJECTED", "REJECTED"), "REJECTED"),
        (("EXPIRED", "EXPIRED"), "EXPIRED"),
        (("CANCELED", "EXPIRED"), "CANCELED"),
        (("REJECTED", "EXPIRED"), "CANCELED"),
    ],
)
def test_a_parent_whose_children_are_all_dead_is_dead(ends: tuple[str, str], code: str) -> None:
    events: list[Event] = [es("C1", "NEW"), es("C2", "NEW"), es("C1", ends[0]), es("C2", ends[1])]
    assert shown(events)[-1] == (code, 0, 0, None, 0)


@pytest.mark.parametrize(
    ("end", "code"), [("CANCELED", "CANCELED"), ("EXPIRED", "EXPIRED"), ("REJECTED", "PARTIALLY_FILLED")]
)
def test_a_parent_whose_only_child_ended_part_filled_shows_what_the_child_does(end: str, code: str) -> None:
    events: list[Event] = [es("C1", "NEW"), vm("C1", "TRADE", 40, 10), es("C1", end)]
    orders, _, _ = play(events)
    assert shown(events)[-1] == (code, 40, 0, 10, 40)
    assert orders["ACC1|C1"].code == code


def test_what_is_canceled_at_one_venue_and_routed_to_another_opens_the_parent_again() -> None:
    events = [es("C1", "NEW"), vm("C1", "TRADE", 40, 10), es("C1", "CANCELED"), es("C2", "NEW", 60)]
    assert shown(events)[-2:] == [("CANCELED", 40, 0, 10, 40), ("PARTIALLY_FILLED", 40, 60, 10, 100)]


def test_a_canceled_child_that_late_fills_complete_fills_the_parent() -> None:
    events = [es("C1", "NEW"), es("C1", "CANCELED"), vm("C1", "TRADE", 100, 10)]
    assert [status[0] for status in shown(events)] == ["NEW", "CANCELED", "FILLED"]


def test_the_engines_word_for_the_parent_goes_before_the_sum() -> None:
    events = [
        es("P1", "NEW", 500, venue="XNAS"),
        es("C1", "NEW"),
        vm("C1", "TRADE", 40, 10),
        es("P1", "PENDING_CANCEL"),
        es("P1", "CANCELED", 500),
        vm("C1", "TRADE", 10, 10),
    ]
    assert shown(events) == [
        ("NEW", 0, 500, None, 500), ("PARTIALLY_FILLED", 40, 460, 10, 500), ("PENDING_CANCEL", 40, 460, 10, 500),
        ("CANCELED", 40, 0, 10, 500), ("CANCELED", 50, 0, 10, 500),
    ]  # fmt: skip
    statuses = play(events)[2]
    assert [status.sequence for status in statuses] == [1, 2, 3, 4, 5]
    assert {(status.source, status.key, status.order.is_parent) for status in statuses} == {
        ("parent-aggregator", PARENT, True)
    }


def test_the_join_sends_no_consolidated_status_of_a_parent() -> None:
    assert [
        type(o) for o in on_status(None, msgspec.structs.replace(es("P1", "NEW"), sequence=1), CONTEXT).outputs
    ] == [FamilyChange]


def test_a_bust_of_a_childs_fill_is_one_of_the_parent() -> None:
    bust = vm("C1", "TRADE_CANCEL", 40, 10, exec_ref_id="E1")
    assert shown([es("C1", "NEW"), vm("C1", "TRADE", 40, 10), bust])[-1] == ("NEW", 0, 100, None, 100)


def test_a_child_given_to_another_parent_leaves_the_first() -> None:
    first, second = es("C1", "NEW"), es("C1", "NEW", 70)
    moved = msgspec.structs.replace(second, sequence=2, order=msgspec.structs.replace(second.order, parent_id="P2"))
    order = on_status(None, msgspec.structs.replace(first, sequence=1), CONTEXT).order
    changes = [output for output in on_status(order, moved, CONTEXT).outputs if isinstance(output, FamilyChange)]
    assert [(c.parent_id, c.children, c.open, c.quantity) for c in changes] == [("P1", -1, -1, -100), ("P2", 1, 1, 70)]


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """What engine and venue say of three children, each in its own order."""
    made = []
    for number in range(3):
        child = f"C{number}"
        codes = draw(
            st.lists(st.sampled_from(["NEW", "PENDING_CANCEL", "CANCELED", "REJECTED"]), min_size=1, max_size=4)
        )
        made.append([*(es(child, code, draw(st.sampled_from([100, 60]))) for code in codes)])
        kinds = draw(st.lists(st.sampled_from(["TRADE", "TRADE", "TRADE_CANCEL", "EXPIRED"]), max_size=5))
        made.append(
            [vm(child, kind, draw(st.integers(1, 40)), draw(st.integers(1, 10**9)), exec_ref_id="E1") for kind in kinds]
        )
    return made


@settings(deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_a_parent_adds_up_to_its_children_in_any_order_of_arrival(made: list[list[Event]], random: Random) -> None:
    turns = [index for index, events in enumerate(made) for _ in events]
    random.shuffle(turns)
    waiting = [iter(events) for events in made]
    orders, parent, statuses = play([next(waiting[index]) for index in turns])
    children = [order for order in orders.values() if order.parent_id == "P1"]
    assert parent is not None
    assert parent.sums.filled == sum(child.filled for child in children)
    assert parent.sums.notional == sum(child.notional for child in children)
    assert parent.sums.quantity == sum(child.filled if child.dead else child.quantity for child in children)
    assert (parent.sums.children, parent.sums.open) == (len(children), sum(not child.closed for child in children))
    assert parent.dead_children == sum(child.dead and child.code != "FILLED" for child in children)
    assert [status.sequence for status in statuses] == list(range(1, parent.sequence + 1))
    if statuses:
        last = statuses[-1].status
        assert (last.code, last.filled_quantity, last.leaves_quantity) == (
            parent.code,
            parent.sums.filled,
            parent.leaves,
        )
