"""FIX values become whole units, millionths and microseconds exactly, or are refused with the text that was wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fix.values import date_days, price, quantity, utc_micros

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("text", "units"), [("100", 100), ("100.0", 100), ("0", 0), ("100.", 100), ("007", 7)])
def test_a_quantity_is_whole(text: str, units: int) -> None:
    assert quantity(text) == units


@pytest.mark.parametrize("text", ["", "0.5", "-1", "+1", "1_000", " 1", "1e3", "²", "٣", "9" * 19, "1.0.0"])
def test_what_is_no_whole_number_of_units_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"units|larger"):
        quantity(text)


@pytest.mark.parametrize(
    ("text", "micros"),
    [("150.25", 150_250_000), ("-1.5", -1_500_000), (".5", 500_000), ("3", 3_000_000), ("0.1234560", 123_456)],
)
def test_a_price_is_in_millionths(text: str, micros: int) -> None:
    assert price(text) == micros


@pytest.mark.parametrize("text", ["", "-", ".", "--1", "1e3", "nan", "1,5", "0.1234567", "9" * 14])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal|millionth|larger"):
        price(text)


def test_an_average_is_rounded_to_the_nearest_millionth() -> None:
    assert price("10.33333349", round_off=True) == 10_333_333
    assert price("10.3333335", round_off=True) == 10_333_334


@given(st.integers(-(10**15), 10**15))
def test_every_amount_in_millionths_comes_back_from_its_decimal_form(micros: int) -> None:
    assert price(f"{Decimal(micros).scaleb(-6):f}") == micros


@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)), st.sampled_from([0, 3, 6, 9, 12]))
def test_every_time_comes_back_from_its_text_cut_to_microseconds(at: datetime, decimals: int) -> None:
    at = at.replace(tzinfo=UTC)
    digits = f"{at.microsecond:06d}999999"[:decimals]
    text = f"{at:%Y%m%d-%H:%M:%S}" + (f".{digits}" if digits else "")
    cut = at.replace(microsecond=int(digits[:6].ljust(6, "0")))
    assert utc_micros(text) == (cut - EPOCH) // timedelta(microseconds=1)


def test_a_leap_second_is_the_next_one() -> None:
    assert utc_micros("20161231-23:59:60") == utc_micros("20170101-00:00:00")


WRONG_TIMES = """
    20261120 20261120-14:30 20261320-14:30:00 20261120-24:00:00 20261120-14:30:00. 20261120-14:30:0_ 20261120-14:61:00
    20261120-14:30:00.1234567890123 20261120-14:30:00,118 20261120T14:30:00
"""


@pytest.mark.parametrize("text", ["", *WRONG_TIMES.split()])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no "):
        utc_micros(text)


def test_a_date_is_in_days() -> None:
    assert date_days("20261120") == (datetime(2026, 11, 20, tzinfo=UTC) - EPOCH).days
    with pytest.raises(ValueError, match="no date"):
        date_days("2026112")
