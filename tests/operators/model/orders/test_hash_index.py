"""The index of old executions finds what a list of them would, whatever their number, and reads few pages for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.model.orders import hash_index
from operators.model.orders.hash_index import CHUNK, HashIndex, page_name, page_names

HASHES = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 7, 2**31, 2**32 - 1]))
CHUNKS = st.lists(st.lists(HASHES, min_size=CHUNK, max_size=CHUNK), max_size=80)


class Pages:
    """Stored pages, and which were read."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.read: list[bytes] = []

    def load(self, names: Sequence[bytes]) -> list[bytes]:
        self.read += names
        return [self.stored[name] for name in names]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and levels so small that few executions reach many levels."""
    monkeypatch.setattr(hash_index, "WINDOW_CHUNKS", 1)
    monkeypatch.setattr(hash_index, "FAN_OUT_BITS", 2)
    monkeypatch.setattr(hash_index, "FAN_OUT", 4)


def check(chunks: list[list[int]], sought: list[int], restarts: set[int]) -> None:
    pages, written = Pages(), set[bytes]()
    index = HashIndex(0, pages.load)
    for number, hashes in enumerate(chunks):
        if number in restarts:
            index = HashIndex(number, pages.load)
        index.add(hashes)
        if number + 1 in restarts or number % 3 == 0:
            new = index.take()
            pages.stored |= new
            written |= new.keys()
    new = index.take()
    pages.stored |= new
    written |= new.keys()
    every = {value for hashes in chunks for value in hashes}
    asked = [*sought, *every]
    for known in (index, HashIndex(len(chunks), pages.load)):
        assert [known.has([value])[0] for value in sought] == [value in every for value in sought]
        assert known.has(asked) == [value in every for value in asked]
        for value in asked:
            holding = {number for number, hashes in enumerate(chunks) if value in hashes}
            assert holding <= set(known.chunks(value))
            assert holding or not known.chunks(value)
            if sum(hashes.count(value) for hashes in chunks) == 1:
                assert list(known.chunks(value)) == list(holding)
    # A window that was full whenever it was looked at was never written.
    assert written <= set(page_names(len(chunks))) <= written | {page_name(0)}


@settings(deadline=None)
@given(CHUNKS, st.lists(HASHES, max_size=8), st.sets(st.integers(0, 79)))
def test_every_hash_is_found_in_its_chunk_and_no_other_is_found(
    chunks: list[list[int]], sought: list[int], restarts: set[int]
) -> None:
    check(chunks, sought, restarts)


@pytest.mark.usefixtures("small")
@settings(deadline=None)
@given(CHUNKS, st.lists(HASHES, max_size=8), st.sets(st.integers(0, 79)))
def test_so_it_is_over_many_levels(chunks: list[list[int]], sought: list[int], restarts: set[int]) -> None:
    check(chunks, sought, restarts)


def test_a_look_up_reads_a_window_and_a_page_per_level_however_many_executions_there_are() -> None:
    pages, index, chunks = Pages(), None, 10_000
    index = HashIndex(0, pages.load)
    for number in range(chunks):
        index.add([(number * CHUNK + place) * 2_654_435_761 % 2**32 for place in range(CHUNK)])
        pages.stored |= index.take()
    assert pages.read == []  # what an index wrote it knows
    index = HashIndex(chunks, pages.load)
    assert index.has([12_345]) == [False]
    levels = {name[:-4] for name in pages.read}
    assert page_name(0) in pages.read
    assert len(pages.read) == len(levels) == 4
    assert max(map(len, pages.stored.values())) < 4_096


def test_an_execution_id_used_over_and_over_fills_no_page() -> None:
    pages = Pages()
    index = HashIndex(0, pages.load)
    for _ in range(40 * hash_index.WINDOW_CHUNKS):
        index.add([7] * CHUNK)
        pages.stored |= index.take()
    assert max(map(len, pages.stored.values())) <= 4 * hash_index.WINDOW_CHUNKS * CHUNK
    assert len(HashIndex(40 * hash_index.WINDOW_CHUNKS, pages.load).chunks(7)) == 40 * hash_index.WINDOW_CHUNKS
