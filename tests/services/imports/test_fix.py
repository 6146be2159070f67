"""Two days of a desk's FIX logs become what happened to its orders; what is damaged is kept as dead letters."""

from __future__ import annotations

import gzip
import io
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.contract import Log, TopicPartition
from config.topics import DEAD_LETTER_TOPIC
from operators.codec.codec import Codec
from services.fix.chains import Naming
from services.imports import common, fix
from services.imports.common import Batch
from services.imports.fix import Options

DATA = Path(__file__).parents[2] / "data"
FIX_42 = DATA / "DESK-XNYS_FIX.4.2_2026-11-19.messages.log"
FIX_44 = DATA / "fix-engine_2026-11-20.log"


def imported(path: Path, options: Options | None = None) -> Batch:
    [batch] = fix.read(path, options)
    return batch


@pytest.fixture(scope="module")
def days() -> tuple[Batch, Batch]:
    return imported(FIX_42), imported(FIX_44)


def events(batch: Batch, key: str) -> list[str]:
    """Statuses and executions of an order in short: status code with quantity, execution type with its quantity."""
    said = [f"{each['status']['code']} {each['order']['quantity']}" for each in batch.statuses if each["key"] == key]
    told = [f"{each['execType']} {each['lastQuantity']}" for each in batch.executions if each["key"] == key]
    return [*said, *told]


@pytest.mark.parametrize(
    ("day", "key", "expected"),
    [
        (0, "ALPHA|A1", "PENDING_NEW 1000, NEW 1000, PENDING_NEW 0, NEW 0, TRADE 300, TRADE 700, TRADE 300"),
        (
            0,
            "ALPHA|A2",
            (
                "PENDING_NEW 500, NEW 500, PENDING_REPLACE 800, REPLACED 800, PENDING_CANCEL 800, "
                "PARTIALLY_FILLED 800, PENDING_CANCEL 800, CANCELED 800, NEW 0, PENDING_REPLACE 0, TRADE 100, "
                "REPLACED 0, TRADE 250, CANCEL_REJECTED 0, PENDING_CANCEL 0, CANCELED 0"
            ),
        ),
        (
            0,
            "BETA|A3",
            (
                "PENDING_NEW 400, NEW 400, NEW 0, TRADE 200, TRADE 200, TRADE_CORRECT 200, TRADE_CANCEL 200, "
                "ORDER_STATUS 0"
            ),
        ),
        (0, "ALPHA|A4", "PENDING_NEW 100000, REJECTED 100000, REJECTED 0"),
        (
            0,
            "ALPHA|A5",
            ("PENDING_NEW 2000, NEW 2000, DONE_FOR_DAY 2000, NEW 0, TRADE 500, TRADE 200, DONE_FOR_DAY 0"),
        ),
        (1, "ALPHA|A5", "PARTIALLY_FILLED 2000, CANCELED 2000, TRADE 300, CANCELED 0"),
        (
            1,
            "ALPHA|B1",
            (
                "PENDING_NEW 600, NEW 600, REPLACED 900, PENDING_REPLACE 200, REPLACED 250, PENDING_CANCEL 250, "
                "FILLED 250, NEW 0, TRADE 100, TRADE 150, REPLACED 0, CANCEL_REJECTED 0"
            ),
        ),
        (
            1,
            "ALPHA|B2",
            (
                "PENDING_NEW 100, PENDING_CANCEL 100, PENDING_NEW 100, NEW 100, EXPIRED 100, CANCEL_REJECTED 0, NEW 0, "
                "ORDER_STATUS 0, REJECTED 0, EXPIRED 0"
            ),
        ),
        (
            1,
            "ALPHA|B3",
            (
                "PENDING_NEW 300, NEW 300, SUSPENDED 300, NEW 300, CANCELED 300, NEW 0, TRADE 100, TRADE_CORRECT 90, "
                "TRADE_CORRECT 90, TRADE_CANCEL 90, SUSPENDED 0, RESTATED 0, CANCELED 0"
            ),
        ),
    ],
)
def test_what_happened_to_each_order(days: tuple[Batch, Batch], day: int, key: str, expected: str) -> None:
    assert ", ".join(events(days[day], key)) == expected


def test_nothing_else_came_of_the_logs(days: tuple[Batch, Batch]) -> None:
    keys = [{each["key"] for each in [*day.intents, *day.statuses, *day.executions]} for day in days]
    assert [sorted(key.partition("|")[2] for key in day) for day in keys] == [
        ["A1", "A2", "A3", "A4", "A5"],
        ["A5", "B1", "B2", "B3"],
    ]


def test_every_message_is_counted_by_its_type(days: tuple[Batch, Batch]) -> None:
    assert days[0].messages == Counter(
        ExecutionReport=23, NewOrderSingle=5, Logon=4, Heartbeat=3, OrderCancelRequest=2, OrderCancelReplaceRequest=1,
        OrderCancelReject=1, Reject=1, BusinessMessageReject=1, ResendRequest=1, Logout=1,
    )  # fmt: skip
    assert days[0].anomalies == Counter(session_reject=1, business_reject=1, repeated_tag=1, wrong_checksum=1)
    assert days[1].anomalies == Counter(unknown_liquidity=1)
    assert days[1].messages["other_text"] == 1


def test_sequences_have_no_gap_per_order(days: tuple[Batch, Batch]) -> None:
    for day in days:
        for records in (day.intents, day.statuses, day.executions):
            by_order: dict[str, list[int]] = {}
            for record in records:
                by_order.setdefault(record["key"], []).append(record["sequence"])
            assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_order.values())


def test_damage_becomes_dead_letters_with_place_and_reason(days: tuple[Batch, Batch]) -> None:
    content = FIX_42.read_bytes()
    junk = content.index(b"\x00\x01\x02")
    offsets = [content.rindex(b"8=FIX", 0, junk), junk, content.index(b"8=FIX", junk)]
    assert [(letter.topic, letter.partition, letter.offset) for letter in days[0].letters] == [
        (FIX_42.name, 0, offset) for offset in offsets
    ]
    assert [(letter.error, letter.message) for day in days for letter in day.letters] == [
        ("DecodeError", "line 43: it is cut off: no CheckSum(10) before its line ends"),
        ("DecodeError", "line 44: no message starts here, but these are not a log's own words"),
        ("InvalidRecordError", "line 45: tag 32 occurs more than once, with different values"),
        ("InvalidRecordError", "line 31: tag 32: '0.5' is no whole number of units"),
        ("InvalidRecordError", "line 32: Side(54)=8 is not one that the rules know"),
    ]
    for day in days:
        assert [(bad.byte_offset, bad.reason) for bad in day.malformed] == [
            (letter.offset, letter.message) for letter in day.letters
        ]


def test_no_user_leaves_the_log_in_clear(days: tuple[Batch, Batch]) -> None:
    assert b"jdoe" in FIX_42.read_bytes()
    for day in days:
        assert "jdoe" not in str(day)
        assert {each["userToken"] for each in day.intents} == {day.intents[0]["userToken"]}
    keyed = imported(FIX_42, Options(token_key=b"secret"))
    assert keyed.intents[0]["userToken"] != days[0].intents[0]["userToken"]


@pytest.mark.parametrize("separator", ["\x01", "|", ";", "^A"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "|"])
def test_names_and_secrets_are_masked(separator: str, end: str) -> None:
    fields = ["35=A", "50=j. doe, jr", "553=jdoe", "554=a|b;c", "150=F", "925=x"]
    shown = [text if "=" not in text or text[:2] in ("35", "15") else text.split("=")[0] + "=***" for text in fields]
    piece = fix.masked((separator.join(fields) + separator + end).encode()).decode()
    assert piece.startswith(separator.join(shown))
    assert fix.masked((separator.join(fields) + end).encode()).decode().startswith(separator.join(shown))


def test_details_of_a_second_day(days: tuple[Batch, Batch]) -> None:
    fill, canceled = [each for each in days[1].executions if each["key"] == "ALPHA|A5"]
    assert fill["day"] == {"tradeDate": 20_777, "orderQuantity": 1300, "filledQuantity": 300, "avgPrice": 12_600_000}
    assert (canceled["restatementReason"], canceled["text"]) == ("BROKER_OPTION", "account under review")
    assert [each["status"]["day"] is None for each in days[1].statuses if each["key"] == "ALPHA|A5"] == [False, False]


def test_a_resent_execution_keeps_its_identity(days: tuple[Batch, Batch]) -> None:
    first, again = [each for each in days[0].executions if each["execId"] == "X3"]
    changed = {name for name in first if first[name] != again[name]}
    assert changed == {"possResend", "sequence"}


@pytest.mark.parametrize("separator", [b"|", b";", b"^A"])
def test_the_separator_makes_no_difference(days: tuple[Batch, Batch], tmp_path: Path, separator: bytes) -> None:
    log = tmp_path / FIX_42.name
    log.write_bytes(FIX_42.read_bytes().replace(b"\x01", separator))
    other = imported(log)
    # Raw data with separators in it, and junk with SOH, read differently where the log shows another separator.
    assert (other.intents, other.statuses, other.executions) == (days[0].intents, days[0].statuses, days[0].executions)
    assert [letter.message[:20] for letter in other.letters] == [letter.message[:20] for letter in days[0].letters]


def test_compressed_files_standard_input_and_small_batches_give_the_same(
    days: tuple[Batch, Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed = tmp_path / f"{FIX_44.name}.gz"
    compressed.write_bytes(gzip.compress(FIX_44.read_bytes()))
    assert imported(compressed).executions == days[1].executions
    parts = list(fix.read(FIX_44, batch_messages=3))
    assert [each for part in parts for each in part.statuses] == days[1].statuses
    for content in (FIX_44.read_bytes(), compressed.read_bytes()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        piped = imported(common.STANDARD_INPUT, Options(name=FIX_44.name))
        assert (piped.executions, piped.intents) == (days[1].executions, days[1].intents)
        assert piped.bytes_done == piped.bytes_total == len(FIX_44.read_bytes())


def test_a_damaged_gzip_file_ends_with_its_cause(tmp_path: Path) -> None:
    compressed = tmp_path / "day.log.gz"
    compressed.write_bytes(gzip.compress(FIX_44.read_bytes())[:500])
    assert "damaged" in imported(compressed).malformed[-1].reason


def test_strict_refuses_messages_with_wrong_sums() -> None:
    strict = imported(FIX_42, Options(strict=True))
    assert [letter.message for letter in strict.letters][-1] == "line 46: CheckSum(10) or BodyLength(9) is wrong"
    assert len(strict.letters) == 4


def test_only_the_sessions_asked_for_are_read() -> None:
    assert imported(FIX_44, Options(counterparties={"XNYS"})).executions
    nothing = imported(FIX_44, Options(counterparties={"XNAS"}))
    assert not nothing.executions
    assert not nothing.intents
    assert nothing.messages["other_session"] > 20


def test_account_venue_and_prefix_are_options() -> None:
    naming = Naming(account="HOUSE", venue="XBOS", prefix="20261119-")
    first = imported(FIX_42, Options(naming=naming)).executions[0]
    assert (first["key"], first["venue"]) == ("ALPHA|20261119-A1", "XBOS")


def test_records_and_dead_letters_reach_the_log(
    log: Log, codec: Codec, read_all: Callable[[str], list[dict[str, Any]]], days: tuple[Batch, Batch]
) -> None:
    summary = common.write(log, codec, fix.read(FIX_42))
    assert (summary.intents, summary.statuses, summary.executions, summary.dead_letters) == (8, 17, 24, 3)
    for topic, records in (("orders.input", days[0].intents), ("orders.executions", days[0].executions)):
        assert sorted(read_all(topic), key=str) == sorted(records, key=str)
    letters = []
    reader = log.reader("test")
    reader.assign({TopicPartition(DEAD_LETTER_TOPIC, number): 0 for number in range(2)})
    while records := reader.read(100, 0.2):
        letters += [dict(record.headers() or ()) for record in records]
    reader.close()
    by_offset = {int(letter["__streams.errors.offset"] or b"0"): letter for letter in letters}
    assert sorted(by_offset) == [letter.offset for letter in days[0].letters]
    first = by_offset[days[0].letters[0].offset]
    assert first["__streams.errors.topic"] == FIX_42.name.encode()
    assert first["__streams.errors.partition"] == b"0"
    assert first["orderflow.flow"] == b"import"
