"""The aggregate of one symbol at one venue over one window: sums that can be added to and merged in any order.

| figure | is |
|---|---|
| orders, ordered quantity | orders placed in the window |
| fills, traded quantity and notional | changes of filled quantity; a bust takes its fill back |
| filled, canceled, rejected, expired orders | orders that ended in the window |
| fill rate | traded / ordered quantity; above 1 where orders of earlier windows trade |
| VWAP | traded notional / traded quantity |
| change of open orders | placed + reopened - ended: added up over tumbling windows, the open orders |
| reject reasons | count by reason |
| acknowledgement, first fill | latencies from first status to the venue's NEW, and from there to the first fill |

The input are milestones, which come once per order whatever is repeated. Windows are assigned by their time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.milestones import Milestone, MilestoneKind
from operators.model.money import fitting
from operators.model.sketch import Sketch, add_counts

REASON_CHARACTERS_MAX: Final = 80
"""Longer reasons are cut: they come from venues and go into the state."""

NO_REASON: Final = "NONE"


class Aggregate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One window's figures. Money in millionths, latencies in microseconds."""

    orders: int = 0
    ordered_quantity: int = 0
    fills: int = 0
    traded_quantity: int = 0
    traded_notional: int = 0
    filled: int = 0
    canceled: int = 0
    rejected: int = 0
    expired: int = 0
    reopened: int = 0
    reject_reasons: dict[str, int] = {}
    acknowledgement: Sketch = Sketch()
    first_fill: Sketch = Sketch()

    @property
    def open_change(self) -> int:
        """By how many the open orders grew."""
        return self.orders + self.reopened - self.filled - self.canceled - self.rejected - self.expired

    @property
    def fill_rate(self) -> float | None:
        """Traded by ordered quantity; None where nothing was ordered."""
        return self.traded_quantity / self.ordered_quantity if self.ordered_quantity else None

    @property
    def vwap(self) -> int | None:
        """Average price by volume, rounded down; None where nothing was traded."""
        return self.traded_notional // self.traded_quantity if self.traded_quantity > 0 else None


def dashboard_key(milestone: Milestone) -> str:
    """symbol|venue; the venue is empty for an order that ended before it had one."""
    return f"{milestone.symbol}|{milestone.venue or ''}"


def add(aggregate: Aggregate | None, milestone: Milestone) -> Aggregate:
    """The aggregate with one more milestone; `InvalidRecordError` for an unknown kind or a trade without price."""
    count = _COUNTS.get(milestone.kind)
    if count is None:
        raise InvalidRecordError(f"milestone {milestone.kind}")
    return count(aggregate or Aggregate(), milestone)


def merge(left: Aggregate, right: Aggregate) -> Aggregate:
    """The aggregate of what both were made of. Associative and commutative."""
    sums = {name: _sum(name, getattr(left, name), getattr(right, name)) for name in _SUMS}
    return Aggregate(
        **sums,
        reject_reasons=add_counts(left.reject_reasons, right.reject_reasons),
        acknowledgement=left.acknowledgement.merge(right.acknowledgement),
        first_fill=left.first_fill.merge(right.first_fill),
    )


_SUMS: Final = (
    "orders", "ordered_quantity", "fills", "traded_quantity", "traded_notional",
    "filled", "canceled", "rejected", "expired", "reopened",
)  # fmt: skip


def _sum(name: str, left: int, right: int) -> int:
    return fitting(left + right, name)


def _placed(before: Aggregate, milestone: Milestone) -> Aggregate:
    ordered = _sum("ordered quantity", before.ordered_quantity, milestone.quantity)
    return replace(before, orders=before.orders + 1, ordered_quantity=ordered)


def _acknowledged(before: Aggregate, milestone: Milestone) -> Aggregate:
    return replace(before, acknowledgement=_with_latency(before.acknowledgement, milestone))


def _traded(before: Aggregate, milestone: Milestone) -> Aggregate:
    if milestone.price is None:
        raise InvalidRecordError(f"trade of {milestone.quantity} without price")
    return replace(
        before,
        fills=before.fills + (1 if milestone.quantity > 0 else -1),
        traded_quantity=_sum("traded quantity", before.traded_quantity, milestone.quantity),
        traded_notional=_sum("traded notional", before.traded_notional, milestone.quantity * milestone.price),
        first_fill=_with_latency(before.first_fill, milestone),
    )


def _rejected(before: Aggregate, milestone: Milestone) -> Aggregate:
    reason = (milestone.reason or NO_REASON)[:REASON_CHARACTERS_MAX]
    return replace(before, rejected=before.rejected + 1, reject_reasons=add_counts(before.reject_reasons, {reason: 1}))


def _with_latency(sketch: Sketch, milestone: Milestone) -> Sketch:
    return sketch if milestone.latency_micros is None else sketch.add(milestone.latency_micros)


_COUNTS: Final[Mapping[str, Callable[[Aggregate, Milestone], Aggregate]]] = {
    MilestoneKind.PLACED: _placed,
    MilestoneKind.ACKNOWLEDGED: _acknowledged,
    MilestoneKind.TRADED: _traded,
    MilestoneKind.FILLED: lambda before, _: replace(before, filled=before.filled + 1),
    MilestoneKind.CANCELED: lambda before, _: replace(before, canceled=before.canceled + 1),
    MilestoneKind.REJECTED: _rejected,
    MilestoneKind.EXPIRED: lambda before, _: replace(before, expired=before.expired + 1),
    MilestoneKind.REOPENED: lambda before, _: replace(before, reopened=before.reopened + 1),
}
