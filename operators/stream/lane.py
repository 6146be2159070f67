"""The lane of a process: one reader of all partitions assigned to it, as a Bytewax source part.

Bytewax closes an epoch when the lane's interval is over, asks every lane for a snapshot, and lets a lane emit in the
next epoch only when the one before is done everywhere, commit included. So lanes count epochs in `snapshot`, and the
counts agree. A lane that had data in an epoch emits at least a tick in the next, so that stores get flushed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from broker.contract import Record, TopicPartition
from config.crash_points import CrashPoint, reach
from config.errors import BrokenWorldError
from operators.stream.agreement import LIVE, Agreement, Terms, Told
from operators.stream.pace import Pace
from operators.stream.records import Item, Read
from operators.stream.stall import StallWatch
from operators.stream.together import TogetherReader
from operators.stream.waiting import Run

IDLE_AFTER: Final = 50
"""Empty reads in a row after which the lane looks less often."""
IDLE_WAIT_MS: Final = 5
REST_S: Final = 0.001
"""Sleep of an attentive lane that has nothing to emit, since Bytewax calls it again at once."""
PAUSED_S: Final = 1.0
"""A lane that was not called for longer has not just looked."""


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How a lane collects: at most so many records at once, for so long, and how often it ticks when idle."""

    poll_records: int
    collect_ms: int
    tick_ms: int


@dataclass(slots=True)
class LaneState:
    """What the process knows of its lane; the supervisor's signals and the metrics look here."""

    stopping: bool = False
    ready: bool = False
    ended: bool = False
    records: int = 0


class Lane(StatefulSourcePartition[Item, None]):
    """Reads from the cut on; stops at `ends` if given, and when told to, only after all it emitted is committed."""

    def __init__(
        self,
        reader: TogetherReader,
        sources: Mapping[str, Sequence[str]],
        options: LaneOptions,
        state: LaneState,
        *,
        cut: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int] | None,
        before_read: Callable[[], bool],
        clock: Callable[[], float],
        watch: StallWatch | None = None,
        pace: Pace | None = None,
        agreement: Agreement | None = None,
    ) -> None:
        """`pace` and `agreement` are those of a process that is not alone."""
        self._reader, self._sources, self._options, self._state = reader, sources, options, state
        self._position, self._ends, self._before_read, self._clock = dict(cut), ends, before_read, clock
        self._watch, self._took_all, self._pace, self._agreement = watch, False, pace, agreement
        self._epoch, self._had_data = 0, False
        self._owes_tick = agreement is not None  # the first ones only tell, and state may have overdue timers
        self._empty_reads, self._ticked_at_s = 0, 0.0
        self._awake_at: datetime | None = None
        self._wakes_at_s = self._read_at_s = time.monotonic()
        self._emitted_in = self._paused_in = -1
        reader.assign(cut)
        state.ready = True

    def next_batch(self) -> list[Item]:
        if self._pace is not None:
            self._pace.lane_was_called()
        if self._agreement is not None and self._agreement.ended:
            raise self._end()
        terms = self._agreement.terms(self._epoch) if self._agreement is not None else LIVE
        if terms.lanes and self._emitted_in == self._epoch:
            time.sleep(REST_S)
            return []
        self._before_read()
        runs, full = self._read(terms)
        # The last records may have made timers due, which the tick of the next epoch lets happen.
        done = not runs and self._is_done() and not self._owes_tick and not self._had_data
        if done and self._agreement is None:
            raise self._end()
        told = self._tell(terms, full=full, done=done)
        self._awake_at = datetime.now(UTC) + timedelta(seconds=self._wait_s(full=full))
        return self._emit(runs, terms, told)

    def _read(self, terms: Terms) -> tuple[list[Run], bool]:
        """What there is to be given, and whether there may be more."""
        if self._watch is not None and self._took_all:
            self._watch.look(self._position, self._reader.fetched())
        runs = [] if self._state.stopping else self._reader.read(self._options.poll_records, self._until_ms(terms))
        records = sum(len(run.records) for run in runs)
        full = records >= self._options.poll_records
        self._took_all = not full and not self._state.stopping
        self._empty_reads = 0 if records else self._empty_reads + 1
        self._had_data = self._had_data or records > 0
        self._state.records += records
        return runs, full

    def _emit(self, runs: Sequence[Run], terms: Terms, told: Told | None) -> list[Item]:
        """What was read as an item, or a tick if one is due or others expect something; else nothing."""
        now_s = self._clock()
        settled = self._agreement is None or self._agreement.settled
        ticks = settled and (self._owes_tick or not 0 <= now_s - self._ticked_at_s < self._options.tick_ms / 1e3)
        if not (runs or ticks or told or terms.lanes):
            if self._is_attentive():
                time.sleep(REST_S)
            return []
        self._owes_tick, self._ticked_at_s, self._emitted_in = self._owes_tick and not settled, now_s, self._epoch
        item = Item(self._epoch, int(now_s * 1e3), lanes=terms.lanes, told=told, tells_only=not settled)
        self._take(runs, item)
        reach(CrashPoint.LANE_EMITTED)  # a crash here costs nothing: nothing of the epoch is committed
        return [item]

    def _end(self) -> StopIteration:
        self._state.ended = True
        return StopIteration()

    def _until_ms(self, terms: Terms) -> float:
        """Up to which time in the log to read.

        That there is no backlog holds for a while only: after a pause, of this process or of all, what has come
        meanwhile is a backlog, and others must hear of it before any of it is given.
        """
        now_s = time.monotonic()
        paused_s, self._read_at_s = now_s - self._read_at_s, now_s
        if self._agreement is not None and paused_s > PAUSED_S:
            self._paused_in = self._epoch
        return -math.inf if terms.live and self._paused_in == self._epoch else terms.until_ms

    def _tell(self, terms: Terms, *, full: bool, done: bool) -> Told | None:
        """What the other lanes must hear.

        A lane that merely lacks something that its client has not brought yet has no backlog if there was none before.
        """
        if self._agreement is None:
            return None
        going = not self._state.stopping
        behind = going and (full or self._reader.has_backlog(lacking=not terms.live))
        looks = behind or (going and not terms.live)
        until_ms = self._reader.horizon_ms(self._options.poll_records) if looks else math.inf
        return self._agreement.tell(until_ms, behind=behind, ended=done)

    def _is_missed(self) -> bool:
        """Whether the lane owes others its part of the epoch."""
        agreement = self._agreement
        if agreement is None or agreement.ended or self._emitted_in == self._epoch:
            return False
        return agreement.terms(self._epoch).lanes > 0

    def _is_attentive(self) -> bool:
        return self._agreement is not None and self._agreement.attentive

    def _wait_s(self, *, full: bool) -> float:
        """How long not to be called again: not at all with more to read, else until something may have come.

        An attentive lane must be called in every epoch, which may be shorter than any wait.
        """
        wait_ms = self._options.collect_ms if self._empty_reads < IDLE_AFTER else IDLE_WAIT_MS
        wait_s = 0.0 if full or self._is_attentive() else wait_ms / 1e3
        self._wakes_at_s = time.monotonic() + wait_s
        return wait_s

    def _take(self, runs: Sequence[Run], item: Item) -> None:
        """Sorts runs into the reads of their sources, and notes how far each partition is."""
        by_partition: dict[TopicPartition, list[list[Record]]] = {}
        for tp, records in runs:
            by_partition.setdefault(tp, []).append(records)
        for tp, parts in by_partition.items():
            records = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
            item.reads += [Read(source, tp.topic, tp.partition, records) for source in self._sources[tp.topic]]
            item.progress[tp] = self._position[tp] = records[-1].offset() + 1

    def _is_done(self) -> bool:
        if self._state.stopping:
            return True
        if self._ends is None:
            return False
        # Transaction markers at the end of a partition leave its last offsets without records.
        return all(self._position[tp] >= end for tp, end in self._ends.items()) or self._reader.at_end()

    def is_at_end(self) -> bool:
        """True if the last read found every partition's committed end."""
        return self._reader.at_end()

    def next_awake(self) -> datetime | None:
        return self._awake_at

    def snapshot(self) -> None:
        if self._is_missed():
            # Rows of other lanes wait for ours, and the epoch would be committed without having taken them.
            raise BrokenWorldError(f"epoch {self._epoch} ended before the lane was asked for its part of it")
        self._owes_tick = self._owes_tick or self._had_data
        self._had_data = False
        self._epoch += 1
        if self._pace is not None:
            self._pace.lane_waits(self._wakes_at_s)

    def close(self) -> None:
        self._reader.close()


class LaneSource(FixedPartitionedSource[Item, None]):
    """The lanes of a flow: each process lists its own only, so that it stays on that process."""

    def __init__(self, process_index: int, build: Callable[[], Lane]) -> None:
        self._name, self._build = f"lane-{process_index}", build

    def list_parts(self) -> list[str]:
        return [self._name]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Lane:
        return self._build()
