"""A split of a symbol as risk sees it: statuses of the account's restated orders, one after the other."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.model.risk.splits import Ratio, split_told
from operators.model.risk.state import OrderRisk, Terms

DOLLAR = 1_000_000
DAY = 86_400 * 1_000_000
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
    """Bought 100 at 400 with an order that is over; ORD1 to buy 100 more at 400 has 50 of them."""
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    desk.ask("OVER")
    desk.say("FILLED", "OVER", filled=100)
    desk.ask()
    desk.say("PARTIALLY_FILLED", filled=50, limit=400 * DOLLAR)
    return desk


def restated(desk: Any, *, new: int, old: int, order_id: str = "ORD1", filled: int = 50, **fields: Any) -> None:
    said = desk.say(
        "PARTIALLY_FILLED",
        order_id,
        quantity=100 * new // old,
        filled=filled * new // old,
        price=400 * DOLLAR * old // new,
        **({"limit": 400 * DOLLAR * old // new, "at": DAY} | fields),
    )
    assert said == ()


@pytest.mark.parametrize(("new", "old", "held"), [(2, 1, 300), (3, 2, 225), (1, 10, 15), (1, 2, 75)])
def test_a_split_scales_the_whole_position_and_leaves_every_amount_as_it_was(
    desk: Any, new: int, old: int, held: int
) -> None:
    before = desk.account
    restated(desk, new=new, old=old)
    after, symbol = desk.account, desk.symbol()
    assert (symbol.quantity, symbol.cost_basis, symbol.buying) == (held, 60_000 * DOLLAR, 50 * new // old)
    assert symbol.mark == 400 * DOLLAR * old // new
    # Prices are rounded to a millionth, so an amount may be off by a millionth per unit.
    assert abs(after.reserved - before.reserved) <= symbol.buying
    assert abs(after.unrealised - before.unrealised) <= held
    amounts = ("cash", "realised", "open_notional", "net_notional")
    assert [getattr(after, each) for each in amounts] == [getattr(before, each) for each in amounts]
    assert (after.executions, after.traded, after.day_result) == (0, 0, after.unrealised - before.unrealised)


def test_every_restated_order_of_a_day_tells_of_the_same_split(desk: Any) -> None:
    desk.ask("ORD2", side="SELL")
    desk.say("PARTIALLY_FILLED", "ORD2", filled=30, side="SELL", limit=400 * DOLLAR)
    assert desk.symbol().quantity == 120
    restated(desk, new=2, old=1)
    restated(desk, new=2, old=1, order_id="ORD2", filled=30, side="SELL", at=DAY + 5)
    assert (desk.symbol().quantity, desk.symbol().buying, desk.symbol().selling) == (240, 100, 140)
    restated(desk, new=4, old=1, at=2 * DAY)
    assert desk.symbol().quantity == 480


def test_a_short_position_and_a_flat_one_split_as_well(new_desk: Desks) -> None:
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    desk.ask(side="SELL")
    desk.say("PARTIALLY_FILLED", filled=50, side="SELL", limit=400 * DOLLAR)
    restated(desk, new=2, old=1, side="SELL")
    assert (desk.symbol().quantity, desk.symbol().cost_basis) == (-100, -20_000 * DOLLAR)
    desk.ask("BACK", quantity=100, limit_price=200 * DOLLAR)
    desk.say("FILLED", "BACK", filled=100, price=200 * DOLLAR, at=DAY + 1)
    restated(desk, new=4, old=1, side="SELL", at=2 * DAY)
    assert (desk.symbol().quantity, desk.account.realised, desk.account.open_notional) == (0, 0, 0)


def test_a_fraction_that_no_unit_is_left_of_is_realised_at_its_cost(new_desk: Desks) -> None:
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    desk.ask(quantity=100)
    desk.say("PARTIALLY_FILLED", filled=30, limit=400 * DOLLAR)
    desk.ask("OUT", side="SELL", quantity=25)
    desk.say("FILLED", "OUT", filled=25, quantity=25, side="SELL")
    restated(desk, new=1, old=10, filled=30)
    account = desk.account
    assert (desk.symbol().quantity, account.open_notional, account.realised) == (0, 0, -2_000 * DOLLAR)
    assert account.realised - account.net_notional == account.cash


def test_the_reserve_price_of_an_order_without_a_limit_follows_the_ratio(new_desk: Desks) -> None:
    desk = new_desk(firm=WIDE, lot=1, tick=1)
    desk.ask(order_type="MARKET", limit_price=None)
    desk.say("PARTIALLY_FILLED", filled=50)
    assert desk.units_reserved == 50
    restated(desk, new=2, old=1, limit=None)
    assert desk.units_reserved == 50
    assert desk.order().terms == Terms(200, 200 * DOLLAR, limited=False)


def test_a_reference_price_of_before_the_split_values_nothing_after_it(desk: Any) -> None:
    restated(desk, new=2, old=1)
    desk.ask("NEXT", limit_price=200 * DOLLAR, occurred_at=DAY + 1)
    assert desk.symbol().mark == 200 * DOLLAR
    desk.symbols["MSFT"] = type(desk.symbols["MSFT"])(
        event_type="SYMBOL_REFERENCE", occurred_at=DAY + 2, key="MSFT", sequence=2, source="test", tick=1, lot=1,
        reference_price=210 * DOLLAR,
    )  # fmt: skip
    desk.ask("LAST", limit_price=200 * DOLLAR, occurred_at=DAY + 3)
    assert (desk.symbol().mark, desk.account.unrealised) == (210 * DOLLAR, 3_000 * DOLLAR)


@pytest.mark.parametrize(
    ("quantity", "filled", "notional"),
    [
        (100, 60, 60 * 400 * DOLLAR),  # a fill
        (100, 40, 40 * 400 * DOLLAR),  # a bust
        (200, 50, 50 * 400 * DOLLAR),  # a replace up
        (200, 100, 100 * 400 * DOLLAR),  # a replace up and a fill
        (200, 100, 50 * 400 * DOLLAR + 50 * 100),  # the same, at a hundredth of a cent
        (200, 70, 50 * 400 * DOLLAR),  # another ratio
        (100, 50, 50 * 401 * DOLLAR),  # a correction
        (200, 0, 0),
        (0, 100, 50 * 400 * DOLLAR),
    ],
)
def test_what_is_no_split(quantity: int, filled: int, notional: int) -> None:
    order = OrderRisk(
        symbol="X", side="BUY", terms=Terms(100, 400), leaves=50, filled=50, filled_notional=50 * 400 * DOLLAR
    )
    assert split_told(order, quantity=quantity, filled=filled, notional=notional) is None


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 500 * DOLLAR)
)
def test_every_split_that_leaves_something_is_told_by_rounded_figures(
    new: int, old: int, filled: int, open_quantity: int, price: int
) -> None:
    before = OrderRisk(
        symbol="X", side="BUY", terms=Terms(filled + open_quantity, price), filled=filled,
        filled_notional=filled * price,
    )  # fmt: skip
    ratio = Ratio(new, old)
    quantity, after = ratio.of(filled + open_quantity), ratio.of(filled)
    if after in (0, filled):
        return
    average = filled * price // after
    told = split_told(before, quantity=quantity, filled=after, notional=after * average)
    assert told == (quantity, filled + open_quantity)
