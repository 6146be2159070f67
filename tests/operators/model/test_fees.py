"""Fees by trade date and venue, against published worked examples."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigurationError, InvalidRecordError
from operators.model.events import FeeKind
from operators.model.fee_columns import FillRates
from operators.model.fees import (
    Charged,
    FeeSchedule,
    Trade,
    fees_of_change,
    fees_of_fill,
    fees_of_trade,
    parse_schedule,
)
from operators.model.order_table import LIQUIDITIES

ROOT = Path(__file__).resolve().parents[3]
EQUITIES = ROOT / "config" / "fees" / "us_equities.yaml"
BENCHMARK = ROOT / "bench" / "fees.yaml"
AUTUMN_2026 = (date(2026, 9, 8) - date(1970, 1, 1)).days


EQUITIES_SCHEDULE = parse_schedule(EQUITIES.read_text(), str(EQUITIES))


@pytest.fixture(scope="module")
def equities() -> FeeSchedule:
    return EQUITIES_SCHEDULE


@pytest.fixture(scope="module")
def benchmark() -> FeeSchedule:
    return parse_schedule(BENCHMARK.read_text(), str(BENCHMARK))


def charged(
    schedule: FeeSchedule,
    quantity: int,
    price: int,
    *,
    day: int = AUTUMN_2026,
    side: str = "SELL",
    liquidity: str | None = None,
    before: Charged | None = None,
) -> dict[str, int]:
    fees = fees_of_fill(
        schedule,
        trade_date=day,
        venue="XNAS",
        side=side,
        liquidity=liquidity,
        quantity=quantity,
        price=price,
        before=before or Charged(),
    )
    return {fee.kind: fee.amount for fee in fees}


@pytest.mark.parametrize(
    ("quantity", "price", "commission"),
    [(1_000, 250_000, 2_500_000), (100, 25_000_000, 1_000_000), (1_000, 25_000_000, 5_000_000)],
)
def test_commission_has_a_minimum_and_a_maximum_that_beats_it(
    equities: FeeSchedule, quantity: int, price: int, commission: int
) -> None:
    assert charged(equities, quantity, price)["COMMISSION"] == commission


@pytest.mark.parametrize(("quantity", "taf"), [(100, 19_500), (50_205, 9_789_975), (50_206, 9_790_000)])
def test_taf_is_per_share_with_a_cap_per_trade(equities: FeeSchedule, quantity: int, taf: int) -> None:
    assert charged(equities, quantity, 250_000_000)["TAF"] == taf


def test_sec_is_on_the_notional_of_sales(equities: FeeSchedule) -> None:
    assert charged(equities, 100, 250_000_000)["SEC"] == 515_000


def test_cat_is_on_both_sides(equities: FeeSchedule) -> None:
    assert charged(equities, 100, 250_000_000)["CAT"] == charged(equities, 100, 250_000_000, side="BUY")["CAT"] == 300


def test_no_taf_on_prices_below_the_rate(equities: FeeSchedule) -> None:
    assert charged(equities, 100, 194)["TAF"] == 0
    assert charged(equities, 100, 195)["TAF"] == 19_500


def test_a_buy_pays_no_fee_on_sales(benchmark: FeeSchedule) -> None:
    assert list(charged(benchmark, 100, 25_000_000, side="BUY")) == ["COMMISSION"]
    assert list(charged(benchmark, 100, 25_000_000, liquidity="ADDED")) == ["COMMISSION", "TAF", "SEC", "VENUE"]


def test_the_venue_fee_follows_the_liquidity_flag(benchmark: FeeSchedule) -> None:
    assert charged(benchmark, 100, 25_000_000, liquidity="ADDED")["VENUE"] == -200_000
    assert charged(benchmark, 100, 25_000_000, liquidity="REMOVED")["VENUE"] == 300_000


def test_a_fill_pays_the_increment_of_its_orders_commission(benchmark: FeeSchedule) -> None:
    first = charged(benchmark, 100, 25_000_000)["COMMISSION"]
    before = Charged(filled=100, notional=2_500_000_000, commission=first)
    assert charged(benchmark, 100, 25_000_000, before=before)["COMMISSION"] == 0
    assert charged(benchmark, 900, 25_000_000, before=before)["COMMISSION"] == 4_000_000


@pytest.mark.parametrize(
    ("day", "taf", "sec"),
    [
        (date(2024, 5, 21), 16_600, 200_000),
        (date(2024, 5, 22), 16_600, 695_000),
        (date(2025, 5, 14), 16_600, 0),
        (date(2026, 4, 3), 19_500, 0),
        (date(2026, 4, 4), 19_500, 515_000),
        (date(2026, 10, 1), 0, 515_000),
    ],
)
def test_the_table_of_the_trade_date_counts(equities: FeeSchedule, day: date, taf: int, sec: int) -> None:
    fees = charged(equities, 100, 250_000_000, day=(day - date(1970, 1, 1)).days)
    assert (fees["TAF"], fees["SEC"]) == (taf, sec)


def test_what_no_table_covers_is_refused_and_not_free(equities: FeeSchedule, benchmark: FeeSchedule) -> None:
    with pytest.raises(InvalidRecordError, match="no table of SEC fees covers trade date 2020-02-17"):
        charged(equities, 100, 250_000_000, day=(date(2020, 2, 17) - date(1970, 1, 1)).days)
    with pytest.raises(InvalidRecordError, match="covers trade date -2000000000 days"):
        charged(equities, 100, 250_000_000, day=-2_000_000_000)
    with pytest.raises(InvalidRecordError, match="XNAS has no fee for liquidity ROUTED"):
        charged(benchmark, 100, 250_000_000, liquidity="ROUTED")
    only_nyse = parse_schedule("venues: {XNYS: [{from: 1970-01-01, per_share: {ADDED: 0}}]}")
    with pytest.raises(InvalidRecordError, match="venue XNAS"):
        charged(only_nyse, 100, 250_000_000)


def test_an_empty_schedule_charges_nothing() -> None:
    assert charged(parse_schedule("{}"), 100, 250_000_000, liquidity="ADDED") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("taf: [{from: 2024-01-01, per_share: much, cap: 1}]", "much"),
        ("taf: [{from: 2024-01-01, per_share: 1}]", "cap"),
        ("tax: []", "tax"),
        ("cat: [{from: 2024-01-01, per_share: 1}, {from: 2023-01-01, per_share: 1}]", "follow one another"),
        ("taf: [{from: 2024-01-01, per_share: 1, cap: 0.0000001}]", "finer than a millionth"),
        ("venues: {XNAS: [{from: 2024-01-01, per_share: {DARK: 1}}]}", "DARK"),
        ("venues: {XNAS: []}", "no period"),
        ("sec: [", "fee schedule"),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_file(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_schedule(text, "fees.yaml")
    assert caught.value.problems[0].file == "fees.yaml"


@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**7),
            st.integers(1, 10**9),
            st.sampled_from([18_400, 19_000, 20_000, 20_700, 21_000]),
            st.integers(0, len(LIQUIDITIES) - 1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_arrays_give_the_fees_of_single_fills(fills: list[tuple[int, int, int, int]]) -> None:
    schedule = EQUITIES_SCHEDULE
    quantity, price, days, liquidity = (np.array(column, np.int64) for column in zip(*fills, strict=True))
    rates = FillRates.read(schedule, days, np.ones(len(fills), np.int64), [None, "XNAS"])
    assert rates.covered.all()
    columns = {
        FeeKind.COMMISSION: rates.commission(quantity, quantity * price),
        FeeKind.TAF: rates.taf(quantity, price),
        FeeKind.SEC: rates.sec(quantity * price),
        FeeKind.CAT: rates.cat(quantity),
        FeeKind.VENUE: rates.venue(quantity, liquidity)[0],
    }
    for i, (one_quantity, one_price, day, flag) in enumerate(fills):
        single = charged(schedule, one_quantity, one_price, day=day, liquidity=LIQUIDITIES[flag])
        assert single == {kind: columns[kind][i] for kind in columns if kind != FeeKind.VENUE or flag}


TABLES_THAT_CHANGE = """
commission: [{from: 2024-01-01, per_share: 0.005, minimum: 1, maximum_of_notional: 0.01}]
taf: [{from: 2024-01-01, per_share: 0.0001, cap: 5}, {from: 2024-01-03, per_share: 0.0002, cap: 5}]
venues:
  XNAS: [{from: 2024-01-01, per_share: {ADDED: -0.002, REMOVED: 0.003}}]
  XNYS: [{from: 2024-01-01, per_share: {ADDED: -0.001, REMOVED: 0.002}}]
"""
DAY = (date(2024, 1, 2) - date(1970, 1, 1)).days


def test_a_bust_refunds_what_its_trade_was_charged_under_its_own_date_and_venue() -> None:
    """A sale of 1,000 on the first day and 100 on the second, at the other venue; the first is busted afterwards."""
    schedule = parse_schedule(TABLES_THAT_CHANGE)
    fees = fees_of_change(
        schedule,
        side="SELL",
        removed=Trade(DAY, "XNAS", "ADDED", 1_000, 25_000_000),
        filled=100,
        notional=100 * 25_000_000,
        commission=5_500_000,
        commission_date=DAY + 1,
    )
    assert {fee.kind: fee.amount for fee in fees} == {"COMMISSION": -4_500_000, "TAF": -100_000, "VENUE": 2_000_000}


def test_a_bust_of_everything_refunds_everything() -> None:
    schedule = parse_schedule(
        "commission: [{from: 2024-01-01, per_share: 0.005, minimum: 1, maximum_of_notional: 0.01}]"
    )
    trade = Trade(DAY, "XNAS", None, 100, 25_000_000)
    [fee] = fees_of_change(schedule, side="BUY", removed=trade, filled=0, notional=0, commission=1_000_000)
    assert fee.amount == -1_000_000


SCHEDULE_THAT_CHANGES = parse_schedule(TABLES_THAT_CHANGE)
changes = st.lists(
    st.tuples(
        st.sampled_from(["fill", "bust", "correct"]),
        st.integers(1, 10**5),
        st.integers(1, 10**9),
        st.integers(0, 3),
        st.booleans(),
        st.integers(0, 10**6),
    ),
    min_size=1,
    max_size=20,
)


@given(changes, st.sampled_from(["BUY", "SELL_SHORT"]))
def test_increments_sum_to_what_the_remaining_trades_owe(
    history: list[tuple[str, int, int, int, bool, int]], side: str
) -> None:
    """Whatever was filled, busted and corrected, in whatever order, under changing tables."""
    schedule = SCHEDULE_THAT_CHANGES
    live: list[Trade] = []
    charged_so_far: dict[str, int] = {}
    for kind, quantity, price, day, other_venue, pick in history:
        removed = live.pop(pick % len(live)) if kind != "fill" and live else None
        venue, flag = ("XNYS", "REMOVED") if other_venue else ("XNAS", "ADDED")
        added = Trade(DAY + day, venue, flag, quantity, price) if kind != "bust" else None
        if added is None and removed is None:
            continue
        live += [added] if added else []
        for fee in fees_of_change(
            schedule,
            side=side,
            removed=removed,
            added=added,
            filled=sum(trade.quantity for trade in live),
            notional=sum(trade.quantity * trade.price for trade in live),
            commission=charged_so_far.get("COMMISSION", 0),
        ):
            charged_so_far[fee.kind] = charged_so_far.get(fee.kind, 0) + fee.amount
    commission = schedule.rates(DAY, "XNAS").commission
    assert commission is not None
    filled, notional = sum(t.quantity for t in live), sum(t.quantity * t.price for t in live)
    owed = {"COMMISSION": commission.of_order(filled, notional)}
    for trade in live:
        for fee in fees_of_trade(schedule, trade, side):
            owed[fee.kind] = owed.get(fee.kind, 0) + fee.amount
    assert charged_so_far == dict.fromkeys(charged_so_far, 0) | owed or not charged_so_far
