"""FlowTester: runs a flow in this process, in milliseconds, record by record if need be.

The counterpart of Kafka Streams' TopologyTestDriver. It drives the very parts that run in production (lane, decoder,
kernels, stores, committer), on an embedded log in a folder of its own, without Bytewax and without waiting:

    with FlowTester("order_status") as flow:
        flow.send("orders.executions", execution)
        flow.run()
        assert flow.read("orders.enrichment")[0].filled_quantity == 100
        flow.crash()          # as if killed: the next run goes on from the last committed epoch
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from broker.contract import Headers, Record, TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from broker.record_size import RECORD_BYTES_MAX_DEFAULT
from config.settings import Settings
from config.topics import TOPICS
from config.topology import Topology
from flows.assembly import Assembly, Flow
from flows.catalog import EVENT_TYPES, OPERATORS, SCHEMA_FOLDER
from flows.compile import load
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas, SchemaSource
from operators.registry import Operator
from operators.state.reader import StoreReader
from operators.stream.lane import Lane
from sinks.committer import Committer

START_S: Final = 1_800_000_000.0
_EPOCHS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as read back: the failed record's bytes and the headers that say why."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]


class FlowTester:
    """A flow under test; a context manager.

    Args:
        topology: a flow's name, the path of a topology, or a loaded topology.
        operators: operators that the topology may name; those of the product unless given.
        settings: settings to start from; log and state folders are replaced by temporary ones.
        partitions: partitions of every topic that is not broadcast.
        record_bytes_max: the largest record that the log takes from the flow.

    """

    def __init__(
        self,
        topology: str | Path | Topology,
        *,
        operators: Mapping[str, Operator] = OPERATORS,
        settings: Settings | None = None,
        schemas: SchemaSource | None = None,
        partitions: int = 2,
        record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="flow-tester-"))
        loaded = topology if isinstance(topology, Topology) else load(topology, operators)
        base = settings or Settings()
        base = replace(base, state=replace(base.state, dir=self._folder / "state"))
        self._log = EmbeddedLog(self._folder / "log", record_bytes_max=record_bytes_max)
        self._schemas = schemas or FolderSchemas(SCHEMA_FOLDER)
        self._flow = Flow(loaded, operators, EVENT_TYPES, base, self._log, self._schemas, check_purity=True)
        self._codec = Codec.latest(self._schemas, EVENT_TYPES)
        self._producer = EmbeddedLog(self._folder / "log").producer("tester")
        self._clock_s = START_S
        self._read_from: dict[TopicPartition, int] = {}
        self._assembly: Assembly | None = None
        self._uncommitted = False
        self._lane: Lane
        self._committer: Committer
        self._create_topics(partitions)

    def _create_topics(self, partitions: int) -> None:
        admin = self._log.admin()
        admin.create_topics(
            [TopicSpec(t.name, 1 if t.cleanup_policy == "compact" else partitions, config={}) for t in TOPICS.values()]
        )
        admin.close()

    def __enter__(self) -> FlowTester:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._stop(committed=kind is None)
        finally:
            self._producer.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def send(self, topic: str, *events: msgspec.Struct, key: str | None = None) -> None:
        """Writes events to a topic, under their own keys unless one is given."""
        for event in events:
            record = msgspec.to_builtins(event)
            [value] = self._codec.encode_records(topic, [record])
            self.send_bytes(topic, (key or record["key"]).encode(), value)

    def send_bytes(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        """Writes any bytes, to see what a flow makes of them; by default as of now, on the clock of this tester."""
        timestamp_ms = int(self._clock_s * 1e3) if timestamp_ms is None else timestamp_ms
        self._producer.send(topic, key, value, headers=headers, timestamp_ms=timestamp_ms)

    def run(self) -> None:
        """Processes and commits everything that is in the log, epoch by epoch, and what time has made due."""
        self._producer.flush()
        self._start()
        for _ in range(_EPOCHS_MAX):
            if not self.step() and self._at_end():
                break
        self.step()

    def step(self) -> bool:
        """One epoch: what the lane reads now, processed and committed; False if that was only a tick."""
        self._producer.flush()
        self._start()
        assert self._assembly is not None
        self._clock_s += 1.0  # far enough for the lane to tick
        items = self._lane.next_batch()
        self._committer.write_batch(self._assembly.pipeline.run(items))
        self._committer.snapshot()
        self._lane.snapshot()
        return any(item.reads for item in items)

    def process_uncommitted(self) -> None:
        """The first half of an epoch: reads, processes and sends, but commits nothing. `crash` is to follow."""
        self._producer.flush()
        self._start()
        assert self._assembly is not None
        self._uncommitted = True
        self._committer.write_batch(self._assembly.pipeline.run(self._lane.next_batch()))

    def advance_wall_clock(self, by_s: float) -> None:
        """Moves the clock that records and ticks carry, and lets what it makes due happen."""
        self._clock_s += by_s
        self.run()

    def crash(self, *, lose_state: bool = False) -> None:
        """Ends the process as SIGKILL would: nothing uncommitted survives, stores stay as they are or are lost."""
        self._stop(committed=False)
        if lose_state:
            shutil.rmtree(self._folder / "state", ignore_errors=True)

    def read(self, topic: str) -> list[Any]:
        """Events written to a topic since the last read of it, partition by partition."""
        kind = EVENT_TYPES[topic]
        return [msgspec.convert(self._codec.decode_record(topic, r.value()), kind) for r in self._records(topic)]

    def dead_letters(self) -> list[Letter]:
        """Dead letters since the last call."""
        return [
            Letter(r.key(), r.value(), {name: (value or b"").decode() for name, value in r.headers() or []})
            for r in self._records(str(self._flow.topology.on_error.topic))
        ]

    def store(self, step_id: str, kind: type[Any] | None = None) -> dict[str, Any]:
        """What a step's stores hold now, as readers of the view would see it; states decoded as `kind` if given.

        Entries beside a state, whose keys have a NUL, stay bytes.
        """
        assert not self._uncommitted, "an epoch is under way: commit it with run, or crash"
        self._stop(committed=True)
        held: dict[str, Any] = {}
        for folder in sorted(self._flow.state_directory(step_id).glob("*")):
            with StoreReader(folder) as store:
                for key, body in store.scan():
                    held[key] = msgspec.msgpack.decode(body, type=kind) if kind and "\0" not in key else body
        return held

    def changelog(self, step_id: str) -> dict[bytes, bytes]:
        """What a step's changelog says its state is: the last value per key, tombstones gone."""
        state: dict[bytes, bytes] = {}
        for record in self._all_records(self._flow.changelog(step_id)):
            key, value = record.key() or b"", record.value()
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        return state

    def _start(self) -> None:
        if self._assembly is not None:
            return
        assembly = Assembly(self._flow).__enter__()
        try:
            self._lane = assembly.lane(clock=lambda: self._clock_s, watched=False)
        except BaseException:
            assembly.release()
            raise
        committer = assembly.committer()
        assert committer is not None
        self._committer, self._assembly = committer, assembly

    def _stop(self, *, committed: bool) -> None:
        if self._assembly is None:
            return
        assembly, self._assembly, self._uncommitted = self._assembly, None, False
        self._lane.close()
        assembly.__exit__(None if committed else RuntimeError, None, None)

    def _at_end(self) -> bool:
        return self._lane.is_at_end()

    def _records(self, topic: str) -> list[Record]:
        found = []
        for record in self._all_records(topic):
            tp = TopicPartition(record.topic(), record.partition())
            if record.offset() >= self._read_from.get(tp, 0):
                found.append(record)
                self._read_from[tp] = record.offset() + 1
        return found

    def _all_records(self, topic: str) -> Iterable[Record]:
        admin, reader = self._log.admin(), self._log.reader("tester")
        partitions = [TopicPartition(topic, p) for p in range(admin.topics()[topic])]
        reader.assign(admin.beginnings(partitions))
        records: list[Record] = []
        while True:
            records += reader.read(10_000, 0.0)
            if reader.at_end():
                break
        reader.close()
        admin.close()
        return sorted(records, key=lambda r: (r.partition(), r.offset()))
