"""What one process does with an epoch's items: decode, run the steps segment by segment, gather what goes out.

A segment is a run of steps with no exchange between them. The first holds the steps keyed by the record's own key: the
lane that reads a partition owns its key group. Each later segment needs its rows brought to the owners of their key
groups first, unless there is only one process, which owns them all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from broker.murmur2 import partitions_of
from config.crash_points import CrashPoint, reach
from operators.stream.decode import Decoder, key_error, usable_keys
from operators.stream.exchange import Exchange, split_by_owner
from operators.stream.kernel import Kernel, StepOutcome, StreamBatch
from operators.stream.keys import KEYS, RECORD_KEY, key_groups
from operators.stream.records import Columns, DeadLetter, Encoded, Ints, Item, Outcome, Part, concatenate

SAMPLE_EVERY: Final = 16
TICK_MS: Final = 250
"""How often time moves for processes that get no rows."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step as compiled: where its inputs come from, what it is keyed by, where its streams go."""

    id: str
    key: str
    key_groups: int
    inputs: Mapping[str, str]
    """Input role -> name of a source, or `step.stream`; in the order of the topology."""
    stream_topics: Mapping[str, str]
    """Output stream -> topic whose schema its records have."""
    outputs: Mapping[str, str]
    """Output stream -> topic it is written to."""
    exchanged: bool = False
    """Whether its rows come through an exchange; otherwise its key groups are the partitions of its lane."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow as compiled: its steps by segment. The first segment may be empty."""

    flow: str
    segments: Sequence[Sequence[StepPlan]]

    @property
    def steps(self) -> list[StepPlan]:
        """All steps, upstream first."""
        return [step for segment in self.segments for step in segment]

    def feeders(self, index: int) -> list[int]:
        """The segments whose works one needs: those with rows for it, and the one before, whose ticks reach it."""
        wanted = {name for step in self.segments[index] for name in step.inputs.values()}
        made = [
            {f"{step.id}.{stream}" for step in segment for stream in step.stream_topics} for segment in self.segments
        ]
        made[0] |= {name for name in wanted if "." not in name}  # sources are read in the first segment
        return [earlier for earlier in range(index) if earlier == index - 1 or made[earlier] & wanted]


@dataclass(slots=True)
class Work:
    """An epoch's rows on their way through the segments of one process, and what came of them so far."""

    epoch: int
    now_ms: int
    streams: dict[str, Columns] = field(default_factory=dict)
    ticks: bool = False
    """Whether all of it, or some of what an exchange brought, is there to tell the time only."""
    lanes: int = 0
    """Of a whole epoch, how many lanes have a part in it, see `Exchange`; otherwise 0."""
    outcome: Outcome = field(default_factory=lambda: Outcome(0))


class Observer:
    """What a pipeline tells about itself; the metrics of a process implement it, and by default nobody listens."""

    def step_processed(self, step: str, outcome: StepOutcome, seconds: float) -> None:
        """A step handled a batch."""

    def read(self, records: Mapping[str, int]) -> None:
        """Items came from the lane with so many records by topic; ticks come with none."""


class Pipeline:
    """The kernels of one process and the order in which items pass them."""

    def __init__(
        self,
        plan: Plan,
        decoder: Decoder,
        kernels: Mapping[str, Kernel],
        observer: Observer | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        """`exchange` is that of a process that is not alone."""
        self._plan, self._decoder, self._kernels = plan, decoder, kernels
        self._observer, self._exchange = observer or Observer(), exchange
        self._epoch = -1
        self._told_ms: dict[int, int] = {}
        """By segment, when all processes were told the time."""

    def open(self, step_id: str, groups: Sequence[int]) -> None:
        """Takes over key groups of a step before the first record needs them."""
        self._kernels[step_id].open(groups)

    def close(self, *, committed: bool) -> None:
        """Lets go of all state; what one kernel raises keeps no other from closing."""
        with ExitStack() as stack:
            for kernel in self._kernels.values():
                stack.callback(kernel.close, committed=committed)

    def read(self, items: Sequence[Item]) -> list[Work]:
        """Everything that waits, decoded, as one piece of work per epoch (never more than one is open)."""
        works: list[Work] = []
        for batch in _by_epoch(items):
            work = Work(batch[0].epoch, batch[-1].now_ms, lanes=batch[-1].lanes, outcome=Outcome(batch[0].epoch))
            reads = [read for item in batch for read in item.reads]
            work.ticks = not reads
            work.streams, dead = self._decoder(reads, now_ms=work.now_ms)
            for item in batch:
                work.outcome.progress.update(item.progress)
            work.outcome.dead_letters += dead
            work.outcome.timestamps_ms = np.array(
                [r.timestamp()[1] for read in reads for r in read.records[::SAMPLE_EVERY]], np.int64
            )
            counts: dict[str, int] = {}
            for read in reads:
                counts[read.topic] = counts.get(read.topic, 0) + len(read.records)
            self._observer.read(counts)
            works.append(work)
        return works

    def gather(self, index: int, parts: Sequence[Part]) -> list[Work]:
        """What an exchange brought for a segment, as one piece of work per epoch; streams are named `role@step`."""
        assert self._exchange is not None
        works: dict[int, Work] = {}
        pieces: dict[tuple[int, str], list[Columns]] = {}
        for part in self._exchange.complete(index, parts, feeders=self._plan.feeders(index)):
            work = works.setdefault(part.epoch, Work(part.epoch, part.now_ms, outcome=Outcome(part.epoch)))
            work.now_ms, work.lanes = max(work.now_ms, part.now_ms), part.lanes
            work.ticks |= not part.inputs
            for name, columns in part.inputs.items():
                pieces.setdefault((part.epoch, name), []).append(columns)
        for (epoch, name), found in pieces.items():
            works[epoch].streams[name] = concatenate(found)
        return [works[epoch] for epoch in sorted(works)]

    def run_segment(self, index: int, work: Work, *, exchanged: bool) -> None:
        """Runs every step of a segment on the work; its outputs, changes and dead letters join the work's outcome."""
        if work.epoch > self._epoch:
            for kernel in self._kernels.values():
                kernel.epoch_began()
            self._epoch = work.epoch
            if self._exchange is not None:
                self._exchange.epoch_began(work.epoch)
        for step in self._plan.segments[index]:
            self._run_step(step, self._inputs(step, work, exchanged=exchanged), work)

    def _inputs(self, step: StepPlan, work: Work, *, exchanged: bool) -> dict[str, Columns]:
        inputs = {}
        for role, name in step.inputs.items():
            columns = work.streams.get(f"{role}@{step.id}" if exchanged else name)
            if columns is not None and len(columns):
                inputs[role] = columns if exchanged else self._keyed(step, columns, work)
        return {role: columns for role, columns in inputs.items() if len(columns)}

    def _keyed(self, step: StepPlan, columns: Columns, work: Work) -> Columns:
        """The rows under the step's key; a row under whose key no state can be kept becomes a dead letter."""
        columns, refused = keyed(step, columns)
        work.outcome.dead_letters += map(self._decoder.on_error, refused)
        return columns

    def _run_step(self, step: StepPlan, inputs: dict[str, Columns], work: Work) -> None:
        started = time.perf_counter()
        result = self._kernels[step.id].process(inputs, now_ms=work.now_ms)
        outcome = work.outcome
        outcome.changes += result.changes
        outcome.dead_letters += result.dead_letters
        for kind, count in result.anomalies.items():
            outcome.anomalies[kind] = outcome.anomalies.get(kind, 0) + count
        for stream, batches in result.streams.items():
            topic = step.stream_topics[stream]
            if (target := step.outputs.get(stream)) is not None:
                outcome.outputs += [_to_send(target, batch) for batch in batches]
            if any(f"{step.id}.{stream}" in s.inputs.values() for s in self._plan.steps):
                work.streams[f"{step.id}.{stream}"] = concatenate([_columns(topic, b) for b in batches])
        self._observer.step_processed(step.id, result, time.perf_counter() - started)
        reach(CrashPoint.KERNEL_PROCESSED)  # a crash here loses nothing: the epoch was not committed

    def parts(self, index: int, work: Work) -> list[tuple[str, Part]]:
        """What must reach the processes for a segment: rows, and to those without any the time now and then.

        A part costs some work of two processes whatever is in it, and an epoch may have many works.
        """
        assert self._exchange is not None
        shares: list[dict[str, Columns]] = [{} for _ in range(self._exchange.processes)]
        for step in self._plan.segments[index]:
            for role, name in step.inputs.items():
                columns = work.streams.get(name)
                if columns is not None and len(columns):
                    columns = self._keyed(step, columns, work)
                    for owner, rows in split_by_owner(columns, self._exchange.processes):
                        shares[owner][f"{role}@{step.id}"] = rows
        all_ = self._tells_all(index, work)
        return self._exchange.addressed(shares, epoch=work.epoch, now_ms=work.now_ms, lanes=work.lanes, all_=all_)

    def _tells_all(self, index: int, work: Work) -> bool:
        """Whether processes without rows for a segment are to hear of the time."""
        told_ms = self._told_ms.get(index)
        due = told_ms is None or not 0 <= work.now_ms - told_ms < TICK_MS  # a clock may be set back
        if due or work.ticks:
            self._told_ms[index] = work.now_ms
        return due or work.ticks

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        """The whole flow in one process, with no exchange."""
        outcomes = []
        for work in self.read(items):
            for index in range(len(self._plan.segments)):
                self.run_segment(index, work, exchanged=False)
            outcomes.append(work.outcome)
        return outcomes


def keyed(step: StepPlan, columns: Columns) -> tuple[Columns, list[DeadLetter]]:
    """The rows under the step's key, and those refused because their key cannot hold state.

    A step keyed by the record's own key has the partitions as key groups: those of its lane, or, behind an exchange,
    those that a producer would choose.
    """
    if step.key == RECORD_KEY and not step.exchanged:
        return columns, []
    keys = columns.record_keys if step.key == RECORD_KEY else KEYS[step.key](columns)
    refused = np.flatnonzero(~usable_keys(keys)).tolist()
    letters = [columns.dead_letter(row, step=step.id, error=key_error(keys[row])) for row in refused]
    if refused:
        kept = np.delete(np.arange(len(columns)), refused)
        columns, keys = columns.take(kept), [keys[row] for row in kept.tolist()]
    count = step.key_groups
    groups = np.array(partitions_of(keys, count), np.int64) if step.key == RECORD_KEY else key_groups(keys, count)
    return columns.rekeyed(keys, groups), letters


def _to_send(topic: str, stream: StreamBatch) -> Encoded:
    assert stream.values is not None, f"a step made records for {topic} and did not encode them"
    return Encoded(topic, stream.keys, stream.values)


def _columns(topic: str, stream: StreamBatch) -> Columns:
    """A step's output as the input of another: event time is that of the record itself."""
    keys = stream.keys.cast(pa.binary()).to_pylist() if isinstance(stream.keys, pa.Array) else stream.keys
    origin = stream.origin if stream.origin_rows is None else stream.origin.take(stream.origin_rows)
    partitions = np.fromiter((record.partition() for record in origin.records), np.int64, len(keys))
    times: Ints = stream.batch.column("occurredAt").to_numpy(zero_copy_only=False) // 1_000
    return Columns(topic, stream.batch, keys, keys, partitions, times, origin)


def _by_epoch(items: Sequence[Item]) -> list[list[Item]]:
    batches: dict[int, list[Item]] = {}
    for item in items:
        batches.setdefault(item.epoch, []).append(item)
    return [batches[epoch] for epoch in sorted(batches)]
