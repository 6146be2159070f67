"""Fees of a fill, from tables keyed by trade date and venue.

| kind | on | base | limits |
|---|---|---|---|
| COMMISSION | the order | per share, part of the notional, or flat | per order; the maximum beats the minimum |
| TAF | each sale | per share | cap per trade; none on prices below the rate per share |
| SEC | each sale | notional | |
| CAT | each trade | per share | |
| VENUE | each trade | per share, by liquidity flag | negative is a rebate; none without a flag |

The commission of an order is that on everything it has filled, and a fill is charged the increment: it can be 0, and a
bust can give some back. Every rate is an exact fraction and every amount is rounded down to a millionth; whole cents
are a matter of the account, see `ledger`.

A table says from which trade date on it holds. A trade date before the first table or in a gap, a venue or a liquidity
flag without one, is an `InvalidRecordError`: what is not written down is not zero. A section that the schedule leaves
out altogether is not charged. `tables` reads schedules from files.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from typing import Final, Generic, NamedTuple, TypeVar

from config.errors import InvalidRecordError
from operators.model.events import Fee, FeeKind, Side
from operators.model.money import Rate

T = TypeVar("T")

ANY_VENUE: Final = "*"
_SECTIONS: Final = (FeeKind.COMMISSION, FeeKind.TAF, FeeKind.SEC, FeeKind.CAT, FeeKind.VENUE)
_NOT_CHARGED: Final = (None, True)
_EPOCH: Final = date(1970, 1, 1)


class Tier(NamedTuple):
    """Shares of a month up to and with `up_to` (None: all beyond) cost `per_share` each."""

    up_to: int | None
    per_share: Rate


FREE: Final = Rate(0, 1)


class Commission(NamedTuple):
    """Broker commission of an order so far: per share, or a part of its notional, or flat, within a range.

    At least `minimum`, at most `maximum` and `maximum_of_notional`; these two beat the minimum. None is no bound. Where
    there are `tiers` of the month, `per_share` is the rate of the first, and the fee ledger adjusts.
    """

    per_share: Rate = FREE
    minimum: int = 0
    maximum_of_notional: Rate | None = None
    of_notional: Rate = FREE
    flat: int = 0
    maximum: int | None = None
    tiers: tuple[Tier, ...] = ()

    def of_order(self, filled: int, notional: int) -> int:
        """Millionths on everything filled so far, 0 if nothing is; a fill's fee is the increment."""
        if filled <= 0:
            return 0
        charge = max(self.minimum, self.per_share.of(filled) + self.of_notional.of(notional) + self.flat)
        if self.maximum is not None:
            charge = min(charge, self.maximum)
        return charge if self.maximum_of_notional is None else min(charge, self.maximum_of_notional.of(notional))

    def tiered_shares(self, filled: int, notional: int) -> int:
        """The shares of an order whose commission is the rate per share: none while a minimum or maximum decides."""
        return filled if self.tiers and self.of_order(filled, notional) == self.per_share.of(filled) else 0

    def tier_adjustment(self, shares: int, tiered: int) -> int:
        """What the tiers change on the commission of a month, rounded down to a millionth.

        All `shares` of the month count towards the tiers, each tier's rate holds for the shares within it, and the
        average over the month replaces the first tier's rate on the `tiered` ones. Nothing depends on the order of
        fills, so a bust simply counts no more.
        """
        if not self.tiers or shares <= 0:
            return 0
        marginal, below = Fraction(0), 0
        for tier in self.tiers:
            upper = shares if tier.up_to is None else min(shares, tier.up_to)
            marginal += Fraction(*tier.per_share) * max(0, upper - below)
            below = max(below, upper)
        return floor((marginal / shares - Fraction(*self.per_share)) * tiered)


class Taf(NamedTuple):
    """FINRA Trading Activity Fee: on sells, per share, with a cap per trade; not on prices below the rate per share."""

    per_share: Rate
    cap: int

    def of_trade(self, quantity: int, price: int) -> int:
        """Millionths on one trade."""
        if price * self.per_share.denominator < self.per_share.numerator:
            return 0
        return min(self.per_share.of(quantity), self.cap)


class Rates(NamedTuple):
    """All rates of one trade date and venue. None is a section that the schedule does not have."""

    commission: Commission | None
    taf: Taf | None
    sec: Rate | None
    cat: Rate | None
    venue: Mapping[str, Rate] | None
    unverified: frozenset[FeeKind] = frozenset()
    """Kinds whose rate was not checked against its source."""


class Charged(NamedTuple):
    """What an order was filled and charged before the fill at hand."""

    filled: int = 0
    notional: int = 0
    commission: int = 0


class Period(NamedTuple, Generic[T]):
    """From one day on (since 1970) a value holds; None is a gap, where nothing is known to hold."""

    since: int
    value: T | None
    verified: bool = True


class Dated(Generic[T]):
    """Values by the day from which each holds."""

    def __init__(self, name: str, periods: Sequence[Period[T]]) -> None:
        self._name, self._periods = name, periods
        self._starts = [period.since for period in periods]

    def at(self, day: int) -> tuple[T, bool]:
        """The value in force on a day, and whether it is verified; `InvalidRecordError` where there is none."""
        found = bisect_right(self._starts, day)
        period = self._periods[found - 1] if found else None
        if period is None or period.value is None:
            raise InvalidRecordError(f"no table of {self._name} fees covers trade date {_written(day)}")
        return period.value, period.verified


class FeeSchedule:
    """Everything that is charged on fills. Immutable; answers are kept per trade date and venue."""

    def __init__(
        self,
        *,
        commission: Dated[Commission] | None = None,
        taf: Dated[Taf] | None = None,
        sec: Dated[Rate] | None = None,
        cat: Dated[Rate] | None = None,
        venues: Mapping[str, Dated[Mapping[str, Rate]]] | None = None,
    ) -> None:
        self._commission, self._taf, self._sec, self._cat, self._venues = commission, taf, sec, cat, venues
        self._known: dict[tuple[int, str], Rates] = {}

    def rates(self, trade_date: int, venue: str) -> Rates:
        """The rates in force; `InvalidRecordError` where a section has no table for the date or the venue."""
        known = self._known.get((trade_date, venue))
        if known is None:
            commission = self._commission.at(trade_date) if self._commission else _NOT_CHARGED
            taf = self._taf.at(trade_date) if self._taf else _NOT_CHARGED
            sec = self._sec.at(trade_date) if self._sec else _NOT_CHARGED
            cat = self._cat.at(trade_date) if self._cat else _NOT_CHARGED
            flags = self._of_venue(venue).at(trade_date) if self._venues else _NOT_CHARGED
            in_force = zip(_SECTIONS, (commission, taf, sec, cat, flags), strict=True)
            unverified = frozenset(kind for kind, (_, verified) in in_force if not verified)
            known = Rates(commission[0], taf[0], sec[0], cat[0], flags[0], unverified)
            if len(self._known) < 100_000:  # bounds what records with absurd dates or venues can cost
                self._known[trade_date, venue] = known
        return known

    def _of_venue(self, venue: str) -> Dated[Mapping[str, Rate]]:
        assert self._venues is not None
        table = self._venues.get(venue) or self._venues.get(ANY_VENUE)
        if table is None:
            raise InvalidRecordError(f"no table of fees for venue {venue}")
        return table


class Trade(NamedTuple):
    """One trade of an order, as the fees per trade see it."""

    trade_date: int
    venue: str
    liquidity: str | None
    quantity: int
    price: int


def fees_of_fill(
    schedule: FeeSchedule,
    *,
    trade_date: int,
    venue: str,
    side: str,
    liquidity: str | None,
    quantity: int,
    price: int,
    before: Charged,
) -> list[Fee]:
    """The fees of one fill: COMMISSION, on sells TAF and SEC, CAT, and VENUE if the liquidity flag is known."""
    return fees_of_change(
        schedule,
        side=side,
        added=Trade(trade_date, venue, liquidity, quantity, price),
        filled=before.filled + quantity,
        notional=before.notional + quantity * price,
        commission=before.commission,
    )


def fees_of_change(
    schedule: FeeSchedule,
    *,
    side: str,
    removed: Trade | None = None,
    added: Trade | None = None,
    filled: int,
    notional: int,
    commission: int,
    commission_date: int | None = None,
) -> list[Fee]:
    """The fees of any change of an order's fills, as increments: they always sum to what the order owes.

    | change | removed | added |
    |---|---|---|
    | fill | | the trade |
    | bust | the trade as it was charged | |
    | correction | the trade as it was charged | the trade as corrected |

    What is charged per trade (TAF, SEC, CAT, VENUE) is refunded exactly as it was charged, under the tables of the
    removed trade's own date and venue. The commission is that of the whole order: `filled` and `notional` are the
    order's after the change, `commission` what it was charged before. Its table is that of `commission_date`, the
    order's trading day, or without one that of the trade's date.
    """
    trade = added or removed
    assert trade is not None, "a change adds or removes a trade"
    rates = schedule.rates(trade.trade_date if commission_date is None else commission_date, trade.venue)
    amounts: dict[FeeKind, int] = {}
    if rates.commission:
        amounts[FeeKind.COMMISSION] = rates.commission.of_order(filled, notional) - commission
    for one, sign in ((removed, -1), (added, 1)):
        if one is not None:
            for fee in fees_of_trade(schedule, one, side):
                kind = FeeKind(fee.kind)
                amounts[kind] = amounts.get(kind, 0) + sign * fee.amount
    return [Fee(kind, amounts[kind]) for kind in FeeKind if kind in amounts]


def fees_of_trade(schedule: FeeSchedule, trade: Trade, side: str) -> list[Fee]:
    """What is charged per trade: on sells TAF and SEC, CAT, and VENUE if the liquidity flag is known."""
    rates = schedule.rates(trade.trade_date, trade.venue)
    fees = []
    if side != Side.BUY:
        if rates.taf:
            fees.append(Fee(FeeKind.TAF, rates.taf.of_trade(trade.quantity, trade.price)))
        if rates.sec:
            fees.append(Fee(FeeKind.SEC, rates.sec.of(trade.quantity * trade.price)))
    if rates.cat:
        fees.append(Fee(FeeKind.CAT, rates.cat.of(trade.quantity)))
    if rates.venue is not None and trade.liquidity is not None:
        rate = rates.venue.get(trade.liquidity)
        if rate is None:
            raise InvalidRecordError(f"venue {trade.venue} has no fee for liquidity {trade.liquidity}")
        fees.append(Fee(FeeKind.VENUE, rate.of(trade.quantity)))
    return fees


def _written(day: int) -> str:
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:
        return f"{day} days after 1970"
