"""Dead letters are listed with their reasons and shown whole."""

import json
import time
from datetime import datetime

import pytest

from config.topics import DEAD_LETTER_TOPIC


@pytest.fixture
def letters(run, log):
    """Two dead letters: bytes that are no record, and a good record on which logic failed."""
    run("topics", "create")
    good = '{"eventType":"ORDER_ENRICHED","version":1,"occurredAt":"2026-11-20T14:30:02Z","key":"A|O","symbol":"MSFT",'
    good += '"side":"BUY","filledQuantity":1,"sequence":1,"source":"s"}\n'
    assert run("produce", "orders.enrichment", stdin=good).exit_code == 0
    from broker.contract import TopicPartition

    reader = log.reader("test")
    reader.assign({TopicPartition("orders.enrichment", number): 0 for number in range(4)})
    (record,) = reader.read(1, 5.0)
    reader.close()
    producer = log.producer("test")
    for value, topic, step, error, message in (
        (b"\xff\x00bad", "orders.status", "", "DecodeError", "the first byte is 0xff"),
        (record.value(), "orders.enrichment", "positions", "ValueError", "no mark"),
    ):
        headers = {
            "__streams.errors.exception": error,
            "__streams.errors.message": message,
            "__streams.errors.stacktrace": "",
            "__streams.errors.topic": topic,
            "__streams.errors.partition": "2",
            "__streams.errors.offset": "41",
            "orderflow.flow": "views",
            "orderflow.step": step,
        }
        encoded = [(name, text.encode()) for name, text in headers.items()]
        producer.send(DEAD_LETTER_TOPIC, b"A|O", value, headers=encoded, partition=0)
    producer.flush()
    producer.close()


@pytest.mark.usefixtures("letters")
def test_list_tells_where_and_why(run):
    before = time.time()
    lines = run("dlq", "list").stdout.splitlines()
    assert lines[0].split() == ["TIME", "POSITION", "SOURCE", "FLOW", "STEP", "EXCEPTION", "MESSAGE"]
    written, *told = lines[1].split(maxsplit=6)
    assert before - 60 < datetime.fromisoformat(written).timestamp() <= before
    assert told == [
        "orders.dlq-0-0",
        "orders.status-2-41",
        "views",
        "-",
        "DecodeError",
        "the first byte is 0xff",
    ]
    assert lines[2].split()[2:6] == ["orders.enrichment-2-41", "views", "positions", "ValueError"]


@pytest.mark.usefixtures("letters")
def test_list_can_be_narrowed_and_read_by_machines(run):
    result = run("dlq", "list", "--topic", "orders.enrichment", "--format", "json")
    (letter,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert letter["position"] == "orders.dlq-0-1"
    assert letter["time"].endswith("Z")
    assert letter["headers"]["__streams.errors.message"] == "no mark"
    assert run("dlq", "list", "--flow", "other").stdout.splitlines()[1:] == []


@pytest.mark.usefixtures("letters")
def test_show_prints_bytes_that_are_no_record_in_hexadecimal(run):
    lines = run("dlq", "show", "orders.dlq-0-0").stdout.splitlines()
    assert "__streams.errors.exception: DecodeError" in lines
    assert "key: A|O" in lines
    assert "value: ff00626164 (5 bytes)" in lines


@pytest.mark.usefixtures("letters")
def test_show_finds_a_letter_by_the_failed_records_position_and_decodes_it(run):
    lines = run("dlq", "show", "orders.enrichment-2-41").stdout.splitlines()
    (value,) = [line.removeprefix("value: ") for line in lines if line.startswith("value: ")]
    assert json.loads(value)["symbol"] == "MSFT"


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("position", "code", "message"),
    [("orders.dlq-0-9", 1, "there is no dead letter"), ("orders.dlq", 2, "is no position")],
)
def test_a_position_without_a_letter_is_not_found_and_what_is_no_position_is_wrong_usage(run, position, code, message):
    result = run("dlq", "show", position)
    assert result.exit_code == code
    assert message in result.stderr


def test_list_is_ordered_by_time_over_all_partitions(run, log):
    run("topics", "create")
    now_ms = time.time_ns() // 1_000_000
    producer = log.producer("test")
    for partition, age_ms in ((1, 1_000), (0, 2_000), (2, 3_000)):
        written_ms = now_ms - age_ms
        producer.send(DEAD_LETTER_TOPIC, b"A|O", b"bad", headers=[], partition=partition, timestamp_ms=written_ms)
    producer.flush()
    producer.close()
    listed = [json.loads(line) for line in run("dlq", "list", "--format", "json").stdout.splitlines()]
    assert [letter["position"] for letter in listed] == ["orders.dlq-2-0", "orders.dlq-0-0", "orders.dlq-1-0"]
    times = [datetime.fromisoformat(letter["time"]).timestamp() for letter in listed]
    assert times == pytest.approx([now_ms / 1e3 - age_s for age_s in (3, 2, 1)])
