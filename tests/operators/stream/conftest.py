"""A scalar kernel on stores and a changelog of its own, driven epoch by epoch; records as a log would give them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

sys.path.append(str(Path(__file__).parent))  # tests are no package

from broker.contract import TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from flows.catalog import EVENT_TYPES, SCHEMA_FOLDER
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.model.events import EventType, ExecutionReport, OrderEnriched
from operators.state.groups import GroupStores
from operators.stream.kernel import StepOutcome
from operators.stream.records import Columns, Origin, RecordCopy
from operators.stream.scalar import ScalarKernel
from operators.stream.step import Context, Result
from operators.stream.streams import StreamSpec

TOPIC = "orders.executions"
OUTPUT = "orders.enrichment"
CHANGELOG = "flow-step-changelog"
NOW_MS = 1_790_000_000_000
EPOCH_MS = 1_000


class Tally(msgspec.Struct, frozen=True):
    """What the test logic remembers of a key."""

    records: int = 0
    quantity: int = 0
    fired: int = 0


@dataclass
class RuleLogic:
    """Logic made of functions, so that each test can say what it is about."""

    rule: Callable[[Tally, ExecutionReport, Context], Result[Tally]]
    due: Callable[[Tally, Context], Result[Tally]] | None = None
    windows: Callable[[str, ExecutionReport, Context], Sequence[str]] | None = None
    state_type: type[Tally] = Tally

    def on_record(self, state: Tally | None, key: str, role: str, record: Any, context: Context) -> Result[Tally]:
        return self.rule(state or Tally(), record, context)

    def on_due(self, state: Tally, key: str, context: Context) -> Result[Tally]:
        assert self.due is not None
        return self.due(state, context)

    def window_keys(self, key: str, record: Any, context: Context) -> Sequence[str] | None:
        return self.windows(key, record, context) if self.windows else None


@dataclass(frozen=True)
class Fill:
    """A record to feed: its key, quantity, event time after the start, and partition."""

    key: str
    quantity: int = 1
    at_ms: int = 0
    partition: int = 0


@dataclass
class KernelDriver:
    """Runs a kernel as a process would: process, commit, and tell it that the next epoch began."""

    log: EmbeddedLog
    directory: Path
    codec: Codec
    logic: Any
    options: dict[str, Any] = field(default_factory=dict)
    now_ms: int = NOW_MS
    offset: int = 0
    output_bytes_max: int = 1_000_000

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A process on the same stores."""
        stores = GroupStores(
            self.log, client_id="test", directory=self.directory, changelog=CHANGELOG, flush_interval_s=0.0,
            position_interval_s=5.0,
        )  # fmt: skip
        given: dict[str, Any] = {"stop_on_error": False, "cache_rows": 1_000, "clock_ahead_max_ms": 60_000}
        self.kernel = ScalarKernel(
            "step", self.logic, stores, event_types=EVENT_TYPES, broadcast={},
            streams={"enriched": self.stream()}, **(given | self.options),
        )  # fmt: skip
        self.kernel.open([0, 1])

    def stream(self) -> StreamSpec:
        """The stream of outputs, which is written to a topic."""
        encode = partial(self.codec.encode, OUTPUT)
        return StreamSpec(OUTPUT, self.codec.arrow_schema(OUTPUT), OUTPUT, encode, self.output_bytes_max)

    def crash(self) -> None:
        """Ends the process without flushing and starts another."""
        self.kernel.close(committed=False)
        self.start()

    def process(self, *fills: Fill) -> StepOutcome:
        """One call of the kernel, not committed."""
        inputs = {"records": self.columns(fills)} if fills else {}
        return self.kernel.process(inputs, now_ms=self.now_ms)

    def epoch(self, *fills: Fill) -> StepOutcome:
        """One committed epoch."""
        outcome = self.process(*fills)
        transaction = self.log.transaction("flow", "flow")
        transaction.begin()
        for change in outcome.changes:
            transaction.send_batch(change.topic, change.keys, change.values, partition=change.group)
        transaction.commit({})
        transaction.close()
        self.kernel.epoch_began()
        self.now_ms += EPOCH_MS
        return outcome

    def columns(self, fills: Sequence[Fill]) -> Columns:
        rows, records = [], []
        for fill in fills:
            rows.append(msgspec.to_builtins(execution(fill.key, fill.quantity, NOW_MS + fill.at_ms)))
            place = (TOPIC, fill.partition, self.offset)
            records.append(RecordCopy((*place, fill.key.encode(), b"as read", [("h", b"1")], (0, NOW_MS))))
            self.offset += 1
        batch = pa.RecordBatch.from_pylist(rows, schema=self.codec.arrow_schema(TOPIC))
        keys = [fill.key.encode() for fill in fills]
        groups = np.array([fill.partition for fill in fills], np.int64)
        times = np.array([NOW_MS + fill.at_ms for fill in fills], np.int64)
        return Columns(TOPIC, batch, keys, keys, groups, times, Origin(records))

    def states(self) -> dict[str, Tally]:
        """The committed states by key, as the changelog has them."""
        states: dict[str, Tally] = {}
        for key, value in self.changelog().items():
            if not key.startswith(b"\0"):
                states[key.decode()] = msgspec.msgpack.decode(value[16:], type=Tally)
        return states

    def changelog(self) -> dict[bytes, bytes]:
        """The last value of every key of the changelog."""
        admin, reader = self.log.admin(), self.log.reader("test")
        reader.assign(admin.beginnings([TopicPartition(CHANGELOG, group) for group in range(2)]))
        held: dict[bytes, bytes | None] = {}
        while True:
            for record in reader.read(10_000, 0.0):
                held[record.key() or b""] = record.value()
            if reader.at_end():
                break
        reader.close()
        admin.close()
        return {key: value for key, value in held.items() if value is not None}


def execution(key: str, quantity: int, at_ms: int) -> ExecutionReport:
    """One fill of an order."""
    return ExecutionReport(
        event_type=EventType.EXECUTION_REPORTED, occurred_at=at_ms * 1_000, key=key, venue="XNAS", trade_date=20_700,
        exec_id="E1", exec_type="TRADE", ord_status="NEW", symbol="MSFT", side="BUY", order_quantity=100,
        last_quantity=quantity, last_price=1_000_000, cum_quantity=0, leaves_quantity=0, sequence=1, source="gateway",
    )  # fmt: skip


def enriched(record: ExecutionReport, quantity: int) -> OrderEnriched:
    """An output that carries a quantity."""
    return OrderEnriched(
        event_type=EventType.ORDER_ENRICHED, occurred_at=record.occurred_at, key=record.key, symbol="MSFT",
        venue="XNAS", side="BUY", filled_quantity=quantity, sequence=1, source="test",
    )  # fmt: skip


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.latest(FolderSchemas(SCHEMA_FOLDER), EVENT_TYPES)


@pytest.fixture
def drive(tmp_path: Path, codec: Codec) -> Iterator[Callable[..., KernelDriver]]:
    """Makes a driver of a kernel; each has a changelog and stores of its own."""
    drivers: list[KernelDriver] = []

    def make(logic: Any, *, output_bytes_max: int = 1_000_000, **options: Any) -> KernelDriver:
        number = len(drivers)
        log = EmbeddedLog(tmp_path / f"log-{number}")
        admin = log.admin()
        admin.create_topics([TopicSpec(CHANGELOG, 2)])
        admin.close()
        drivers.append(
            KernelDriver(log, tmp_path / f"state-{number}", codec, logic, options, output_bytes_max=output_bytes_max)
        )
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.kernel.close(committed=False)


@pytest.fixture
def engine() -> Any:
    """What tests of this folder build their logic from."""
    return SimpleNamespace(
        Tally=Tally, RuleLogic=RuleLogic, Fill=Fill, execution=execution, enriched=enriched, now_ms=NOW_MS, topic=TOPIC
    )
