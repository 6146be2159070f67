"""Durations and sizes are read exactly and written back the shortest way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import format_duration_micros, parse_duration_micros, parse_duration_ms, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("500us", 500),
        ("25ms", 25_000),
        ("30s", 30_000_000),
        ("1m", 60_000_000),
        ("2h", 7_200_000_000),
        ("1_000ms", 10**6),
    ],
)
def test_a_duration_is_read_in_its_unit(text, micros):
    assert parse_duration_micros(text) == micros


@pytest.mark.parametrize("text", ["", "25", "ms", "1.5s", "-1s", "1 week", "1M"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_micros(text)


def test_a_duration_finer_than_its_option_is_refused():
    with pytest.raises(ValueError, match="finer than a millisecond"):
        parse_duration_ms("1500us")


def test_a_size_is_read_in_binary_units():
    assert (parse_size_bytes("512KiB"), parse_size_bytes("10GiB")) == (524_288, 10 * 1024**3)
    with pytest.raises(ValueError, match="is not a size"):
        parse_size_bytes("10GB")


@given(st.integers(0, 10**15))
def test_a_duration_written_and_read_is_the_same(micros):
    assert parse_duration_micros(format_duration_micros(micros)) == micros
