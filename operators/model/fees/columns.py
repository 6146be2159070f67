"""The fees of many fills at once: the arithmetic of `fees`, over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from config.errors import InvalidRecordError
from operators.model.arrays import Array, Flags, Ints, Words, places
from operators.model.events import FeeKind
from operators.model.fees.fees import FREE, Commission, FeeSchedule, Rates
from operators.model.money import INT64_MAX, Rate
from operators.model.orders.stored_executions import LIQUIDITIES

_KINDS: Final = tuple(FeeKind)
_KIND_NAMES: Final = Words([kind.value for kind in _KINDS])
_NO_COMMISSION: Final = Commission()


@dataclass(frozen=True, slots=True)
class _Spread:
    """A rate per fill: plain numbers if it is the same for all."""

    numerator: Ints | int
    denominator: Ints | int

    def of(self, units: Ints) -> Ints:
        result: Ints = units * self.numerator
        return result if isinstance(self.denominator, int) and self.denominator == 1 else result // self.denominator


class _ByFlag(NamedTuple):
    """The fees of venues: a row per table, a column per liquidity flag."""

    listed: Flags
    numerators: Ints
    denominators: Ints

    @staticmethod
    def of(tables: Sequence[Rates]) -> _ByFlag:
        flags = [[(rates.venue or {}).get(flag or "") for flag in LIQUIDITIES] for rates in tables]
        return _ByFlag(
            np.array([[rate is not None or i == 0 for i, rate in enumerate(row)] for row in flags], np.bool_),
            np.array([[rate.numerator if rate else 0 for rate in row] for row in flags], np.int64),
            np.array([[rate.denominator if rate else 1 for rate in row] for row in flags], np.int64),
        )


@dataclass(frozen=True, slots=True)
class FillRates:
    """The rates for each of many fills, and which fills have none (their results mean nothing)."""

    tables: Sequence[Rates]
    of: Ints
    """Index of each fill's table."""
    covered: Flags
    by_flag: _ByFlag

    @staticmethod
    def read(schedule: FeeSchedule, trade_dates: Ints, venues: Ints, names: Sequence[str | None]) -> FillRates:
        """The rates of at least one fill, by trade date and by number of the venue among the names."""
        if (trade_dates == trade_dates[0]).all():
            days, day_of = trade_dates[:1], np.zeros(len(trade_dates), np.int64)
        else:
            days, day_of = np.unique(trade_dates, return_inverse=True)
        pair = day_of * len(names) + venues
        present = places(np.bincount(pair) > 0)
        found = [_rates(schedule, int(days[p // len(names)]), names[p % len(names)] or "") for p in present.tolist()]
        place = np.zeros(len(days) * len(names), np.int64)
        place[present] = np.arange(len(present))
        filler = next((rates for rates in found if rates is not None), Rates(None, None, None, None, None))
        of = place[pair]
        covered = np.array([rates is not None for rates in found], np.bool_)[of]
        tables = [rates or filler for rates in found]
        return FillRates(tables, of, covered, _ByFlag.of(tables))

    @property
    def has(self) -> Rates:
        """Some of the rates: a section is None in either all or none of them."""
        return self.tables[0]

    def take(self, fills: Ints) -> FillRates:
        """The rates of some of the fills."""
        return FillRates(self.tables, self.of[fills], self.covered[fills], self.by_flag)

    def maxima(self) -> tuple[int, int]:
        """Up to this filled quantity and this notional no fee and no sum of fees overflows 64 bits."""
        per_share, of_notional = [1], [1]
        for rates in self.tables:
            if rates.commission:
                per_share.append(rates.commission.per_share.numerator)
                of_notional.append(rates.commission.of_notional.numerator)
                of_notional.append((rates.commission.maximum_of_notional or FREE).numerator)
            if rates.taf:
                per_share.append(rates.taf.per_share.numerator)
                of_notional.append(
                    rates.taf.per_share.denominator
                )  # a price, at most the notional, is multiplied by it
            if rates.sec:
                of_notional.append(rates.sec.numerator)
            if rates.cat:
                per_share.append(rates.cat.numerator)
            per_share += [rate.numerator for rate in (rates.venue or {}).values()]
        limit = INT64_MAX // 16
        return limit // max(map(abs, per_share)), limit // max(map(abs, of_notional))

    def commission(self, filled: Ints, notional: Ints) -> Ints:
        """Of each order so far, which must have filled something."""
        tables = [rates.commission or _NO_COMMISSION for rates in self.tables]
        charge = self._spread([table.per_share for table in tables]).of(filled)
        if any(table.of_notional.numerator for table in tables):
            charge = charge + self._spread([table.of_notional for table in tables]).of(notional)
        if any(table.flat for table in tables):
            charge = charge + self._amounts([table.flat for table in tables])
        charge = np.maximum(self._amounts([table.minimum for table in tables]), charge)
        if any(table.maximum is not None for table in tables):
            bounds = [INT64_MAX if table.maximum is None else table.maximum for table in tables]
            charge = np.minimum(charge, self._amounts(bounds))
        shares = [table.maximum_of_notional for table in tables]
        if any(share is not None for share in shares):
            most = self._spread([share or FREE for share in shares]).of(notional)
            if None in shares:
                most = np.where(np.array([share is None for share in shares], np.bool_)[self.of], INT64_MAX, most)
            charge = np.minimum(charge, most)
        return charge

    def taf(self, quantity: Ints, price: Ints) -> Ints:
        """Of each trade, as if it were a sell."""
        tables = [rates.taf for rates in self.tables]
        per_share = self._spread([table.per_share if table else FREE for table in tables])
        cap = self._amounts([table.cap if table else 0 for table in tables])
        fee = np.minimum(per_share.of(quantity), cap)
        return np.where(price * per_share.denominator < per_share.numerator, 0, fee)

    def sec(self, notional: Ints) -> Ints:
        """Of each trade, as if it were a sell."""
        return self._spread([rates.sec or FREE for rates in self.tables]).of(notional)

    def cat(self, quantity: Ints) -> Ints:
        """Of each trade."""
        return self._spread([rates.cat or FREE for rates in self.tables]).of(quantity)

    def venue(self, quantity: Ints, liquidity: Ints) -> tuple[Ints, Flags]:
        """Of each trade, 0 without a liquidity flag, and whether the venue has a fee for the flag."""
        listed, numerators, denominators = self.by_flag
        fee = quantity * numerators[self.of, liquidity]
        if (denominators != 1).any():
            fee //= denominators[self.of, liquidity]
        return fee, listed[self.of, liquidity] | (self.has.venue is None)

    def _amounts(self, amounts: Sequence[int]) -> Ints | int:
        return self._spread([Rate(amount, 1) for amount in amounts]).numerator

    def _spread(self, rates: Sequence[Rate]) -> _Spread:
        if all(rate == rates[0] for rate in rates):
            return _Spread(*rates[0])
        numerators = np.array([rate.numerator for rate in rates], np.int64)
        denominators = np.array([rate.denominator for rate in rates], np.int64)
        return _Spread(numerators[self.of], denominators[self.of])


def _rates(schedule: FeeSchedule, trade_date: int, venue: str) -> Rates | None:
    try:
        return schedule.rates(trade_date, venue)
    except InvalidRecordError:
        return None


def fee_lists(count: int, parts: Sequence[tuple[FeeKind, Ints, Flags | None]]) -> Array:
    """The Arrow list of fees per fill. A part is a kind, its amounts, and which fills have it (None: all)."""
    sizes = np.zeros(count, np.int32)
    for _, _, mask in parts:
        sizes += 1 if mask is None else mask
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    free = offsets[:-1].copy()
    kinds, amounts = np.zeros(offsets[-1], np.int64), np.zeros(offsets[-1], np.int64)
    for kind, values, mask in parts:
        at = free if mask is None else free[mask]
        amounts[at] = values if mask is None else values[mask]
        kinds[at] = 1 + _KINDS.index(kind)  # 0 is null
        free += 1 if mask is None else mask
    fees = pa.StructArray.from_arrays([_KIND_NAMES.column(kinds), pa.array(amounts)], ["kind", "amount"])
    return pa.ListArray.from_arrays(pa.array(offsets), fees)
