"""Encoding of the inputs and decoding of the outputs, in batches through Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyruhvro
import yaml

from .workload import CANCELED, LIQUIDITY, SIDES, SYMBOLS, TRADE, TRADE_DATE, VENUES, Events, Ints, Workload

SCHEMAS = Path(__file__).resolve().parents[3] / "config" / "schemas"
STATUS_ID, EXECUTION_ID = 1, 2
HEADER = 5


def _schema(topic: str, version: int = 1) -> str:
    return (SCHEMAS / f"{topic}-value" / f"v{version}.avsc").read_text()


def _versions(topic: str) -> dict[int, int]:
    """The versions of a topic's contract by schema id."""
    index = yaml.safe_load((SCHEMAS / "index.yaml").read_text())
    return {entry["id"]: entry["version"] for entry in index if entry["subject"] == f"{topic}-value"}


STATUS_SCHEMA = _schema("orders.status")
EXECUTION_SCHEMA = _schema("orders.executions")
_CODES = pa.array(("NEW", "CANCELED"))
_SIDES = pa.array(SIDES)
_VENUES = pa.array(VENUES)
_LIQUIDITY = pa.array(LIQUIDITY)
_SYMBOLS = pa.array([f"SYM{i:03d}" for i in range(SYMBOLS)])


@dataclass(frozen=True)
class Encoded:
    """Framed messages of one topic and where they stand among all events given."""

    index: Ints
    keys: list[bytes]
    values: list[bytes]
    occurred_offset: int  # of the eight bytes of occurredAt in each value


def encode(work: Workload, events: Events) -> tuple[Encoded, Encoded]:
    """The statuses and the executions among the events."""
    trade = events.kind == TRADE
    statuses, executions = np.flatnonzero(~trade), np.flatnonzero(trade)
    return (
        _encode(_statuses(work, events, statuses), statuses, STATUS_SCHEMA, STATUS_ID),
        _encode(_executions(work, events, executions), executions, EXECUTION_SCHEMA, EXECUTION_ID),
    )


def _encode(columns: dict[str, pa.Array], index: Ints, schema: str, schema_id: int) -> Encoded:
    arrow = pyruhvro.avro_to_arrow_schema(schema)
    arrays = _arrays(arrow, len(index), columns)
    values: list[bytes] = []
    if len(index):
        batch = pa.RecordBatch.from_arrays(arrays, schema=arrow)
        header = b"\x00" + schema_id.to_bytes(4, "big")
        for part in pyruhvro.serialize_record_batch(batch, schema, 1):
            values.extend(header + body for body in part.to_pylist())
    event_type = columns["eventType"][0].as_py() if len(index) else ""
    keys = [key.encode() for key in columns["key"].to_pylist()]
    # Header, one length byte and the text of eventType, one byte of version.
    return Encoded(index, keys, values, HEADER + 1 + len(event_type) + 1)


def _arrays(fields: Iterable[pa.Field], count: int, columns: dict[str, pa.Array]) -> list[pa.Array]:
    """The columns in the order and types of the fields; nulls where there is none."""
    return [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in fields
    ]


def _struct(kind: pa.StructType, count: int, columns: dict[str, pa.Array]) -> pa.StructArray:
    return pa.StructArray.from_arrays(_arrays(kind, count, columns), fields=list(kind))


def _text(value: str, count: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(count, dtype=np.int64)))


def _keys(work: Workload, order: Ints) -> pa.Array:
    account = work.orders.account[order].tolist()
    return pa.array([f"A{a:03d}|O{o:09d}" for a, o in zip(account, work.number_of(order).tolist(), strict=True)])


def _statuses(work: Workload, events: Events, index: Ints) -> dict[str, pa.Array]:
    order, kind, count = events.order[index], events.kind[index], len(index)
    orders = work.orders
    fields = pyruhvro.avro_to_arrow_schema(STATUS_SCHEMA)
    summary = _struct(
        fields.field("order").type,
        count,
        {
            "id": pa.array([f"O{o:09d}" for o in work.number_of(order).tolist()], pa.string()),
            "symbol": _SYMBOLS.take(pa.array(orders.symbol[order])),
            "side": _SIDES.take(pa.array(orders.side[order])),
            "quantity": pa.array(orders.quantity[order]),
        },
    )
    detail = _struct(
        fields.field("status").type,
        count,
        {"code": _CODES.take(pa.array(kind)), "filledQuantity": pa.array(np.zeros(count, dtype=np.int64))},
    )
    return {
        "eventType": _text("ORDER_STATUS_CHANGED", count),
        "version": pa.array(np.ones(count, dtype=np.int32)),
        "occurredAt": pa.array(events.occurred_at[index]),
        "key": _keys(work, order),
        "order": summary,
        "status": detail,
        "sequence": pa.array(np.where(kind == CANCELED, 2, 1)),
        "source": _text("order-engine", count),
        "venue": _VENUES.take(pa.array(orders.venue[order])),
        "arrivalPrice": pa.array(orders.arrival[order]),
    }


def _executions(work: Workload, events: Events, index: Ints) -> dict[str, pa.Array]:
    order, fill, count = events.order[index], events.fill[index], len(index)
    orders, fills = work.orders, work.fills
    leaves = orders.quantity[order] - fills.cumulative[fill]
    state = pa.array(("PARTIALLY_FILLED", "FILLED"))
    return {
        "eventType": _text("EXECUTION_REPORTED", count),
        "version": pa.array(np.ones(count, dtype=np.int32)),
        "occurredAt": pa.array(events.occurred_at[index]),
        "key": _keys(work, order),
        "venue": _VENUES.take(pa.array(fills.venue[fill])),
        "tradeDate": pa.array(np.full(count, TRADE_DATE, dtype=np.int32)),
        "execId": pa.array([f"E{n:010d}" for n in fills.number[fill].tolist()], pa.string()),
        "execType": _text("TRADE", count),
        "ordStatus": state.take(pa.array((leaves == 0).astype(np.int64))),
        "symbol": _SYMBOLS.take(pa.array(orders.symbol[order])),
        "side": _SIDES.take(pa.array(orders.side[order])),
        "orderQuantity": pa.array(orders.quantity[order]),
        "lastQuantity": pa.array(fills.quantity[fill]),
        "lastPrice": pa.array(fills.price[fill]),
        "liquidity": _LIQUIDITY.take(pa.array(fills.liquidity[fill])),
        "cumQuantity": pa.array(fills.cumulative[fill]),
        "leavesQuantity": pa.array(leaves),
        "sequence": pa.array(fills.ordinal[fill] + 1),
        "source": _text("execution-gateway", count),
    }


def micros_bytes(micros: int) -> bytes:
    """A present-day time in micros as Avro writes it: always eight bytes."""
    z = micros << 1
    return bytes(
        (
            z & 127 | 128,
            z >> 7 & 127 | 128,
            z >> 14 & 127 | 128,
            z >> 21 & 127 | 128,
            z >> 28 & 127 | 128,
            z >> 35 & 127 | 128,
            z >> 42 & 127 | 128,
            z >> 49,
        )
    )


def decode(values: Sequence[bytes], topic: str) -> pa.RecordBatch:
    """Framed messages of one topic as one batch; all written with the same version of its contract."""
    versions = _versions(topic)
    header = values[0][:HEADER] if values else b"\x00" + min(versions).to_bytes(4, "big")
    schema_id = int.from_bytes(header[1:], "big")
    if header[:1] != b"\x00" or schema_id not in versions:
        raise ValueError(f"not framed with a schema id of {topic}: {values[0][:16].hex()}")
    schema = _schema(topic, versions[schema_id])
    for value in values:
        if value[:HEADER] != header:
            raise ValueError(f"not framed with schema id {schema_id}: {value[:16].hex()}")
    return pyruhvro.deserialize_array([value[HEADER:] for value in values], schema)


def order_numbers(batch: pa.RecordBatch) -> Ints:
    """The order number in each key."""
    return np.array([int(key[-9:]) for key in batch.column("key").to_pylist()], dtype=np.int64)


def ints(column: pa.Array) -> Ints:
    """An integer or time column as numpy."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: Ints = column.to_numpy(zero_copy_only=False)
    return values
