"""Fees of an account by trade date and month: exact, billed in cents, tiers, busts of earlier days."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import Fee, OrderEnriched
from operators.model.fees.fees import FeeSchedule, Trade, fees_of_change
from operators.model.fees.ledger import (
    AccountMonth,
    Rounding,
    cents_up,
    check_open,
    forget_at_ms,
    has_fees,
    month_of,
    on_enriched,
)
from operators.model.fees.tables import parse_schedule
from operators.steps.fee_schedules import fee_schedule

EPOCH = date(1970, 1, 1)
NOV_5 = (date(2026, 11, 5) - EPOCH).days
DOLLAR = 1_000_000
FLAT = parse_schedule(
    """
commission: [{from: 2020-01-01, per_share: 0.005, minimum: 1, maximum_of_notional: 0.01}]
taf: [{from: 2020-01-01, per_share: 0.000195, cap: 9.79}]
sec: [{from: 2020-01-01, per_million: 20.60}]
venues: {"*": [{from: 2020-01-01, per_share: {ADDED: -0.00123}, verified: false}]}
"""
)
TIERED = fee_schedule("us_equities_tiered")


class Desk:
    """Orders as the join would enrich them: cumulative per order, fees as increments."""

    def __init__(self, schedule: FeeSchedule) -> None:
        self.schedule = schedule
        self.orders: dict[str, list[int]] = {}
        self.live: dict[str, Trade] = {}

    def change(
        self, exec_id: str, added: Trade | None, *, order: str = "O1", replaced: str | None = None, side: str = "SELL"
    ) -> OrderEnriched:
        removed = self.live.pop(replaced) if replaced else None
        filled, notional, commission = self.orders.get(order, [0, 0, 0])
        old_quantity, new_quantity = removed.quantity if removed else 0, added.quantity if added else 0
        filled += new_quantity - old_quantity
        notional += (added.quantity * added.price if added else 0) - (
            removed.quantity * removed.price if removed else 0
        )
        fees = fees_of_change(
            self.schedule,
            side=side,
            removed=removed,
            added=added,
            filled=filled,
            notional=notional,
            commission=commission,
        )
        commission += sum(fee.amount for fee in fees if fee.kind == "COMMISSION")
        self.orders[order] = [filled, notional, commission]
        trade = added or removed
        assert trade is not None
        if added:
            self.live[exec_id] = added
        kind = "TRADE_CANCEL" if not added else "TRADE_CORRECT" if removed else None
        return OrderEnriched(
            event_type="ORDER_ENRICHED", occurred_at=trade.trade_date * 86_400_000_000, key=f"ACC1|{order}", sequence=1,
            source="test", symbol="MSFT", venue=trade.venue, side=side, filled_quantity=filled, notional=notional,
            fees=fees, last_exec_id=exec_id, last_quantity=new_quantity - old_quantity, last_price=trade.price,
            liquidity=trade.liquidity, trade_date=trade.trade_date, exec_type=kind, exec_ref_id=replaced,
            replaced_quantity=old_quantity, replaced_price=removed.price if removed else None,
        )  # fmt: skip


def sale(quantity: int, price: int, *, day: int = NOV_5, liquidity: str | None = None) -> Trade:
    return Trade(day, "XNAS", liquidity, quantity, price)


def booked(
    events: list[OrderEnriched], schedule: FeeSchedule = FLAT, rounding: Rounding = "account_day"
) -> AccountMonth:
    state = None
    for event in events:
        state = on_enriched(state, event, month_of(event), schedule=schedule, rounding=rounding)
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=AccountMonth)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("micros", "cents"), [(0, 0), (1, 10_000), (10_000, 10_000), (10_001, 20_000), (-12_300, -10_000)]
)
def test_up_is_towards_plus_infinity(micros: int, cents: int) -> None:
    assert cents_up(micros) == cents


def test_each_kind_is_rounded_up_per_day_or_per_trade() -> None:
    """Two sales of 100 at 250, each with SEC 0.515 and TAF 0.0195: 1.03 and 0.04 a day, 0.52 and 0.02 a trade."""
    desk = Desk(FLAT)
    events = [desk.change(f"E{n}", sale(100, 250 * DOLLAR), order=f"O{n}") for n in range(2)]
    assert booked(events).totals() == {
        "COMMISSION": (2_000_000, 2_000_000), "TAF": (39_000, 40_000), "SEC": (1_030_000, 1_030_000),
    }  # fmt: skip
    by_trade = booked(events, rounding="trade").totals()
    assert by_trade == {"COMMISSION": (2_000_000, 2_000_000), "TAF": (39_000, 40_000), "SEC": (1_030_000, 1_040_000)}


def test_days_are_rounded_apart_and_a_rebate_in_favour_of_the_broker() -> None:
    desk = Desk(FLAT)
    events = [desk.change(f"E{n}", sale(10, 250 * DOLLAR, day=NOV_5 + n, liquidity="ADDED")) for n in range(2)]
    month = booked(events)
    assert [(day.shares, day.fees["TAF"].exact) for day in month.days.values()] == [(10, 1_950), (10, 1_950)]
    assert month.totals()["TAF"] == (3_900, 20_000)
    assert month.totals()["VENUE"] == (-24_600, -20_000)
    assert month.unverified == ("VENUE",)


@pytest.mark.parametrize("rounding", ["account_day", "trade"])
def test_a_bust_days_later_takes_back_what_its_day_was_billed(rounding: Rounding) -> None:
    desk = Desk(FLAT)
    kept = desk.change("E1", sale(37, 33 * DOLLAR, liquidity="ADDED"))
    wrong = desk.change("E2", sale(53, 77 * DOLLAR, liquidity="ADDED"), order="O2")
    other_day = desk.change("E3", sale(9, 9 * DOLLAR, day=NOV_5 + 4), order="O3")
    month = booked([kept, wrong, other_day, desk.change("B", None, order="O2", replaced="E2")], rounding=rounding)
    expected = booked([kept, other_day], rounding=rounding)
    assert {kind: sums for kind, sums in month.totals().items() if any(sums)} == expected.totals()
    assert (month.shares, month.days[NOV_5].shares) == (46, 37)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["fill", "fill", "bust", "correct"]),
            st.integers(1, 3_000),
            st.integers(1, 300 * DOLLAR),
            st.integers(0, 3),
            st.integers(0, 10**6),
            st.sampled_from([None, "ADDED"]),
        ),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from(["account_day", "trade"]),
    st.sampled_from([FLAT, TIERED]),
)
def test_whatever_is_busted_and_corrected_the_ledger_owes_for_what_is_left(
    history: list[tuple[str, int, int, int, int, str | None]], rounding: Rounding, schedule: FeeSchedule
) -> None:
    """The figures are those of a month in which only the remaining trades were ever made, each right at once."""
    desk, events, at = Desk(schedule), list[OrderEnriched](), dict[str, str]()
    for number, (kind, quantity, price, pick, victim, liquidity) in enumerate(history):
        # An order of its own per day, so that the trade date of a correction is that of its trade.
        added, order = sale(quantity, price, day=NOV_5 + pick, liquidity=liquidity), f"O{pick}"
        replaced = None
        if kind != "fill" and desk.live:
            replaced = sorted(desk.live)[victim % len(desk.live)]
            order, added = at[replaced], added._replace(trade_date=desk.live[replaced].trade_date)
            added = added._replace(liquidity=desk.live[replaced].liquidity)
        events.append(
            desk.change(f"E{number}", None if kind == "bust" and replaced else added, order=order, replaced=replaced)
        )
        at[f"E{number}"] = order
    found, again = booked(events, schedule, rounding), Desk(schedule)
    live = [again.change(exec_id, trade, order=at[exec_id]) for exec_id, trade in desk.live.items()]
    if not live:
        assert all(sums == (0, 0) for sums in found.totals().values())
        assert (found.shares, found.tiered_shares, found.tier_adjustment) == (0, 0, 0)
        return
    expected = booked(live, schedule, rounding)
    assert {kind: sums for kind, sums in found.totals().items() if any(sums)} == {
        kind: sums for kind, sums in expected.totals().items() if any(sums)
    }
    assert (found.shares, found.tiered_shares) == (expected.shares, expected.tiered_shares)
    assert found.tier_adjustment == expected.tier_adjustment


def test_the_tiers_of_a_month_go_over_all_orders_of_the_account() -> None:
    """400,000 shares at 25 in ten orders: 300,000 at 0.0035 and 100,000 at 0.0020 are 1,250 and not 1,400."""
    desk = Desk(TIERED)
    events = [desk.change(f"E{n}", sale(40_000, 25 * DOLLAR, day=NOV_5 + n), order=f"O{n}") for n in range(10)]
    month = booked(events, TIERED)
    assert month.totals()["COMMISSION"][0] == 1_400 * DOLLAR
    assert month.tier_adjustment == -150 * DOLLAR


def test_an_event_without_a_table_is_refused() -> None:
    event = Desk(FLAT).change("E1", sale(1, DOLLAR))
    early = msgspec.structs.replace(event, trade_date=10_000)
    with pytest.raises(InvalidRecordError, match="no table"):
        on_enriched(None, early, "1997-05", schedule=FLAT, rounding="trade")


def test_an_event_without_fees_or_shares_has_nothing_for_the_ledger() -> None:
    event = Desk(FLAT).change("E1", sale(1, DOLLAR))
    assert has_fees(event)
    assert has_fees(msgspec.structs.replace(event, last_quantity=0, fees=[Fee("SEC", 1)]))
    assert not has_fees(msgspec.structs.replace(event, last_quantity=0, fees=[]))


def test_the_month_is_that_of_the_trade_date_or_else_of_the_event() -> None:
    event = Desk(FLAT).change("E1", sale(1, DOLLAR))
    assert month_of(event) == "2026-11"
    assert month_of(msgspec.structs.replace(event, trade_date=None)) == "2026-11"
    assert month_of(msgspec.structs.replace(event, trade_date=NOV_5 - 5)) == "2026-10"


@pytest.mark.parametrize("day", [-(2**31), 2**31 - 1, (date(9_999, 12, 31) - EPOCH).days])
def test_a_date_that_no_desk_trades_on_is_refused(day: int) -> None:
    event = msgspec.structs.replace(Desk(FLAT).change("E1", sale(1, DOLLAR)), trade_date=day)
    with pytest.raises(InvalidRecordError, match="trade date"):
        month_of(event)


def test_a_month_is_open_until_it_is_forgotten() -> None:
    event = Desk(FLAT).change("E1", sale(1, DOLLAR))
    closes = forget_at_ms("2026-11", 2)
    assert closes == (date(2027, 2, 1) - EPOCH).days * 86_400_000
    check_open(event, "2026-11", months_kept=2, event_time_ms=closes - 1)
    with pytest.raises(InvalidRecordError, match="2026-11 are closed: 2 months"):
        check_open(event, "2026-11", months_kept=2, event_time_ms=closes)


def test_a_trade_date_that_is_yet_to_come_is_refused() -> None:
    event = Desk(FLAT).change("E1", sale(1, DOLLAR))
    check_open(event, "2026-11", months_kept=2, event_time_ms=(NOV_5 - 7) * 86_400_000)
    with pytest.raises(InvalidRecordError, match="2026-11-05 is yet to come"):
        check_open(event, "2026-11", months_kept=2, event_time_ms=(NOV_5 - 8) * 86_400_000)
