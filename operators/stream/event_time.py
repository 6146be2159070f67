"""How event time moves in a key group: with its records, never back, and never on the word of an absurd clock."""

from __future__ import annotations

from typing import Final

import numpy as np

from operators.model.arrays import places
from operators.state.groups import GroupStores
from operators.stream.records import Ints

CLOCK_JUMP: Final = "CLOCK_JUMP"
STEP_MS: Final = 1_000
"""Event time kept for retention only is noted among the state in steps this large."""


class EventTime:
    """Moves the event times of a step's key groups for whole batches at once."""

    def __init__(self, stores: GroupStores, clock_ahead_max_ms: int) -> None:
        self._stores, self._clock_ahead_max_ms = stores, clock_ahead_max_ms
        self._advanced: set[int] = set()

    def advance(self, groups: Ints, times_ms: Ints, now_ms: int, anomalies: dict[str, int]) -> None:
        """Takes in the times of a batch; one further ahead of the clock than clocks drift is only an anomaly."""
        believable = times_ms <= now_ms + self._clock_ahead_max_ms
        if not believable.all():
            anomalies[CLOCK_JUMP] = anomalies.get(CLOCK_JUMP, 0) + int((~believable).sum())
            groups, times_ms = groups[believable], times_ms[believable]
        if not len(groups):
            return
        # Rows come partition by partition, so there are few runs of one group.
        starts = np.append(0, places(groups[1:] != groups[:-1]) + 1)
        latest = np.maximum.reduceat(times_ms, starts).tolist()
        for group, after in zip(groups[starts].tolist(), latest, strict=True):
            before = self._stores.stream_time_ms(group)
            if after > before:
                self._stores.advance_stream_time(group, after)
                if before < 0 or after // STEP_MS > before // STEP_MS:
                    self._advanced.add(group)

    def take_advanced(self) -> set[int]:
        """The groups whose time has moved by a step since the last call."""
        advanced, self._advanced = self._advanced, set()
        return advanced
