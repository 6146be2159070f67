# ruff: noqa: S102  # code made from the schemas is what makes this job fast
"""The order status job on Quix Streams; ../README.md says what it does.

`orders.status` and `orders.executions` are concatenated, so both topics' records of a key meet in one keyed state
(RocksDB with a changelog topic), a MessagePack array by msgspec. Avro is read and written by functions generated from
the contracts: integers as such, all else as encoded from input over state to output, some three times as fast per
record as fastavro's schemaless calls.
"""

from __future__ import annotations

import argparse
import gc
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from quixstreams import Application, State  # type: ignore[import-not-found]  # has an environment of its own

SCHEMAS = Path(__file__).resolve().parents[3] / "config" / "schemas"
# Varints by groups of 14 bits, looked up: as the last group, and as one that more follow.
_LAST = [bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(1 << 14)]
_MORE = [bytes((n & 127 | 128, n >> 7 | 128)) for n in range(1 << 14)]
_READ_NUMBER = """n = b[i]; i += 1
if n > 127:
 n &= 127; s = 7
 while b[i] > 127: n |= (b[i] & 127) << s; i += 1; s += 7
 n |= b[i] << s; i += 1""".splitlines()


def long(value: int) -> bytes:
    """An int or long."""
    rest, done = value << 1 ^ value >> 63, b""
    while rest >= 1 << 14:
        done, rest = done + _MORE[rest & 16_383], rest >> 14
    return done + _LAST[rest]


def string(text: bytes) -> bytes:
    """A string, given in UTF-8."""
    return long(len(text)) + text


def flat(schema: Any, path: str = "") -> dict[str, Any]:
    """Type by path of every field, nested records resolved, in wire order; "encoded" for a logical type."""
    fields: dict[str, Any] = {}
    for field in schema["fields"]:
        name, kind = path + field["name"], field["type"]
        if isinstance(kind, dict) and kind["type"] == "record":
            fields |= flat(kind, f"{name}.")
        else:
            fields[name] = "encoded" if isinstance(kind, dict) and "logicalType" in kind else kind
    return fields


def reader(schema: Any, head: bytes, names: str) -> Callable[[bytes], tuple[Any, ...]]:
    """A function that reads the named fields: integers as such, all else as encoded."""
    variables = {name: f"v{number}" for number, name in enumerate(names.split())}
    lines = ["if b[:5] != head: raise ValueError('not framed with the schema id expected')", "i = 5"]

    def step(kind: Any, into: str) -> list[str]:
        if isinstance(kind, list) and kind[0] == "null":
            return ["i += 1", "if b[i - 1]:", *(f" {line}" for line in step(kind[1], into)), f"else: {into} = None"]
        if kind == "string":
            return ["j = i", *_READ_NUMBER, "i += n >> 1", f"{into} = b[j:i]"]
        if kind in ("int", "long") and into != "unused":
            return [*_READ_NUMBER, f"{into} = n >> 1 ^ -(n & 1)"]
        if kind in ("int", "long", "encoded"):
            return ["j = i", "while b[i] > 127: i += 1", "i += 1", f"{into} = b[j:i]"]
        raise NotImplementedError(kind)

    for path, kind in flat(schema).items():
        lines += step(kind, variables.get(path, "unused"))
    lines += ["if i != len(b): raise ValueError('length')", f"return {', '.join(variables.values())}"]
    scope: dict[str, Any] = {"head": head}
    exec("\n ".join(("def read(b):", *lines)), scope)
    return scope["read"]  # type: ignore[no-any-return]


def writer(schema: Any, head: bytes, names: str, constants: dict[str, bytes]) -> Callable[..., bytes]:
    """A function that writes a record from the named fields: numbers as such, all else as encoded."""
    variables = {name: f"v{number}" for number, name in enumerate(names.split())}
    parts = [repr(head)]
    if not {*variables, *constants} <= flat(schema).keys():
        raise ValueError(f"the contract lacks one of {names}")

    def value(kind: Any, variable: str) -> str:
        if isinstance(kind, list) and kind[0] == "null":
            return f"(b'\\0' if {variable} is None else b'\\2' + {value(kind[1], variable)})"
        return f"{kind}({variable})" if kind in ("int", "long", "double") else variable

    for path, kind in flat(schema).items():
        variable = variables.get(path, "None") if path in constants or isinstance(kind, list) else variables[path]
        parts.append(repr(constants[path]) if path in constants else value(kind, variable))
    scope: dict[str, Any] = {"int": long, "long": long, "double": struct.Struct("<d").pack}
    exec(f"def write({', '.join(variables.values())}): return b''.join(({', '.join(parts)},))", scope)
    return scope["write"]  # type: ignore[no-any-return]


STATUS, EXECUTION, ENRICHED = (  # the schema, and what precedes a record on the wire
    (json.loads((SCHEMAS / f"{name}-value" / "v1.avsc").read_text()), bytes((0, 0, 0, 0, schema_id)))
    for schema_id, name in enumerate(("orders.status", "orders.executions", "orders.enrichment"), 1)
)
FEE = next(field["type"]["items"] for field in ENRICHED[0]["fields"] if field["name"] == "fees")
TERMS = "order.id order.parentId order.symbol order.side order.quantity status.code"
read_status = reader(*STATUS, f"occurredAt {TERMS} venue arrivalPrice")
read_execution = reader(
    *EXECUTION,
    "eventType execType venue tradeDate execId symbol side orderQuantity occurredAt lastQuantity lastPrice liquidity",
)
write_status = writer(
    *STATUS,
    f"occurredAt key {TERMS} status.filledQuantity status.leavesQuantity status.avgPrice sequence venue arrivalPrice",
    {"eventType": string(b"ORDER_STATUS_CONSOLIDATED"), "version": long(1), "source": string(b"status-aggregator")},
)
write_enriched = writer(
    *ENRICHED,
    "occurredAt key symbol venue side filledQuantity avgPrice notional slippageBps fees totalFees lastExecId"
    " lastQuantity lastPrice sequence",
    {"eventType": string(b"ORDER_ENRICHED"), "version": long(1), "source": string(b"order-enrichment")},
)
write_fee = writer(FEE, b"", "kind amount", {})
ENGINE_STATUS = STATUS[1] + string(b"ORDER_STATUS_CHANGED")  # eventType is the first field
REPORTED, TRADE, BUY = string(b"EXECUTION_REPORTED"), string(b"TRADE"), string(b"BUY")
FILLED, PARTIALLY_FILLED = string(b"FILLED"), string(b"PARTIALLY_FILLED")
ENDED = frozenset(map(string, (b"CANCELED", b"EXPIRED", b"REJECTED")))
COMMISSION, TAF, SEC, VENUE = map(string, (b"COMMISSION", b"TAF", b"SEC", b"VENUE"))
VENUE_FEE = {string(b"ADDED"): -2_000, string(b"REMOVED"): 3_000}


class Order(msgspec.Struct, array_like=True):
    """What is kept per order; texts as encoded."""

    terms: tuple[Any, ...]  # as TERMS says; the code is the engine's
    venue: bytes | None
    arrival_price: int | None = None
    filled: int = 0
    notional: int = 0
    commission: int = 0
    fees: int = 0
    sequence: int = 0
    seen: list[bytes] = []


encode_order, decode_order = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Order).decode


def on_event(value: bytes, key: bytes, _time: int, _headers: object, state: State[Any, Any]) -> Sequence[bytes]:
    """The outputs of an engine's status or a venue's execution."""
    order = decode_order(stored) if (stored := state.get_bytes(b"order")) else None
    if value.startswith(ENGINE_STATUS):
        at, *terms, venue, arrival_price = read_status(value)
        order = order or Order((), None)
        order.terms = tuple(terms)
        order.venue = venue or order.venue
        order.arrival_price = order.arrival_price if arrival_price is None else arrival_price
        outputs: Sequence[bytes] = (consolidate(order, key, at),)
    else:
        event_type, exec_type, venue, trade_date, exec_id, symbol, side, ordered, *trade = read_execution(value)
        order = order or Order((string(key.partition(b"|")[2]), None, symbol, side, ordered, None), venue)
        execution = venue + trade_date + exec_id
        if event_type != REPORTED or exec_type != TRADE or execution in order.seen:
            return ()
        order.seen.append(execution)
        outputs = on_trade(order, key, exec_id, *trade)
    state.set_bytes(b"order", encode_order(order))
    return outputs


def on_trade(
    order: Order, key: bytes, exec_id: bytes, at: bytes, quantity: int, price: int, liquidity: bytes | None
) -> tuple[bytes, bytes]:
    """Books a new trade; returns the consolidated status and the enrichment."""
    _, _, symbol, side, _, _ = order.terms
    notional = quantity * price
    order.filled, order.notional = order.filled + quantity, order.notional + notional
    commission = min(max(1_000_000, 5_000 * order.filled), order.notional // 100)
    fees = {COMMISSION: commission - order.commission}
    order.commission = commission
    if side != BUY:
        fees[TAF] = min(195 * quantity, 9_790_000)
        fees[SEC] = notional * 206 // 10_000_000
    if liquidity in VENUE_FEE:
        fees[VENUE] = VENUE_FEE[liquidity] * quantity
    order.fees += sum(fees.values())
    consolidated = consolidate(order, key, at)
    average = order.notional // order.filled if order.filled > 0 else 0
    arrival = order.arrival_price
    slippage = (average - arrival) / arrival * (1e4 if side == BUY else -1e4) if arrival else None
    return consolidated, write_enriched(
        at, string(key), symbol, order.venue, side, order.filled, average, order.notional, slippage,
        long(len(fees)) + b"".join([write_fee(*fee) for fee in fees.items()]) + b"\x00",
        order.fees, exec_id, quantity, price, order.sequence,
    )  # fmt: skip


def consolidate(order: Order, key: bytes, at: bytes) -> bytes:
    """The consolidated status under the next sequence."""
    order.sequence += 1
    filled, (*terms, quantity, code) = order.filled, order.terms
    if 0 < filled >= quantity:
        code = FILLED
    elif filled > 0 and code not in ENDED:
        code = PARTIALLY_FILLED
    leaves = 0 if code in ENDED else max(0, quantity - filled)
    price = order.notional // filled if filled > 0 else None
    return write_status(
        at, string(key), *terms, quantity, code, filled, leaves, price, order.sequence, order.venue, order.arrival_price
    )


def run(options: argparse.Namespace) -> None:
    """Runs the job until SIGTERM."""
    app = Application(
        options.bootstrap,
        consumer_group=options.app_id,
        auto_offset_reset="earliest",
        processing_guarantee=options.guarantee,
        commit_interval=options.commit_ms / 1_000,
        state_dir=options.state_dir,
        loglevel="WARNING",
        consumer_poll_timeout=options.poll_ms / 1_000,  # a read waits so long for a full buffer
        # Defaults: murmur2, linger.ms 5, batch.size 1 MB. The id is dropped by Quix for at-least-once.
        producer_extra_config={"transactional.id": options.app_id, "compression.type": "lz4"},
    )
    status, executions, enrichment = (
        app.topic(name, value_deserializer="bytes", value_serializer="bytes", key_serializer="bytes")
        for name in ("orders.status", "orders.executions", "orders.enrichment")
    )
    engine = app.dataframe(status).filter(lambda value: value.startswith(ENGINE_STATUS))
    outputs = engine.concat(app.dataframe(executions)).apply(on_event, stateful=True, expand=True, metadata=True)
    # An output's first bytes tell its topic; branching instead would copy every value.
    outputs.to_topic(lambda value, *_: enrichment if value.startswith(ENRICHED[1]) else status)
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)  # nearly all garbage is freed by reference counts
    app.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The order status job on Quix Streams.")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--app-id", default="order-status-peer")
    parser.add_argument("--state-dir", default="state")
    parser.add_argument("--commit-ms", type=int, default=100)
    parser.add_argument("--guarantee", choices=("exactly-once", "at-least-once"), default="exactly-once")
    parser.add_argument("--poll-ms", type=int, default=2)
    run(parser.parse_args())
