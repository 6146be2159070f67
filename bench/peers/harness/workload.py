"""The deterministic workload and its expected results, as numpy columns.

Everything follows from (orders, seed): a later step regenerates the same columns to know the
expected result of every single order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

ACCOUNTS = 500
SYMBOLS = 200
LIVE_ORDERS = 20_000
SIDES = ("BUY", "SELL", "SELL_SHORT")
VENUES = ("XNAS", "XNYS", "ARCX", "BATS")
LIQUIDITY = ("ADDED", "REMOVED", None)
BASE_MICROS = 1_772_461_800_000_000  # 2026-03-02T14:30:00Z
TRADE_DATE = 20_514  # the same day, in days since 1970
SLOT_MICROS = 100  # between two new orders

NEW, CANCELED, TRADE = 0, 1, 2


@dataclass(frozen=True)
class Orders:
    """Per order: its terms and how many fills it gets."""

    account: Ints
    symbol: Ints
    side: Ints
    venue: Ints
    quantity: Ints
    arrival: Ints
    fills: Ints
    canceled: NDArray[np.bool_]

    @cached_property
    def first_fill(self) -> Ints:
        """Index of each order's first fill in the flat fill columns."""
        return np.cumsum(self.fills) - self.fills

    def __len__(self) -> int:
        return len(self.account)


@dataclass(frozen=True)
class Fills:
    """Per fill, flat, grouped by order."""

    order: Ints
    ordinal: Ints
    quantity: Ints
    cumulative: Ints
    price: Ints
    venue: Ints
    liquidity: Ints
    number: Ints  # of the execId; unique within a venue only


@dataclass(frozen=True)
class Events:
    """The input events in the order of time: columns of equal length."""

    kind: Ints
    order: Ints
    fill: Ints  # -1 for statuses
    occurred_at: Ints
    duplicate: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kind)

    def part(self, start: int, stop: int) -> Events:
        """A slice in time."""
        cut = slice(start, stop)
        return Events(self.kind[cut], self.order[cut], self.fill[cut], self.occurred_at[cut], self.duplicate[cut])


@dataclass(frozen=True)
class Workload:
    """Orders, their fills, and the events that tell of them."""

    orders: Orders
    fills: Fills
    events: Events
    numbers: Ints | None = None
    """Number of each order, as its key shows it; None if they are numbered as they stand."""

    def number_of(self, order: Ints) -> Ints:
        """The numbers of orders given by where they stand."""
        return order if self.numbers is None else self.numbers[order]


def generate(count: int, seed: int) -> Workload:
    """The workload of `count` orders."""
    rng = np.random.default_rng(seed)
    orders = _orders(count, rng)
    fills = _fills(orders, rng)
    return Workload(orders, fills, _events(orders, fills, rng))


def _orders(count: int, rng: np.random.Generator) -> Orders:
    base = rng.integers(5_00, 500_00, SYMBOLS)  # cents
    symbol = rng.integers(0, SYMBOLS, count)
    arrival = (base[symbol] + rng.integers(-20, 21, count)) * 10_000
    return Orders(
        account=rng.integers(0, ACCOUNTS, count),
        symbol=symbol,
        side=rng.choice(len(SIDES), count, p=(0.5, 0.4, 0.1)),
        venue=rng.integers(0, len(VENUES), count),
        quantity=rng.integers(100, 3_000, count),
        arrival=arrival,
        fills=rng.integers(1, 6, count),
        canceled=rng.random(count) < 0.2,
    )


def _fills(orders: Orders, rng: np.random.Generator) -> Fills:
    order = np.repeat(np.arange(len(orders)), orders.fills)
    total = len(order)
    ordinal = np.arange(total) - orders.first_fill[order]
    share = np.where(orders.canceled, rng.uniform(0.5, 0.9, len(orders)), 1.0)
    target = np.floor(orders.quantity * share).astype(np.int64)
    weight = rng.uniform(0.2, 1.2, total)
    per_order = np.add.reduceat(weight, orders.first_fill)
    # Cut points from the running weight, so that the fills sum to the target exactly.
    running = np.cumsum(weight)
    running -= np.repeat(running[orders.first_fill] - weight[orders.first_fill], orders.fills)
    cumulative = np.floor(target[order] * running / per_order[order]).astype(np.int64)
    cumulative[orders.first_fill + orders.fills - 1] = target
    quantity = np.diff(cumulative, prepend=0)
    quantity[orders.first_fill] = cumulative[orders.first_fill]
    index = np.arange(total)
    return Fills(
        order=order,
        ordinal=ordinal,
        quantity=quantity,
        cumulative=cumulative,
        price=orders.arrival[order] + rng.integers(-15, 16, total) * 10_000,
        # Neighbouring fills share an execId on different venues: deduplication by execId alone
        # would lose fills.
        venue=index % len(VENUES),
        liquidity=rng.choice(len(LIQUIDITY), total, p=(0.45, 0.45, 0.10)),
        number=index // len(VENUES),
    )


def _events(orders: Orders, fills: Fills, rng: np.random.Generator) -> Events:
    count, total = len(orders), len(fills.order)
    start = np.arange(count, dtype=np.float64)
    life = np.minimum(rng.exponential(LIVE_ORDERS, count), 5 * LIVE_ORDERS)
    # Fill times: sorted within the order, as running sums of gaps.
    gap = rng.uniform(0.1, 1.0, total)
    running = np.cumsum(gap)
    running -= np.repeat(running[orders.first_fill] - gap[orders.first_fill], orders.fills)
    whole = np.add.reduceat(gap, orders.first_fill) * np.where(orders.canceled, 1.1, 1.0)
    fill_time = start[fills.order] + life[fills.order] * running / whole[fills.order]
    canceled = np.flatnonzero(orders.canceled)
    resent = np.flatnonzero(rng.random(total) < 0.01)
    resent_time = fill_time[resent] + rng.exponential(2_000, len(resent))

    time = np.concatenate((start, fill_time, start[canceled] + life[canceled], resent_time))
    kind = np.repeat((NEW, TRADE, CANCELED, TRADE), (count, total, len(canceled), len(resent)))
    order = np.concatenate((np.arange(count), fills.order, canceled, fills.order[resent]))
    fill = np.concatenate((np.full(count, -1), np.arange(total), np.full(len(canceled), -1), resent))
    duplicate = np.zeros(len(kind), dtype=np.bool_)
    duplicate[len(kind) - len(resent) :] = True
    # A re-sent execution is the same message: it keeps its occurredAt.
    original = np.concatenate((time[: len(kind) - len(resent)], fill_time[resent]))
    occurred_at = BASE_MICROS + np.floor(original * SLOT_MICROS).astype(np.int64)
    by_time = np.argsort(time, kind="stable")
    return Events(kind[by_time], order[by_time], fill[by_time], occurred_at[by_time], duplicate[by_time])


@dataclass(frozen=True)
class Expected:
    """The exact final state per order, and per-order counts of outputs."""

    filled: Ints
    notional: Ints
    fees: Ints
    enriched: Ints
    consolidated: Ints
    enriched_time: int  # sum of occurredAt - BASE_MICROS over outputs
    consolidated_time: int
    canceled: NDArray[np.bool_]


def expected(work: Workload) -> Expected:
    """What a correct job ends with; no part of it depends on the order of processing."""
    orders, fills, events = work.orders, work.fills, work.events
    count = len(orders)
    value = fills.quantity * fills.price
    filled = _sum(fills.quantity, orders)
    notional = _sum(value, orders)
    commission = np.minimum(np.maximum(1_000_000, 5_000 * filled), notional // 100)
    sells = orders.side[fills.order] != SIDES.index("BUY")
    regulatory = np.minimum(195 * fills.quantity, 9_790_000) + value * 206 // 10_000_000
    venue = np.array((-2_000, 3_000, 0))[fills.liquidity] * fills.quantity
    fees = commission + _sum(np.where(sells, regulatory, 0) + venue, orders)
    trade = (events.kind == TRADE) & ~events.duplicate
    engine = events.kind != TRADE
    since = events.occurred_at - BASE_MICROS
    enriched = np.bincount(events.order[trade], minlength=count)
    return Expected(
        filled=filled,
        notional=notional,
        fees=fees,
        enriched=enriched,
        consolidated=enriched + np.bincount(events.order[engine], minlength=count),
        enriched_time=int(since[trade].sum()),
        consolidated_time=int(since[trade | engine].sum()),
        canceled=orders.canceled,
    )


def _sum(column: Ints, orders: Orders) -> Ints:
    return np.add.reduceat(column, orders.first_fill)
