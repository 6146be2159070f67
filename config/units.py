"""Durations and sizes as people write them (`25ms`, `7d`, `64MiB`), and the types that say which unit a number has."""

from __future__ import annotations

import re
from typing import NewType

DurationMs = NewType("DurationMs", int)
"""A length of time in milliseconds."""

DurationMicros = NewType("DurationMicros", int)
"""A length of time in microseconds, the unit of event time."""

SizeBytes = NewType("SizeBytes", int)
"""An amount of storage in bytes."""

_MICROS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_NUMBER_AND_UNIT = re.compile(r"(\d[\d_]*)([A-Za-z]+)")


def parse_duration_micros(text: str) -> DurationMicros:
    """Microseconds of a duration such as `500us`, `25ms`, `30s`, `1m`, `2h` or `7d`; `ValueError` if it is none."""
    return DurationMicros(_parse(text, _MICROS, "a duration, e.g. 25ms, 30s, 1m, 2h or 7d"))


def parse_duration_ms(text: str) -> DurationMs:
    """Milliseconds of a duration; `ValueError` if it is none or finer than a millisecond."""
    micros = parse_duration_micros(text)
    if micros % 1_000:
        raise ValueError(f"{text!r} is finer than a millisecond")
    return DurationMs(micros // 1_000)


def parse_size_bytes(text: str) -> SizeBytes:
    """Bytes of a size such as `512KiB`, `64MiB` or `10GiB`; `ValueError` if it is none."""
    return SizeBytes(_parse(text, _BYTES, "a size, e.g. 512KiB, 64MiB or 10GiB"))


def format_duration_micros(micros: int) -> str:
    """The shortest exact form of a duration, the inverse of `parse_duration_micros`."""
    for unit, factor in reversed(_MICROS.items()):
        if micros and micros % factor == 0:
            return f"{micros // factor}{unit}"
    return "0ms"


def _parse(text: str, factors: dict[str, int], expected: str) -> int:
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None or match[2] not in factors:
        raise ValueError(f"{text!r} is not {expected}")
    return int(match[1]) * factors[match[2]]
