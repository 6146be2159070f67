"""Event-time windows: which windows a time belongs to, when one is closed, and the state keys they live under."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SEPARATOR: Final = "@"
_START_DIGITS: Final = 14


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one size that start every `every_ms`: tumbling where both are equal, hopping where they overlap.

    A window [start, start + size) takes records until the event time of its key group reaches its end plus the grace.
    """

    size_ms: int
    every_ms: int
    grace_ms: int

    @classmethod
    def tumbling(cls, *, size_ms: int, grace_ms: int) -> Windows:
        """Windows that do not overlap."""
        return cls(size_ms, size_ms, grace_ms)

    def starts(self, time_ms: int) -> range:
        """Starts of the windows that the time belongs to, earliest first."""
        last = time_ms - time_ms % self.every_ms
        first = last - (self.size_ms - 1 - time_ms % self.every_ms) // self.every_ms * self.every_ms
        return range(first, last + 1, self.every_ms)

    def closes_ms(self, start_ms: int) -> int:
        """The event time at which a window takes no more records."""
        return start_ms + self.size_ms + self.grace_ms

    def open_keys(self, key: str, *, time_ms: int, event_time_ms: int) -> Iterator[str]:
        """State keys of the windows that the time belongs to and that are still open at `event_time_ms`."""
        for start in self.starts(time_ms):
            if self.closes_ms(start) > event_time_ms:
                yield window_key(key, size_ms=self.size_ms, start_ms=start)


def window_key(key: str, *, size_ms: int, start_ms: int) -> str:
    """The state key of one window: windows of a key lie together, by size and then by start."""
    return f"{key}{_SEPARATOR}{size_ms}{_SEPARATOR}{start_ms:0{_START_DIGITS}d}"


def parse_window_key(state_key: str) -> tuple[str, int, int]:
    """Key, size and start of a window's state key, both in milliseconds."""
    key, size, start = state_key.rsplit(_SEPARATOR, 2)
    return key, int(size), int(start)
