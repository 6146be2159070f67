"""From the hash of an execution's identity to where it lies, at a cost that hardly grows with an order's executions.

A log-structured merge tree (O'Neil, Cheng, Gawlick, O'Neil, 1996) per order, beside its row. What it holds follows from
the number of chunks alone, so that it needs no figures of its own:

| part | holds | stored as |
|---|---|---|
| window | hashes of the chunks since the last full window, at most 31 of them | one page: 32-bit hashes, in order |
| level n | 0 to 15 times 16ⁿ⁻¹ full windows: a hexadecimal digit of the number of full windows | 16ⁿ pages by the \
first 4n bits of the hash, each some 2 kB of sorted pairs of hash and chunk |

A full window merges into level 1, together with every level that would get to 16, into the first that does not. So a
hash is looked up in the window and in one page per level: in four pages for an order with a million executions. Every
level writes a hash 8 times on average. Pages of a level that was merged away lie there unread until it is written anew.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import or_
from typing import Final

import numpy as np
from numpy.typing import NDArray

from operators.model.orders.layout import RECENT_MAX

CHUNK: Final = RECENT_MAX
"""Executions per chunk."""
WINDOW_CHUNKS: Final = 32
FAN_OUT_BITS: Final = 4
FAN_OUT: Final = 1 << FAN_OUT_BITS
SEVERAL: Final = 2**32 - 1
"""In place of a chunk's number: executions in several chunks have this hash."""

Load = Callable[[Sequence[bytes]], Sequence[bytes]]
"""Reads by their names what was stored beside a row."""

_HASH_BITS: Final = 32
_SHIFT: Final = np.uint64(_HASH_BITS)
_WINDOW: Final = 0
_MANY: Final = 16
"""So many hashes are looked up faster by whole arrays."""


class HashIndex:
    """The index of one order's executions that left its row. A hash is a number of 32 bits.

    Levels that it merged itself it has whole, of others the pages that were asked for.
    """

    def __init__(self, chunks: int, load: Load) -> None:
        self._chunks, self._load = chunks, load
        self._window: list[int] = []
        self._in_window: set[int] = set()
        self._window_is_read = chunks % WINDOW_CHUNKS == 0
        self._levels = _levels(chunks // WINDOW_CHUNKS)
        self._whole: dict[int, memoryview] = {}
        self._pages: dict[int, memoryview] = {}
        self._written: dict[bytes, bytes] = {}

    def has(self, hashes: Sequence[int]) -> list[bool]:
        """Whether there are executions of each hash."""
        self._read(hashes)
        found = [value in self._in_window for value in hashes]
        for level in self._levels:
            found = [*map(or_, found, self._in_level(level, hashes))]
        return found

    def chunks(self, value: int) -> Sequence[int]:
        """The chunks that hold executions of a hash; maybe others besides."""
        self._read([value])
        first = self._chunks - len(self._window) // CHUNK
        found = {first + place // CHUNK for place, known in enumerate(self._window) if known == value}
        pairs = (self._pair(level, value) for level in self._levels)
        found.update(pair & SEVERAL for pair in pairs if pair is not None)
        return range(self._chunks) if SEVERAL in found else sorted(found)

    def add(self, hashes: Sequence[int]) -> None:
        """Takes in the hashes of the next chunk."""
        self._read(())
        self._window += hashes
        self._in_window.update(hashes)
        self._chunks += 1
        if self._chunks % WINDOW_CHUNKS == 0:
            self._merge()

    def take(self) -> dict[bytes, bytes]:
        """The pages to be stored since the last call, by name."""
        written, self._written = self._written, {}
        if self._window:
            written[page_name(_WINDOW)] = array("I", self._window).tobytes()
        return written

    def _in_level(self, level: int, hashes: Sequence[int]) -> Sequence[bool]:
        whole = self._whole.get(level)
        if whole is None or len(hashes) < _MANY:
            return [self._pair(level, value) is not None for value in hashes]
        pairs, sought = np.asarray(whole), np.array(hashes, np.uint64)
        at = np.minimum(np.searchsorted(pairs, sought << _SHIFT), len(pairs) - 1)
        found: list[bool] = (pairs[at] >> _SHIFT == sought).tolist()
        return found

    def _pair(self, level: int, value: int) -> int | None:
        """The pair of a hash in a level that was read."""
        pairs = self._whole.get(level) or self._pages[_page(level, value)]
        at = bisect_left(pairs, value << _HASH_BITS)
        return pairs[at] if at < len(pairs) and pairs[at] >> _HASH_BITS == value else None

    def _read(self, hashes: Iterable[int]) -> None:
        """Reads the window, and the pages that may hold some hashes, unless they are in memory."""
        levels = [level for level in self._levels if level not in self._whole]
        missing = {page for level in levels for value in hashes if (page := _page(level, value)) not in self._pages}
        if not self._window_is_read:
            window, *pages = self._load([page_name(page) for page in (_WINDOW, *missing)])
            self._window = memoryview(window).cast("I").tolist()
            self._in_window, self._window_is_read = set(self._window), True
        elif missing:
            pages = list(self._load([page_name(page) for page in missing]))
        else:
            return
        self._pages.update(zip(missing, (memoryview(page).cast("Q") for page in pages), strict=True))

    def _merge(self) -> None:
        """Merges the full window and the levels before it into the first level that has room."""
        levels = _levels(self._chunks // WINDOW_CHUNKS)
        into = levels[0]
        merged = [level for level in self._levels if level <= into]
        missing = [page for level in merged if level not in self._whole for page in _pages(level)]
        old = [np.frombuffer(page, np.uint64) for page in self._load([page_name(page) for page in missing])]
        old += [np.asarray(self._whole[level]) for level in merged if level in self._whole]
        pairs = _sorted([_pairs(self._window, self._chunks - WINDOW_CHUNKS), *old])
        edges = np.searchsorted(pairs, _starts(into)).tolist()
        for page, start, end in zip(_pages(into), edges, [*edges[1:], len(pairs)], strict=True):
            self._written[page_name(page)] = pairs[start:end].tobytes()
        for level in merged:
            self._whole.pop(level, None)
        self._pages = {page: pairs for page, pairs in self._pages.items() if page >> _HASH_BITS > into}
        self._whole[into] = pairs.data
        self._levels, self._window, self._in_window = levels, [], set()


def page_name(page: int) -> bytes:
    """The name of a page: its level and its number."""
    return b"index" + page.to_bytes(5, "big")


def page_names(chunks: int) -> Iterator[bytes]:
    """The names of all pages that were ever written for an order with so many chunks."""
    if chunks:
        yield page_name(_WINDOW)
    level, windows = 1, chunks // WINDOW_CHUNKS
    while windows:
        yield from map(page_name, _pages(level))
        level, windows = level + 1, windows // FAN_OUT


def _levels(windows: int) -> list[int]:
    """The levels that hold something after so many full windows."""
    digits = range(1, windows.bit_length() // FAN_OUT_BITS + 2)
    return [level for level in digits if windows >> (level - 1) * FAN_OUT_BITS & FAN_OUT - 1]


def _page(level: int, value: int) -> int:
    """The page of a level that a hash belongs to; the level is its number's part above 32 bits."""
    return level << _HASH_BITS | value >> _HASH_BITS - level * FAN_OUT_BITS


def _pages(level: int) -> range:
    return range(level << _HASH_BITS, (level << _HASH_BITS) + FAN_OUT**level)


def _starts(level: int) -> NDArray[np.uint64]:
    """The least pair that belongs to each page of a level."""
    return np.arange(FAN_OUT**level, dtype=np.uint64) << np.uint64(2 * _HASH_BITS - level * FAN_OUT_BITS)


def _pairs(window: Sequence[int], first: int) -> NDArray[np.uint64]:
    """The hashes of whole chunks from a first one on, each with its chunk."""
    chunks = np.repeat(np.arange(first, first + len(window) // CHUNK, dtype=np.uint64), CHUNK)
    return np.array(window, np.uint64) << _SHIFT | chunks


def _sorted(parts: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """All pairs in order, one for each hash: however often a venue uses an ExecID, its page stays as it is."""
    pairs = np.sort(np.concatenate(parts))
    hashes = pairs >> _SHIFT
    again = hashes[1:] == hashes[:-1]
    if again.any():
        pairs[1:][again] |= np.uint64(SEVERAL)
        pairs = pairs[np.append(~again, True)]  # the last of each
    return pairs
