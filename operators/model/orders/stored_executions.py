"""Executions as bytes: the entries that an order's row and its chunks hold, one after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final
from zlib import crc32

import numpy as np

from operators.model.events import ExecType, Liquidity
from operators.model.orders.executions import Execution, Identity

LIQUIDITIES: Final[tuple[str | None, ...]] = (None, *Liquidity)
KINDS: Final = (ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL, ExecType.RESTATED)
"""Kinds of executions in an order's log. Their places are part of stored state: append only."""

ENTRY_HEAD: Final = np.dtype(
    [
        *(("quantity", "<i8"), ("price", "<i8"), ("cum_quantity", "<i8"), ("kind", "u1"), ("liquidity", "u1")),
        *(("ref", "u1"), ("trade_date", "<i4"), ("venue", "u1"), ("session", "u1"), ("id", "u1")),
    ]
)
"""What an execution's entry starts with; then come venue, session, execId and execRefId, whose lengths it has."""
_HEAD: Final = struct.Struct("<qqqBBBiBBB")
HASH_FLAG: Final = 1 << 32
"""Set in every hash, so that 0 marks a free place."""
_REF_AT: Final = 26
IDENTITY_AT: Final = 27
"""From here on two entries without a reference are equal if and only if they have the same identity."""
CONTENT_END: Final = 25
"""Up to here two of the same identity and reference are equal if and only if they are the same, told twice."""


def entry_of(execution: Execution) -> bytes:
    """An execution as stored."""
    venue, exec_id = execution.venue.encode(), execution.exec_id.encode()
    session, ref = (execution.session or "").encode(), (execution.ref or "").encode()
    head = _HEAD.pack(
        execution.quantity,
        execution.price,
        execution.cum_quantity,
        KINDS.index(ExecType(execution.kind)),
        LIQUIDITIES.index(execution.liquidity),
        len(ref),
        execution.trade_date,
        len(venue),
        len(session),
        len(exec_id),
    )
    return head + venue + session + exec_id + ref


def execution_of(entry: bytes) -> Execution:
    """A stored execution."""
    quantity, price, cum_quantity, kind, liquidity, ref, trade_date, *sizes = _HEAD.unpack_from(entry)
    texts, at = [], _HEAD.size
    for size in (*sizes, ref):
        texts.append(entry[at : at + size].decode())
        at += size
    return Execution(
        kind=KINDS[kind].value,
        venue=texts[0],
        session=texts[1] or None,
        trade_date=trade_date,
        exec_id=texts[2],
        quantity=quantity,
        price=price,
        cum_quantity=cum_quantity,
        liquidity=LIQUIDITIES[liquidity],
        ref=texts[3] or None,
    )


def identity_of(entry: bytes) -> bytes:
    """The identity part of an entry."""
    return entry[IDENTITY_AT : len(entry) - entry[_REF_AT]]


def identity_bytes(identity: Identity) -> bytes:
    """The identity part of the entries of an identity."""
    venue, session, trade_date, exec_id = identity
    return identity_of(
        entry_of(Execution(venue=venue, session=session, trade_date=trade_date, exec_id=exec_id, quantity=0, price=0))
    )


def hash_of(entry: bytes) -> int:
    """A number that differs for most executions and is equal for those of an identity."""
    return hash_identity(identity_of(entry))


def hash_identity(identity: bytes) -> int:
    """The hash of the identity part of an entry."""
    return crc32(identity) | HASH_FLAG


def split(entries: bytes) -> Iterator[bytes]:
    """The single entries."""
    at, size = 0, _HEAD.size
    while at < len(entries):
        end = at + size + entries[at + _REF_AT] + sum(entries[at + size - 3 : at + size])
        yield entries[at:end]
        at = end
