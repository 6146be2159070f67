"""Fees by trade date and venue, against published worked examples."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigurationError, InvalidRecordError
from operators.model.events import FeeKind
from operators.model.fees.columns import FillRates
from operators.model.fees.fees import (
    Charged,
    FeeSchedule,
    Trade,
    fees_of_change,
    fees_of_fill,
    fees_of_trade,
)
from operators.model.fees.tables import parse_schedule
from operators.model.orders.stored_executions import LIQUIDITIES
from operators.steps.fee_schedules import fee_schedule

ROOT = Path(__file__).resolve().parents[4]
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


def test_a_gap_between_two_periods_is_not_covered() -> None:
    schedule = parse_schedule(
        "cat: [{from: 2024-01-01, to: 2024-01-31, per_share: 1}, {from: 2024-03-01, per_share: 2}]"
    )
    first = (date(2024, 1, 31) - date(1970, 1, 1)).days
    assert charged(schedule, 1, 1, day=first) == {"CAT": 1_000_000}
    with pytest.raises(InvalidRecordError, match="no table of CAT fees covers trade date 2024-02-01"):
        charged(schedule, 1, 1, day=first + 1)
    assert charged(schedule, 1, 1, day=first + 30) == {"CAT": 2_000_000}


def test_the_pause_of_the_taf_ends_with_the_year(equities: FeeSchedule) -> None:
    """Nothing in the fourth quarter of 2026; what holds afterwards is marked as not verified."""
    days = [(date(2026, 9, 30) + timedelta(days=n) - date(1970, 1, 1)).days for n in (0, 1, 92, 93)]
    assert [charged(equities, 100, 250_000_000, day=day)["TAF"] for day in days] == [19_500, 0, 0, 23_200]
    assert [FeeKind.TAF in equities.rates(day, "XNAS").unverified for day in days] == [False, False, False, True]


@pytest.mark.parametrize(
    ("commission", "quantity", "price", "expected"),
    [
        ("bps: 2.5", 1_000, 40_000_000, 10_000_000),
        ("bps: 2.5, minimum: 15", 1_000, 40_000_000, 15_000_000),
        ("bps: 2.5, maximum: 8, minimum: 9", 1_000, 40_000_000, 8_000_000),
        ("flat: 4.95", 1, 1_000_000, 4_950_000),
        ("flat: 4.95, maximum_of_notional: 0.01", 1, 1_000_000, 10_000),
        ("per_share: 0.005", 10, 25_000_000, 50_000),
    ],
)
def test_a_commission_is_per_share_or_in_basis_points_or_flat(
    commission: str, quantity: int, price: int, expected: int
) -> None:
    schedule = parse_schedule(f"commission: [{{from: 2024-01-01, {commission}}}]")
    assert charged(schedule, quantity, price) == {"COMMISSION": expected}


def test_a_flat_commission_is_charged_once_per_order_and_given_back_with_its_last_share() -> None:
    schedule = parse_schedule("commission: [{from: 2024-01-01, flat: 4.95}]")
    before = Charged(100, 100, 4_950_000)
    assert charged(schedule, 100, 1, before=before) == {"COMMISSION": 0}
    [fee] = fees_of_change(
        schedule, side="BUY", removed=Trade(DAY, "XNAS", None, 100, 1), filled=0, notional=0, commission=4_950_000
    )
    assert fee.amount == -4_950_000


def test_a_venue_charges_by_the_tier_that_is_ours() -> None:
    tiers = "tiers: {base: {ADDED: -0.0020}, top: {ADDED: -0.0032}}"
    schedule = parse_schedule(
        f"venues: {{XNAS: [{{from: 2024-01-01, {tiers}, tier: base}}, {{from: 2026-01-01, {tiers}, tier: top}}]}}"
    )
    assert charged(schedule, 100, 1, day=DAY, liquidity="ADDED") == {"VENUE": -200_000}
    assert charged(schedule, 100, 1, liquidity="ADDED") == {"VENUE": -320_000}


def test_the_tiers_of_a_month_are_marginal() -> None:
    """4,000,000 shares: 300,000 at 0.0035, 2,700,000 at 0.0020, 1,000,000 at 0.0015 cost 7,950 instead of 14,000."""
    commission = fee_schedule("us_equities_tiered").rates(AUTUMN_2026, "XNAS").commission
    assert commission is not None
    assert commission.per_share.of(4_000_000) + commission.tier_adjustment(4_000_000, 4_000_000) == 7_950_000_000
    assert commission.tier_adjustment(300_000, 300_000) == 0
    assert commission.tier_adjustment(300_001, 300_001) == -1_500
    assert commission.tier_adjustment(0, 0) == 0


def test_orders_at_their_minimum_or_maximum_have_no_part_in_the_tiers() -> None:
    commission = fee_schedule("us_equities_tiered").rates(AUTUMN_2026, "XNAS").commission
    assert commission is not None
    assert commission.tiered_shares(99, 99 * 25_000_000) == 0  # 0.3465 is below the minimum of 0.35
    assert commission.tiered_shares(100, 100 * 25_000_000) == 100
    assert commission.tiered_shares(1_000, 1_000 * 340_000) == 0  # 1 % of 0.34 is less than the rate
    assert commission.tier_adjustment(600_000, 300_000) == -225_000_000


def test_a_schedule_that_extends_another_has_its_other_sections() -> None:
    tiered, plain = fee_schedule("us_equities_tiered"), fee_schedule("us_equities")
    assert charged(tiered, 1_000, 25_000_000)["COMMISSION"] == 3_500_000
    assert charged(tiered, 1_000, 25_000_000) | {"COMMISSION": 0} == charged(plain, 1_000, 25_000_000) | {
        "COMMISSION": 0
    }


def test_a_schedule_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        fee_schedule("no_such_schedule")
    (tmp_path / "mine.yaml").write_text("extends: theirs")
    with pytest.raises(ConfigurationError, match=r"theirs\.yaml"):
        fee_schedule(str(tmp_path / "mine.yaml"))


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
        ("sec: [{from: 2024-01-02, to: 2024-01-01, per_million: 1}]", "cannot end on 2024-01-01"),
        ("cat: [{from: 2024-01-01, to: 2025-01-01, per_share: 1}, {from: 2025-01-01, per_share: 1}]", "cannot end"),
        ("commission: [{from: 2024-01-01, minimum: 1}]", "none of per_share, bps, flat, tiers"),
        ("commission: [{from: 2024-01-01, per_share: 1, flat: 1}]", "per_share and flat of"),
        ("commission: [{from: 2024-01-01, flat: 1000000000000000}]", "too large"),
        ("commission: [{from: 2024-01-01, tiers: [{up_to: 5, per_share: 1}]}]", "rising up_to"),
        ("commission: [{from: 2024-01-01, tiers: [{per_share: 1}, {per_share: 1}]}]", "rising up_to"),
        ("commission: [{from: 2024-01-01, tiers: []}]", "rising up_to"),
        ("venues: {XNAS: [{from: 2024-01-01, tiers: {top: {ADDED: 1}}, tier: best}]}", "which tier is ours"),
        ("venues: {XNAS: [{from: 2024-01-01, per_share: {ADDED: 1}, tiers: {a: {ADDED: 1}}, tier: a}]}", "needs"),
        ("extends: other", "cannot stand alone"),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_file(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_schedule(text, "fees.yaml")
    assert caught.value.problems[0].file == "fees.yaml"


# Every basis, with and without each bound, one after the other, so that a batch has them side by side.
ALL_COMMISSIONS = parse_schedule(
    """
commission:
  - {from: 2020-01-01, per_share: 0.0051, minimum: 1, maximum_of_notional: 0.01}
  - {from: 2021-01-01, bps: 3.7, minimum: 2, maximum: 40}
  - {from: 2022-01-01, flat: 4.95, maximum_of_notional: 0.02}
  - {from: 2023-01-01, per_share: 0.003, maximum: 7.5, maximum_of_notional: 0.005}
  - {from: 2024-01-01, bps: 1}
  - {from: 2025-01-01, tiers: [{up_to: 9, per_share: 0.0035}, {per_share: 0.001}], minimum: 0.35}
taf: [{from: 2020-01-01, per_share: 0.000195, cap: 9.79}]
"""
)
fills_at_random = st.lists(
    st.tuples(
        st.integers(1, 10**7),
        st.integers(1, 10**9),
        st.integers(18_400, 21_000),
        st.integers(0, len(LIQUIDITIES) - 1),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("schedule", [EQUITIES_SCHEDULE, ALL_COMMISSIONS], ids=["equities", "all commissions"])
@given(fills=fills_at_random)
def test_arrays_give_the_fees_of_single_fills(schedule: FeeSchedule, fills: list[tuple[int, int, int, int]]) -> None:
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
        assert single == {kind: columns[kind][i] for kind in columns if kind in single}
        assert all(columns[kind][i] == 0 for kind in columns if kind not in single and kind != FeeKind.VENUE)


@given(fills=fills_at_random, days=st.lists(st.integers(19_700, 19_790), min_size=20, max_size=20))
def test_arrays_cover_what_single_fills_cover(fills: list[tuple[int, int, int, int]], days: list[int]) -> None:
    """A fill in a gap between two tables is left to the scalar rules, which refuse it."""
    schedule = parse_schedule(
        "cat: [{from: 2023-12-31, to: 2024-01-31, per_share: 1}, {from: 2024-03-01, per_share: 2}]"
    )
    chosen = np.array(days[: len(fills)], np.int64)
    covered = FillRates.read(schedule, chosen, np.ones(len(chosen), np.int64), [None, "XNAS"]).covered
    for day, is_covered in zip(chosen.tolist(), covered.tolist(), strict=True):
        if is_covered:
            charged(schedule, 1, 1, day=day)
        else:
            with pytest.raises(InvalidRecordError):
                charged(schedule, 1, 1, day=day)


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
