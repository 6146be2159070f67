"""Fees of a fill, from tables keyed by trade date and venue.

Every rate is an exact fraction and every amount is rounded down to a millionth. A table says from which trade date on
it holds; a trade date before the first table, a venue or a liquidity flag without one is an `InvalidRecordError`: what
is not written down is not zero. A section that the schedule leaves out altogether is not charged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
import yaml

from config.errors import ConfigurationError, InvalidRecordError, Problem
from operators.model.events import Fee, FeeKind, Liquidity, Side
from operators.model.money import Rate, to_micros

T = TypeVar("T")

ANY_VENUE: Final = "*"
_EPOCH: Final = date(1970, 1, 1)


class Commission(NamedTuple):
    """Broker commission of an order so far: per share, at least `minimum`, at most a share of notional (which wins)."""

    per_share: Rate
    minimum: int
    maximum_of_notional: Rate

    def of_order(self, filled: int, notional: int) -> int:
        """Millionths on everything filled so far; a fill's fee is the increment."""
        return min(max(self.minimum, self.per_share.of(filled)), self.maximum_of_notional.of(notional))


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


class Charged(NamedTuple):
    """What an order was filled and charged before the fill at hand."""

    filled: int = 0
    notional: int = 0
    commission: int = 0


class Dated(Generic[T]):
    """Values by the day from which each holds."""

    def __init__(self, name: str, periods: Sequence[tuple[int, T]]) -> None:
        self._name = name
        self._starts = [start for start, _ in periods]
        self._values = [value for _, value in periods]

    def at(self, day: int) -> T:
        """The value in force on a day (since 1970); `InvalidRecordError` before the first."""
        found = bisect_right(self._starts, day)
        if not found:
            raise InvalidRecordError(f"no table of {self._name} fees covers trade date {_written(day)}")
        return self._values[found - 1]


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
            known = Rates(
                commission=self._commission.at(trade_date) if self._commission else None,
                taf=self._taf.at(trade_date) if self._taf else None,
                sec=self._sec.at(trade_date) if self._sec else None,
                cat=self._cat.at(trade_date) if self._cat else None,
                venue=self._of_venue(venue).at(trade_date) if self._venues else None,
            )
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


Number = str | int | float


class _Period(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`from`: first trade date; `source`: where the rate is published; `verified`: read there, or only from memory."""

    since: date = msgspec.field(name="from")
    source: str = ""
    verified: bool = True


class _CommissionPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: Number
    minimum: Number
    maximum_of_notional: Number


class _TafPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: Number
    cap: Number


class _SecPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_million: Number


class _CatPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: Number


class _VenuePeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: dict[Liquidity, Number]


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    commission: list[_CommissionPeriod] = []
    taf: list[_TafPeriod] = []
    sec: list[_SecPeriod] = []
    cat: list[_CatPeriod] = []
    venues: dict[str, list[_VenuePeriod]] = {}


P = TypeVar("P", bound=_Period)


def parse_schedule(text: str, file: str | None = None) -> FeeSchedule:
    """A schedule from the YAML of a file under config/fees; `ConfigurationError` that names the file otherwise."""
    try:
        document = msgspec.convert(yaml.safe_load(text), _Document)
        return FeeSchedule(
            commission=_dated("commission", document.commission, _commission),
            taf=_dated("TAF", document.taf, lambda p: Taf(Rate.per_unit(p.per_share), to_micros(p.cap))),
            sec=_dated("SEC", document.sec, lambda p: Rate.share(Fraction(str(p.per_million)) / 1_000_000)),
            cat=_dated("CAT", document.cat, lambda p: Rate.per_unit(p.per_share)),
            venues={name: _of_venue(name, periods) for name, periods in document.venues.items()} or None,
        )
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError([Problem(f"fee schedule: {error}", file)]) from error


def _commission(period: _CommissionPeriod) -> Commission:
    maximum = Rate.share(Fraction(str(period.maximum_of_notional)))
    return Commission(Rate.per_unit(period.per_share), to_micros(period.minimum), maximum)


def _of_venue(name: str, periods: Sequence[_VenuePeriod]) -> Dated[Mapping[str, Rate]]:
    def flags(period: _VenuePeriod) -> Mapping[str, Rate]:
        return {flag.value: Rate.per_unit(rate) for flag, rate in period.per_share.items()}

    dated = _dated(f"venue {name}", periods, flags)
    if dated is None:
        raise ValueError(f"venue {name} has no period")
    return dated


def _dated(name: str, periods: Sequence[P], read: Callable[[P], T]) -> Dated[T] | None:
    starts = [period.since for period in periods]
    if sorted(set(starts)) != starts:
        raise ValueError(f"the periods of {name} do not follow one another in time")
    if not periods:
        return None
    return Dated(name, [((period.since - _EPOCH).days, read(period)) for period in periods])


def _written(day: int) -> str:
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:
        return f"{day} days after 1970"
