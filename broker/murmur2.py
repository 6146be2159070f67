"""The partition of a key, equal to the one the Java client chooses: `(murmur2(key) & 0x7fffffff) % partitions`.

Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of Apache Kafka.
Producers that disagree on this function lose co-partitioning, and with it every join.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
# Below this many keys a loop is faster than the fixed cost of a dozen array operations.
_VECTOR_KEYS_MIN = 32


def murmur2(data: bytes) -> int:
    """The 32-bit hash as a signed number, as Java prints it."""
    unsigned = _murmur2_unsigned(data)
    return unsigned - (1 << 32) if unsigned > _POSITIVE else unsigned


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that a record with this key belongs to."""
    return (_murmur2_unsigned(key) & _POSITIVE) % partitions


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each key; many keys are hashed together, grouped by their length."""
    if len(keys) < _VECTOR_KEYS_MIN:
        return [partition_of(key, partitions) for key in keys]
    lengths = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    found = np.empty(len(keys), dtype=np.int64)
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        if len(places) < _VECTOR_KEYS_MIN:
            found[places] = [partition_of(keys[place], partitions) for place in places.tolist()]
            continue
        same_length = keys if len(places) == len(keys) else [keys[place] for place in places.tolist()]
        hashes = _murmur2_of_rows(np.frombuffer(b"".join(same_length), dtype=np.uint8).reshape(len(places), length))
        found[places] = (hashes & np.uint32(_POSITIVE)).astype(np.int64) % partitions
    return found.tolist()


def _murmur2_unsigned(data: bytes) -> int:
    length = len(data)
    whole = length & ~3
    result = (_SEED ^ length) & _MASK
    for start in range(0, whole, 4):
        word = (int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER) & _MASK
        word = ((word ^ (word >> 24)) * _MULTIPLIER) & _MASK
        result = ((result * _MULTIPLIER) & _MASK) ^ word
    if whole < length:
        result = ((result ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER) & _MASK
    result = ((result ^ (result >> 13)) * _MULTIPLIER) & _MASK
    return result ^ (result >> 15)


def _murmur2_of_rows(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """The hash of each row of a byte matrix (keys x length); unsigned 32-bit arithmetic wraps as Java's does."""
    count, length = rows.shape
    whole = length & ~3
    multiplier = np.uint32(_MULTIPLIER)
    result = np.full(count, _SEED ^ length, dtype=np.uint32)
    words = np.ascontiguousarray(rows[:, :whole]).view("<u4")
    for column in range(whole // 4):
        word = words[:, column] * multiplier
        word = (word ^ (word >> np.uint32(24))) * multiplier
        result = (result * multiplier) ^ word
    if whole < length:
        for place in range(whole, length):
            result ^= rows[:, place].astype(np.uint32) << np.uint32(8 * (place - whole))
        result = result * multiplier
    result = (result ^ (result >> np.uint32(13))) * multiplier
    return result ^ (result >> np.uint32(15))
