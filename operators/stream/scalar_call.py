"""What the scalar kernel works with during one call: rows as records, states from the cache, and what piles up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from broker.contract import Record
from config.errors import InvalidRecordError
from operators.state.store import NEVER, STATE_KEY_BYTES_MAX
from operators.stream.records import DeadLetter, Ints, Origin, RecordCopy
from operators.stream.step import Output

_UTF8_BYTES_MAX: Final = 4
"""So many bytes a character has at most."""

CHARACTERS_ALWAYS_FIT: Final = STATE_KEY_BYTES_MAX // _UTF8_BYTES_MAX
"""A state key of so many characters needs no closer look, whatever they are."""

Place = tuple[int, str] | tuple[int, str, str]
"""Where a value lies: key group and key, and for a part its suffix."""


class Entry(msgspec.Struct, gc=False):  # in no cycle, and there are many of them for the collector to look through
    """A state in the cache, and when time must look at it; or a part, which no time looks at."""

    state: Any
    due_ms: int = NEVER
    wall_due_ms: int = NEVER


class Row(msgspec.Struct, gc=False):  # as above
    """One record with all that handling it needs."""

    group: int
    key: str
    role: str
    record: Any
    time_ms: int
    record_key: bytes
    source: Record


@dataclass(slots=True)
class Emitted:
    """Outputs of one stream during a call, in order."""

    keys: list[bytes] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """What piles up during one call of the kernel."""

    now_ms: int
    checked: bool = False
    records_in: int = 0
    dirty: dict[Place, Entry] = field(default_factory=dict)
    entries: dict[int, dict[bytes, bytes | None]] = field(default_factory=dict)
    advanced_from: dict[int, int] = field(default_factory=dict)
    """Key groups whose event time has moved, and where it was before the call."""
    emitted: dict[str, Emitted] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    anomalies: dict[str, int] = field(default_factory=dict)

    def anomaly(self, kind: str) -> None:
        self.anomalies[kind] = self.anomalies.get(kind, 0) + 1

    def emit(self, output: Output, record_key: bytes, source: Record) -> None:
        emitted = self.emitted.setdefault(output.stream, Emitted())
        emitted.keys.append(record_key if output.key is None else output.key.encode())
        emitted.values.append(msgspec.to_builtins(output.value))
        emitted.sources.append(source)


def check_state_key(key: str, suffix: str = "") -> None:
    """Raises `InvalidRecordError` for a key that the store cannot hold."""
    if len(key) + len(suffix) <= CHARACTERS_ALWAYS_FIT:
        return
    if (size := len(key.encode()) + len(suffix.encode())) > STATE_KEY_BYTES_MAX:
        raise InvalidRecordError(
            f"the state key {(key + suffix)[:40]!r}… has {size} bytes; at most {STATE_KEY_BYTES_MAX} can be kept"
        )


def timer_record(changelog: str, group: int, key: str, *, now_ms: int) -> Record:
    """Stands for a timer where a record is asked for: the key's place is its key group of the changelog."""
    return RecordCopy((changelog, group, -1, key.encode(), None, None, (0, now_ms)))


def running_maximum(times: Ints, origin: Origin) -> Ints:
    """The latest time so far within each partition: sorting by it never swaps two records of a partition."""
    partitions = np.fromiter((record.partition() for record in origin.records), np.int64, len(times))
    result = np.empty_like(times)
    for partition in np.unique(partitions):
        rows = np.flatnonzero(partitions == partition)
        result[rows] = np.maximum.accumulate(times[rows])
    return result
