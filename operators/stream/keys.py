"""What a step can be keyed by: named functions from columns to state keys, and from keys to key groups."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.stream.records import Columns, Ints

RECORD_KEY: Final = "order"
"""The key that is the record's own, accountId|orderId: a step keyed by it needs no exchange."""


def key_groups(keys: Sequence[bytes], count: int) -> Ints:
    """The key group of each key: CRC-32 modulo their number. Part of stored state: changing it orphans stores."""
    return np.fromiter((zlib.crc32(key) % count for key in keys), np.int64, len(keys))


def _account(columns: Columns) -> Sequence[bytes]:
    return [key.partition(b"|")[0] for key in columns.keys]


def _account_symbol(columns: Columns) -> Sequence[bytes]:
    symbols = _column(columns, "symbol")
    return [key.partition(b"|")[0] + b"|" + s for key, s in zip(columns.keys, symbols, strict=True)]


def _parent(columns: Columns) -> Sequence[bytes]:
    """account|parentId, the key of the parent order: children belong to the account of their parent."""
    parents = _column(columns, "parentId")
    return [key.partition(b"|")[0] + b"|" + parent for key, parent in zip(columns.keys, parents, strict=True)]


def _owner_symbol(columns: Columns) -> Sequence[bytes]:
    owners, symbols = _column(columns, "ownerId"), _column(columns, "symbol")
    return [owner + b"|" + symbol for owner, symbol in zip(owners, symbols, strict=True)]


def _stp_group_symbol(columns: Columns) -> Sequence[bytes]:
    groups, symbols = _column(columns, "stpGroup"), _column(columns, "symbol")
    return [group + b"|" + symbol for group, symbol in zip(groups, symbols, strict=True)]


def _firm(columns: Columns) -> Sequence[bytes]:
    """One key for all: what is counted over everything is counted in one place, by one process."""
    return [b"FIRM"] * len(columns)


def _symbol_venue(columns: Columns) -> Sequence[bytes]:
    symbols, venues = _column(columns, "symbol"), _column(columns, "venue")
    return [symbol + b"|" + venue for symbol, venue in zip(symbols, venues, strict=True)]


def _column(columns: Columns, name: str) -> list[bytes]:
    batch = columns.batch
    array = batch.column(name) if name in batch.schema.names else batch.column("order").field(name)
    values: list[bytes] = pc.fill_null(array, "").cast(pa.binary()).to_pylist()
    return values


KEYS: Mapping[str, Callable[[Columns], Sequence[bytes]]] = MappingProxyType(
    {
        "account": _account,
        "account_symbol": _account_symbol,
        "symbol_venue": _symbol_venue,
        "parent": _parent,
        "owner_symbol": _owner_symbol,
        "stp_group_symbol": _stp_group_symbol,
        "firm": _firm,
    }
)
"""Keys that need an exchange, by the names that topologies use."""
