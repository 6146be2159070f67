"""Reservation and release: the table of effects, and the invariants over random histories."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import OrderIntent, OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.exposure import CLOSED_ORDERS_KEPT, AccountRisk, OrderRisk, Terms, on_status, with_order
from operators.model.limits import RiskControl, SymbolReference
from operators.model.risk import on_intent

PRICE = 10_000_000
SYMBOLS = {
    name: SymbolReference(
        event_type="SYMBOL_REFERENCE",
        occurred_at=0,
        key=name,
        sequence=1,
        source="t",
        tick=1,
        lot=1,
        reference_price=PRICE,
    )
    for name in ("MSFT", "AAPL")
}
CONTROLS = {
    "FIRM": RiskControl(
        event_type="RISK_CONTROL",
        occurred_at=0,
        key="FIRM",
        sequence=1,
        source="t",
        limits_version="1",
        max_order_quantity=10**6,
        max_order_notional=10**15,
        collar_bps=10**6,
        reference_age_max_ms=10**9,
        max_messages=10**6,
        message_window_ms=1000,
        max_exposure=300 * PRICE,
    )
}


def status(
    code: str, sequence: int, order_id: str = "ORD1", *, quantity: int = 100, filled: int = 0, **fields: Any
) -> OrderStatusChanged:
    ended = code in ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "DONE_FOR_DAY")
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CONSOLIDATED",
        occurred_at=1,
        key=f"ACC1|{order_id}",
        sequence=sequence,
        source="aggregator",
        order=OrderSummary(id=order_id, symbol="MSFT", side="BUY", quantity=quantity),
        status=StatusDetail(
            code=code,
            filled_quantity=filled,
            leaves_quantity=0 if ended else max(0, quantity - filled),
            avg_price=fields.get("price", PRICE),
        ),
    )


def account(*pending: Terms, quantity: int = 100, side: str = "BUY") -> AccountRisk:
    order = OrderRisk(symbol="MSFT", side=side, terms=Terms(quantity, PRICE), leaves=quantity, pending=pending)
    return with_order(AccountRisk(), "ORD1", order)


def after(state: AccountRisk, *statuses: OrderStatusChanged) -> AccountRisk:
    for one in statuses:
        applied = on_status(state, one)
        assert applied.state is not None
        assert applied.anomalies == ()
        state = applied.state
    return state


def units_reserved(state: AccountRisk) -> float:
    return state.reserved / PRICE


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
        ([("DONE_FOR_DAY", 20), ("PARTIALLY_FILLED", 20)], 80, 20),
        ([("FILLED", 120)], 0, 120),
    ],
    ids=str,
)
def test_each_status_reserves_its_leaves_and_turns_fills_into_a_position(
    statuses: list[tuple[str, int]], reserved: int, position: int
) -> None:
    events = [status(code, number, filled=filled) for number, (code, filled) in enumerate(statuses, 1)]
    state = after(account(), *events)
    assert units_reserved(state) == reserved
    assert state.quantity_of("MSFT") == position
    assert state.open_notional == position * PRICE


def test_repeating_a_status_or_hearing_an_older_one_does_nothing() -> None:
    state = after(account(), status("NEW", 1), status("PARTIALLY_FILLED", 2, filled=30))
    for repeated in (status("PARTIALLY_FILLED", 2, filled=30), status("NEW", 1)):
        assert on_status(state, repeated) == (state, ("DUPLICATE",))


def test_a_status_that_was_skipped_is_made_up_for_by_the_next() -> None:
    whole = after(
        account(), status("NEW", 1), status("PARTIALLY_FILLED", 2, filled=30), status("FILLED", 3, filled=100)
    )
    assert after(account(), status("FILLED", 3, filled=100)) == whole


def test_a_status_of_an_order_nobody_approved_changes_nothing() -> None:
    assert on_status(None, status("NEW", 1)) == (None, ("UNKNOWN_ORDER",))
    state = account()
    assert on_status(state, status("NEW", 1, "OTHER")) == (state, ("UNKNOWN_ORDER",))


def test_an_increase_is_reserved_at_request_time_and_confirmed_by_the_quantity() -> None:
    state = account(Terms(150, PRICE))
    assert units_reserved(state) == 150
    state = after(state, status("PENDING_REPLACE", 1, filled=10))
    assert units_reserved(state) == 140
    state = after(state, status("PARTIALLY_FILLED", 2, quantity=150, filled=10))
    assert units_reserved(state) == 140
    assert state.orders["ORD1"].pending == ()


def test_a_decrease_is_released_only_when_it_is_confirmed() -> None:
    state = account(Terms(40, PRICE))
    assert units_reserved(state) == 100
    state = after(state, status("PENDING_REPLACE", 1))
    assert units_reserved(state) == 100
    assert units_reserved(after(state, status("NEW", 2, quantity=40))) == 40


def test_a_rejected_replace_gives_its_increase_back() -> None:
    state = after(account(Terms(150, PRICE)), status("PENDING_REPLACE", 1))
    assert units_reserved(after(state, status("NEW", 2))) == 100


def test_a_fill_before_the_venue_has_the_request_is_no_answer_to_it() -> None:
    state = after(account(Terms(150, PRICE)), status("PARTIALLY_FILLED", 1, filled=10))
    assert units_reserved(state) == 140


def test_a_pending_cancel_hides_but_does_not_answer_a_replace() -> None:
    state = after(account(Terms(150, PRICE)), status("PENDING_REPLACE", 1), status("PENDING_CANCEL", 2))
    assert units_reserved(state) == 150


def test_confirming_a_later_replace_drops_the_earlier_ones() -> None:
    state = account(Terms(150, PRICE), Terms(200, PRICE), Terms(250, PRICE))
    state = after(state, status("PENDING_REPLACE", 1, quantity=200))
    assert state.orders["ORD1"].pending == (Terms(250, PRICE),)
    assert units_reserved(state) == 250


def test_of_a_replaced_price_the_dearer_stays_reserved_for_a_status_does_not_tell_the_price() -> None:
    up = after(account(Terms(100, 2 * PRICE)), status("PENDING_REPLACE", 1), status("NEW", 2))
    assert units_reserved(up) == 200
    down = after(account(Terms(100, PRICE // 2)), status("PENDING_REPLACE", 1), status("NEW", 2))
    assert units_reserved(down) == 100
    assert up.orders["ORD1"].pending == down.orders["ORD1"].pending == ()


def test_an_end_releases_pending_replaces_too() -> None:
    assert units_reserved(after(account(Terms(150, PRICE)), status("CANCELED", 1))) == 0


def test_a_change_nobody_asked_for_is_taken_over() -> None:
    assert units_reserved(after(account(), status("NEW", 1, quantity=70))) == 70


def test_closed_orders_are_forgotten_oldest_first_and_open_ones_never() -> None:
    state = account()
    for number in range(CLOSED_ORDERS_KEPT + 3):
        state = with_order(state, f"X{number}", OrderRisk(symbol="MSFT", side="BUY", terms=Terms(0, 0), closed=True))
    assert len(state.orders) == CLOSED_ORDERS_KEPT + 1
    assert "ORD1" in state.orders
    assert "X2" not in state.orders
    assert "X3" in state.orders


@pytest.mark.parametrize(("filled", "price"), [(-1, PRICE), (5, None), (5, -1), (2**40, 2**40)])
def test_a_fill_no_rule_can_work_with_is_refused(filled: int, price: int | None) -> None:
    with pytest.raises(InvalidRecordError):
        on_status(account(), status("PARTIALLY_FILLED", 1, filled=filled, price=price))


def test_the_state_survives_msgpack() -> None:
    state = after(account(Terms(150, PRICE)), status("PARTIALLY_FILLED", 1, filled=10))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=AccountRisk) == state


orders = st.sampled_from(["A", "B", "C"])
terms = st.builds(Terms, st.integers(-1, 120), st.integers(1, 2 * PRICE))
requests = st.tuples(st.sampled_from(["ORDER_SUBMITTED", "REPLACE_REQUESTED", "CANCEL_REQUESTED"]), orders, terms)
CODES = ["NEW", "PARTIALLY_FILLED", "FILLED", "PENDING_REPLACE", "PENDING_CANCEL", "CANCELED", "REJECTED"]
statuses = st.tuples(
    st.sampled_from([*CODES, "EXPIRED", "REPLACED", "DONE_FOR_DAY"]), orders, terms, st.integers(0, 150)
)
histories = st.lists(requests | statuses, max_size=60)
SIDES = {"A": "BUY", "B": "SELL", "C": "SELL_SHORT"}


def intent(kind: str, order_id: str, asked: Terms, number: int) -> OrderIntent:
    return OrderIntent(
        event_type=kind,
        occurred_at=1,
        key=f"ACC1|{order_id}",
        sequence=number,
        source="entry",
        account_id="ACC1",
        order_id=order_id,
        cl_ord_id=str(number),
        user_token="U",
        symbol="AAPL" if order_id == "C" else "MSFT",
        side=SIDES[order_id],
        quantity=asked.quantity,
        order_type="LIMIT",
        limit_price=asked.price,
    )


@given(histories)
def test_whatever_happens_reserved_is_the_sum_over_open_orders_and_never_negative(history: list[Any]) -> None:
    state: AccountRisk | None = None
    for number, (kind, order_id, asked, *filled) in enumerate(history, 1):
        if filled:
            event = status(kind, number, order_id, quantity=asked.quantity, filled=filled[0], price=asked.price)
            state = on_status(state, event).state
        else:
            request = intent(kind, order_id, asked, number)
            state = on_intent(state, request, controls=CONTROLS, symbols=SYMBOLS).state
        if state is None:
            continue
        open_orders = [order for order in state.orders.values() if not order.closed]
        assert state.reserved == sum(order.reserved for order in open_orders)
        assert all(order.reserved >= 0 for order in open_orders)
        assert state.open_notional == sum(abs(holding.cost_basis) for holding in state.holdings.values())
        assert all(holding.quantity * holding.cost_basis >= 0 for holding in state.holdings.values())
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=AccountRisk) == state


plain = st.lists(
    st.tuples(st.sampled_from(["submit", "fill", "fill", "cancel", "repeat"]), orders, st.integers(1, 100)), max_size=60
)


@given(plain)
def test_plain_histories_reserve_exactly_leaves_times_limit_price(history: list[tuple[str, str, int]]) -> None:
    """Against a model that knows nothing of the state: quantity, filled and price of each open order."""
    state = AccountRisk()
    book: dict[str, list[int]] = {}
    last: OrderStatusChanged | None = None
    for number, (action, name, amount) in enumerate(history, 1):
        if action == "submit":
            order_id = f"{name}{number}"
            asked = intent("ORDER_SUBMITTED", name, Terms(amount, PRICE + amount), number)
            asked = msgspec.structs.replace(asked, order_id=order_id, key=f"ACC1|{order_id}")
            state, outcome = on_intent(state, asked, controls=CONTROLS, symbols=SYMBOLS)
            if outcome.event_type == "RISK_APPROVED":
                book[order_id] = [amount, 0, PRICE + amount]
        elif action == "repeat" and last is not None:
            assert on_status(state, last).anomalies in (("DUPLICATE",), ("UNKNOWN_ORDER",))
        elif book:
            order_id = sorted(book)[amount % len(book)]
            quantity, filled, _ = book[order_id]
            filled = min(quantity, filled + amount) if action == "fill" else filled
            code = "CANCELED" if action != "fill" else "FILLED" if filled == quantity else "PARTIALLY_FILLED"
            last = status(code, number, order_id, quantity=quantity, filled=filled)
            state = after(state, last)
            if code == "PARTIALLY_FILLED":
                book[order_id][1] = filled
            else:
                del book[order_id]
        assert state.reserved == sum((quantity - filled) * price for quantity, filled, price in book.values())
    for number, order_id in enumerate(sorted(book), len(history) + 1):
        state = after(state, status("CANCELED", number, order_id, quantity=book[order_id][0], filled=book[order_id][1]))
    assert state.reserved == 0
