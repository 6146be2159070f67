"""The columns of an order's row, and which of them are stored how."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import msgspec
import numpy as np

from config.errors import StoreError
from operators.model.arrays import Flags, Ints
from operators.model.events import OrdStatus, Side
from operators.model.orders.executions import Execution, Split
from operators.model.orders.lifecycle import COUNTS_AS_NEW, PENDING, Voice
from operators.model.orders.state import FOREVER_MS, Order, Position, VenuePosition, name_id

NONE: Final = -(2**63)
"""Stands for None in a column whose every other value may occur."""
RECENT_MAX: Final = 8
SIDES: Final = tuple(Side)
STATUSES: Final = tuple(OrdStatus)
VOICES: Final = tuple(
    Voice(code, pending)
    for code in (None, *(status for status in STATUSES if status not in COUNTS_AS_NEW | PENDING))
    for pending in (None, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE)
)
"""Every state of a voice by its number, which is part of stored state."""
VOICE_NUMBERS: Final = {voice: number for number, voice in enumerate(VOICES)}
GOOD_TILL_NUMBERS: Final = 2
"""Numbers from 1 up to this one are of times in force that live on after the day."""


class Column(IntEnum):
    """Columns of the table. Those up to PACKED are stored, so their order is part of stored state."""

    EXPIRE_AT_MS = 0
    LAST_EVENT_AT = 1
    QUANTITY = 2
    FILLED = 3
    NOTIONAL = 4
    COMMISSION = 5
    TOTAL_FEES = 6
    SEQUENCE = 7
    ARRIVAL_PRICE = 8
    LIMIT_PRICE = 9
    STATUS_SOURCE = 10
    STATUS_SEQUENCE = 11
    EXECUTION_SOURCE = 12
    EXECUTION_SEQUENCE = 13
    CUM_REPORTED = 14
    ANOMALIES = 15
    CHUNKS = 16
    EXTRA_BYTES = 17
    PACKED = 18
    FIRST_HASH = 19
    ENGINE = FIRST_HASH + RECENT_MAX
    AT_VENUE = ENGINE + 1
    SIDE = ENGINE + 2
    RECENT = ENGINE + 3
    TRADE_DATE = ENGINE + 4
    SYMBOL = ENGINE + 5
    VENUE = ENGINE + 6
    TIME_IN_FORCE = ENGINE + 7
    DECISION_PRICE = ENGINE + 8
    MARKET_VOLUME = ENGINE + 9
    MARKET_TURNOVER = ENGINE + 10
    DAY_FILLED = ENGINE + 11
    DAY_NOTIONAL = ENGINE + 12
    PARENT = ENGINE + 13
    """The `name_id` of the parent's id, 0 where none was named."""


STORED: Final = int(Column.FIRST_HASH)
HASHES: Final = slice(int(Column.FIRST_HASH), int(Column.ENGINE))
BENCHMARKS: Final = slice(int(Column.DECISION_PRICE), int(Column.MARKET_TURNOVER) + 1)
DAY: Final = slice(int(Column.DAY_FILLED), int(Column.DAY_NOTIONAL) + 1)
BENCHMARK_BYTES: Final = 24
DAY_BYTES: Final = 16
WIDTH: Final = int(Column.PARENT) + 1
LAYOUT: Final = 1
"""To be raised, up to 15, with every change of what a stored row means: rows of another one are refused."""
NO_NAME: Final = name_id("")
"""In place of a parent whose id was given as an empty text, which is nobody."""
UNKNOWN: Final = np.zeros(WIDTH, np.int64)
UNKNOWN[[Column.LAST_EVENT_AT, Column.ARRIVAL_PRICE, Column.LIMIT_PRICE, Column.TRADE_DATE]] = NONE
UNKNOWN[BENCHMARKS] = UNKNOWN[DAY] = NONE
UNKNOWN[[Column.SIDE, Column.EXECUTION_SEQUENCE]] = -1
UNKNOWN[Column.EXPIRE_AT_MS] = FOREVER_MS

# The small columns share one of 64 bits. From the lowest bit: 6 of the engine's voice, 6 of the venues', 3 of the side
# plus one, 4 of the number of recent executions, 1 whether there are benchmarks, 1 whether there is a trade date, its
# 32 bits, 1 whether the order is in its second day or a later one, 1 whether a parent was named, 4 of the layout.
_AT_VENUE_BIT, _SIDE_BIT, _RECENT_BIT, _BENCHMARK_BIT, _DATED_BIT, _DATE_BIT = 6, 12, 15, 19, 20, 21
_DAY_BIT, _PARENT_BIT, _LAYOUT_BIT = 53, 54, 55
_DATE_MASK: Final = 2**32 - 1
_DATE_OFFSET: Final = 2**31


class Parts(NamedTuple):
    """Which of some rows have the parts that not every order has."""

    benchmarks: Flags
    day: Flags
    parent: Flags

    def any(self) -> bool:
        """Whether one of them has one."""
        return bool(self.benchmarks.any() or self.day.any() or self.parent.any())


class Extra(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """The parts of an order that few orders have."""

    is_parent: bool = False
    other_statuses_seen: tuple[Position, ...] = ()
    other_executions_seen: tuple[VenuePosition, ...] = ()
    superseded: tuple[str, ...] = ()
    waiting: tuple[Execution, ...] = ()
    splits: tuple[Split, ...] = ()
    end_price: int | None = None
    replaced_at_venue: bool = False

    @staticmethod
    def of(order: Order) -> Extra:
        """Those of an order."""
        return Extra(*(getattr(order, name) for name in Extra.__struct_fields__))


def unknown(count: int) -> Ints:
    """Rows of orders of which nothing is known."""
    rows = np.empty((count, WIDTH), np.int64)
    rows[:] = UNKNOWN
    return rows


def pack(numbers: Ints) -> Parts:
    """Puts the small columns into their one, in place; which parts each row has."""
    date = numbers[:, Column.TRADE_DATE]
    dated = date != NONE
    parts = Parts(
        benchmarks=(numbers[:, BENCHMARKS] != NONE).any(axis=1),
        day=numbers[:, Column.DAY_FILLED] != NONE,
        parent=numbers[:, Column.PARENT] != 0,
    )
    numbers[:, Column.PACKED] = (
        numbers[:, Column.ENGINE]
        | numbers[:, Column.AT_VENUE] << _AT_VENUE_BIT
        | (numbers[:, Column.SIDE] + 1) << _SIDE_BIT
        | numbers[:, Column.RECENT] << _RECENT_BIT
        | parts.benchmarks.astype(np.int64) << _BENCHMARK_BIT
        | dated.astype(np.int64) << _DATED_BIT
        | np.where(dated, date + _DATE_OFFSET, 0) << _DATE_BIT
        | parts.day.astype(np.int64) << _DAY_BIT
        | parts.parent.astype(np.int64) << _PARENT_BIT
        | LAYOUT << _LAYOUT_BIT
    )
    return parts


def unpack(numbers: Ints) -> Parts:
    """Sets the small columns from their one, in place; which parts each row has. `StoreError` for another layout."""
    packed = numbers[:, Column.PACKED]
    layouts = packed >> _LAYOUT_BIT
    if (layouts != LAYOUT).any():
        found = layouts[layouts != LAYOUT][0]
        raise StoreError(f"a row has layout {found}, and this version reads and writes layout {LAYOUT}")
    numbers[:, Column.ENGINE] = packed & 63
    numbers[:, Column.AT_VENUE] = packed >> _AT_VENUE_BIT & 63
    numbers[:, Column.SIDE] = (packed >> _SIDE_BIT & 7) - 1
    numbers[:, Column.RECENT] = packed >> _RECENT_BIT & 15
    dated = (packed >> _DATED_BIT & 1).astype(np.bool_)
    date = (packed >> _DATE_BIT & _DATE_MASK) - _DATE_OFFSET
    numbers[:, Column.TRADE_DATE] = np.where(dated, date, NONE)
    bits = (packed >> bit & 1 for bit in (_BENCHMARK_BIT, _DAY_BIT, _PARENT_BIT))
    return Parts._make(bit.astype(np.bool_) for bit in bits)
