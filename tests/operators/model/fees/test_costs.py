"""Costs against the market: worked examples, identities, and arrays equal to single orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import Side
from operators.model.fees.costs import (
    NONE,
    Market,
    implementation_shortfall,
    implementation_shortfalls,
    interval_vwap,
    interval_vwaps,
    side_sign,
    side_signs,
    slippage_bps,
    slippages_bps,
)
from operators.model.orders.schemas import ENRICHED

DOLLAR = 1_000_000


def shortfall(sign: int = 1, **given: Any) -> Any:
    terms: dict[str, Any] = {
        "quantity": 1_000, "filled": 700, "notional": 700 * 101 * DOLLAR, "decision_price": 100 * DOLLAR,
        "arrival_price": 100_500_000, "fees": 7 * DOLLAR, "ended": False,
    }  # fmt: skip
    return implementation_shortfall(sign, **(terms | given))


@pytest.mark.parametrize(("side", "sign"), [("BUY", 1), ("SELL", -1), ("SELL_SHORT", -1), ("SELL_SHORT_EXEMPT", -1)])
def test_every_kind_of_sell_has_the_same_sign(side: str, sign: int) -> None:
    assert side_sign(side) == sign == side_signs(np.array([list(Side).index(Side(side))]))[0]


def test_a_word_that_is_no_side_is_refused() -> None:
    with pytest.raises(InvalidRecordError, match="BORROW"):
        side_sign("BORROW")


@pytest.mark.parametrize(
    ("sign", "average", "benchmark", "expected"),
    [
        (1, 101 * DOLLAR, 100 * DOLLAR, 100.0),
        (-1, 101 * DOLLAR, 100 * DOLLAR, -100.0),
        (-1, 99 * DOLLAR, 100 * DOLLAR, 100.0),
        (-1, 100 * DOLLAR, 100 * DOLLAR, 0.0),
        (1, None, 100 * DOLLAR, None),
        (1, 100 * DOLLAR, None, None),
        (1, 100 * DOLLAR, 0, None),
    ],
)
def test_slippage_is_positive_where_it_is_a_cost(
    sign: int, average: int | None, benchmark: int | None, expected: float | None
) -> None:
    assert slippage_bps(sign, average, benchmark) == expected


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (Market(1_000, 10_000 * DOLLAR), Market(3_000, 31_000 * DOLLAR), 10_500_000),
        (Market(0, 0), Market(3, 10 * DOLLAR), 3_333_333),
        (Market(1_000, 10_000 * DOLLAR), Market(1_000, 10_000 * DOLLAR), None),
        (Market(1_000, 10_000 * DOLLAR), Market(10, 100 * DOLLAR), None),
        (Market(1_000, 10_000 * DOLLAR), Market(1_100, 9_000 * DOLLAR), None),
        (Market(-1, 0), Market(10, 100 * DOLLAR), None),
        (None, Market(10, 100 * DOLLAR), None),
        (Market(10, 100 * DOLLAR), None, None),
    ],
)
def test_the_interval_vwap_needs_trades_between_two_known_moments(
    then: Market | None, now: Market | None, expected: int | None
) -> None:
    assert interval_vwap(then, now) == expected


def test_the_parts_of_a_shortfall() -> None:
    """Decided at 100, arrived at 100.50, 700 of 1,000 bought at 101, 7 of fees, the market ends at 102."""
    found = shortfall(ended=True, end_price=102 * DOLLAR)
    assert (found.delay, found.execution, found.opportunity, found.fees, found.total) == tuple(
        amount * DOLLAR for amount in (350, 350, 600, 7, 1_307)
    )
    sold = shortfall(-1, ended=True, end_price=102 * DOLLAR)
    assert (sold.delay, sold.execution, sold.opportunity, sold.total) == tuple(
        amount * DOLLAR for amount in (-350, -350, -600, -1_293)
    )


def test_the_opportunity_is_known_once_the_order_has_ended() -> None:
    assert shortfall(end_price=102 * DOLLAR).opportunity is None
    assert shortfall(ended=True).opportunity is None
    assert shortfall(ended=True).total == 707 * DOLLAR
    assert shortfall(ended=True, quantity=700).opportunity == 0
    unfilled = shortfall(ended=True, end_price=102 * DOLLAR, filled=0, notional=0, fees=0)
    assert (unfilled.delay, unfilled.execution, unfilled.opportunity) == (0, 0, 2_000 * DOLLAR)


@pytest.mark.parametrize("missing", ["decision_price", "arrival_price"])
def test_without_both_prices_there_is_no_shortfall(missing: str) -> None:
    assert shortfall(**{missing: None}) is None
    assert shortfall(**{missing: 0}) is None


def test_an_absurd_benchmark_gives_no_shortfall() -> None:
    assert shortfall(decision_price=2**62) is None


prices = st.one_of(st.none(), st.integers(-1, 10**9), st.integers(2**55, 2**62))
orders = st.fixed_dictionaries(
    {
        "quantity": st.integers(0, 10**7),
        "filled": st.one_of(st.integers(0, 10**7), st.integers(0, 2**40)),
        "notional": st.one_of(st.integers(0, 10**16), st.integers(0, 2**62)),
        "decision_price": prices,
        "arrival_price": prices,
        "fees": st.integers(-(10**12), 10**12),
        "ended": st.booleans(),
        "end_price": prices,
    }
)


@given(st.lists(st.tuples(st.sampled_from([1, -1]), orders), min_size=1, max_size=20))
def test_shortfalls_of_arrays_are_those_of_single_orders(given: list[tuple[int, dict[str, Any]]]) -> None:
    names = [name for name in given[0][1] if name != "ended"]
    columns = {name: np.array([NONE if o[name] is None else o[name] for _, o in given], np.int64) for name in names}
    ended = np.array([order["ended"] for _, order in given])
    signs = np.array([sign for sign, _ in given], np.int64)
    field = ENRICHED.field("shortfall").type
    found = implementation_shortfalls(signs, ended=ended, **columns).column(list(field))
    assert found.type == field
    for (sign, order), row in zip(given, found.to_pylist(), strict=True):
        one = implementation_shortfall(sign, **order)
        if one is None:
            assert row is None
            continue
        assert row == {
            "decisionPrice": one.decision_price, "delay": one.delay, "execution": one.execution,
            "opportunity": one.opportunity, "fees": one.fees, "total": one.total,
        }  # fmt: skip
        assert one.total == one.delay + one.execution + (one.opportunity or 0) + one.fees
        beyond_decision = order["notional"] - order["filled"] * one.decision_price
        assert one.delay + one.execution == sign * beyond_decision


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(0, 2**62), prices), min_size=1))
def test_slippages_of_arrays_are_those_of_single_orders(given: list[tuple[int, int, int | None]]) -> None:
    signs, averages = (np.array(column, np.int64) for column in list(zip(*given, strict=True))[:2])
    benchmarks = np.array([NONE if benchmark is None else benchmark for _, _, benchmark in given], np.int64)
    values, known = slippages_bps(signs, averages, benchmarks)
    assert pa.array(values, mask=~known).to_pylist() == [slippage_bps(*one) for one in given]


markets = st.one_of(st.none(), st.builds(Market, st.integers(-1, 10**12), st.integers(-1, 2**62)))


@given(st.lists(st.tuples(markets, markets), min_size=1))
@example([(Market(0, 0), Market(1, 2**62))])
def test_interval_vwaps_of_arrays_are_those_of_single_orders(
    given: list[tuple[Market | None, Market | None]],
) -> None:
    columns = np.array([(*(then or (NONE, NONE)), *(now or (NONE, NONE))) for then, now in given], np.int64).T
    found = interval_vwaps(*columns).tolist()
    assert found == [NONE if (one := interval_vwap(*pair)) is None else one for pair in given]
