"""The parts of one process of a flow, built in the one order that is safe.

Process 0 opens the transaction, which fences every predecessor; only then may any process read the cut; key groups are
opened, and caught up with their changelogs, before their first record. A process notes the time before any of it, and
takes no store from one that began later. Whoever drives the parts, Bytewax or a tester, gets the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from broker.contract import Log, TopicPartition, TopicSpec, Transaction
from config.crash_points import CrashPoint, reach
from config.errors import BrokenWorldError, ConfigurationError
from config.settings import Settings
from config.topics import TOPICS
from config.topology import Topology
from flows.compile import check, plan, source_decoders
from flows.limits import within_limits
from operators.codec.codec import Codec
from operators.codec.sources import SchemaSource
from operators.registry import Build, Operator
from operators.state.catch_up import Progress
from operators.state.groups import GroupStores, StateSize
from operators.state.store import since_boot_ns
from operators.stream.agreement import Agreement
from operators.stream.broadcast import BroadcastTables
from operators.stream.decode import Decoder
from operators.stream.exchange import Exchange, owned
from operators.stream.kernel import Kernel
from operators.stream.keys import RECORD_KEY
from operators.stream.lane import Lane, LaneOptions, LaneState
from operators.stream.pace import Pace
from operators.stream.pipeline import TICK_MS, Observer, Pipeline, Plan, StepPlan
from operators.stream.records import DeadLetter
from operators.stream.stall import CommittedEnds, StallWatch
from operators.stream.streams import StreamSpec
from operators.stream.together import TogetherReader
from sinks.committer import CommitObserver, Committer

CHANGELOG_CONFIG: Final = {"cleanup.policy": "compact"}


@dataclass(slots=True)
class Observers:
    """Who listens to a process; by default nobody."""

    pipeline: Observer = field(default_factory=Observer)
    committer: CommitObserver = field(default_factory=CommitObserver)
    restore: Callable[[str, Progress], None] = lambda _step, _progress: None
    state: Callable[[str, StateSize], None] = lambda _step, _size: None


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow to be run: what it is, and what it runs on."""

    topology: Topology
    operators: Mapping[str, Operator]
    event_types: Mapping[str, type[msgspec.Struct]]
    """By topic."""
    settings: Settings
    log: Log
    schemas: SchemaSource
    check_purity: bool = False
    """Whether scalar logic is watched for changing the state it is given; for testers."""

    @property
    def name(self) -> str:
        """The flow's name, under which topics and stores are known."""
        return self.topology.flow

    @property
    def epoch_ms(self) -> int:
        """Shortest time between two commits."""
        return self.topology.epoch_ms or self.settings.engine.epoch_ms

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.settings.application.group_of(self.name)

    def client_id(self, role: str) -> str:
        """The client id of one of its connections."""
        return self.settings.application.client_id_of(self.name, role)

    def changelog(self, step_id: str) -> str:
        """The changelog topic of one of its steps."""
        return self.settings.application.changelog_of(self.name, step_id)

    def state_directory(self, step_id: str) -> Path:
        """Where the stores of a step lie, one folder per key group."""
        return self.settings.state.dir / self.group / step_id


class Assembly:
    """Plan, pipeline, tables, transaction of process `index` of `count`; a context that lets go of them all."""

    def __init__(
        self, flow: Flow, *, index: int = 0, count: int = 1, until_end: bool = False, observers: Observers | None = None
    ) -> None:
        self._flow, self._index, self._count, self._until_end = flow, index, count, until_end
        self._observers = observers or Observers()
        self._options = check(flow.topology, flow.operators)
        self._sources = source_decoders(flow.topology)
        self._stack = ExitStack()
        self.lane_state = LaneState()
        self.pace = Pace() if count > 1 else None
        self.agreement = Agreement(index, count) if count > 1 else None
        self.plan: Plan
        self.pipeline: Pipeline

    def __enter__(self) -> Assembly:
        self._started_ns = since_boot_ns()  # before the fence, so that whoever starts after this one fences it
        try:
            self._partitions = self._topics()
            self.plan = plan(self._flow.topology, self._flow.operators, self._partitions)
            self._create_changelogs()
            self._flow = replace(self._flow, log=self._log_within_limits())
            self._transaction = self._fence()
            self._codec = Codec.latest(self._flow.schemas, self._codec_topics())
            self._tables = self._open_tables()
            self.pipeline = self._pipeline()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.release(committed=kind is None)
        except BrokenWorldError:
            if kind is None:
                raise
            # What broke first tells more than that stores cannot be closed after it, which costs nothing.

    def release(self, *, committed: bool = False) -> None:
        """Lets go of everything; `committed` says that all that was processed is, so stores may be flushed first."""
        try:
            self.pipeline.close(committed=committed)
        finally:
            self._stack.close()

    def _fence(self) -> Transaction | None:
        if self._index != 0:
            return None
        transactional_id = self._flow.settings.application.transactional_id_of(self._flow.name)
        transaction = self._flow.log.transaction(transactional_id, self._flow.group)
        self._stack.callback(transaction.close)
        reach(CrashPoint.FENCED)  # a crash here costs nothing: the predecessor was to end anyway
        return transaction

    def _topics(self) -> dict[str, int]:
        admin = self._flow.log.admin()
        try:
            return admin.topics()
        finally:
            admin.close()

    def _create_changelogs(self) -> None:
        """Creates the changelogs that are missing; one with another number of partitions holds other key groups."""
        copies = self._flow.settings.kafka.replication_factor
        specs = {
            step.id: TopicSpec(self._flow.changelog(step.id), step.key_groups, copies, CHANGELOG_CONFIG)
            for step in self.plan.steps
        }
        problems = [
            self._flow.topology.step(step_id).place.problem(
                f"step {step_id} has {spec.partitions} key groups and its changelog {spec.name} "
                f"{self._partitions[spec.name]} partitions: keys would lose their state"
            )
            for step_id, spec in specs.items()
            if self._partitions.get(spec.name, spec.partitions) != spec.partitions
        ]
        if problems:
            raise ConfigurationError(problems)
        admin = self._flow.log.admin()
        try:
            admin.create_topics(list(specs.values()))
        finally:
            admin.close()

    def _log_within_limits(self) -> Log:
        """The log, which takes from this flow what all the topics take that it writes to."""
        changelogs = {self._flow.changelog(step.id) for step in self.plan.steps}
        written = {topic for step in self.plan.steps for topic in step.outputs.values()}
        letters = {str(self._flow.topology.on_error.topic)} & self._partitions.keys()
        return within_limits(self._flow.log, sorted(changelogs | written | letters), tell=self._index == 0)

    def _codec_topics(self) -> list[str]:
        topics = {str(source.topic) for source in self._flow.topology.sources.values()}
        for step in self.plan.steps:
            topics.update(step.stream_topics.values(), step.outputs.values())
        return sorted(topics & TOPICS.keys())

    def _open_tables(self) -> BroadcastTables:
        sources = {n: str(s.topic) for n, s in self._flow.topology.sources.items() if s.broadcast}
        tables = BroadcastTables(sources, self._flow.event_types)
        self._stack.callback(tables.close)
        tables.open(self._flow.log, self._flow.client_id(f"tables-{self._index}"), self._codec)
        return tables

    def _pipeline(self) -> Pipeline:
        decoder = Decoder(
            self._codec,
            self._flow.schemas,
            self._sources,
            self._on_decode_error,
            record_bytes_max=self._flow.settings.engine.record_bytes_max,
            event_ahead_max_ms=self._flow.settings.engine.event_ahead_max_ms,
        )
        kernels = {step.id: self._kernel(step) for step in self.plan.steps}
        exchange = Exchange(self.agreement) if self.agreement is not None else None
        return Pipeline(self.plan, decoder, kernels, self._observers.pipeline, exchange)

    def _on_decode_error(self, letter: DeadLetter) -> DeadLetter:
        if self._flow.topology.on_error.decode == "stop":
            place = f"{letter.topic}-{letter.partition}@{letter.offset}"
            raise BrokenWorldError(f"{place} cannot be decoded and `on_error.decode` says stop: {letter.message}")
        return letter

    def _kernel(self, planned: StepPlan) -> Kernel:
        settings, step_id = self._flow.settings, planned.id
        step = self._flow.topology.step(step_id)
        operator = self._flow.operators[step.operator]
        return operator.build(
            Build(
                flow=self._flow.name,
                step_id=step_id,
                options=self._options.get(step_id),
                retain_ms=step.state.retain_ms if step.state else None,
                stores=self._stores(step_id, flush_each_epoch=operator.flush_each_epoch),
                event_types=self._event_types(),
                streams=self._streams(planned),
                broadcast={name: self._tables.tables[name] for name in step.broadcast},
                stop_on_error=self._flow.topology.on_error.process == "stop",
                cache_rows=settings.state.cache_rows,
                clock_ahead_max_ms=settings.engine.clock_ahead_max_ms,
                record_bytes_max=self._flow.log.record_bytes_max,
                source_name=self._flow.client_id(step_id),
                check_purity=self._flow.check_purity,
            )
        )

    def _streams(self, step: StepPlan) -> dict[str, StreamSpec]:
        """The streams of a step whose records have the schema of a topic."""
        return {
            stream: StreamSpec(
                topic,
                self._codec.arrow_schema(topic),
                target=step.outputs.get(stream),
                encode=partial(self._codec.encode, topic) if stream in step.outputs else None,
                record_bytes_max=self._flow.log.record_bytes_max,
            )
            for stream, topic in step.stream_topics.items()
            if topic in TOPICS
        }

    def _event_types(self) -> Mapping[str, type[msgspec.Struct]]:
        """By topic, and for streams that only other steps read by the name of their records."""
        internal: dict[str, type[msgspec.Struct]] = {}
        for step in self._flow.topology.steps:
            internal.update(self._flow.operators[step.operator].internal)
        return {**self._flow.event_types, **internal}

    def _stores(self, step_id: str, *, flush_each_epoch: bool) -> GroupStores:
        settings, state = self._flow.settings, self._flow.topology.step(step_id).state
        flush_ms = 0 if flush_each_epoch else settings.state.flush_interval_ms
        if state is not None and state.flush_ms is not None:
            flush_ms = state.flush_ms
        return GroupStores(
            self._flow.log,
            client_id=self._flow.client_id(f"{step_id}-{self._index}"),
            directory=self._flow.state_directory(step_id),
            changelog=self._flow.changelog(step_id),
            flush_interval_s=flush_ms / 1e3,
            position_interval_s=settings.state.position_interval_ms / 1e3,
            started_ns=self._started_ns,
            on_progress=lambda progress: self._observers.restore(step_id, progress),
            on_size=lambda size: self._observers.state(step_id, size),
        )

    def committer(self) -> Committer | None:
        """The flow's committer, on process 0."""
        if self._transaction is None:
            return None
        return Committer(
            self._transaction,
            flow=self._flow.name,
            dead_letter_topic=str(self._flow.topology.on_error.topic),
            observer=self._observers.committer,
        )

    def lane(self, *, clock: Callable[[], float], watched: bool = True) -> Lane:
        """The process's lane, at the cut; its key groups are caught up. To be called after the fence of process 0.

        `watched` lets it end with `ReadStalledError` when its reader gets no more of what the log has.
        """
        topics: dict[str, list[str]] = {}
        for source in self._sources:
            topics.setdefault(source.topic, []).append(source.name)
        mine = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in range(self._partitions[topic])
            if partition % self._count == self._index
        ]
        cut, ends = self._cut(mine)
        self._open_key_groups({tp.partition for tp in mine})
        engine = self._flow.settings.engine
        return Lane(
            TogetherReader(lambda topic: self._flow.log.reader(self._flow.client_id(f"lane-{self._index}-{topic}"))),
            topics,
            LaneOptions(engine.poll_records, engine.collect_ms, TICK_MS),
            self.lane_state,
            cut=cut,
            ends=ends if self._until_end else None,
            before_read=self._tables.poll,
            clock=clock,
            watch=self._stall_watch(mine) if watched else None,
            pace=self.pace,
            agreement=self.agreement,
        )

    def _stall_watch(self, partitions: Sequence[TopicPartition]) -> StallWatch | None:
        stall_ms = self._flow.settings.engine.read_stall_ms
        if stall_ms is None or not partitions:
            return None
        ends = CommittedEnds(self._flow.log, partitions, stall_s=stall_ms / 1e3)
        self._stack.callback(ends.close)
        return StallWatch(stall_ms / 1e3, ends)

    def _open_key_groups(self, partitions: set[int]) -> None:
        """Opens what the process owns; timers of a key group run from the first tick on, not from its first record."""
        for step in self.plan.steps:
            if step.key == RECORD_KEY and step in self.plan.segments[0]:
                self.pipeline.open(step.id, [group for group in sorted(partitions) if group < step.key_groups])
            else:
                self.pipeline.open(step.id, owned(self._index, self._count, step.key_groups))

    def _cut(self, mine: Sequence[TopicPartition]) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Where the last committed epoch ended, and where the log ends now."""
        admin = self._flow.log.admin()
        try:
            committed, beginnings = admin.committed(self._flow.group, mine), admin.beginnings(mine)
            return {tp: committed.get(tp, beginnings[tp]) for tp in mine}, admin.ends(mine)
        finally:
            admin.close()
