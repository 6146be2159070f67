"""The orders of one STP group in one symbol, as self-trade prevention sees them, in parts.

| part | under | holds |
|---|---|---|
| state | the group and symbol | how many orders there are, and bounds of their prices |
| order | NUL `order|<order key>`, `+` or `-` | one order with every version of its terms that may be in force |
| resting | NUL `resting|<00..3f>` | what of the orders rests in the book of the venue, by a part of the order's key |

An order id may be used again for the other side once its account has rejected it, so orders are told apart by side too.
Only LIMIT orders are kept, and only while they are open. An order counts at its most aggressive price: of a replace
under way either version may be in force. A request that reaches no price of the other side is told by the bounds alone;
they may be too wide after an order is gone, and a look at the orders puts them right.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec.structs import replace

from operators.model.positions.positions import side_sign
from operators.model.risk.book import Read
from operators.model.risk.state import OrderRisk

_BUCKETS: Final = 64


class GroupState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A group in a symbol. `buckets` has a bit for every part of resting orders that is not empty.

    `number` is that of the last request that was entered. No resting buy is above `highest_buy`, no sale below
    `lowest_sell`; None if there is none.
    """

    number: int = 0
    orders: int = 0
    buckets: int = 0
    highest_buy: int | None = None
    lowest_sell: int | None = None


class GroupOrder(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One order of the group, approved or on its way to its account.

    `number` is that of the request behind the terms in force, 0 once a status has confirmed them, `pending` those of
    the requests behind `order.pending`. `since` tells which of two orders is older. Orders of which this one is the
    parent are counted in `children`: a parent rests nowhere itself.
    """

    order: OrderRisk
    since: int
    number: int = 0
    pending: tuple[int, ...] = ()
    children: int = 0


class Line(msgspec.Struct, frozen=True, array_like=True):
    """What rests of an order: +1 for a buy, -1 for a sale; most aggressive price, the most that may be open, age."""

    sign: int
    price: int
    quantity: int
    since: int


class Resting(NamedTuple):
    """A resting order and its key."""

    key: str
    line: Line


class GroupBook:
    """The orders of one group in one symbol during one event. Nothing that was read or put is changed in place."""

    def __init__(self, state: GroupState | None, read: Read) -> None:
        self._read = read
        self._parts: dict[str, Any] = {}
        self._changed: dict[str, None] = {}
        self._state = state or GroupState()

    @property
    def state(self) -> GroupState | None:
        """The state to keep; None when no order is left."""
        return self._state if self._state.orders else None

    def changes(self) -> dict[str, Any]:
        """The parts to write back, by suffix; None forgets one."""
        return {suffix: self._parts[suffix] for suffix in self._changed}

    def next_number(self, at: int) -> int:
        """A number for a request at this time in microseconds, which none before has, even in a state forgotten."""
        self._state = replace(self._state, number=max(self._state.number + 1, at))
        return self._state.number

    def order(self, key: str, sign: int) -> GroupOrder | None:
        """An open order of the group by its key, accountId|orderId, and side: +1 for a buy, -1 for a sale."""
        found: GroupOrder | None = self._get(_order_part(_name(key, sign)), _ORDER)
        return found

    def put(self, key: str, sign: int, order: GroupOrder | None) -> None:
        """Keeps an order as it is now; None forgets it."""
        before, name = self.order(key, sign), _name(key, sign)
        if before == order:
            return
        self._put(_order_part(name), order)
        difference = (order is not None) - (before is not None)
        self._state = replace(self._state, orders=self._state.orders + difference)
        self._put_line(name, None if order is None else _line(order))

    def opposite(self, sign: int, limit: int | None) -> list[Resting]:
        """Resting orders of the other side than `sign` whose price a limit reaches (None: any), best price first."""
        bound = self._state.lowest_sell if sign > 0 else self._state.highest_buy
        if bound is None or not _reaches(sign, limit, bound):
            return []
        lines = [Resting(name[:-1], line) for name, line in self._lines() if line.sign == -sign]
        prices = [line.price for _, line in lines]
        if sign > 0:
            self._state = replace(self._state, lowest_sell=min(prices, default=None))
        else:
            self._state = replace(self._state, highest_buy=max(prices, default=None))
        met = [each for each in lines if _reaches(sign, limit, each.line.price)]
        return sorted(met, key=lambda each: (sign * each.line.price, each.line.since, each.key))

    def _lines(self) -> list[tuple[str, Line]]:
        lines: list[tuple[str, Line]] = []
        for bucket in range(_BUCKETS):
            if self._state.buckets >> bucket & 1:
                lines += (self._get(_resting_part(bucket), _LINES) or {}).items()
        return lines

    def _put_line(self, name: str, line: Line | None) -> None:
        bucket = crc32(name.encode()) % _BUCKETS
        known: dict[str, Line] = self._get(_resting_part(bucket), _LINES) or {}
        if known.get(name) == line:
            return
        after = {other: each for other, each in known.items() if other != name}
        if line is not None:
            after[name] = line
        self._put(_resting_part(bucket), after or None)
        bit = 1 << bucket
        state = self._state
        state = replace(state, buckets=state.buckets | bit if after else state.buckets & ~bit)
        if line is not None and line.sign > 0:
            state = replace(state, highest_buy=max(line.price, state.highest_buy or line.price))
        elif line is not None:
            state = replace(state, lowest_sell=min(line.price, state.lowest_sell or line.price))
        self._state = state

    def _get(self, suffix: str, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
        if suffix not in self._parts:
            self._parts[suffix] = self._read(suffix, decoder)
        return self._parts[suffix]

    def _put(self, suffix: str, part: Any) -> None:
        self._parts[suffix] = part
        self._changed[suffix] = None


def _reaches(sign: int, limit: int | None, price: int) -> bool:
    return limit is None or sign * (limit - price) >= 0


def _line(known: GroupOrder) -> Line | None:
    """What rests of an order; None if nothing does."""
    order, sign = known.order, side_sign(known.order.side)
    prices = [terms.price for terms in (order.terms, *order.pending) if terms.limited and terms.price > 0]
    if known.children > 0 or order.is_parent or order.open_quantity <= 0 or not prices:
        return None
    return Line(sign, max(prices) if sign > 0 else min(prices), order.open_quantity, known.since)


def _name(key: str, sign: int) -> str:
    """What an order is kept under."""
    return f"{key}{'+' if sign > 0 else '-'}"


def _order_part(name: str) -> str:
    return f"\0order|{name}"


def _resting_part(bucket: int) -> str:
    return f"\0resting|{bucket:02x}"


_ORDER: Final = msgspec.msgpack.Decoder(GroupOrder)
_LINES: Final = msgspec.msgpack.Decoder(dict[str, Line])
