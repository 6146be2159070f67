"""An import reaches both topics, shows its progress, can be repeated, and makes sense to the domain rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from broker.contract import Log, TopicPartition
from operators.codec.codec import Codec
from services.imports import common, lobster
from services.imports.common import midnight_micros
from services.truth import Outputs, Truth
from services.truth_fees import FeeTable
from services.verdict import judge

SAMPLE = Path(__file__).parents[2] / "data" / "ABC_2026-06-11_34200000_57600000_message_10.csv"
Event = tuple[str, dict[str, Any]]


def test_everything_read_is_written_with_progress(log: Log, codec: Codec, read_all: Any) -> None:
    progress: list[tuple[int, int]] = []
    summary = common.write(
        log, codec, lobster.read(SAMPLE, batch_messages=5), lambda done, total: progress.append((done, total))
    )
    size = SAMPLE.stat().st_size
    assert len(read_all("orders.status")) == summary.statuses == 9
    assert len(read_all("orders.executions")) == summary.executions == 5
    assert summary.malformed == len(summary.malformed_first) == 3
    assert len(progress) == 4
    assert progress[-1] == (size, size)


def test_records_carry_their_key(log: Log, codec: Codec) -> None:
    common.write(log, codec, lobster.read(SAMPLE))
    reader = log.reader("test")
    reader.assign({TopicPartition("orders.status", number): 0 for number in range(2)})
    for record in reader.read(100, 1.0):
        assert record.key() == codec.decode_record("orders.status", record.value())["key"].encode()
    reader.close()


def test_only_the_first_malformed_places_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "MALFORMED_KEPT", 2)
    summary = common.ImportSummary()
    for batch in lobster.read(SAMPLE):
        summary.add(batch)
    assert summary.malformed == 3
    assert len(summary.malformed_first) == 2


@pytest.mark.parametrize("times", [1, 2])
def test_an_import_and_its_repetition_are_exact_for_the_domain_rules(
    times: int, order_status: Callable[[Iterable[Event]], list[Event]], fee_table: FeeTable
) -> None:
    events: list[Event] = []
    for _ in range(times):
        for batch in lobster.read(SAMPLE):
            events += [("orders.status", record) for record in batch.statuses]
            events += [("orders.executions", record) for record in batch.executions]
    truth, outputs = Truth(fee_table), Outputs()
    truth.add_statuses(record for topic, record in events if topic == "orders.status")
    truth.add_executions(record for topic, record in events if topic == "orders.executions")
    sent = order_status(events)
    outputs.add_statuses(record for topic, record in sent if topic == "orders.status")
    outputs.add_enriched(record for topic, record in sent if topic == "orders.enrichment")
    verdict = judge(truth.expected, outputs)
    assert verdict.exact, verdict.as_json()
    assert verdict.counts["enriched"] == 5
    assert verdict.counts["consolidated"] == 9 + 5


def test_midnight_follows_daylight_saving_time() -> None:
    hour = 3_600_000_000
    assert midnight_micros(date(2026, 6, 11)) % (24 * hour) == 4 * hour
    assert midnight_micros(date(2026, 12, 11)) % (24 * hour) == 5 * hour
