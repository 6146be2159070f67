"""The contract of a kernel: one keyed step of one process, over all key groups it works on, a whole batch at a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from operators.stream.records import Changes, Columns, DeadLetter, Ints, Origin


@dataclass(slots=True)
class StreamBatch:
    """Records that a step puts on one of its output streams: columns, their keys, and the inputs behind them.

    `values` are the records as bytes, where the stream is written to a topic.
    """

    batch: pa.RecordBatch
    keys: Sequence[bytes] | pa.Array
    origin: Origin
    origin_rows: Ints | None = None
    """Which row of the origin is behind each record; None if they correspond one to one."""
    values: pa.Array | None = None


@dataclass(slots=True)
class StepOutcome:
    """What one call of a kernel produced. Streams may have several batches; their order is that of processing."""

    streams: dict[str, list[StreamBatch]] = field(default_factory=dict)
    changes: list[Changes] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    anomalies: dict[str, int] = field(default_factory=dict)
    records_in: int = 0


class Kernel(Protocol):
    """One keyed step of this process."""

    def open(self, groups: Sequence[int]) -> None:
        """Takes over these key groups, caught up with their changelogs."""
        ...

    def epoch_began(self) -> None:
        """All that was processed so far is committed; to be called before the first work of a newer epoch."""
        ...

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        """Handles the rows of each input role, and whatever time has made due."""
        ...

    def close(self, *, committed: bool) -> None:
        """Lets go of the stores; `committed` says that everything processed was committed."""
        ...
