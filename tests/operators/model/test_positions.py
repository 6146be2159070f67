from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import Fee, OrderEnriched
from operators.model.positions import Position, on_enriched, position_key

DOLLAR = 1_000_000


def fill(quantity: int, price: int | None, *, side: str = "BUY", **fields: Any) -> OrderEnriched:
    values: dict[str, Any] = {
        "event_type": "ORDER_ENRICHED",
        "occurred_at": 1,
        "key": "ACC1|ORD1",
        "sequence": 1,
        "source": "test",
        "symbol": "MSFT",
        "side": side,
        "filled_quantity": max(quantity, 0),
        "last_quantity": quantity,
        "last_price": price,
    }
    return OrderEnriched(**(values | fields))


def position_of(*fills: OrderEnriched) -> Position:
    position = None
    for event in fills:
        position = on_enriched(position, event)
    assert position is not None
    return position


sides = st.sampled_from(["BUY", "SELL", "SELL_SHORT", "SELL_SHORT_EXEMPT"])
fills = st.lists(
    st.builds(
        lambda quantity, price, side: fill(quantity, price, side=side),
        st.integers(-1000, 1000).filter(bool),
        st.integers(1, 10**9),
        sides,
    ),
    min_size=1,
    max_size=40,
)


@given(fills, st.integers(1, 10**9))
def test_realised_plus_unrealised_is_cash_plus_position_at_the_mark(events: list[OrderEnriched], mark: int) -> None:
    position = position_of(*events)
    signed = [event.last_quantity * (1 if event.side == "BUY" else -1) for event in events]
    cash = -sum(quantity * (event.last_price or 0) for quantity, event in zip(signed, events, strict=True))
    assert position.quantity == sum(signed)
    assert position.realised + position.unrealised(mark) == cash + sum(signed) * mark


@given(fills)
def test_the_cost_basis_has_the_sign_of_the_quantity_and_is_zero_when_flat(events: list[OrderEnriched]) -> None:
    position = position_of(*events)
    assert position.cost_basis * position.quantity >= 0
    if position.quantity == 0:
        assert position.cost_basis == 0
        assert position.average_cost is None


def test_buying_averages_the_cost() -> None:
    position = position_of(fill(100, 10 * DOLLAR), fill(300, 20 * DOLLAR))
    assert (position.quantity, position.average_cost, position.realised) == (400, 17_500_000, 0)


def test_selling_part_keeps_the_average_cost_and_realises_the_difference() -> None:
    position = position_of(fill(400, 10 * DOLLAR), fill(100, 12 * DOLLAR, side="SELL"))
    assert (position.quantity, position.average_cost, position.realised) == (300, 10 * DOLLAR, 200 * DOLLAR)


def test_a_short_is_negative_and_gains_when_bought_back_cheaper() -> None:
    short = position_of(fill(100, 10 * DOLLAR, side="SELL_SHORT"))
    assert (short.quantity, short.cost_basis, short.unrealised(9 * DOLLAR)) == (-100, -1000 * DOLLAR, 100 * DOLLAR)
    flat = position_of(fill(100, 10 * DOLLAR, side="SELL_SHORT"), fill(100, 9 * DOLLAR))
    assert (flat.quantity, flat.cost_basis, flat.realised) == (0, 0, 100 * DOLLAR)


def test_a_flip_through_zero_realises_the_whole_and_opens_the_rest_at_its_price() -> None:
    position = position_of(fill(100, 10 * DOLLAR), fill(150, 12 * DOLLAR, side="SELL"))
    assert (position.quantity, position.average_cost, position.realised) == (-50, 12 * DOLLAR, 200 * DOLLAR)


def test_a_bust_takes_back_quantity_volume_and_cash() -> None:
    position = position_of(fill(100, 10 * DOLLAR), fill(-100, 10 * DOLLAR))
    assert (position.quantity, position.cost_basis, position.realised) == (0, 0, 0)
    assert (position.traded_quantity, position.traded_notional) == (0, 0)


def test_fees_add_up_beside_realised() -> None:
    charged = fill(10, DOLLAR, fees=[Fee("COMMISSION", 500), Fee("VENUE", -20)])
    assert position_of(charged, charged).fees == 960


def test_an_event_without_a_fill_changes_nothing() -> None:
    assert on_enriched(None, fill(0, None)) is None
    known = position_of(fill(1, DOLLAR))
    assert on_enriched(known, fill(0, None)) is known


def test_the_last_price_is_that_of_the_last_fill_and_time_never_goes_back() -> None:
    position = position_of(fill(1, 5, occurred_at=9), fill(1, 6, occurred_at=3))
    assert (position.last_price, position.updated_at) == (6, 9)


@pytest.mark.parametrize(
    "event",
    [
        fill(1, None),
        fill(1, 0),
        fill(1, -1),
        fill(1, 1, side="HOLD"),
        fill(2**62, 2**62),
        fill(1, 1, key="no order key"),
    ],
    ids=["no price", "price zero", "negative price", "unknown side", "too large", "bad key"],
)
def test_a_fill_no_rule_can_work_with_is_refused(event: OrderEnriched) -> None:
    with pytest.raises(InvalidRecordError):
        on_enriched(None, event)


def test_a_position_survives_msgpack() -> None:
    position = position_of(fill(3, 7 * DOLLAR))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(position), type=Position) == position


def test_positions_of_one_account_share_a_prefix() -> None:
    assert position_key("ACC1", "MSFT") == "ACC1|MSFT"
