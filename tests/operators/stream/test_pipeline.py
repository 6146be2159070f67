"""The pipeline of a process: epochs, key groups and exchanges, with kernels that only write down what they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from broker.contract import TopicPartition
from broker.murmur2 import partition_of
from flows.catalog import SCHEMA_FOLDER
from operators.codec.sources import FolderSchemas
from operators.stream.agreement import Agreement, Told
from operators.stream.decode import Decoder, SourceDecoder
from operators.stream.exchange import Exchange
from operators.stream.kernel import StepOutcome
from operators.stream.keys import key_groups
from operators.stream.pipeline import TICK_MS, Pipeline, Plan, StepPlan, keyed
from operators.stream.records import Columns, Item, Origin, Read, RecordCopy

TOPIC = "orders.executions"


class RecordingKernel:
    """Writes down what it is told."""

    def __init__(self, *, closes: bool = True) -> None:
        self.calls: list[Any] = []
        self._closes = closes

    def open(self, groups: Sequence[int]) -> None:
        self.calls.append(("open", list(groups)))

    def epoch_began(self) -> None:
        self.calls.append("epoch")

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        self.calls.append({role: list(columns.keys) for role, columns in inputs.items()})
        return StepOutcome(records_in=sum(map(len, inputs.values())))

    def close(self, *, committed: bool) -> None:
        self.calls.append(("close", committed))
        if not self._closes:
            raise RuntimeError("cannot be closed")


def step(name: str, key: str, groups: int, *, exchanged: bool) -> StepPlan:
    return StepPlan(name, key, groups, {"records": "executions"}, {}, {}, exchanged)


@pytest.fixture
def kernels() -> dict[str, RecordingKernel]:
    return {"own": RecordingKernel(), "accounts": RecordingKernel()}


@pytest.fixture
def pipeline(codec: Any, kernels: dict[str, RecordingKernel]) -> Pipeline:
    plan = Plan("flow", [[step("own", "order", 4, exchanged=False)], [step("accounts", "account", 3, exchanged=True)]])
    decoder = Decoder(codec, FolderSchemas(SCHEMA_FOLDER), [SourceDecoder("executions", TOPIC)], lambda letter: letter)
    agreement = Agreement(0, 3)
    for process in range(3):
        agreement.hear(Told(process, 0, f"home-{process}", 0.0, behind=False, attentive=True, ended=False))
    return Pipeline(plan, decoder, kernels, exchange=Exchange(agreement))


def item(codec: Any, engine: Any, *keys: str, epoch: int = 0, partition: int = 1) -> Item:
    values = codec.encode_records(TOPIC, [msgspec.to_builtins(engine.execution(key, 1, 1)) for key in keys])
    records = [
        RecordCopy((TOPIC, partition, i, key.encode(), bytes(value), None, (1, 5)))
        for i, (key, value) in enumerate(zip(keys, values, strict=True))
    ]
    progress = {TopicPartition(TOPIC, partition): len(keys)} if keys else {}
    return Item(epoch, 10, [Read("executions", TOPIC, partition, records)] if keys else [], progress)


def test_every_kernel_hears_once_of_a_newer_epoch_before_its_first_work(
    pipeline: Pipeline, kernels: dict[str, RecordingKernel], codec: Any, engine: Any
) -> None:
    pipeline.run([item(codec, engine, "A|1")])
    pipeline.run([item(codec, engine, "A|2"), item(codec, engine, epoch=1)])
    assert kernels["own"].calls == [
        "epoch", {"records": [b"A|1"]}, {"records": [b"A|2"]}, "epoch", {},
    ]  # fmt: skip
    assert kernels["accounts"].calls == ["epoch", {"records": [b"A"]}, {"records": [b"A"]}, "epoch", {}]


def test_progress_and_arrival_times_go_to_the_committer_even_if_nothing_comes_of_them(
    pipeline: Pipeline, codec: Any, engine: Any
) -> None:
    [outcome] = pipeline.run([item(codec, engine, "A|1", "A|2"), item(codec, engine, "A|1", partition=2)])
    assert outcome.progress == {TopicPartition(TOPIC, 1): 2, TopicPartition(TOPIC, 2): 1}
    assert outcome.timestamps_ms.tolist() == [5, 5]


def test_an_exchange_brings_every_process_the_rows_of_its_key_groups_or_a_tick(
    pipeline: Pipeline, kernels: dict[str, RecordingKernel], codec: Any, engine: Any
) -> None:
    accounts = [b"%d" % number for number in range(20)]
    [work] = pipeline.read([item(codec, engine, *(f"{account.decode()}|1" for account in accounts))])
    parts = pipeline.parts(1, work)
    assert [key for key, _ in parts] == ["home-0", "home-1", "home-2"]
    for process, (_, part) in enumerate(parts):
        [gathered] = pipeline.gather(1, [part])
        pipeline.run_segment(1, gathered, exchanged=True)
        mine = [account for account in accounts if key_groups([account], 3)[0] == process]
        assert mine
        assert kernels["accounts"].calls[-1] == {"records": mine}


def test_a_tick_reaches_kernels_behind_an_exchange_so_that_their_timers_run(
    pipeline: Pipeline, kernels: dict[str, RecordingKernel], codec: Any, engine: Any
) -> None:
    [work] = pipeline.read([item(codec, engine, epoch=4)])
    [gathered] = pipeline.gather(1, [part for _, part in pipeline.parts(1, work)])
    pipeline.run_segment(1, gathered, exchanged=True)
    assert kernels["accounts"].calls == ["epoch", {}]


def test_processes_without_rows_are_told_the_time_now_and_then_and_by_every_tick(
    pipeline: Pipeline, codec: Any, engine: Any
) -> None:
    def told(now_ms: int, *keys: str, epoch: int) -> list[str]:
        [work] = pipeline.read([replace(item(codec, engine, *keys, epoch=epoch), now_ms=now_ms)])
        return [address for address, _ in pipeline.parts(1, work)]

    of_a, every = [f"home-{key_groups([b'A'], 3)[0]}"], ["home-0", "home-1", "home-2"]
    assert told(10_000, "A|1", epoch=0) == every, "it is the first work"
    assert told(10_000 + TICK_MS - 1, "A|1", epoch=1) == of_a
    assert told(10_000 + TICK_MS, "A|1", epoch=2) == every
    assert told(10_001 + TICK_MS, "A|1", epoch=3) == of_a
    assert told(10_002 + TICK_MS, epoch=4) == every, "a tick is there for the timers"
    assert told(10_001, "A|1", epoch=5) == every, "the clock was set back"


def test_in_a_whole_epoch_every_process_is_told_and_rows_wait_for_those_of_all_lanes(
    pipeline: Pipeline, kernels: dict[str, RecordingKernel], codec: Any, engine: Any
) -> None:
    def part_of_ours(sender: int, *keys: str, epoch: int) -> Any:
        [work] = pipeline.read([replace(item(codec, engine, *keys, epoch=epoch), lanes=2)])
        parts = pipeline.parts(1, work)
        assert len(parts) == 3
        return replace(parts[key_groups([b"A"], 3)[0]][1], sender=sender)

    for first, second in ((1, 0), (0, 1)):
        told = {sender: part_of_ours(sender, f"A|{sender}", epoch=first) for sender in (0, 1)}
        assert pipeline.gather(1, [told[first]]) == []
        [gathered] = pipeline.gather(1, [told[second]])
        assert gathered.lanes == 2
        assert gathered.streams["records@accounts"].record_keys == [b"A|0", b"A|1"], "whoever was first"
    assert pipeline.gather(1, [part_of_ours(0, epoch=2)]) == []
    [late] = pipeline.read([item(codec, engine, epoch=3)])
    with pytest.raises(AssertionError, match="before 3 never became complete"):
        pipeline.run_segment(0, late, exchanged=False)


def test_what_cannot_reach_its_process_is_not_lost_in_silence(pipeline: Pipeline, codec: Any, engine: Any) -> None:
    pipeline._exchange = Exchange(Agreement(0, 2))
    [work] = pipeline.read([item(codec, engine)])
    with pytest.raises(AssertionError, match="process 0, which cannot be reached yet"):
        pipeline.parts(1, work)


def test_a_tick_goes_on_through_a_later_exchange(pipeline: Pipeline, codec: Any, engine: Any) -> None:
    for epoch in (0, 1):
        [work] = pipeline.read([item(codec, engine, epoch=epoch)])
        [gathered] = pipeline.gather(1, [part for _, part in pipeline.parts(1, work)])
        assert gathered.ticks
    [work] = pipeline.read([item(codec, engine, "A|1", epoch=2)])
    [gathered] = pipeline.gather(1, [part for _, part in pipeline.parts(1, work)])
    assert not gathered.ticks


def test_a_row_whose_derived_key_cannot_hold_state_is_a_dead_letter_of_that_step(
    pipeline: Pipeline, kernels: dict[str, RecordingKernel], codec: Any, engine: Any
) -> None:
    [outcome] = pipeline.run([item(codec, engine, "A|1", "|2", "A|3")])
    assert kernels["own"].calls[1] == {"records": [b"A|1", b"|2", b"A|3"]}
    assert kernels["accounts"].calls[1] == {"records": [b"A", b"A"]}
    assert [(letter.step, letter.key, letter.offset) for letter in outcome.dead_letters] == [("accounts", b"|2", 1)]


def test_a_kernel_that_cannot_be_closed_keeps_no_other_from_closing(
    pipeline: Pipeline, kernels: dict[str, RecordingKernel]
) -> None:
    kernels["own"] = pipeline._kernels["own"] = RecordingKernel(closes=False)  # type: ignore[index]
    with pytest.raises(RuntimeError):
        pipeline.close(committed=True)
    assert [kernel.calls[-1] for kernel in kernels.values()] == [("close", True)] * 2


def columns(keys: list[bytes], groups: list[int]) -> Columns:
    records = [RecordCopy((TOPIC, 0, i, key, None, None, (0, 0))) for i, key in enumerate(keys)]
    batch = pa.RecordBatch.from_pydict({"number": pa.array(range(len(keys)), pa.int64())})
    return Columns(TOPIC, batch, keys, keys, np.array(groups, np.int64), np.zeros(len(keys), np.int64), Origin(records))


def test_behind_an_exchange_the_records_own_key_goes_where_a_producer_would_send_it() -> None:
    keys = [b"A|%d" % number for number in range(50)]
    rows, refused = keyed(step("own", "order", 4, exchanged=True), columns(keys, [9] * 50))
    assert (rows.groups.tolist(), refused) == ([partition_of(key, 4) for key in keys], [])
    rows, _ = keyed(step("own", "order", 4, exchanged=False), columns(keys, [2] * 50))
    assert rows.groups.tolist() == [2] * 50
