"""Parent orders: what the children of an order, worked on several venues, add up to.

Each child tells its parent how its share changed, never its whole state: so a parent is a handful of sums, however many
children it has, and one change costs the same for the first child as for the ten-thousandth.

| of the parent | is |
|---|---|
| filledQuantity | sum over the children, and of fills of its own if a venue reports some |
| avgPrice | exact sum of notional / filledQuantity, rounded down |
| quantity | what the engine says; if nothing, the sum over the children, a dead one with its fills |
| code, if the engine speaks of the parent | by precedence of the engine's word and the fills, as of any order |
| code, if it says nothing | when every child is dead, EXPIRED or REJECTED if all are, else CANCELED; PARTIALLY_FILLED \
for REJECTED with fills; else FILLED when filled >= quantity, PARTIALLY_FILLED when filled > 0, NEW |
| leavesQuantity | quantity - filled; 0 when the engine says that it is over, or every child is dead |

A child's reject is its own: the parent has less to work with, and lives on. There is one level: an order that is
flagged as a parent is not counted as anybody's child.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from operators.model.events import (
    EventType,
    OrderStatusChanged,
    OrderSummary,
    OrdStatus,
    StatusDetail,
    order_of,
)
from operators.model.money import fitting
from operators.model.orders.lifecycle import Voice, consolidated_code, is_inactive

PARENT_SOURCE: Final = "parent-aggregator"
"""Who speaks for parents in consolidated statuses."""


class Share(NamedTuple):
    """What an order contributes to a parent, or the change of it."""

    children: int = 0
    open: int = 0
    canceled: int = 0
    expired: int = 0
    rejected: int = 0
    quantity: int = 0
    filled: int = 0
    notional: int = 0

    def plus(self, change: Share) -> Share:
        """With a change; `InvalidRecordError` if a sum does not fit 64 bits."""
        return Share._make(fitting(a + b, name) for a, b, name in zip(self, change, self._fields, strict=True))

    def minus(self, other: Share) -> Share:
        """The change from another."""
        return Share._make(a - b for a, b in zip(self, other, strict=True))


class Terms(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the engine says of a parent itself."""

    quantity: int
    limit_price: int | None = None
    time_in_force: str | None = None
    venue: str | None = None
    arrival_price: int | None = None
    decision_price: int | None = None
    code: OrdStatus | None = None
    pending: OrdStatus | None = None


class FamilyChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event changed what an order means to its parent, or a parent's own terms. `key` is that of the order."""

    occurred_at: int
    key: str
    parent_id: str
    symbol: str
    side: str
    children: int = 0
    open: int = 0
    canceled: int = 0
    expired: int = 0
    rejected: int = 0
    quantity: int = 0
    filled: int = 0
    notional: int = 0
    terms: Terms | None = None
    reason: str | None = None
    cl_ord_id: str | None = None
    correlation_id: str | None = None

    @property
    def share(self) -> Share:
        """The change of the sums."""
        return Share._make(getattr(self, name) for name in Share._fields)


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a parent order."""

    symbol: str
    side: str
    sums: Share = Share()
    terms: Terms | None = None
    sequence: int = 0
    last_event_at: int = 0

    @property
    def engine(self) -> Voice:
        """What the engine says of it."""
        return Voice(self.terms.code, self.terms.pending) if self.terms else Voice()

    @property
    def dead_children(self) -> int:
        """Children that were canceled, expired or rejected before they were filled."""
        return self.sums.canceled + self.sums.expired + self.sums.rejected

    @property
    def quantity(self) -> int:
        """OrderQty(38)."""
        return self.terms.quantity if self.terms else self.sums.quantity

    @property
    def code(self) -> OrdStatus | None:
        """OrdStatus(39), by the table above."""
        sums = self.sums
        if self.engine != Voice():
            return consolidated_code(self.engine, Voice(), filled=sums.filled, quantity=self.quantity)
        if sums.children and self.dead_children == sums.children:
            if sums.rejected == sums.children:
                return OrdStatus.PARTIALLY_FILLED if sums.filled > 0 else OrdStatus.REJECTED
            return OrdStatus.EXPIRED if sums.expired == sums.children else OrdStatus.CANCELED
        if sums.filled > 0:
            return OrdStatus.FILLED if sums.filled >= self.quantity else OrdStatus.PARTIALLY_FILLED
        return OrdStatus.NEW if sums.children else None

    @property
    def leaves(self) -> int:
        """LeavesQty(151)."""
        over = is_inactive(self.engine, Voice(), self.terms.time_in_force) if self.terms else not self.sums.open
        return 0 if over else max(0, self.quantity - self.sums.filled)

    @property
    def average_price(self) -> int | None:
        """AvgPx(6), rounded down; None before the first fill."""
        return self.sums.notional // self.sums.filled if self.sums.filled > 0 else None

    @property
    def closed(self) -> bool:
        """Nothing more is expected of it or its children."""
        return self.sums.open <= 0 and self.leaves == 0


def on_change(parent: Parent | None, key: str, change: FamilyChange) -> tuple[Parent, OrderStatusChanged | None]:
    """Takes in a change of a child or of the parent itself; the parent's consolidated status if that changed too."""
    before = parent or Parent(symbol=change.symbol, side=change.side)
    after = msgspec.structs.replace(
        before,
        sums=before.sums.plus(change.share),
        terms=change.terms or before.terms,
        symbol=change.symbol if change.terms else before.symbol,
        side=change.side if change.terms else before.side,
        last_event_at=max(before.last_event_at, change.occurred_at),
    )
    if after.code is None or (parent is not None and _visible(after) == _visible(before)):
        return after, None
    after = msgspec.structs.replace(after, sequence=before.sequence + 1)
    return after, _consolidated(after, key, change)


def _visible(parent: Parent) -> tuple[object, ...]:
    terms = msgspec.structs.replace(parent.terms, code=None, pending=None) if parent.terms else None
    filled, average = parent.sums.filled, parent.average_price
    return parent.code, parent.quantity, filled, average, parent.leaves, terms, parent.symbol, parent.side


def _consolidated(parent: Parent, key: str, change: FamilyChange) -> OrderStatusChanged:
    assert parent.code is not None
    terms, filled = parent.terms, parent.sums.filled
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED,
        occurred_at=change.occurred_at,
        key=key,
        sequence=parent.sequence,
        source=PARENT_SOURCE,
        order=OrderSummary(
            id=order_of(key),
            symbol=parent.symbol,
            side=parent.side,
            quantity=parent.quantity,
            cl_ord_id=change.cl_ord_id if change.terms else None,
            limit_price=terms.limit_price if terms else None,
            time_in_force=terms.time_in_force if terms else None,
            is_parent=True,
        ),
        status=StatusDetail(
            code=parent.code,
            reason=change.reason if change.terms else None,
            filled_quantity=filled,
            leaves_quantity=parent.leaves,
            avg_price=parent.average_price,
        ),
        venue=terms.venue if terms else None,
        arrival_price=terms.arrival_price if terms else None,
        decision_price=terms.decision_price if terms else None,
        correlation_id=change.correlation_id,
    )
