"""Exact money: amounts are 64-bit integers in millionths of the currency, rates are fractions of integers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from config.errors import InvalidRecordError

MICROS: Final = 1_000_000
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


class Rate(NamedTuple):
    """What one unit costs, exactly: `numerator / denominator` millionths per unit (or per millionth of notional)."""

    numerator: int
    denominator: int

    @staticmethod
    def per_unit(amount: str | int | float) -> Rate:
        """A rate given in the currency per unit: per share, say. 0.000195 becomes 195 millionths."""
        return Rate.share(Fraction(str(amount)) * MICROS)

    @staticmethod
    def share(part: Fraction) -> Rate:
        """A rate given as a part of an amount: 1 % of notional is Fraction(1, 100)."""
        return Rate(part.numerator, part.denominator)

    def of(self, units: int) -> int:
        """The charge on so many units in millionths, rounded down (towards minus infinity, as numpy's `//` does)."""
        return units * self.numerator // self.denominator


def to_micros(amount: str | int | float | Decimal) -> int:
    """An amount in the currency as millionths; `ValueError` for what is no number or finer than a millionth."""
    micros = Fraction(str(amount)) * MICROS
    if micros.denominator != 1:
        raise ValueError(f"{amount} is finer than a millionth")
    return micros.numerator


def to_decimal(micros: int) -> Decimal:
    """Millionths as an amount in the currency, without trailing zeros."""
    return Decimal(micros).scaleb(-6).normalize() if micros else Decimal(0)


def fitting(value: int, what: str) -> int:
    """The value, if a 64-bit integer holds it; else `InvalidRecordError`."""
    if INT64_MIN <= value <= INT64_MAX:
        return value
    raise InvalidRecordError(f"{what} {value} does not fit 64 bits")
