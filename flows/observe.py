"""What a process tells about itself, as metrics: about its pipeline, committer, restores, state and lag."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final

import numpy as np
import structlog
from prometheus_client import Counter

from broker.contract import Log, TopicPartition
from config import metrics as table
from config.endpoint import Health
from config.errors import BrokenWorldError, OrderflowError
from config.metrics import Metrics
from flows.assembly import Observers
from operators.state.catch_up import Progress
from operators.state.groups import StateSize
from operators.stream.kernel import StepOutcome
from operators.stream.pipeline import Observer
from operators.stream.records import Outcome
from sinks.committer import CommitObserver

LAG_EVERY_S: Final = 5.0
log = structlog.get_logger(__name__)


class PipelineMetrics(Observer):
    """Counts what passes the steps of one process."""

    def __init__(self, metrics: Metrics, flow: str, health: Health) -> None:
        self._metrics, self._flow, self._health = metrics, flow, health
        self._counters: dict[tuple[str, ...], Counter] = {}
        self._ready = False
        self.records = 0
        """Records read by all sources since the start."""

    def read(self, records: Mapping[str, int]) -> None:
        self._health.beat()
        if not self._ready:
            self._ready = True
            self._health.set_ready(True)
        for topic, count in records.items():
            self.records += count
            self._count(table.SOURCE_RECORDS, count, topic=topic)

    def step_processed(self, step: str, outcome: StepOutcome, seconds: float) -> None:
        self._count(table.STEP_RECORDS_IN, outcome.records_in, step=step)
        for stream, batches in outcome.streams.items():
            self._count(table.STEP_RECORDS_OUT, sum(b.batch.num_rows for b in batches), step=step, stream=stream)
        for kind, count in outcome.anomalies.items():
            if kind == "DUPLICATE":
                self._count(table.DUPLICATES, count, step=step)
            elif kind == "GAP":
                self._count(table.GAPS, count, step=step)
            self._count(table.ANOMALIES, count, step=step, kind=kind)

    def _count(self, metric: table.Metric, amount: int, **labels: str) -> None:
        if not amount:
            return
        at = (metric.name, *labels.values())
        if at not in self._counters:
            self._counters[at] = self._metrics.counter(metric, flow=self._flow, **labels)
        self._counters[at].inc(amount)


class CommitMetrics(CommitObserver):
    """Counts epochs, their cost, and how long records took from the log to their commit."""

    def __init__(self, metrics: Metrics, flow: str) -> None:
        self._metrics, self._flow = metrics, flow
        self._epochs = metrics.counter(table.EPOCHS, flow=flow)
        self._commit = metrics.histogram(table.COMMIT_SECONDS, flow=flow)
        self._latency = metrics.histogram(table.EVENT_TO_COMMIT_SECONDS, flow=flow)
        self.progress: dict[TopicPartition, int] = {}
        self.newest_ms = 0
        self.epochs = self.outputs = self.dead_letters = 0

    def committed(self, outcome: Outcome, *, send_s: float, commit_s: float) -> None:
        self.epochs += 1
        self.outputs += sum(map(len, outcome.outputs))
        self.dead_letters += len(outcome.dead_letters)
        self._epochs.inc()
        self._commit.observe(commit_s)
        self.progress.update(outcome.progress)
        if len(outcome.timestamps_ms):
            self.newest_ms = int(outcome.timestamps_ms.max())
            for seconds in np.maximum(time.time() - outcome.timestamps_ms / 1e3, 0.0).tolist():
                self._latency.observe(seconds)
        for letter in outcome.dead_letters:
            self._metrics.counter(table.DEAD_LETTERS, flow=self._flow, step=letter.step, reason=letter.error).inc()


class RestoreMetrics:
    """Tells how far stores have caught up with their changelogs, as metrics and, for long ones, as log lines."""

    def __init__(self, metrics: Metrics, flow: str, health: Health) -> None:
        self._metrics, self._flow, self._health = metrics, flow, health
        self._applied: dict[str, int] = {}

    def __call__(self, step: str, progress: Progress) -> None:
        self._health.beat()
        before = self._applied.get(step, 0) if progress.applied else 0
        self._applied[step] = progress.applied
        self._metrics.counter(table.RESTORE_RECORDS, flow=self._flow, step=step).inc(max(0, progress.applied - before))
        self._metrics.gauge(table.RESTORE_REMAINING_RECORDS, flow=self._flow, step=step).set(progress.remaining)
        if progress.seconds and progress.applied:
            log.info(
                "state restored", step=step, records=progress.applied, seconds=round(progress.seconds, 3),
                records_per_s=round(progress.applied / progress.seconds),
            )  # fmt: skip


class StateMetrics:
    """States how much state each step of one process holds."""

    def __init__(self, metrics: Metrics, flow: str) -> None:
        self._metrics, self._flow = metrics, flow

    def __call__(self, step: str, size: StateSize) -> None:
        labels = {"flow": self._flow, "step": step}
        self._metrics.gauge(table.STATE_ROWS, **labels).set(size.rows)
        self._metrics.gauge(table.STATE_UNFLUSHED_ROWS, **labels).set(size.unflushed)
        self._metrics.gauge(table.STATE_BYTES, **labels).set(size.bytes)


def log_summary(observers: Observers, *, flow: str, process: int, stopped: bool, seconds: float) -> None:
    """One line about what a process did until it ended: what it read, and on process 0 what was committed for all."""
    figures: dict[str, int] = {}
    if isinstance(observers.pipeline, PipelineMetrics):
        figures["records_in"] = observers.pipeline.records
    if process == 0 and isinstance(observers.committer, CommitMetrics):
        commits = observers.committer
        figures |= {"records_out": commits.outputs, "dead_letters": commits.dead_letters, "epochs": commits.epochs}
    event = "stopped, and all that was read is committed" if stopped else "at the end of the log, and all is committed"
    log.info(event, flow=flow, process=process, **figures, seconds=round(seconds, 3))


class LagWatch:
    """A thread that asks, every few seconds, how far the group is behind the log."""

    def __init__(self, log_: Log, flow: str, metrics: Metrics, commits: CommitMetrics) -> None:
        self._log, self._flow, self._metrics, self._commits = log_, flow, metrics, commits
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)

    def __enter__(self) -> LagWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=LAG_EVERY_S)

    def _run(self) -> None:
        try:
            admin = self._log.admin()
        except OrderflowError as error:
            log.warning("the lag is not known", error=str(error))  # what keeps the flow from the log stops the flow
            return
        try:
            while not self._stop.wait(LAG_EVERY_S):
                progress = dict(self._commits.progress)
                if not progress:
                    continue
                try:
                    ends = admin.ends(list(progress))
                except BrokenWorldError as error:
                    log.warning("the lag is not known now", error=str(error))
                    continue
                self._state(progress, ends)
        finally:
            admin.close()

    def _state(self, progress: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        behind_s = max(0.0, time.time() - self._commits.newest_ms / 1e3)
        for tp, offset in progress.items():
            # A transaction's marker takes an offset of its own: one offset behind the end is not behind.
            lag = max(0, ends[tp] - offset)
            lag = 0 if lag <= 1 else lag
            labels = {"flow": self._flow, "topic": tp.topic, "partition": str(tp.partition)}
            self._metrics.gauge(table.LAG_RECORDS, **labels).set(lag)
            self._metrics.gauge(table.LAG_SECONDS, **labels).set(behind_s if lag else 0.0)


def observers(metrics: Metrics, flow: str, health: Health) -> tuple[Observers, CommitMetrics]:
    """Everything that listens to a process of a flow."""
    commits = CommitMetrics(metrics, flow)
    pipeline, restores = PipelineMetrics(metrics, flow, health), RestoreMetrics(metrics, flow, health)
    return Observers(pipeline, commits, restores, StateMetrics(metrics, flow)), commits
