"""Columns and fastavro agree on every contract: what they write, what they read, and what they refuse."""

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import DecodeError
from operators.codec.wire import header

FOLDER = Path(__file__).parents[3] / "config" / "schemas"
TOPICS = sorted(subject.name.removesuffix("-value") for subject in FOLDER.glob("*-value"))

pytestmark = pytest.mark.parametrize("topic", TOPICS)
FUZZ = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(a, b) -> bool:
    """Equality in which NaN equals itself."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_columns_and_fastavro_write_and_read_the_same(topic, size, codec, records_of) -> None:
    @settings(FUZZ, max_examples=3 if size == 1000 else 25)
    @given(st.lists(records_of(topic), min_size=min(size, 8), max_size=min(size, 8)))
    def check(some) -> None:
        records = [some[i % len(some)] for i in range(size)]
        values = codec.encode_records(topic, records)
        decoded = codec.decode(topic, values)
        assert decoded.bad == []
        assert decoded.rows.tolist() == list(range(size))
        assert decoded.batch.schema == codec.arrow_schema(topic)
        assert same(decoded.batch.to_pylist(), records)
        assert codec.encode(topic, decoded.batch).to_pylist() == values
        assert same([codec.decode_record(topic, value) for value in values[:8]], records[:8])

    check()


def test_a_sliced_batch_is_encoded_as_its_own_rows(topic, codec, records_of) -> None:
    @FUZZ
    @given(st.lists(records_of(topic), min_size=4, max_size=4))
    def check(records) -> None:
        values = codec.encode_records(topic, records)
        assert codec.encode(topic, codec.decode(topic, values).batch.slice(1, 2)).to_pylist() == values[1:3]

    check()


def test_mutated_values_are_read_alike_in_columns_and_singly(topic, codec, schemas, records_of) -> None:
    """Any bytes after the header: both ways accept or both refuse, and what they accept they read alike."""

    @settings(FUZZ, max_examples=120)
    @given(st.data())
    def check(data) -> None:
        body = bytearray(codec.encode_records(topic, [data.draw(records_of(topic))])[0][5:])
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(body)))
            cut = data.draw(st.integers(0, 2))
            body[place : place + cut] = data.draw(st.binary(max_size=10))
        compare(codec, topic, schemas.latest(f"{topic}-value").id, bytes(body))

    check()


def test_random_bytes_are_read_alike_in_columns_and_singly(topic, codec, schemas) -> None:
    @settings(FUZZ, max_examples=80)
    @given(st.binary(max_size=120))
    def check(body) -> None:
        compare(codec, topic, schemas.latest(f"{topic}-value").id, body)

    check()


def compare(codec, topic: str, schema_id: int, body: bytes) -> None:
    value = header(schema_id) + body
    decoded = codec.decode(topic, [value])
    try:
        record = codec.decode_record(topic, value)
    except DecodeError:
        assert [i for i, _ in decoded.bad] == [0]
        assert decoded.batch.num_rows == 0
    else:
        assert decoded.bad == []
        assert same(decoded.batch.to_pylist(), [record])
