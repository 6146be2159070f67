"""The records of order events as Arrow has them: the shapes of what the fold puts out."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from operators.model.arrays import RecordBatch
from operators.model.orders.parents import Share

TEXT: Final = pa.string()
DAY_TYPE: Final = pa.struct(
    [
        pa.field("tradeDate", pa.int32(), nullable=False),
        pa.field("orderQuantity", pa.int64(), nullable=False),
        pa.field("filledQuantity", pa.int64(), nullable=False),
        pa.field("avgPrice", pa.int64()),
    ]
)
MARKET_TYPE: Final = pa.struct([("price", pa.int64()), ("volume", pa.int64()), ("turnover", pa.int64())])
SHORTFALL_TYPE: Final = pa.struct(
    [
        pa.field("decisionPrice", pa.int64(), nullable=False),
        pa.field("delay", pa.int64(), nullable=False),
        pa.field("execution", pa.int64(), nullable=False),
        pa.field("opportunity", pa.int64()),
        pa.field("fees", pa.int64(), nullable=False),
        pa.field("total", pa.int64(), nullable=False),
    ]
)
STATUS_TYPE: Final = pa.struct(
    [
        pa.field("code", TEXT, nullable=False),
        pa.field("reason", TEXT),
        pa.field("filledQuantity", pa.int64(), nullable=False),
        pa.field("leavesQuantity", pa.int64()),
        pa.field("avgPrice", pa.int64()),
        pa.field("day", DAY_TYPE),
    ]
)
ORDER_TYPE: Final = pa.struct(
    [
        pa.field("id", TEXT, nullable=False),
        pa.field("parentId", TEXT),
        pa.field("symbol", TEXT, nullable=False),
        pa.field("side", TEXT, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("clOrdId", TEXT),
        pa.field("limitPrice", pa.int64()),
        pa.field("timeInForce", TEXT),
        pa.field("isParent", pa.bool_()),
    ]
)
CONSOLIDATED: Final = pa.schema(
    [
        pa.field("eventType", TEXT, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("occurredAt", pa.int64(), nullable=False),
        pa.field("key", TEXT, nullable=False),
        pa.field("order", ORDER_TYPE, nullable=False),
        pa.field("status", STATUS_TYPE, nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("source", TEXT, nullable=False),
        pa.field("venue", TEXT),
        pa.field("arrivalPrice", pa.int64()),
        pa.field("decisionPrice", pa.int64()),
        pa.field("market", MARKET_TYPE),
        pa.field("correlationId", TEXT),
    ]
)
"""OrderStatusChanged as columns."""
ENRICHED: Final = pa.schema(
    [
        pa.field("eventType", TEXT, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("occurredAt", pa.int64(), nullable=False),
        pa.field("key", TEXT, nullable=False),
        pa.field("symbol", TEXT, nullable=False),
        pa.field("venue", TEXT),
        pa.field("side", TEXT, nullable=False),
        pa.field("filledQuantity", pa.int64(), nullable=False),
        pa.field("avgPrice", pa.int64()),
        pa.field("notional", pa.int64(), nullable=False),
        pa.field("slippageBps", pa.float64()),
        pa.field("fees", pa.list_(pa.struct([("kind", TEXT), ("amount", pa.int64())])), nullable=False),
        pa.field("totalFees", pa.int64(), nullable=False),
        pa.field("lastExecId", TEXT),
        pa.field("lastQuantity", pa.int64(), nullable=False),
        pa.field("lastPrice", pa.int64()),
        pa.field("lastVenue", TEXT),
        pa.field("liquidity", TEXT),
        pa.field("tradeDate", pa.int32()),
        pa.field("execType", TEXT),
        pa.field("execRefId", TEXT),
        pa.field("replacedQuantity", pa.int64(), nullable=False),
        pa.field("replacedPrice", pa.int64()),
        pa.field("intervalVwap", pa.int64()),
        pa.field("vwapSlippageBps", pa.float64()),
        pa.field("shortfall", SHORTFALL_TYPE),
        pa.field("correlationId", TEXT),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("source", TEXT, nullable=False),
    ]
)
"""OrderEnriched as columns."""
ANOMALY: Final = pa.schema(
    [
        pa.field("eventType", TEXT, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("occurredAt", pa.int64(), nullable=False),
        pa.field("key", TEXT, nullable=False),
        pa.field("kind", TEXT, nullable=False),
        pa.field("detail", TEXT, nullable=False),
        pa.field("symbol", TEXT),
        pa.field("venue", TEXT),
        pa.field("execId", TEXT),
        pa.field("correlationId", TEXT),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("source", TEXT, nullable=False),
    ]
)
"""OrderAnomaly as columns."""
TERMS_TYPE: Final = pa.struct(
    [
        pa.field("quantity", pa.int64(), nullable=False),
        *(pa.field(name, pa.int64()) for name in ("limitPrice", "arrivalPrice", "decisionPrice")),
        *(pa.field(name, TEXT) for name in ("timeInForce", "venue", "code", "pending")),
    ]
)
FAMILY: Final = pa.schema(
    [
        pa.field("occurredAt", pa.int64(), nullable=False),
        *(pa.field(name, TEXT, nullable=False) for name in ("key", "parentId", "symbol", "side")),
        *(pa.field(name, pa.int64(), nullable=False) for name in Share._fields),
        pa.field("terms", TERMS_TYPE),
        *(pa.field(name, TEXT) for name in ("reason", "clOrdId", "correlationId")),
    ]
)
"""FamilyChange as columns."""


def _none(schema: pa.Schema) -> RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, column.type) for column in schema], schema=schema)


NO_CONSOLIDATED: Final[RecordBatch] = _none(CONSOLIDATED)
NO_ENRICHED: Final[RecordBatch] = _none(ENRICHED)
NO_FAMILY: Final[RecordBatch] = _none(FAMILY)
