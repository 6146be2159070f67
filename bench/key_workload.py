"""A workload for measuring cost against the number of keys: many long-lived orders that get small fills; pure.

Terms follow from an order's number alone, so that any order can be touched at any time without keeping its terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.peers.harness.workload import (
    ACCOUNTS,
    BASE_MICROS,
    LIQUIDITY,
    NEW,
    SIDES,
    SLOT_MICROS,
    SYMBOLS,
    TRADE,
    VENUES,
    Events,
    Fills,
    Ints,
    Orders,
    Workload,
)

QUANTITY: Final = 1_000_000
"""Of every order: it stays open under all fills, so that its state stays too."""
FILL_QUANTITY: Final = 100
LAG_ORDERS: Final = 10_000
"""An order's first fill comes when so many later orders were sent."""
STRIDE: Final = 7_368_787
"""A prime larger than the square root of any number of keys: steps of it reach all keys once, far from each other."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What follows from orders' numbers alone; price in millionths."""

    account: Ints
    symbol: Ints
    side: Ints
    venue: Ints
    arrival: Ints

    @classmethod
    def of(cls, numbers: Ints) -> Terms:
        """The terms of orders, by their numbers."""
        return cls(
            account=numbers % ACCOUNTS,
            symbol=numbers % SYMBOLS,
            side=numbers % len(SIDES),
            venue=numbers % len(VENUES),
            arrival=100_000_000 + numbers % 1_000 * 10_000,
        )


class KeyWorkload:
    """Grows the set of orders and touches some of them, as a sequence of workloads to be sent in turn."""

    def __init__(self, keys_max: int) -> None:
        self.keys = 0
        """Orders so far."""
        self._fills = np.zeros(keys_max, dtype=np.int64)
        self._events = 0
        self._touched = 0

    @property
    def fills(self) -> Ints:
        """How many fills each order got so far."""
        return self._fills[: self.keys]

    def grow(self, count: int) -> Workload:
        """So many new orders: each one's status NEW and, somewhat later, its first fill."""
        numbers = np.arange(self.keys, self.keys + count)
        self.keys += count
        at = np.arange(count)
        time = np.concatenate((at, at + LAG_ORDERS))
        by_time = np.argsort(time, kind="stable")
        kind = np.repeat((NEW, TRADE), count)[by_time]
        fill = np.concatenate((np.full(count, -1), at))[by_time]
        return self._workload(numbers, kind, np.concatenate((at, at))[by_time], fill)

    def touch_newest(self, count: int, among: int) -> Workload:
        """One fill on each of `count` of the `among` newest orders, in turn: what is at work in a cache."""
        start = self.keys - among
        numbers = start + (self._touched + np.arange(count)) % among
        self._touched += count
        return self._touch(numbers)

    def touch_any(self, count: int) -> Workload:
        """One fill on each of `count` orders from all over: what a cache that holds a part has to fetch."""
        numbers = (self._touched + np.arange(count)) * STRIDE % self.keys
        self._touched += count
        return self._touch(numbers)

    def _touch(self, numbers: Ints) -> Workload:
        at = np.arange(len(numbers))
        return self._workload(numbers, np.full(len(numbers), TRADE), at, at)

    def _workload(self, numbers: Ints, kind: Ints, order: Ints, fill: Ints) -> Workload:
        if len(np.unique(numbers)) != len(numbers):
            raise ValueError("an order may come once in a workload: choose fewer")
        occurred_at = BASE_MICROS + (self._events + np.arange(len(kind))) * SLOT_MICROS
        self._events += len(kind)
        orders = _orders(numbers)
        fills = _fills(orders, numbers, self._fills[numbers])
        self._fills[numbers] += 1
        return Workload(
            orders, fills, Events(kind, order, fill, occurred_at, np.zeros(len(kind), dtype=np.bool_)), numbers
        )


def _orders(numbers: Ints) -> Orders:
    terms = Terms.of(numbers)
    return Orders(
        account=terms.account,
        symbol=terms.symbol,
        side=terms.side,
        venue=terms.venue,
        quantity=np.full(len(numbers), QUANTITY),
        arrival=terms.arrival,
        fills=np.ones(len(numbers), dtype=np.int64),
        canceled=np.zeros(len(numbers), dtype=np.bool_),
    )


def _fills(orders: Orders, numbers: Ints, ordinal: Ints) -> Fills:
    """The next fill of each order; `ordinal` says how many it had."""
    return Fills(
        order=np.arange(len(numbers)),
        ordinal=ordinal,
        quantity=np.full(len(numbers), FILL_QUANTITY),
        cumulative=(ordinal + 1) * FILL_QUANTITY,
        price=orders.arrival,
        venue=orders.venue,
        liquidity=ordinal % len(LIQUIDITY),
        number=ordinal,
    )
