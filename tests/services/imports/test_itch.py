"""Each ITCH message becomes what its type says, in both framings; damage is a value with its byte offset."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import UsageError
from services.imports import itch
from services.imports.common import Batch, ImportSummary

DAY = date(2026, 6, 11)
OPENING_NANOS = 34_200 * 10**9
OPENING = 1_781_184_600_000_000  # 2026-06-11T09:30:00 in New York
SAMPLE = Path(__file__).parents[2] / "data" / "ex20101224.TEST_ITCH_50"


def message(kind: str, nanos: int, body: bytes) -> bytes:
    return struct.pack(">cHH", kind.encode(), 1, 0) + nanos.to_bytes(6, "big") + body


def add(reference: int, side: str, shares: int, price: int, at: int = 0, mpid: bytes = b"") -> bytes:
    body = struct.pack(">Qc I8sI", reference, side.encode(), shares, b"ABC     ", price) + mpid
    return message("F" if mpid else "A", OPENING_NANOS + at, body)


def executed(reference: int, shares: int, match: int) -> bytes:
    return message("E", OPENING_NANOS, struct.pack(">QIQ", reference, shares, match))


def executed_with_price(reference: int, shares: int, match: int, printable: str, price: int) -> bytes:
    return message("C", OPENING_NANOS, struct.pack(">QIQcI", reference, shares, match, printable.encode(), price))


def cancel(reference: int, shares: int) -> bytes:
    return message("X", OPENING_NANOS, struct.pack(">QI", reference, shares))


def delete(reference: int) -> bytes:
    return message("D", OPENING_NANOS, struct.pack(">Q", reference))


def replace(reference: int, new_reference: int, shares: int, price: int) -> bytes:
    return message("U", OPENING_NANOS, struct.pack(">QQII", reference, new_reference, shares, price))


def hidden(shares: int, price: int, match: int) -> bytes:
    body = struct.pack(">QcI8sIQ", 0, b"B", shares, b"ABC     ", price, match)
    return message("P", OPENING_NANOS, body)


def prefixed(messages: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(m)) + m for m in messages)


def zeroed(messages: list[bytes]) -> bytes:
    return b"".join(b"\0\0" + m for m in messages)


Read = Callable[..., Batch]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads messages as one batch."""

    def reading(messages: list[bytes], framing: Callable[[list[bytes]], bytes] = prefixed, tail: bytes = b"") -> Batch:
        file = tmp_path / "06112026.NASDAQ_ITCH50"
        file.write_bytes(framing(messages) + tail)
        (batch,) = itch.read(file)
        return batch

    return reading


def told(batch: Batch) -> list[tuple[Any, ...]]:
    return [
        (s["key"].split("-")[-1], s["sequence"], s["status"]["code"], s["order"]["quantity"]) for s in batch.statuses
    ]


LIFE = [
    message("S", 0, b"O"),
    add(1, "B", 500, 1_000_000, at=1_999),
    add(2, "S", 100, 1_010_000, mpid=b"MPID"),
    executed(1, 100, 71),
    cancel(1, 150),
    executed_with_price(1, 50, 72, "N", 990_000),
    replace(1, 3, 400, 1_005_000),
    executed(3, 400, 73),
    delete(2),
    hidden(30, 1_001_000, 74),
]


@pytest.mark.parametrize("framing", [prefixed, zeroed])
def test_the_life_of_orders_is_told_in_both_framings(read: Read, framing: Callable[[list[bytes]], bytes]) -> None:
    batch = read(LIFE, framing)
    assert told(batch) == [
        ("1", 1, "NEW", 500),
        ("2", 1, "NEW", 100),
        ("1", 2, "PARTIALLY_FILLED", 350),
        ("1", 3, "PARTIALLY_FILLED", 550),
        ("2", 2, "CANCELED", 100),
        ("H74", 1, "NEW", 30),
    ]
    assert [(e["execId"], e["lastQuantity"], e["lastPrice"], e["leavesQuantity"]) for e in batch.executions] == [
        ("71", 100, 100_000_000, 400),
        ("72", 50, 99_000_000, 200),
        ("73", 400, 100_500_000, 0),
        ("74", 30, 100_100_000, 0),
    ]
    assert not batch.malformed
    assert not batch.anomalies


def test_a_replaced_order_keeps_its_identity_its_fills_and_its_benchmark(read: Read) -> None:
    batch = read(LIFE)
    replaced = batch.statuses[3]
    assert replaced["key"] == batch.statuses[0]["key"]
    assert replaced["status"]["reason"] == "REPLACED"
    assert replaced["status"]["filledQuantity"] == 150
    assert replaced["arrivalPrice"] == 100_000_000
    assert batch.executions[2]["key"] == replaced["key"]
    assert batch.executions[2]["cumQuantity"] == 550


def test_an_execution_in_a_cross_is_marked(read: Read) -> None:
    crossed = read(LIFE).executions[1]
    assert (crossed["text"], crossed["liquidity"]) == ("non-printable", "AUCTION")


def test_nanoseconds_of_the_day_become_microseconds_utc(read: Read) -> None:
    assert read(LIFE).statuses[0]["occurredAt"] == OPENING + 1


def test_a_cancel_of_all_that_is_open_ends_the_order(read: Read) -> None:
    batch = read([add(1, "B", 500, 1_000_000), cancel(1, 500), executed(1, 1, 9)])
    assert told(batch)[-1] == ("1", 2, "CANCELED", 500)
    assert batch.anomalies == {"unknown_order_E": 1}


def test_messages_on_unknown_orders_are_counted_and_not_passed_on(read: Read) -> None:
    batch = read(
        [executed(9, 1, 1), executed_with_price(9, 1, 2, "Y", 3), cancel(9, 1), delete(9), replace(9, 10, 1, 1)]
    )
    assert batch.anomalies == {f"unknown_order_{kind}": 1 for kind in "ECXDU"}
    assert not batch.statuses
    assert not batch.executions


def test_an_execution_beyond_the_quantity_is_an_anomaly_and_passed_on(read: Read) -> None:
    batch = read([add(1, "B", 100, 1_000_000), executed(1, 150, 1)])
    assert batch.anomalies == {"execution_beyond_quantity": 1}
    assert batch.executions[0]["cumQuantity"] == 150


def test_broken_trades_and_impossible_adds_are_anomalies(read: Read) -> None:
    broken = message("B", OPENING_NANOS, struct.pack(">Q", 71))
    batch = read([add(1, "B", 0, 1), add(2, "?", 5, 1), add(3, "B", 5, 1), add(3, "B", 5, 1), broken])
    assert batch.anomalies == {"add_without_terms": 2, "add_of_live_order": 1, "broken_trade": 1}


def test_other_messages_are_skipped_by_their_length(read: Read) -> None:
    quiet = [
        message(chr(kind), 0, bytes(length - 11)) for kind, length in itch.LENGTHS.items() if chr(kind) in "YLVWKJhQINO"
    ]
    batch = read([*quiet, add(1, "B", 5, 10)], zeroed)
    assert batch.messages.total() == len(quiet) + 1
    assert len(batch.statuses) == 1


def test_a_longer_message_of_a_later_version_is_read_by_its_length_prefix(read: Read) -> None:
    batch = read([add(1, "B", 5, 10) + b"new", message("~", 0, b"unknown type"), delete(1)])
    assert told(batch) == [("1", 1, "NEW", 5), ("1", 2, "CANCELED", 5)]


def test_the_empty_message_at_the_end_of_a_distributed_file_is_no_damage(read: Read) -> None:
    assert not read([add(1, "B", 5, 10)], tail=b"\0\0").malformed


@pytest.mark.parametrize("framing", [prefixed, zeroed])
def test_a_cut_tail_is_named_by_its_offset(read: Read, framing: Callable[[list[bytes]], bytes]) -> None:
    whole = framing([add(1, "B", 5, 10)])
    batch = read([add(1, "B", 5, 10)], framing, tail=framing([delete(1)])[:-3])
    assert [bad.byte_offset for bad in batch.malformed] == [len(whole)]
    assert len(batch.statuses) == 1


@pytest.mark.parametrize(("framing", "tail"), [(prefixed, b"\0\x05Axxxx"), (zeroed, b"\0\0~xxxx"), (zeroed, b"zzzzz")])
def test_damage_ends_the_import_with_its_offset(
    read: Read, framing: Callable[[list[bytes]], bytes], tail: bytes
) -> None:
    whole = framing([add(1, "B", 5, 10)])
    batch = read([add(1, "B", 5, 10)], framing, tail)
    assert [bad.byte_offset for bad in batch.malformed] == [len(whole)]
    assert len(batch.statuses) == 1


def test_a_compressed_file_reads_the_same_and_one_cut_short_says_so(tmp_path: Path, read: Read) -> None:
    content = gzip.compress(prefixed(LIFE))
    file = tmp_path / "06112026.NASDAQ_ITCH50.gz"
    file.write_bytes(content)
    (batch,) = itch.read(file)
    assert told(batch) == told(read(LIFE))
    assert batch.bytes_done == batch.bytes_total == len(content)
    file.write_bytes(content[:-6])
    (cut,) = itch.read(file)
    assert len(cut.malformed) == 1
    assert "compressed data ends" in cut.malformed[0].reason


def test_batches_have_the_size_asked_for_across_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    monkeypatch.setattr(itch, "READ_BYTES", 50)
    file = tmp_path / "06112026.NASDAQ_ITCH50"
    file.write_bytes(prefixed(LIFE))
    batches = list(itch.read(file, batch_messages=4))
    assert [batch.messages.total() for batch in batches] == [4, 4, 2]
    whole = read(LIFE)
    assert [status for batch in batches for status in batch.statuses] == whole.statuses
    assert [execution for batch in batches for execution in batch.executions] == whole.executions


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("01302019.NASDAQ_ITCH50", date(2019, 1, 30)),
        ("20190130.BX_ITCH_50.gz", date(2019, 1, 30)),
        ("ex20101224.TEST_ITCH_50", date(2010, 12, 24)),
        ("12302019.NASDAQ_ITCH50", date(2019, 12, 30)),
        ("99999999.NASDAQ_ITCH50", None),
        ("day.itch", None),
    ],
)
def test_the_date_comes_from_the_name(name: str, expected: date | None) -> None:
    assert itch.date_of_name(name) == expected


def test_a_name_without_date_needs_the_option(tmp_path: Path) -> None:
    file = tmp_path / "day.itch"
    file.write_bytes(prefixed(LIFE))
    with pytest.raises(UsageError, match=r"day\.itch"):
        itch.read(file)
    assert next(itch.read(file, DAY)).executions[0]["tradeDate"] == (DAY - date(1970, 1, 1)).days


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([prefixed([m]) for m in LIFE])), max_size=8))
def test_no_content_is_a_crash(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    file = tmp_path_factory.getbasetemp() / "06112026.NASDAQ_ITCH50"
    file.write_bytes(b"".join(pieces))
    batches = list(itch.read(file))
    assert sum(len(batch.malformed) for batch in batches) <= 1


def test_the_sample_file_gives_the_published_counts() -> None:
    summary = ImportSummary()
    for batch in itch.read(SAMPLE):
        summary.add(batch)
    counts = {"A": 4_997, "F": 3, "E": 198, "X": 45, "D": 1_745, "U": 12, "P": 5_000, "S": 6, "R": 3, "H": 3}
    assert summary.messages == counts
    assert summary.anomalies == {
        "unknown_order_D": 94,
        "unknown_order_E": 18,
        "unknown_order_X": 3,
        "unknown_order_U": 2,
    }
    assert summary.statuses == 5_000 + 5_000 + (45 - 3) + (1_745 - 94) + (12 - 2)
    assert summary.executions == 5_000 + 198 - 18
    assert summary.malformed == 0
