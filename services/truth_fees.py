"""Fees for the verdict: config/fees read and applied a second time, on purpose without the product's own fee code."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import yaml

_MICROS = Decimal(1_000_000)


class FeeTable:
    """Rates by trade date, taken from the YAML of config/fees; everything in millionths, each fee rounded down."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    @classmethod
    def load(cls, path: Path) -> FeeTable:
        """The table of a file such as config/fees/us_equities.yaml."""
        return cls(yaml.safe_load(path.read_text()))

    def covers(self, day: int, venue: str, liquidity: str | None) -> bool:
        """Whether every section that exists has a period for the day, and the venue a rate for the flag."""
        sections = [self._document.get(name) for name in ("commission", "sec", "taf", "cat")]
        if any(periods and _period(periods, day) is None for periods in sections):
            return False
        if not self._document.get("venues"):
            return True
        period = _period(self._venue_periods(venue), day)
        return period is not None and (liquidity is None or liquidity in period["per_share"])

    def commission(self, day: int, filled: int, notional: int) -> int:
        """Commission on an order so far."""
        period = _period(self._document.get("commission") or [], day)
        if period is None:
            return 0
        by_share = _micros(period["per_share"]) * filled
        at_least = max(_floor(by_share), _floor(_micros(period["minimum"])))
        return min(at_least, _floor(_decimal(period["maximum_of_notional"]) * notional))

    def of_trade(self, day: int, venue: str, side: str, liquidity: str | None, quantity: int, price: int) -> int:
        """Everything but commission on one trade."""
        total = 0
        if side != "BUY":
            total += self._sec(day, quantity * price) + self._taf(day, quantity, price)
        if (cat := _period(self._document.get("cat") or [], day)) is not None:
            total += _floor(_micros(cat["per_share"]) * quantity)
        if liquidity is not None and self._document.get("venues"):
            venue_period = _period(self._venue_periods(venue), day)
            assert venue_period is not None, "covers() was asked before"
            total += _floor(_micros(venue_period["per_share"][liquidity]) * quantity)
        return total

    def _sec(self, day: int, notional: int) -> int:
        period = _period(self._document.get("sec") or [], day)
        return _floor(_decimal(period["per_million"]) * notional / 1_000_000) if period is not None else 0

    def _taf(self, day: int, quantity: int, price: int) -> int:
        period = _period(self._document.get("taf") or [], day)
        if period is None or price < _micros(period["per_share"]):
            return 0
        return min(_floor(_micros(period["per_share"]) * quantity), _floor(_micros(period["cap"])))

    def _venue_periods(self, venue: str) -> list[dict[str, Any]]:
        venues = self._document["venues"]
        periods: list[dict[str, Any]] = venues.get(venue) or venues.get("*") or []
        return periods


def _period(periods: list[dict[str, Any]], day: int) -> dict[str, Any] | None:
    """The last period that begins on or before the day."""
    try:
        trade_date = date(1970, 1, 1) + timedelta(days=day)
    except OverflowError:
        return None
    found = None
    for period in periods:
        if period["from"] <= trade_date:
            found = period
    return found


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))


def _micros(value: object) -> Decimal:
    return _decimal(value) * _MICROS


def _floor(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_FLOOR))
