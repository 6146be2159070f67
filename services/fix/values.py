"""The values of FIX fields as our contracts have them: quantities, prices in millionths, times in microseconds UTC."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

_LONG_MAX: Final = 2**63 - 1
_EPOCH_DAYS: Final = date(1970, 1, 1).toordinal()
_DAY_MICROS: Final = 86_400_000_000
_MICROS: Final = 1_000_000
_KEPT: Final = 65_536
"""Values remembered with what they mean: a log repeats few amounts many times."""


@lru_cache(maxsize=_KEPT)
def quantity(text: str) -> int:
    """A Qty in whole units. FIX writes it as a float; `ValueError` for a fraction, a sign or what is no number."""
    whole, _, fraction = text.partition(".")
    if not _digits(whole) or fraction.strip("0"):
        raise ValueError(f"{text!r} is no whole number of units")
    return _fitting(int(whole), text)


@lru_cache(maxsize=_KEPT)
def price(text: str, *, round_off: bool = False) -> int:
    """A Price in millionths, negative ones included.

    `ValueError` for what is no decimal number, and for digits below a millionth unless `round_off`: an average has more
    digits than any price, and rounds to the nearest millionth.
    """
    negative = text.startswith("-")
    whole, _, fraction = text.removeprefix("-").partition(".")
    if not _digits(whole + fraction):
        raise ValueError(f"{text!r} is no decimal number")
    micros = int(whole or "0") * _MICROS + int(fraction[:6].ljust(6, "0"))
    rest = fraction[6:]
    if rest.strip("0"):
        if not round_off:
            raise ValueError(f"{text!r} is finer than a millionth")
        micros += rest[0] >= "5"
    return _fitting(-micros if negative else micros, text)


def utc_micros(text: str) -> int:
    """A UTCTimestamp, YYYYMMDD-HH:MM:SS with up to twelve decimals, cut to microseconds; a leap second is the next one.

    `ValueError` for anything else.
    """
    seconds, fraction = text[15:17], text[18:]
    if (
        len(text) < 17
        or text[14] != ":"
        or not _digits(seconds)
        or (len(text) > 17 and (text[17] != "." or len(fraction) > 12 or not _digits(fraction)))
    ):
        raise ValueError(f"{text!r} is no time in UTC, YYYYMMDD-HH:MM:SS")
    if seconds > "60":
        raise ValueError(f"{text!r} is no time of a day")
    micros = _minute_micros(text[:14]) + int(seconds) * _MICROS
    return micros + int(fraction[:6].ljust(6, "0")) if fraction else micros


@lru_cache(maxsize=4_096)
def _minute_micros(text: str) -> int:
    """YYYYMMDD-HH:MM in microseconds since 1970."""
    hours, minutes = text[9:11], text[12:]
    if text[8] != "-" or text[11] != ":" or not _digits(hours + minutes):
        raise ValueError(f"{text!r} is no time in UTC, YYYYMMDD-HH:MM")
    if hours > "23" or minutes > "59":
        raise ValueError(f"{text!r} is no time of a day")
    return date_days(text[:8]) * _DAY_MICROS + (int(hours) * 60 + int(minutes)) * 60 * _MICROS


@lru_cache(maxsize=4_096)
def date_days(text: str) -> int:
    """A LocalMktDate, YYYYMMDD, in days since 1970; `ValueError` for anything else."""
    try:
        if len(text) == 8 and _digits(text):
            return date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal() - _EPOCH_DAYS
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no date, YYYYMMDD")


def days_of_micros(micros: int) -> int:
    """The UTC day of a time, in days since 1970."""
    return micros // _DAY_MICROS


def _digits(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def _fitting(number: int, text: str) -> int:
    if not -_LONG_MAX <= number <= _LONG_MAX:
        raise ValueError(f"{text!r} is larger than amounts can be")
    return number
