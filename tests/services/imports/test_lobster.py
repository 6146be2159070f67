"""Each LOBSTER message becomes what its type says; odd orders are anomalies and odd lines malformed, never crashes."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import UsageError
from operators.codec.codec import Codec
from services.imports import lobster
from services.imports.common import Batch, ImportSummary
from services.records import encode_rows

SAMPLE = Path(__file__).parents[2] / "data" / "ABC_2026-06-11_34200000_57600000_message_10.csv"
OPENING = 1_781_184_600_000_000  # 2026-06-11T09:30:00 in New York


@pytest.fixture(scope="module")
def batch() -> Batch:
    (batch,) = lobster.read(SAMPLE)
    return batch


def of_order(records: list[dict], order_id: str) -> list[dict]:  # type: ignore[type-arg]
    return [record for record in records if record["key"].endswith(f"-{order_id}")]


def test_symbol_and_date_come_from_the_name(batch: Batch) -> None:
    assert batch.statuses[0]["order"]["symbol"] == "ABC"
    assert batch.executions[0]["tradeDate"] == (date(2026, 6, 11) - date(1970, 1, 1)).days


def test_time_is_cut_to_microseconds_and_price_is_in_millionths(batch: Batch) -> None:
    assert batch.statuses[0]["occurredAt"] == OPENING + 4_241
    assert batch.statuses[0]["arrivalPrice"] == 585_930_000


def test_the_life_of_an_order_is_told_in_statuses_and_trades(batch: Batch) -> None:
    told = [
        (s["sequence"], s["status"]["code"], s["order"]["quantity"], s["status"]["filledQuantity"])
        for s in of_order(batch.statuses, "1001")
    ]
    assert told == [(1, "NEW", 300, 0), (2, "PARTIALLY_FILLED", 220, 120)]
    trades = [
        (e["sequence"], e["lastQuantity"], e["cumQuantity"], e["leavesQuantity"], e["ordStatus"])
        for e in of_order(batch.executions, "1001")
    ]
    assert trades == [(1, 120, 120, 180, "PARTIALLY_FILLED"), (2, 100, 220, 0, "FILLED")]


def test_a_deletion_is_a_cancel_of_the_whole_quantity(batch: Batch) -> None:
    last = of_order(batch.statuses, "1002")[-1]
    assert (last["status"]["code"], last["order"]["quantity"], last["status"]["leavesQuantity"]) == ("CANCELED", 100, 0)


def test_a_hidden_execution_is_an_order_of_its_own(batch: Batch) -> None:
    (status,) = of_order(batch.statuses, "H7")
    (trade,) = of_order(batch.executions, "H7")
    assert (status["status"]["code"], status["order"]["quantity"], status["order"]["side"]) == ("NEW", 45, "SELL")
    assert (trade["lastQuantity"], trade["ordStatus"]) == (45, "FILLED")


def test_orders_that_were_never_submitted_are_adopted_with_what_their_events_prove(batch: Batch) -> None:
    trades = of_order(batch.executions, "900")
    assert [(e["orderQuantity"], e["cumQuantity"]) for e in trades] == [(30, 30), (50, 50)]
    (ended,) = of_order(batch.statuses, "900")
    assert (ended["status"]["code"], ended["order"]["quantity"], ended["status"]["filledQuantity"]) == (
        "CANCELED",
        100,
        50,
    )
    assert batch.anomalies == {
        "execution_of_unknown_order": 2,
        "delete_of_unknown_order": 2,
        "partial_cancel_of_unknown_order": 1,
    }
    assert not of_order(batch.statuses, "902")


def test_bad_lines_are_named_by_byte_and_line(batch: Batch) -> None:
    offset = SAMPLE.read_bytes().index(b"this line")
    assert batch.malformed[0].byte_offset == offset
    assert [bad.reason.split(":")[0] for bad in batch.malformed] == ["line 17", "line 18", "line 19"]


def test_messages_are_counted_by_kind(batch: Batch) -> None:
    assert batch.messages == {
        "submit": 3,
        "partial_cancel": 3,
        "delete": 3,
        "execute": 4,
        "execute_hidden": 1,
        "cross": 1,
        "halt": 1,
    }


def test_a_compressed_file_reads_the_same_in_small_batches(tmp_path: Path, batch: Batch) -> None:
    packed = tmp_path / f"{SAMPLE.name}.gz"
    packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    batches = list(lobster.read(packed, batch_messages=3))
    assert len(batches) > 3
    assert [status for part in batches for status in part.statuses] == batch.statuses
    assert [execution for part in batches for execution in part.executions] == batch.executions
    assert batches[-1].bytes_done == batches[-1].bytes_total == packed.stat().st_size


def test_a_name_without_symbol_and_date_needs_options(tmp_path: Path) -> None:
    file = tmp_path / "messages.csv"
    file.write_bytes(SAMPLE.read_bytes())
    with pytest.raises(UsageError, match=r"messages\.csv"):
        lobster.read(file)
    assert next(lobster.read(file, date(2026, 6, 11), "XYZ")).statuses[0]["order"]["symbol"] == "XYZ"


def test_accounts_follow_from_the_order_alone(batch: Batch) -> None:
    accounts: dict[str, set[str]] = {}
    for record in [*batch.statuses, *batch.executions]:
        account, order = record["key"].split("|")
        accounts.setdefault(order, set()).add(account)
    assert all(len(found) == 1 for found in accounts.values())
    assert Counter(len(account) for found in accounts.values() for account in found) == {8: len(accounts)}


@given(st.binary(max_size=300))
def test_no_content_is_a_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "ABC_2026-06-11_1_2_message_1.csv"
    file.write_bytes(content)
    summary = ImportSummary()
    for part in lobster.read(file):
        summary.add(part)
    assert summary.malformed + summary.messages.total() <= content.count(b"\n") + 1


NUMBERS = st.one_of(st.integers(-2, 5), st.integers(-(2**70), 2**70))
LINES = st.tuples(
    st.sampled_from(["34200.5", "0", "86399.999999", "86400", "-1"]), *[NUMBERS] * 4, st.sampled_from([1, -1])
)


@given(st.lists(LINES, max_size=6))
def test_whatever_numbers_a_line_has_its_records_fit_their_contract(
    tmp_path_factory: pytest.TempPathFactory, codec: Codec, lines: list[tuple[object, ...]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "ABC_2026-06-11_1_2_message_1.csv"
    file.write_text("\n".join(",".join(map(str, line)) for line in lines))
    for batch in lobster.read(file):
        for topic, rows in (("orders.status", batch.statuses), ("orders.executions", batch.executions)):
            assert len(encode_rows(codec, topic, rows)) == len(rows)
