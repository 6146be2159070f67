"""What an account owes in fees, by trade date and month: exact, and as it is billed in whole cents.

An order knows its own fees to the millionth. What depends on all orders of an account is known here only:

| figure | rule |
|---|---|
| exact | sum of the fees of the trade date's fills, by kind |
| billed, rounding per account-day | each kind's exact sum of the day, up to the next cent |
| billed, rounding per trade | each fee of each trade, up to the next cent; commission by what the order owes so far |
| tier adjustment | what marginal monthly tiers change on the commission, see `fees.Commission.tier_adjustment` |

Up means towards plus infinity: a rebate of 0.123 is billed as 0.12. A bust or correction belongs to the trade date of
its fill, however late it comes: it takes back exactly what was billed for it. A month is kept for so many months, and
an event for one that is gone is refused and reported, as is a trade date in the future.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.events import ExecType, FeeKind, OrderEnriched, account_of
from operators.model.fees.costs import side_sign
from operators.model.fees.fees import FeeSchedule, Trade, fees_of_trade
from operators.model.money import fitting

CENT: Final = 10_000
"""Millionths."""

Rounding = Literal["account_day", "trade"]

_DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)
_AHEAD_DAYS_MAX: Final = 7
_YEAR_MAX: Final = 9_000


class Amount(NamedTuple):
    """Fees of one kind in millionths: exact, and rounded up to a cent trade by trade."""

    exact: int = 0
    by_trade: int = 0

    def billed(self, rounding: Rounding) -> int:
        """What is charged, in millionths that are whole cents."""
        return self.by_trade if rounding == "trade" else cents_up(self.exact)


class AccountDay(msgspec.Struct, frozen=True, array_like=True):
    """One trade date of an account: shares traded, and fees by kind."""

    shares: int = 0
    fees: dict[str, Amount] = {}


class AccountMonth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One month of an account; `days` by trade date, in days since 1970."""

    account_id: str
    month: str
    rounding: Rounding
    shares: int = 0
    tiered_shares: int = 0
    tier_adjustment: int = 0
    tiers_of: int
    """The trade date whose table has the tiers: the newest."""
    days: dict[int, AccountDay] = {}
    unverified: tuple[str, ...] = ()
    """Kinds charged at a rate that was not checked against its source."""
    updated_at: int

    def totals(self) -> dict[str, tuple[int, int]]:
        """Exact and billed fees of the month by kind, tiers left out."""
        sums: dict[str, tuple[int, int]] = {}
        for day in self.days.values():
            for kind, amount in day.fees.items():
                exact, billed = sums.get(kind, (0, 0))
                sums[kind] = exact + amount.exact, billed + amount.billed(self.rounding)
        return sums


def cents_up(micros: int) -> int:
    """The next whole cent that is not less, in millionths."""
    return -(-micros // CENT) * CENT


def has_fees(event: OrderEnriched) -> bool:
    """Whether an event has something for the ledger."""
    return bool(event.fees) or event.last_quantity != 0


def month_of(event: OrderEnriched) -> str:
    """The month, as 2026-11, that an event's fees belong to."""
    return date_of(_trade_date(event)).isoformat()[:7]


def month_key(account_id: str, month: str) -> str:
    """The key of an account's month."""
    return f"{account_id}@{month}"


@lru_cache(maxsize=1_024)
def forget_at_ms(month: str, months_kept: int) -> int:
    """The event time at which a month has been kept for so many months after it."""
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]) + months_kept, 12)
    return round(datetime(year, number + 1, 1, tzinfo=UTC).timestamp()) * 1_000


def check_open(event: OrderEnriched, month: str, *, months_kept: int, event_time_ms: int) -> None:
    """`InvalidRecordError` for a month that is not kept any more, or a trade date that is yet to come."""
    if event_time_ms < 0:
        return
    if (day := _trade_date(event)) > event_time_ms // _DAY_MS + _AHEAD_DAYS_MAX:
        raise InvalidRecordError(f"trade date {date_of(day)} is yet to come")
    if event_time_ms >= forget_at_ms(month, months_kept):
        account_id = account_of(event.key)
        raise InvalidRecordError(f"the fees of {account_id} in {month} are closed: {months_kept} months are kept")


def date_of(day: int) -> date:
    """A day since 1970 as a date; `InvalidRecordError` for one that no calendar has."""
    try:
        found = _EPOCH + timedelta(days=day)
    except OverflowError as error:
        raise InvalidRecordError(f"trade date {day} days after 1970") from error
    if found.year > _YEAR_MAX:
        raise InvalidRecordError(f"trade date {found}")
    return found


def on_enriched(
    state: AccountMonth | None, event: OrderEnriched, month: str, *, schedule: FeeSchedule, rounding: Rounding
) -> AccountMonth:
    """Takes in the fees of one change of an order's fills. `InvalidRecordError` where no table covers it."""
    trade_date, venue = _trade_date(event), event.last_venue or event.venue or ""
    before = state or AccountMonth(
        account_id=account_of(event.key),
        month=month,
        rounding=rounding,
        tiers_of=trade_date,
        updated_at=event.occurred_at,
    )
    day = before.days.get(trade_date, AccountDay())
    fees = dict(day.fees)
    for kind, by_trade in _by_trade(event, schedule, trade_date, venue).items():
        known, exact = fees.get(kind, Amount()), sum(fee.amount for fee in event.fees if fee.kind == kind)
        fees[kind] = Amount(fitting(known.exact + exact, kind), fitting(known.by_trade + by_trade, kind))
    shares = 0 if event.exec_type == ExecType.RESTATED else event.last_quantity
    tiers_of = max(before.tiers_of, trade_date)
    total, tiered = before.shares + shares, before.tiered_shares + _tiered_shares(event, schedule, trade_date, venue)
    commission = schedule.rates(tiers_of, venue).commission
    unverified = {kind.value for kind in schedule.rates(trade_date, venue).unverified if fees.get(kind, Amount()).exact}
    return msgspec.structs.replace(
        before,
        rounding=rounding,
        shares=fitting(total, "shares of a month"),
        tiered_shares=tiered,
        tier_adjustment=commission.tier_adjustment(total, tiered) if commission else 0,
        tiers_of=tiers_of,
        days={**before.days, trade_date: AccountDay(day.shares + shares, fees)},
        unverified=tuple(sorted({*before.unverified, *unverified})),
        updated_at=max(before.updated_at, event.occurred_at),
    )


def _by_trade(event: OrderEnriched, schedule: FeeSchedule, trade_date: int, venue: str) -> dict[str, int]:
    """What each fee of the event changes where every trade is rounded: what is owed after it minus what was before."""
    side_sign(event.side)
    replaced: dict[str, int] = {}
    if event.exec_type == ExecType.TRADE_CORRECT and event.replaced_quantity and event.replaced_price:
        trade = Trade(trade_date, venue, event.liquidity, event.replaced_quantity, event.replaced_price)
        replaced = {fee.kind: fee.amount for fee in fees_of_trade(schedule, trade, event.side)}
    commission = schedule.rates(trade_date, venue).commission
    changes: dict[str, int] = {}
    for fee in event.fees:
        if fee.kind == FeeKind.COMMISSION:
            after = commission.of_order(event.filled_quantity, event.notional) if commission else fee.amount
            was = after - fee.amount
        elif event.last_quantity < 0 and not replaced:
            after, was = 0, -fee.amount
        else:
            was = replaced.get(fee.kind, 0)
            after = was + fee.amount
        changes[fee.kind] = changes.get(fee.kind, 0) + cents_up(after) - cents_up(was)
    return changes


def _tiered_shares(event: OrderEnriched, schedule: FeeSchedule, trade_date: int, venue: str) -> int:
    """How many more shares of the order pay the rate per share, rather than a minimum or maximum, than before."""
    commission = schedule.rates(trade_date, venue).commission
    if commission is None or not commission.tiers or event.exec_type == ExecType.RESTATED:
        return 0
    quantity = event.replaced_quantity + event.last_quantity
    added = quantity * (event.last_price or 0) - event.replaced_quantity * (event.replaced_price or 0)
    after = commission.tiered_shares(event.filled_quantity, event.notional)
    return after - commission.tiered_shares(event.filled_quantity - event.last_quantity, event.notional - added)


def _trade_date(event: OrderEnriched) -> int:
    """The trade date; of an event that does not have it, the day it occurred on (UTC)."""
    return event.occurred_at // (_DAY_MS * 1_000) if event.trade_date is None else event.trade_date
