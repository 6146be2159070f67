"""Columns of byte strings: what is at their addresses is what was put in."""

from __future__ import annotations

import ctypes

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.byte_columns import addresses, as_array, as_list, lengths

COLUMNS = st.lists(st.none() | st.binary(max_size=20), max_size=30)


def at_the_addresses(array: pa.Array) -> list[bytes | None]:
    """What memory holds there."""
    places = zip(addresses(array).tolist(), lengths(array).tolist(), strict=True)
    return [ctypes.string_at(address, length) if address else None for address, length in places]


@given(COLUMNS, st.integers(0, 30), st.integers(0, 30))
def test_a_column_or_a_slice_of_it_is_found_in_memory(column: list[bytes | None], start: int, length: int) -> None:
    array = as_array(column).slice(start, length)
    assert at_the_addresses(array) == column[start : start + length] == as_list(array)


@given(st.lists(st.none() | st.text(max_size=10), max_size=20))
def test_strings_are_their_bytes(texts: list[str | None]) -> None:
    encoded = [None if text is None else text.encode() for text in texts]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(texts, kind)
        assert at_the_addresses(as_array(column)) == as_list(column) == encoded


@pytest.mark.parametrize("column", [[b""], [b"", None, b""], [None], []])
def test_an_empty_string_is_no_null(column: list[bytes | None]) -> None:
    assert at_the_addresses(as_array(column)) == column


def test_anything_to_iterate_over_is_a_column() -> None:
    assert as_list(iter([b"a", None])) == as_array(iter([b"a", None])).to_pylist() == [b"a", None]
