"""A mergeable sketch of latencies: quantiles within 1 %, in integers, from a few hundred counters at most.

The idea is DDSketch's (Masson, Rim, Lee, VLDB 2019): buckets whose width grows with their value bound the relative
error. The buckets are those of HdrHistogram, so that only bits are shifted and every machine gets the same bucket:

| value | buckets |
|---|---|
| 0 to 127 | one for each value |
| 128 to 255, 256 to 511, ... each power of two | 64 of equal width |

A value in a bucket is at most half a width, 1/128 of it, from the middle that stands for it: 0.8 %.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

K = TypeVar("K")

_EXACT: Final = 128
_HALF_BITS: Final = 6
_PER_POWER: Final = 1 << _HALF_BITS


class Sketch(msgspec.Struct, frozen=True, array_like=True):
    """Counts by bucket. `add` and `merge` give a new one; merging is associative and commutative."""

    counts: dict[int, int] = {}
    total: int = 0

    def add(self, value: int) -> Sketch:
        """With one more value. A negative latency is a skew of clocks and counts as zero."""
        bucket = _bucket(max(0, value))
        return Sketch(self.counts | {bucket: self.counts.get(bucket, 0) + 1}, self.total + 1)

    def merge(self, other: Sketch) -> Sketch:
        """The sketch of both."""
        return Sketch(add_counts(self.counts, other.counts), self.total + other.total)

    def quantile(self, part: float) -> int | None:
        """The value that `part` (0 to 1) of all values do not exceed, within 1 %; None without values."""
        if not self.total:
            return None
        wanted = max(1, -int(-part * self.total // 1))
        for bucket in sorted(self.counts):
            wanted -= self.counts[bucket]
            if wanted <= 0:
                return _middle(bucket)
        raise AssertionError("a part above 1 was asked for")


def add_counts(left: dict[K, int], right: dict[K, int]) -> dict[K, int]:
    """The sums of two tables of counts."""
    return left | {name: left.get(name, 0) + count for name, count in right.items()}


def _bucket(value: int) -> int:
    if value < _EXACT:
        return value
    shift = value.bit_length() - _HALF_BITS - 1
    return shift * _PER_POWER + (value >> shift)


def _middle(bucket: int) -> int:
    if bucket < _EXACT:
        return bucket
    shift = bucket // _PER_POWER - 1
    lowest = (bucket - shift * _PER_POWER) << shift
    return lowest + ((1 << shift) - 1) // 2
