"""Keys and key groups: where state lies may never change."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from operators.model.events import EventType, OrderStatusChanged, OrderSummary, StatusDetail
from operators.stream.keys import KEYS, key_groups
from operators.stream.records import Columns, Origin


def columns(batch: pa.RecordBatch, keys: list[bytes]) -> Columns:
    zeros = np.zeros(len(keys), np.int64)
    return Columns("topic", batch, keys, keys, zeros, zeros, Origin([]))


def test_key_groups_are_part_of_stored_state() -> None:
    keys = [b"ACC00001", b"ACC00042|MSFT", b"MSFT|XNAS", "Zürich".encode()]
    assert key_groups(keys, 32).tolist() == [2, 27, 26, 30]
    assert key_groups(keys, 32).tolist() == [zlib.crc32(key) % 32 for key in keys]
    assert key_groups([], 32).tolist() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("account", [b"A1", b"A2"]),
        ("account_symbol", [b"A1|MSFT", b"A2|"]),
        ("symbol_venue", [b"MSFT|XNAS", b"|"]),
        ("stp_group_symbol", [b"G|MSFT", b"G|"]),
        ("firm", [b"FIRM", b"FIRM"]),
    ],
)
def test_keys_of_flat_records(name: str, expected: list[bytes]) -> None:
    batch = pa.RecordBatch.from_pydict({"symbol": ["MSFT", None], "venue": ["XNAS", None], "stpGroup": ["G", "G"]})
    assert KEYS[name](columns(batch, [b"A1|O1", b"A2|O2"])) == expected


def test_the_symbol_of_a_status_is_that_of_its_order(codec: Any) -> None:
    status = OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CHANGED, occurred_at=1, key="A1|O1", sequence=1, source="engine",
        order=OrderSummary(id="O1", symbol="MSFT", side="BUY", quantity=1),
        status=StatusDetail(code="NEW", filled_quantity=0),
    )  # fmt: skip
    batch = pa.RecordBatch.from_pylist([msgspec.to_builtins(status)], schema=codec.arrow_schema("orders.status"))
    assert KEYS["account_symbol"](columns(batch, [b"A1|O1"])) == [b"A1|MSFT"]
