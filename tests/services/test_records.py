"""Rows through columns give the same bytes as records one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operators.codec.codec import Codec
from services.day import Day, generate_events, intents
from services.records import decode_rows, encode_rows

Said = Callable[[Any], Any]


@pytest.mark.parametrize("topic", ["orders.status", "orders.executions", "orders.input"])
def test_rows_through_columns_are_the_bytes_of_the_reference_and_come_back(
    codec: Codec, said: Said, topic: str
) -> None:
    rows = [record for of, record in generate_events(50, seed=2) if of == topic] or list(intents(Day(50, 2)))
    values = encode_rows(codec, topic, rows)
    assert values == codec.encode_records(topic, rows)
    decoded, refused = decode_rows(codec, topic, [*values, b"\x00"])
    assert (said(decoded), refused) == (said(rows), 1)
