"""Reservation and release: the table of effects, and the invariants over random histories."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import OrdStatus
from operators.model.orders.lifecycle import Voice, consolidated_code
from operators.model.risk.state import CLOSED_KEPT, RESTING_TOGETHER, SymbolRisk, Terms

PRICE = 400_000_000
WIDE = {
    "max_order_quantity": 10**6,
    "max_order_notional": 10**15,
    "collar_bps": 10**6,
    "reference_age_max_ms": 10**9,
    "max_messages": 4_000,
    "max_exposure": 10**15,
}

Desks = Callable[..., Any]


@pytest.fixture
def desk(new_desk: Desks) -> Any:
    """An account with an open order ORD1 to buy 100 at 400."""
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    assert desk.ask().event_type == "RISK_APPROVED"
    return desk


def replaced(desk: Any, quantity: int = 100, price: int = PRICE, **fields: Any) -> None:
    assert desk.replace(quantity=quantity, limit_price=price, **fields).event_type == "RISK_APPROVED"


def after(desk: Any, *statuses: tuple[str, int], **fields: Any) -> Any:
    for code, filled in statuses:
        assert desk.say(code, filled=filled, **fields) == ()
    return desk


@pytest.mark.parametrize(
    ("statuses", "reserved", "position"),
    [
        ([("NEW", 0)], 100, 0),
        ([("PARTIALLY_FILLED", 30)], 70, 30),
        ([("PARTIALLY_FILLED", 30), ("PENDING_CANCEL", 50)], 50, 50),
        ([("FILLED", 100)], 0, 100),
        ([("CANCELED", 20)], 0, 20),
        ([("REJECTED", 0)], 0, 0),
        ([("EXPIRED", 0)], 0, 0),
        ([("CANCELED", 20), ("CANCELED", 40)], 0, 40),
        ([("PARTIALLY_FILLED", 30), ("NEW", 0)], 100, 0),
        ([("FILLED", 100), ("PARTIALLY_FILLED", 60)], 40, 60),
        ([("CANCELED", 20), ("CANCELED", 0)], 0, 0),
        ([("DONE_FOR_DAY", 20)], 0, 20),
        ([("DONE_FOR_DAY", 20), ("PARTIALLY_FILLED", 20)], 80, 20),
        ([("FILLED", 120)], 0, 120),
    ],
    ids=str,
)
def test_each_status_reserves_its_leaves_and_turns_fills_into_a_position(
    desk: Any, statuses: list[tuple[str, int]], reserved: int, position: int
) -> None:
    after(desk, *statuses)
    assert desk.units_reserved == reserved
    assert desk.symbol().buying == reserved
    assert desk.symbol().quantity == position
    assert desk.account.open_notional == position * PRICE
    assert desk.account.working == (reserved > 0)


def test_an_order_done_for_the_day_that_is_good_till_canceled_keeps_its_reservation(desk: Any) -> None:
    desk.say("DONE_FOR_DAY", filled=20, leaves=80)
    assert desk.units_reserved == 80


def test_repeating_a_status_or_hearing_an_older_one_does_nothing(desk: Any) -> None:
    after(desk, ("NEW", 0), ("PARTIALLY_FILLED", 30))
    known = (desk.account, dict(desk.parts))
    assert desk.say("PARTIALLY_FILLED", filled=30, sequence=2) == ("DUPLICATE",)
    assert desk.say("NEW", sequence=1) == ("DUPLICATE",)
    assert (desk.account, desk.parts) == known


def test_sequences_are_those_of_each_source(desk: Any) -> None:
    assert desk.say("NEW", sequence=5) == ()
    assert desk.say("PARTIALLY_FILLED", filled=30, source="other", sequence=1) == ()
    assert desk.say("PARTIALLY_FILLED", filled=30, source="other", sequence=1) == ("DUPLICATE",)
    assert desk.units_reserved == 70


def test_a_status_that_was_skipped_is_made_up_for_by_the_next(new_desk: Desks) -> None:
    whole, skipping = (new_desk(firm=WIDE) for _ in range(2))
    for each in (whole, skipping):
        each.ask()
    after(whole, ("NEW", 0), ("PARTIALLY_FILLED", 30))
    for each in (whole, skipping):
        each.say("FILLED", filled=100, sequence=3)
    assert (whole.account.reserved, whole.symbol()) == (skipping.account.reserved, skipping.symbol())


def test_a_status_of_an_order_nobody_asked_for_changes_nothing(desk: Any) -> None:
    known = (desk.account, dict(desk.parts))
    assert desk.say("NEW", "OTHER") == ("UNKNOWN_ORDER",)
    assert (desk.account, desk.parts) == known


def test_the_rejection_of_an_order_that_risk_refused_is_expected_and_fills_of_it_are_not(desk: Any) -> None:
    desk.ask("BAD", quantity=0)
    known = desk.account
    assert desk.say("REJECTED", "BAD") == ()
    assert desk.say("CANCELED", "BAD", filled=5) == ("UNKNOWN_ORDER",)
    assert desk.account == known


def test_an_increase_is_reserved_at_request_time_and_confirmed_by_the_terms(desk: Any) -> None:
    replaced(desk, 150)
    assert desk.units_reserved == 150
    after(desk, ("PENDING_REPLACE", 10))
    assert desk.units_reserved == 140
    after(desk, ("PARTIALLY_FILLED", 10), quantity=150)
    assert desk.units_reserved == 140
    assert desk.order().pending == ()


def test_a_decrease_is_released_only_when_it_is_confirmed(desk: Any) -> None:
    replaced(desk, 40)
    assert desk.units_reserved == 100
    after(desk, ("PENDING_REPLACE", 0))
    assert desk.units_reserved == 100
    after(desk, ("NEW", 0), quantity=40)
    assert desk.units_reserved == 40


def test_a_rejected_replace_gives_its_increase_back(desk: Any) -> None:
    replaced(desk, 150)
    after(desk, ("PENDING_REPLACE", 0), ("NEW", 0))
    assert desk.units_reserved == 100


def test_a_fill_before_the_venue_has_the_request_is_no_answer_to_it(desk: Any) -> None:
    replaced(desk, 150)
    after(desk, ("PARTIALLY_FILLED", 10), limit=PRICE)
    assert desk.units_reserved == 140


def test_a_pending_cancel_hides_but_does_not_answer_a_replace(desk: Any) -> None:
    replaced(desk, 150)
    after(desk, ("PENDING_REPLACE", 0), ("PENDING_CANCEL", 0))
    assert desk.units_reserved == 150


def test_confirming_a_later_replace_drops_the_earlier_ones(desk: Any) -> None:
    for quantity in (150, 200, 250):
        replaced(desk, quantity)
    after(desk, ("PENDING_REPLACE", 0), quantity=200)
    assert desk.order().pending == (Terms(250, PRICE),)
    assert desk.units_reserved == 250


@pytest.mark.parametrize(("price", "meanwhile"), [(2 * PRICE, 200), (PRICE // 2, 100)], ids=["up", "down"])
def test_a_replace_of_the_price_alone_is_told_by_the_limit_price_in_force(
    desk: Any, price: int, meanwhile: int
) -> None:
    replaced(desk, price=price)
    after(desk, ("PENDING_REPLACE", 0), limit=PRICE)
    assert desk.units_reserved == meanwhile
    after(desk, ("NEW", 0), limit=price)
    assert desk.units_reserved == 100 * price / PRICE
    assert desk.order().pending == ()


def test_a_rejected_replace_of_the_price_gives_back_exactly_its_difference(desk: Any) -> None:
    replaced(desk, price=2 * PRICE)
    after(desk, ("PENDING_REPLACE", 0), ("NEW", 0), limit=PRICE)
    assert desk.units_reserved == 100


def test_where_a_status_tells_no_price_the_dearer_stays_reserved(desk: Any) -> None:
    replaced(desk, price=2 * PRICE)
    after(desk, ("PENDING_REPLACE", 0), ("NEW", 0))
    assert desk.units_reserved == 200
    assert desk.order().pending == ()


def test_replaced_is_never_the_state_that_shows() -> None:
    """It is an event: what it confirms is told by the terms of the status that follows from it."""
    voices = [Voice()] + [Voice().says(code) for code in OrdStatus]
    shown = {
        consolidated_code(engine, venue, filled=filled, quantity=10)
        for engine in voices
        for venue in voices
        for filled in (0, 5, 10)
    }
    assert OrdStatus.REPLACED not in shown
    assert len(shown) == len(OrdStatus)  # None in its place


def test_an_end_releases_pending_replaces_too(desk: Any) -> None:
    replaced(desk, 150)
    after(desk, ("CANCELED", 0))
    assert desk.units_reserved == 0


def test_a_change_nobody_asked_for_is_taken_over(desk: Any) -> None:
    after(desk, ("NEW", 0), quantity=70, limit=2 * PRICE)
    assert desk.units_reserved == 140


def test_the_oldest_closed_orders_are_forgotten_and_open_ones_never(desk: Any) -> None:
    for number in range(CLOSED_KEPT + 3):
        desk.ask(f"X{number}", quantity=0)
    known = desk.orders()
    assert len(known) == CLOSED_KEPT + 1
    assert "ORD1" in known
    assert "X2" not in known
    assert "X3" in known


def test_an_order_that_closed_opened_and_closed_again_counts_from_its_last_closing(desk: Any) -> None:
    after(desk, ("FILLED", 100), ("PARTIALLY_FILLED", 60), ("FILLED", 100))
    for number in range(CLOSED_KEPT - 1):
        desk.ask(f"X{number}", quantity=0)
    assert desk.order().closed
    desk.ask("LAST", quantity=0)
    assert desk.order() is None


def test_an_order_that_is_open_again_is_not_forgotten(desk: Any) -> None:
    after(desk, ("FILLED", 100), ("PARTIALLY_FILLED", 60))
    for number in range(CLOSED_KEPT + 1):
        desk.ask(f"X{number}", quantity=0)
    assert desk.units_reserved == 40


@pytest.mark.parametrize(("filled", "price"), [(-1, PRICE), (5, None), (5, -1), (2**40, 2**40)])
def test_a_fill_no_rule_can_work_with_is_refused(desk: Any, filled: int, price: int | None) -> None:
    with pytest.raises(InvalidRecordError):
        desk.say("PARTIALLY_FILLED", filled=filled, price=price)


def test_an_event_writes_the_parts_it_is_about_however_many_orders_there_are(new_desk: Desks) -> None:
    desk = new_desk(firm=WIDE | {"max_messages": 1, "message_window_ms": 1})
    for number in range(200):
        assert desk.ask(f"O{number}", symbol="MSFT", occurred_at=number * 1_000).event_type == "RISK_APPROVED"
    before = dict(desk.parts)
    desk.say("PARTIALLY_FILLED", "O7", filled=30)
    changed = {name for name in desk.parts if desk.parts[name] != before.get(name)}
    assert changed == {"|order|O7", "|symbol|MSFT"}


def test_an_account_with_many_resting_orders_in_one_symbol_rewrites_few_of_them(new_desk: Desks) -> None:
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    count = 40 * RESTING_TOGETHER
    for number in range(count):
        assert (
            desk.ask(f"O{number}", occurred_at=number * 10_000, limit_price=PRICE + number).event_type
            == "RISK_APPROVED"
        )
    assert {name: line.price - PRICE for name, line in desk.book.all_resting("MSFT").items()} == {
        f"O{number}": number for number in range(count)
    }
    before = dict(desk.parts)
    desk.say("PARTIALLY_FILLED", f"O{count - 1}", filled=30)
    changed = [name for name in desk.parts if desk.parts[name] != before.get(name)]
    assert sum(len(desk.parts[name]) for name in changed) < 3_000
    assert desk.book.all_resting("MSFT")[f"O{count - 1}"].quantity == 70
    for number in range(count):
        desk.say("CANCELED", f"O{number}", filled=0, sequence=9)
    assert desk.symbol() == SymbolRisk()
    assert not any(name.startswith("|resting|") for name in desk.parts)


def test_the_children_of_a_parent_reserve_nothing_and_its_statuses_convert_their_fills(desk: Any) -> None:
    child = {"parent_id": "ORD1", "quantity": 60}
    assert desk.ask("C1", **child).event_type == "RISK_APPROVED"
    assert (desk.units_reserved, desk.order().children, desk.account.working) == (100, 60, 1)
    rejected = desk.ask("C2", **child)
    assert [(b.check, b.limit, b.current, b.attempted) for b in rejected.breaches] == [
        ("PARENT_QUANTITY", 100.0, 60.0, 120.0)
    ]
    desk.say("PARTIALLY_FILLED", "C1", filled=50, quantity=60)
    assert (desk.units_reserved, desk.symbol().quantity, desk.order().children) == (100, 0, 10)
    desk.say("PARTIALLY_FILLED", filled=50, source="parent-aggregator")
    assert (desk.units_reserved, desk.symbol().quantity) == (50, 50)
    desk.say("CANCELED", "C1", filled=50, quantity=60)
    assert (desk.units_reserved, desk.order().children) == (50, 0)
    desk.say("CANCELED", filled=50, source="parent-aggregator")
    assert (desk.units_reserved, desk.symbol().quantity) == (0, 50)


def test_once_the_aggregator_speaks_of_an_order_nobody_else_is_listened_to(desk: Any) -> None:
    desk.say("PARTIALLY_FILLED", filled=50, source="parent-aggregator")
    assert desk.say("NEW", filled=0) == ()
    assert (desk.units_reserved, desk.symbol().quantity) == (50, 50)


def test_an_order_whose_parent_risk_does_not_know_reserves_for_itself(desk: Any) -> None:
    desk.ask("C1", parent_id="ELSEWHERE")
    assert desk.units_reserved == 200


orders = st.sampled_from(["A", "B", "C"])
quantities, prices = st.integers(-1, 120), st.integers(1, 2 * PRICE)
requests = st.tuples(
    st.sampled_from(["ORDER_SUBMITTED", "REPLACE_REQUESTED", "CANCEL_REQUESTED"]), orders, quantities, prices
)
CODES = ["NEW", "PARTIALLY_FILLED", "FILLED", "PENDING_REPLACE", "PENDING_CANCEL", "CANCELED", "REJECTED"]
statuses = st.tuples(
    st.sampled_from([*CODES, "EXPIRED", "DONE_FOR_DAY"]),
    orders,
    quantities,
    prices,
    st.integers(0, 150),
    st.booleans(),
)
histories = st.lists(requests | statuses, max_size=60)
SIDES = {"A": "BUY", "B": "SELL", "C": "SELL_SHORT"}
SYMBOLS = {"A": "MSFT", "B": "MSFT", "C": "AAPL"}


def play(desk: Any, number: int, event: tuple[Any, ...]) -> None:
    kind, order_id, quantity, price, *filled = event
    side, symbol = SIDES[order_id], SYMBOLS[order_id]
    if filled:
        limit = price if filled[1] else None
        desk.say(
            kind, order_id, filled=filled[0], quantity=quantity, side=side, symbol=symbol, price=price, limit=limit
        )
    else:
        desk.ask(
            order_id, event_type=kind, quantity=quantity, side=side, symbol=symbol, limit_price=price,
            cl_ord_id=str(number),
        )  # fmt: skip


def two_symbols(new_desk: Desks) -> Any:
    desk = new_desk(firm=WIDE | {"max_exposure": 300 * PRICE}, lot=1, tick=1)
    desk.symbols["AAPL"] = desk.symbols["MSFT"]
    return desk


@given(histories)
@settings(deadline=None)
def test_whatever_happens_sums_are_those_over_open_orders_and_nothing_is_negative(
    new_desk: Desks, history: list[Any]
) -> None:
    desk = two_symbols(new_desk)
    for number, event in enumerate(history, 1):
        play(desk, number, event)
        known = desk.orders()
        assert desk.reserved == sum(order.reserved for order in known.values() if not order.closed)
        assert all(order.reserved >= 0 for order in known.values())
        assert all(order.reserved == 0 for order in known.values() if order.closed)
        held = desk.symbols_held()
        assert sum(each.buying + each.selling for each in held) == sum(each.open_quantity for each in known.values())
        assert all(each.buying >= 0 and each.selling >= 0 and each.working >= 0 for each in held)
        assert desk.account.working == sum(order.approved and not order.closed for order in known.values())
        resting = {name for symbol in ("MSFT", "AAPL") for name in desk.book.all_resting(symbol)}
        assert resting == {name for name, order in known.items() if order.open_quantity > 0}
        assert desk.account.open_notional == sum(abs(each.cost_basis) for each in held)
        assert desk.account.net_notional == sum(each.cost_basis for each in held)
        assert all(each.quantity * each.cost_basis >= 0 for each in held)
    for order_id in SIDES:
        desk.say("CANCELED", order_id, quantity=1, side=SIDES[order_id], symbol=SYMBOLS[order_id])
    assert desk.reserved == 0


@given(histories)
@settings(deadline=None)
def test_realised_and_unrealised_are_cash_and_positions_at_their_marks(new_desk: Desks, history: list[Any]) -> None:
    desk = two_symbols(new_desk)
    for number, event in enumerate(history, 1):
        play(desk, number, event)
        account, held = desk.account, desk.symbols_held()
        assert account.unrealised == sum(each.unrealised for each in held)
        assert account.realised - account.net_notional == account.cash
        marked = sum(each.quantity * each.mark for each in held)
        assert account.realised + account.unrealised == account.cash + marked


@given(histories, st.lists(st.integers(0, 59), max_size=20))
@settings(deadline=None)
def test_repeating_statuses_at_any_later_time_changes_nothing(
    new_desk: Desks, history: list[Any], repeats: list[int]
) -> None:
    plain, repeating = two_symbols(new_desk), two_symbols(new_desk)
    for number, event in enumerate(history, 1):
        play(plain, number, event)
        play(repeating, number, event)
        said = [each for each in history[:number] if len(each) > 4]
        for at in repeats:
            if at < len(said):
                kind, order_id, quantity, price, filled, _ = said[at]
                sequence = sum(each[1] == order_id for each in said[: at + 1])
                order = plain.order(order_id)
                if order is None or order.sequences.get("aggregator", 0) < sequence:
                    continue  # it was about an order that nobody had asked for, then
                last = plain.sequences[order_id, "aggregator"]
                repeating.say(kind, order_id, filled=filled, quantity=quantity, price=price, sequence=sequence)
                repeating.sequences[order_id, "aggregator"] = last
        assert (repeating.account, repeating.parts) == (plain.account, plain.parts)


steps = st.lists(
    st.tuples(
        st.sampled_from(["submit", "fill", "fill", "replace", "refuse", "bust", "correct", "cancel", "repeat"]),
        st.integers(0, 3),
        st.integers(1, 100),
    ),
    max_size=60,
)


@given(steps)
@settings(deadline=None)
def test_reserved_is_leaves_times_limit_price_and_pending_increases_over_open_orders(
    new_desk: Desks, history: list[tuple[str, int, int]]
) -> None:
    """Against a model that knows nothing of the state: quantity, filled, price and pending terms of each open order."""
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    book: dict[str, list[Any]] = {}
    ended: dict[str, list[Any]] = {}

    def say(order_id: str, code: str, of: dict[str, list[Any]]) -> None:
        quantity, filled, price, _ = of[order_id]
        assert desk.say(code, order_id, filled=filled, quantity=quantity, limit=price) == ()

    for number, (action, which, amount) in enumerate(history, 1):
        pool = ended if action == "bust" and ended else book
        order_id = sorted(pool)[which % len(pool)] if pool else ""
        if action == "submit":
            desk.ask(f"O{number}", quantity=amount, limit_price=PRICE + amount)
            book[f"O{number}"] = [amount, 0, PRICE + amount, None]
        elif action == "repeat" and (order_id, "aggregator") in desk.sequences:
            sequence = desk.sequences[order_id, "aggregator"]
            assert desk.say("NEW", order_id, sequence=sequence) == ("DUPLICATE",)
        elif action in ("replace", "refuse") and order_id and pool is book:
            quantity, filled, price, _ = book[order_id]
            asked = (filled + amount, PRICE - amount)
            desk.replace(order_id, quantity=asked[0], limit_price=asked[1])
            before = (quantity - filled) * price
            assert desk.order(order_id).reserved == max(before, (asked[0] - filled) * asked[1])
            say(order_id, "PENDING_REPLACE", book)
            if action == "replace":
                book[order_id][0], book[order_id][2] = asked
            say(order_id, "PARTIALLY_FILLED" if filled else "NEW", book)
        elif action == "fill" and order_id:
            quantity, filled, *_ = book[order_id]
            book[order_id][1] = min(quantity, filled + amount)
            done = book[order_id][1] == quantity
            say(order_id, "FILLED" if done else "PARTIALLY_FILLED", book)
            if done:
                ended[order_id] = book.pop(order_id)
        elif action == "bust" and order_id:
            quantity, filled, *_ = pool[order_id]
            pool[order_id][1] = max(0, filled - amount)
            say(order_id, "NEW" if pool[order_id][1] == 0 else "PARTIALLY_FILLED", pool)
            book[order_id] = pool.pop(order_id)
            if book[order_id][1] == quantity:
                say(order_id, "FILLED", book)
                ended[order_id] = book.pop(order_id)
        elif action == "cancel" and order_id:
            say(order_id, "CANCELED", book)
            del book[order_id]
        assert desk.reserved == sum((quantity - filled) * price for quantity, filled, price, _ in book.values())
    for order_id in sorted(book):
        say(order_id, "CANCELED", book)
    assert desk.reserved == 0
    assert desk.account.working == 0
