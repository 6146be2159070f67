"""The ledger of the workload of many keys takes exactly what the flow makes of it, and names what is wrong."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from bench.engines import FLOW, ROOT
from bench.key_ledger import KeyLedger
from bench.key_workload import KeyWorkload
from bench.peers.harness import wire
from bench.peers.harness.cluster import ENRICHMENT, EXECUTIONS, STATUS
from bench.peers.harness.workload import Workload
from config.settings import Settings
from flows.catalog import EVENT_TYPES, SCHEMA_FOLDER
from flows.tester import FlowTester
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas

KEYS = 2_000
CACHE_ROWS = 1_000
TOUCHES = 12
"""More than a row keeps of an order's executions, so that some lie beside it."""


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)  # the topology names its fee table relative to it
    settings = Settings()
    settings = replace(settings, state=replace(settings.state, cache_rows=CACHE_ROWS))
    with FlowTester(ROOT / FLOW, settings=settings) as flow:
        yield flow


@pytest.fixture
def work() -> KeyWorkload:
    return KeyWorkload(KEYS)


def outputs_of(flow: FlowTester, work: Workload) -> list[bytes]:
    for topic, encoded in zip((STATUS, EXECUTIONS), wire.encode(work, work.events), strict=True):
        for key, value in zip(encoded.keys, encoded.values, strict=True):
            flow.send_bytes(topic, key, value)
    flow.run()
    codec = Codec.latest(FolderSchemas(SCHEMA_FOLDER), EVENT_TYPES)
    return list(codec.encode_records(ENRICHMENT, [msgspec.to_builtins(event) for event in flow.read(ENRICHMENT)]))


def with_enriched(value: bytes, **changes: object) -> bytes:
    codec = Codec.latest(FolderSchemas(SCHEMA_FOLDER), EVENT_TYPES)
    [changed] = codec.encode_records(ENRICHMENT, [{**codec.decode_record(ENRICHMENT, value), **changes}])
    return changed


def test_with_a_cache_of_half_the_orders_every_output_is_as_it_must_be(flow: FlowTester, work: KeyWorkload) -> None:
    ledger = KeyLedger(KEYS)
    ledger.take(outputs_of(flow, work.grow(KEYS // 2)))
    ledger.take(outputs_of(flow, work.grow(KEYS // 2)))
    for touch in range(TOUCHES):
        ledger.take(outputs_of(flow, work.touch_any(KEYS)))
        ledger.take(outputs_of(flow, work.touch_newest(CACHE_ROWS // 2, CACHE_ROWS // 2)))
        if touch == TOUCHES // 2:
            flow.crash()
    ledger.check_whole(work.fills)
    assert work.fills.sum() == KEYS + TOUCHES * (KEYS + CACHE_ROWS // 2)


def test_one_batch_may_tell_of_several_fills_of_an_order(flow: FlowTester, work: KeyWorkload) -> None:
    ledger = KeyLedger(KEYS)
    parts = [work.grow(100), work.touch_any(100), work.touch_any(50)]
    ledger.take([value for part in parts for value in outputs_of(flow, part)])
    ledger.check_whole(work.fills)


@pytest.fixture
def outputs(flow: FlowTester, work: KeyWorkload) -> Sequence[bytes]:
    """Two fills of each of ten orders, those of an order in turn."""
    return [*outputs_of(flow, work.grow(10)), *outputs_of(flow, work.touch_any(10))]


def test_an_output_that_comes_twice_is_named(outputs: Sequence[bytes]) -> None:
    with pytest.raises(RuntimeError, match="lastExecId of fill number: order"):
        KeyLedger(KEYS).take([*outputs, outputs[-1]])
    ledger = KeyLedger(KEYS)
    ledger.take(outputs)
    with pytest.raises(RuntimeError, match="lastExecId of fill number: order"):
        ledger.take([outputs[0]])


def test_fills_of_an_order_in_another_order_are_named(outputs: Sequence[bytes]) -> None:
    with pytest.raises(RuntimeError, match="20 outputs are wrong in their lastExecId"):
        KeyLedger(KEYS).take([*outputs[10:], *outputs[:10]])


def test_an_output_that_is_missing_at_the_end_is_named(outputs: Sequence[bytes], work: KeyWorkload) -> None:
    ledger = KeyLedger(KEYS)
    ledger.take(outputs[:-1])
    with pytest.raises(RuntimeError, match=r"1 outputs are wrong in their number of fills: order \d+: 1, due 2"):
        ledger.check_whole(work.fills)


@pytest.mark.parametrize("column", ["filledQuantity", "notional", "totalFees", "avgPrice", "lastQuantity", "lastPrice"])
def test_a_wrong_sum_is_named(outputs: Sequence[bytes], column: str) -> None:
    with pytest.raises(RuntimeError, match=f"1 outputs are wrong in their {column}: order"):
        KeyLedger(KEYS).take([*outputs[:-1], with_enriched(outputs[-1], **{column: 7})])


@pytest.mark.parametrize("sequence", [1, 2, 4])
def test_a_sequence_that_is_skipped_or_repeated_is_named(outputs: Sequence[bytes], sequence: int) -> None:
    with pytest.raises(RuntimeError, match=f"1 outputs are wrong in their sequence: order .*: {sequence}, due 3"):
        KeyLedger(KEYS).take([*outputs[:-1], with_enriched(outputs[-1], sequence=sequence)])


def test_nothing_to_take_is_no_mistake() -> None:
    ledger = KeyLedger(KEYS)
    ledger.take([])
    ledger.check_whole(np.zeros(KEYS, dtype=np.int64))
