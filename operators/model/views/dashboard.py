"""The aggregate of one symbol at one venue over one window: sums that can be added to and merged in any order.

| figure | is |
|---|---|
| orders, ordered quantity | orders placed in the window |
| fills, traded quantity and notional | executions; a bust takes its fill back, a correction changes the two sums |
| filled, canceled, rejected, expired, done orders | orders that ended in the window |
| fill rate | traded / ordered quantity; above 1 where orders of earlier windows trade |
| VWAP | traded notional / traded quantity |
| change of open orders | placed + reopened - ended |
| open orders | the same since the beginning, from a total that is kept for good |
| reject reasons | count by reason |
| acknowledgement, first fill | latencies from first status to the venue's NEW, and from there to the first fill |

The input are milestones, which come once per order whatever is repeated. Windows are assigned by their time: a bust
or correction counts when it happened, so the figures of a window that was looked at do not change days later, and the
sums over windows are exact. A split is no trade, a parent no order of a venue: neither has a milestone that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from config.errors import InvalidRecordError
from operators.model.money import fitting
from operators.model.sketch import Sketch, add_counts
from operators.model.views.milestones import Milestone, MilestoneKind

REASON_CHARACTERS_MAX: Final = 80
"""Longer reasons are cut: they come from venues and go into the state."""

NO_REASON: Final = "NONE"

TOTAL_SIZE_MS: Final = 0
"""The size under which the total since the beginning is kept among the windows of a key."""


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
    done: int = 0
    reopened: int = 0
    reject_reasons: dict[str, int] = {}
    acknowledgement: Sketch = Sketch()
    first_fill: Sketch = Sketch()

    @property
    def open_change(self) -> int:
        """By how many the open orders grew."""
        return self.orders + self.reopened - self.filled - self.canceled - self.rejected - self.expired - self.done

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


def add_to_total(total: Aggregate | None, milestone: Milestone) -> Aggregate:
    """The figures since the beginning with one more milestone; they leave out latencies and reasons, to stay small."""
    return add(total, replace(milestone, latency_micros=None, reason=None))


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
    "filled", "canceled", "rejected", "expired", "done", "reopened",
)  # fmt: skip


def _sum(name: str, left: int, right: int) -> int:
    return fitting(left + right, name)


def _placed(before: Aggregate, milestone: Milestone) -> Aggregate:
    ordered = _sum("ordered quantity", before.ordered_quantity, milestone.quantity)
    return replace(before, orders=before.orders + 1, ordered_quantity=ordered)


def _acknowledged(before: Aggregate, milestone: Milestone) -> Aggregate:
    return replace(before, acknowledgement=_with_latency(before.acknowledgement, milestone))


def _traded(before: Aggregate, milestone: Milestone) -> Aggregate:
    return replace(
        before,
        fills=before.fills + _FILLS.get(milestone.kind, 1 if milestone.quantity > 0 else -1),
        traded_quantity=_sum("traded quantity", before.traded_quantity, milestone.quantity),
        traded_notional=_sum("traded notional", before.traded_notional, _notional(milestone)),
        first_fill=_with_latency(before.first_fill, milestone),
    )


_FILLS: Final[Mapping[str, int]] = {MilestoneKind.BUSTED: -1, MilestoneKind.CORRECTED: 0}


def _notional(milestone: Milestone) -> int:
    """The change of notional; milestones of version 1 tell a price only."""
    if milestone.notional is not None:
        return milestone.notional
    if milestone.price is None:
        raise InvalidRecordError(f"trade of {milestone.quantity} without price")
    return milestone.quantity * milestone.price


def _rejected(before: Aggregate, milestone: Milestone) -> Aggregate:
    reason = (milestone.reason or NO_REASON)[:REASON_CHARACTERS_MAX]
    return replace(before, rejected=before.rejected + 1, reject_reasons=add_counts(before.reject_reasons, {reason: 1}))


def _with_latency(sketch: Sketch, milestone: Milestone) -> Sketch:
    return sketch if milestone.latency_micros is None else sketch.add(milestone.latency_micros)


_COUNTS: Final[Mapping[str, Callable[[Aggregate, Milestone], Aggregate]]] = {
    MilestoneKind.PLACED: _placed,
    MilestoneKind.ACKNOWLEDGED: _acknowledged,
    MilestoneKind.PENDING: lambda before, _: before,
    MilestoneKind.ANSWERED: lambda before, _: before,
    MilestoneKind.TRADED: _traded,
    MilestoneKind.BUSTED: _traded,
    MilestoneKind.CORRECTED: _traded,
    MilestoneKind.FILLED: lambda before, _: replace(before, filled=before.filled + 1),
    MilestoneKind.CANCELED: lambda before, _: replace(before, canceled=before.canceled + 1),
    MilestoneKind.REJECTED: _rejected,
    MilestoneKind.EXPIRED: lambda before, _: replace(before, expired=before.expired + 1),
    MilestoneKind.DONE: lambda before, _: replace(before, done=before.done + 1),
    MilestoneKind.REOPENED: lambda before, _: replace(before, reopened=before.reopened + 1),
}
