"""The flow as Bytewax runs it: no branch is dropped, and exchanges change nothing about the results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import bytewax.operators as op
import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, cluster_main

from broker.contract import TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from config.errors import ConfigurationError, LogFullError, ReadStalledError, StoreError
from config.settings import Settings
from config.topics import TOPICS
from config.topology import OperatorSpec, Topology, load_topology, topology_names
from flows.assembly import Assembly, Flow
from flows.catalog import EVENT_TYPES, OPERATORS, SCHEMA_FOLDER
from flows.compile import plan
from flows.dataflow import dataflow
from flows.process import run_process
from flows.supervisor import free_addresses
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.registry import scalar
from operators.stream.agreement import Agreement
from operators.stream.lane import LaneSource
from operators.stream.pace import Pace
from operators.stream.pipeline import Pipeline
from operators.stream.step import Result
from sinks.committer import CommitterSink

THREE_SEGMENTS = """
flow: three
key_groups: 4
sources:
  executions: {topic: orders.executions}
steps:
  - {id: orders, operator: count_orders, from: [executions], key: order}
  - {id: accounts, operator: count_accounts, from: [orders.counted], key: account}
  - {id: again, operator: count_again, from: [accounts.totals, executions], key: account}
outputs:
  - {from: orders.counted, topic: orders.enrichment}
  - {from: accounts.totals, topic: orders.status}
on_error: {decode: dead_letter, process: dead_letter, topic: orders.dlq}
"""


def ports(flow: Dataflow) -> tuple[set[str], set[str]]:
    """Streams that the operators of a dataflow make, and those they take."""
    made: set[str] = set()
    taken: set[str] = set()

    def walk(scope: Any) -> Iterator[Any]:
        for step in scope.substeps:
            if step.substeps:
                yield from walk(step)
            else:
                yield step

    for step in walk(flow):
        for names, streams in ((step.dwn_names, made), (step.ups_names, taken)):
            for name in names:
                port = getattr(step, name)
                streams.update(port.stream_ids.values() if hasattr(port, "stream_ids") else [port.stream_id])
    return made, taken


PARTITIONS = {topic.name: 4 for topic in TOPICS.values()}


@pytest.mark.parametrize("distributed", [False, True])
@pytest.mark.parametrize("name", topology_names())
def test_every_branch_of_every_flow_that_ships_is_consumed(name: str, distributed: bool) -> None:
    compiled = plan(load_topology(name), OPERATORS, PARTITIONS)
    pipeline: Any = type("Idle", (), {"run": None})()
    made, taken = ports(
        dataflow(
            compiled,
            pipeline,
            LaneSource(0, lambda: None),  # type: ignore[arg-type,return-value]
            CommitterSink(None),
            pace=Pace() if distributed else None,
            agreement=Agreement(0, 2) if distributed else None,
        )
    )
    assert made
    assert made == taken


def test_a_branch_that_nobody_consumes_would_be_found() -> None:
    flow = Dataflow("dangling")
    op.map("nobody", op.input("in", flow, TestingSource([])), str)
    made, taken = ports(flow)
    assert made - taken == {"dangling.nobody.flat_map_batch.down"}


class CountAgain:
    """Counts per account, and by role, what comes from a source and through two exchanges."""

    state_type = dict[str, int]

    def on_record(self, state: Any, key: str, role: str, record: Any, context: Any) -> Any:
        held = state or {}
        return Result({**held, role: held.get(role, 0) + 1})

    def on_due(self, state: Any, key: str, context: Any) -> Any:
        raise AssertionError("nothing is due here")

    def window_keys(self, key: str, record: Any, context: Any) -> None:
        return None


@pytest.fixture
def three(chain: Any, tmp_path: Path) -> tuple[Topology, dict[str, Any]]:
    file = tmp_path / "three.yaml"
    file.write_text(THREE_SEGMENTS)
    again = scalar(
        OperatorSpec(
            "count_again", frozenset({"account"}), {"totals": "OrderStatusChanged", "executions": "ExecutionReport"}, {}
        ),
        lambda _: CountAgain(),
    )
    return load_topology(file), {**chain.operators, "count_again": again}


class Site:
    """A log with inputs, and a flow on it."""

    def __init__(self, folder: Path, topology: Topology, operators: Any, execution: Any) -> None:
        self.log = EmbeddedLog(folder / "log")
        admin = self.log.admin()
        admin.create_topics([TopicSpec(topic.name, 2) for topic in TOPICS.values()])
        admin.close()
        schemas, settings = FolderSchemas(SCHEMA_FOLDER), Settings()
        self.codec = Codec.latest(schemas, EVENT_TYPES)
        settings = replace(settings, state=replace(settings.state, dir=folder / "state"))
        self.flow = Flow(topology, operators, EVENT_TYPES, settings, self.log, schemas)
        producer = self.log.producer("test")
        for number in range(40):
            event = msgspec.to_builtins(execution(f"A{number % 3}|O{number % 7}", number % 5 + 1))
            [value] = self.codec.encode_records("orders.executions", [event])
            producer.send("orders.executions", event["key"].encode(), value)
        producer.send("orders.executions", b"|O1", self.codec.encode_records(
            "orders.executions", [msgspec.to_builtins(execution("|O1", 1))])[0])  # fmt: skip
        producer.flush()
        producer.close()

    def records(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Keys and values of a topic, in the order of each partition."""
        admin, reader = self.log.admin(), self.log.reader("test")
        count = admin.topics()[topic]
        reader.assign(admin.beginnings([TopicPartition(topic, p) for p in range(count)]))
        found = []
        while True:
            found += reader.read(10_000, 0.0)
            if reader.at_end():
                break
        reader.close()
        admin.close()
        return [(r.key(), r.value()) for r in sorted(found, key=lambda r: (r.partition(), r.offset()))]

    def state(self, step: str) -> dict[bytes | None, Any]:
        """What the changelog says the step's state is."""
        held = {key: value for key, value in self.records(self.flow.changelog(step)) if key and key[0]}
        return {key: msgspec.msgpack.decode(value[16:]) for key, value in held.items() if value is not None}


def run_with_exchanges(flow: Flow) -> None:
    """As one process of several runs, except that all key groups are its own."""
    assembly = Assembly(flow, until_end=True)
    assembly.pace, assembly.agreement = Pace(), Agreement(0, 1)
    with assembly:
        source = LaneSource(0, lambda: assembly.lane(clock=time.time))
        sink = CommitterSink(assembly.committer())
        graph = dataflow(
            assembly.plan, assembly.pipeline, source, sink, pace=assembly.pace, agreement=assembly.agreement
        )
        cluster_main(graph, [], 0, epoch_interval=timedelta(milliseconds=10), worker_count_per_proc=1)


def test_exchanges_change_nothing_about_outputs_states_and_dead_letters(
    three: Any, execution: Any, tmp_path: Path
) -> None:
    alone, exchanged = (Site(tmp_path / name, *three, execution) for name in ("alone", "exchanged"))
    run_process(alone.flow, until_end=True)
    run_with_exchanges(exchanged.flow)
    assert alone.records("orders.enrichment") == exchanged.records("orders.enrichment")
    assert len(alone.records("orders.enrichment")) == 41
    for site in (alone, exchanged):
        assert sorted(site.state("accounts")) == [b"A0", b"A1", b"A2"]
        assert [key for key, _ in site.records("orders.dlq")] == [b"|O1", b"|O1"]
    for step in ("orders", "accounts", "again"):
        assert alone.state(step) == exchanged.state(step)
    assert alone.state("again") == {
        b"A0": {"totals": 14, "executions": 14}, b"A1": {"totals": 13, "executions": 13},
        b"A2": {"totals": 13, "executions": 13},
    }  # fmt: skip


def test_a_worker_rests_while_its_lane_waits_for_another_ones_epoch(three: Any, execution: Any, tmp_path: Path) -> None:
    site, rests = Site(tmp_path / "site", *three, execution), list[float]()
    addresses = free_addresses(2)
    ended = Event()

    def run(index: int) -> None:
        with Assembly(site.flow, index=index, count=2, until_end=True) as assembly:
            if index == 0:
                assembly.pace = Pace(sleep=lambda seconds: rests.append(seconds) or time.sleep(seconds))
            else:
                slow(assembly.pipeline)
            source = LaneSource(index, lambda: assembly.lane(clock=time.time))
            sink = CommitterSink(assembly.committer())
            graph = dataflow(
                assembly.plan, assembly.pipeline, source, sink, pace=assembly.pace, agreement=assembly.agreement
            )
            interval = timedelta(milliseconds=10)
            cluster_main(graph, addresses, index, epoch_interval=interval, worker_count_per_proc=1)

    def slow(pipeline: Pipeline) -> None:
        """Has the process keep its epochs open until the other one was seen to rest."""
        read = pipeline.read

        def slowly(items: Any) -> Any:
            while not rests and not ended.wait(0.01):
                pass
            return read(items)

        pipeline.read = slowly  # type: ignore[method-assign]

    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(run, index) for index in range(2)]
        done, _ = wait(runs, timeout=30.0)
        ended.set()
    assert len(done) == 2
    for each in runs:
        each.result()
    assert rests
    assert len(site.records("orders.enrichment")) == 41


def test_a_second_run_finds_nothing_to_do(three: Any, execution: Any, tmp_path: Path) -> None:
    site = Site(tmp_path / "site", *three, execution)
    run_process(site.flow, until_end=True)
    first = site.records("orders.status")
    run_process(site.flow, until_end=True)
    assert site.records("orders.status") == first


def test_a_changelog_with_another_number_of_partitions_is_refused_before_keys_lose_their_state(
    three: Any, execution: Any, tmp_path: Path
) -> None:
    site = Site(tmp_path / "site", *three, execution)
    run_process(site.flow, until_end=True)
    more = replace(site.flow, topology=replace(site.flow.topology, key_groups=8))
    with pytest.raises(ConfigurationError, match=r"step accounts has 8 key groups and its changelog .* 4 partitions"):
        run_process(more, until_end=True)


class LosesAPartition:
    """A log whose lanes are given nothing of one partition, as by a client that has lost sight of its leader."""

    def __init__(self, log: EmbeddedLog, lost: TopicPartition) -> None:
        self._log, self._lost = log, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def reader(self, client_id: str) -> Any:
        reader = self._log.reader(client_id)
        if "lane" not in client_id:
            return reader
        assign = reader.assign
        reader.assign = lambda offsets: assign({tp: at for tp, at in offsets.items() if tp != self._lost})  # type: ignore[method-assign]
        reader.at_end = lambda: False  # type: ignore[method-assign]
        return reader


def test_a_flow_whose_reader_lost_a_partition_stops_and_its_restart_misses_nothing(
    three: Any, execution: Any, tmp_path: Path
) -> None:
    whole, site = (Site(tmp_path / name, *three, execution) for name in ("whole", "site"))
    run_process(whole.flow, until_end=True)
    engine = replace(site.flow.settings.engine, read_stall_ms=1_000)
    lost = TopicPartition("orders.executions", 1)
    losing = replace(
        site.flow, log=LosesAPartition(site.log, lost), settings=replace(site.flow.settings, engine=engine)
    )
    with pytest.raises(ReadStalledError, match=r"orders.executions\[1\] is committed up to offset \d+, .* than 0 for"):
        run_process(losing)
    assert 0 < len(site.records("orders.enrichment")) < len(whole.records("orders.enrichment"))
    run_process(site.flow, until_end=True)
    assert sorted(site.records("orders.enrichment")) == sorted(whole.records("orders.enrichment"))


def test_what_broke_first_is_not_hidden_by_stores_that_cannot_be_closed_after_it(
    three: Any, execution: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Site(tmp_path, *three, execution).flow

    def refuse(*, committed: bool) -> None:
        raise StoreError("cannot be closed")

    def fail() -> None:
        with Assembly(flow) as assembly:
            monkeypatch.setattr(assembly.pipeline, "close", refuse)
            raise LogFullError("first")

    with pytest.raises(LogFullError, match="first"):
        fail()
    with pytest.raises(StoreError, match="cannot be closed"), Assembly(flow) as assembly:
        monkeypatch.setattr(assembly.pipeline, "close", refuse)
