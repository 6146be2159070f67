"""From bytes to columns: what is kept, what is left out, what becomes a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import BrokenWorldError, UnknownSchemaError
from flows.catalog import SCHEMA_FOLDER
from operators.codec.schema import Schema
from operators.codec.sources import FolderSchemas
from operators.stream.decode import Decoder, FirstFieldFilter, SourceDecoder
from operators.stream.records import Read, RecordCopy

WANTED = "ORDER_STATUS_CHANGED"
NOW_MS = 1_790_000_000_000


def record(value: bytes | None, *, key: bytes | None = b"A|1", offset: int = 0) -> RecordCopy:
    return RecordCopy(("orders.executions", 1, offset, key, value, [("h", b"1")], (0, 0)))


class Schemas:
    """Knows schema 1, which opens with eventType, 2, which opens with another text, and 3, with a number."""

    def by_id(self, schema_id: int) -> Schema:
        fields = {
            1: [{"name": "eventType", "type": {"type": "string"}}, {"name": "rest", "type": "int"}],
            2: [{"name": "source", "type": "string"}, {"name": "eventType", "type": "string"}],
            3: [{"name": "eventType", "type": "int"}],
        }
        if schema_id not in fields:
            raise UnknownSchemaError(f"schema id {schema_id} is unknown")
        document = {"type": "record", "name": "R", "fields": fields[schema_id]}
        return Schema(schema_id, None, msgspec.json.encode(document).decode())

    def latest(self, subject: str) -> Schema:
        raise AssertionError(subject)

    registered: Any = latest


def opening(text: str, schema_id: int = 1) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + bytes([len(text) << 1]) + text.encode()


def kept(values: Sequence[bytes | None]) -> list[bytes | None]:
    return [r.value() for r in FirstFieldFilter("eventType", WANTED, Schemas())([record(value) for value in values])]


def test_records_that_plainly_open_with_another_text_are_left_out() -> None:
    wanted, other = opening(WANTED) + b"\x02", opening("ORDER_STATUS_CONSOLIDATED") + b"\x02"
    assert kept([wanted, other, opening("NEW" * 9) + b"\x02", other, wanted]) == [wanted, wanted]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\0\0\0\0",
        b"\x01" + opening("ORDER_ENRICHED_LONG_ENOUGH")[1:],
        opening("ORDER_ENRICHED_LONG_ENOUGH", schema_id=9),
        opening("ORDER_ENRICHED_LONG_ENOUGH", schema_id=2),
        opening("ORDER_ENRICHED_LONG_ENOUGH", schema_id=3),
        opening("ORDER_ENRICHED_LONG_ENOUGH")[:-1],
        opening("ORDER ENRICHED LONG ENOUGH"),
        opening("")[:5] + b"\x80\x01" + b"A" * 64,
    ],
)  # fmt: skip
def test_whatever_does_not_plainly_open_with_another_text_stays_in(value: bytes | None) -> None:
    assert kept([value]) == [value]


def test_a_cut_record_stays_in_even_after_a_whole_one_with_the_same_beginning() -> None:
    whole = opening("ORDER_STATUS_CONSOLIDATED") + b"\x02"
    assert kept([whole, whole[:28], whole]) == [whole[:28]]


@given(st.lists(st.binary(max_size=40) | st.builds(lambda a, b: opening(WANTED) + a + b, st.binary(), st.binary())))
def test_no_wanted_record_is_ever_left_out(values: list[bytes]) -> None:
    wanted = [value for value in values if value.startswith(opening(WANTED))]
    assert [value for value in kept(values) if value in wanted] == wanted  # type: ignore[operator]


@pytest.fixture
def decoder(codec: Any) -> Decoder:
    sources = [
        SourceDecoder("executions", "orders.executions"),
        SourceDecoder("status", "orders.status", {"eventType": WANTED}),
        SourceDecoder("trades", "orders.executions", {"execType": "TRADE"}),
    ]
    return Decoder(codec, FolderSchemas(SCHEMA_FOLDER), sources, lambda letter: letter)


def good(codec: Any, engine: Any, key: str = "A|1", **changes: Any) -> bytes:
    [value] = codec.encode_records(
        "orders.executions", [msgspec.to_builtins(engine.execution(key, 1, 1_500)) | changes]
    )
    return bytes(value)


def test_a_poison_record_costs_a_dead_letter_and_not_the_batch(decoder: Decoder, codec: Any, engine: Any) -> None:
    value = good(codec, engine)
    values = [value, None, value, b"\0poison", value[:-3], value]
    reads = [Read("executions", "orders.executions", 1, [record(v, offset=i) for i, v in enumerate(values)])]
    streams, dead = decoder(reads, now_ms=NOW_MS)
    columns = streams["executions"]
    assert [r.offset() for r in columns.origin.records] == [0, 2, 5]
    assert (columns.keys, columns.groups.tolist(), columns.times_ms.tolist()) == ([b"A|1"] * 3, [1] * 3, [1_500] * 3)
    assert [(letter.offset, letter.value, letter.step) for letter in dead] == [
        (1, None, "decode"), (3, b"\0poison", "decode"), (4, value[:-3], "decode"),
    ]  # fmt: skip
    assert dead[0].headers == [("h", b"1")]


@pytest.mark.parametrize("key", [None, b"", b"K" * 441, b"\0stream_time", b"A|\0", b"A|2", b"\xff\xfe"])
def test_a_record_whose_key_cannot_hold_its_state_is_a_dead_letter(
    decoder: Decoder, codec: Any, engine: Any, key: bytes | None
) -> None:
    named = "A|1" if key is None or key in (b"A|2", b"\xff\xfe") else key.decode()
    bad, ok = record(good(codec, engine, named), key=key), record(good(codec, engine), offset=1)
    streams, [letter] = decoder([Read("executions", "orders.executions", 1, [bad, ok])], now_ms=NOW_MS)
    assert (letter.offset, letter.key, letter.error) == (0, key, "InvalidRecordError")
    assert [r.offset() for r in streams["executions"].origin.records] == [1]


def test_a_condition_keeps_only_what_equals_it_and_never_what_is_null(
    decoder: Decoder, codec: Any, engine: Any
) -> None:
    records = [record(good(codec, engine, execType=kind), offset=i) for i, kind in enumerate(["TRADE", "NEW", "TRADE"])]
    streams, dead = decoder([Read("trades", "orders.executions", 1, records)], now_ms=NOW_MS)
    assert ([r.offset() for r in streams["trades"].origin.records], dead) == ([0, 2], [])
    streams, dead = decoder([Read("trades", "orders.executions", 1, records[1:2])], now_ms=NOW_MS)
    assert (streams, dead) == ({}, [])


def test_partitions_and_sources_are_kept_apart(decoder: Decoder, codec: Any, engine: Any) -> None:
    value = good(codec, engine)
    streams, _ = decoder(
        [
            Read("executions", "orders.executions", 0, [record(value)]),
            Read("trades", "orders.executions", 0, [record(value)]),
            Read("executions", "orders.executions", 3, [record(b"\0bad"), record(value)]),
        ],
        now_ms=NOW_MS,
    )
    assert {name: columns.groups.tolist() for name, columns in streams.items()} == {"executions": [0, 3], "trades": [0]}


def test_what_refuses_dead_letters_stops_the_batch(codec: Any) -> None:
    def stop(letter: Any) -> Any:
        raise BrokenWorldError(letter.message)

    sources = [SourceDecoder("executions", "orders.executions")]
    decoder = Decoder(codec, FolderSchemas(SCHEMA_FOLDER), sources, stop)
    with pytest.raises(BrokenWorldError):
        decoder([Read("executions", "orders.executions", 0, [record(b"\0bad")])], now_ms=NOW_MS)


def test_a_record_of_a_day_that_has_not_come_is_a_dead_letter_and_costs_nobody_else(codec: Any, engine: Any) -> None:
    sources = [SourceDecoder("trades", "orders.executions", {"execType": "TRADE"})]
    decoder = Decoder(codec, FolderSchemas(SCHEMA_FOLDER), sources, lambda letter: letter, event_ahead_max_ms=1_000)
    ahead = [(0, "TRADE"), (1_000, "TRADE"), (1_001, "TRADE"), (10**12, "TRADE"), (10**12, "NEW"), (-(10**12), "TRADE")]
    records = [
        record(good(codec, engine, execType=kind, occurredAt=(NOW_MS + ms) * 1_000), offset=i)
        for i, (ms, kind) in enumerate(ahead)
    ]
    streams, dead = decoder([Read("trades", "orders.executions", 1, records)], now_ms=NOW_MS)
    assert [r.offset() for r in streams["trades"].origin.records] == [0, 1, 5]
    assert [(letter.offset, letter.error, letter.step) for letter in dead] == [
        (2, "InvalidRecordError", "decode"), (3, "InvalidRecordError", "decode"),
    ]  # fmt: skip
    assert "1001 ms ahead" in dead[0].message
    assert "engine.event_ahead_max_ms allows 1000" in dead[0].message
