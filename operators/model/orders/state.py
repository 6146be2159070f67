"""One order as the rules see it: its state, what the rules know besides, and what a step of theirs gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from operators.model.events import DayQuantities, OrderAnomaly, OrderEnriched, OrderStatusChanged, OrdStatus
from operators.model.fees.costs import Market
from operators.model.fees.fees import FeeSchedule
from operators.model.orders.executions import Execution, Split
from operators.model.orders.lifecycle import Voice, consolidated_code, is_inactive
from operators.model.orders.parents import FamilyChange

FOREVER_MS: Final = 2**63 - 1


class AnomalyKind(StrEnum):
    """What contradicts what is known of an order. It is counted and told, and stops nothing.

    The fills are the truth: what a venue reports besides is compared with them, never believed over them.
    """

    DUPLICATE = "DUPLICATE"
    """The same message again: nothing happens."""
    GAP = "GAP"
    """Statuses of the engine are missing."""
    OUT_OF_ORDER = "OUT_OF_ORDER"
    """An execution behind a later one, or a bust or correction before its trade: it counts."""
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    """The engine goes on about an order that it had ended: nothing happens."""
    OVERFILL = "OVERFILL"
    """More is filled than was ordered: it counts."""
    CUM_MISMATCH = "CUM_MISMATCH"
    """CumQty or LeavesQty as reported are not what the fills add up to."""
    CUM_BACKWARDS = "CUM_BACKWARDS"
    """CumQty as reported is below what the same source reported before, and nothing was taken back between."""
    LEAVES_ZERO_LIVE = "LEAVES_ZERO_LIVE"
    """LeavesQty 0 is reported of an order that is neither filled nor ended."""
    NOT_APPLIED = "NOT_APPLIED"
    """A bust or correction of what is busted already or no trade, or one too many that wait: nothing happens."""
    EXEC_ID_REUSED = "EXEC_ID_REUSED"
    """Another execution under an ExecID that is taken: it counts."""
    REQUEST_REJECTED = "REQUEST_REJECTED"
    """REJECTED by a venue, of a duplicate or bad request and not of the order: nothing happens."""
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    """The venue does not know the order that was to be canceled or replaced."""


class Position(NamedTuple):
    """How far the messages of one source were seen: the source's `name_id` and the last sequence."""

    source: int
    sequence: int


class VenuePosition(NamedTuple):
    """The same of a source of executions, with the CumQty it reported last."""

    source: int
    sequence: int
    cum_quantity: int = 0


class Day(NamedTuple):
    """What the fills of the order's trading day add up to."""

    filled: int = 0
    notional: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one order.

    `executions` are the recent ones: whoever keeps the state may move old ones out and answer for them (`Recall`).
    `trade_date` is the largest its venues named; `day` is there from the order's second day on. `superseded` are the
    ClOrdIDs that the venue replaced last, `waiting` busts and corrections whose trade has not come yet. `end_price` is
    the market's price when an order with a decision price was canceled, expired or rejected. `replaced_at_venue` while
    a venue's REPLACED has not been followed by one of the engine.
    """

    key: str
    symbol: str
    side: str
    quantity: int
    limit_price: int | None = None
    time_in_force: str | None = None
    venue: str | None = None
    parent_id: str | None = None
    is_parent: bool = False
    arrival_price: int | None = None
    decision_price: int | None = None
    accepted_at: Market | None = None
    engine: Voice = Voice()
    at_venue: Voice = Voice()
    filled: int = 0
    notional: int = 0
    commission: int = 0
    total_fees: int = 0
    trade_date: int | None = None
    day: Day | None = None
    sequence: int = 0
    anomalies: int = 0
    last_event_at: int
    statuses_seen: Position | None = None
    executions_seen: VenuePosition | None = None
    other_statuses_seen: tuple[Position, ...] = ()
    other_executions_seen: tuple[VenuePosition, ...] = ()
    superseded: tuple[str, ...] = ()
    waiting: tuple[Execution, ...] = ()
    splits: tuple[Split, ...] = ()
    end_price: int | None = None
    replaced_at_venue: bool = False
    executions: tuple[Execution, ...] = ()

    @property
    def code(self) -> OrdStatus | None:
        """The consolidated OrdStatus; None until the engine, a venue or a fill has said something."""
        return consolidated_code(self.engine, self.at_venue, filled=self.filled, quantity=self.quantity)

    @property
    def inactive(self) -> bool:
        """Nothing is open for execution, whatever the quantities are."""
        return is_inactive(self.engine, self.at_venue, self.time_in_force)

    @property
    def leaves(self) -> int:
        """LeavesQty(151)."""
        return 0 if self.inactive else max(0, self.quantity - self.filled)

    @property
    def average_price(self) -> int | None:
        """AvgPx(6), rounded down; None before the first fill."""
        return self.notional // self.filled if self.filled > 0 else None

    @property
    def dead(self) -> bool:
        """Canceled, expired or rejected."""
        return self.engine.dead or self.at_venue.dead

    @property
    def closed(self) -> bool:
        """Nothing more is expected, though late fills may come."""
        return self.inactive or 0 < self.filled >= self.quantity

    @property
    def day_quantities(self) -> DayQuantities | None:
        """DayOrderQty(424), DayCumQty(425) and DayAvgPx(426), from the second day on."""
        if self.day is None or self.trade_date is None:
            return None
        filled, notional = self.day
        return DayQuantities(
            trade_date=self.trade_date,
            order_quantity=max(0, self.quantity - (self.filled - filled)),
            filled_quantity=filled,
            avg_price=notional // filled if filled > 0 else None,
        )


def visible(order: Order) -> tuple[object, ...]:
    """What a consolidated status shows: without a change of it there is none. The average price counts exactly."""
    return (
        order.code,
        order.quantity,
        order.limit_price,
        order.time_in_force,
        order.filled,
        order.notional,
        order.leaves,
        order.day_quantities,
        order.symbol,
        order.side,
        order.venue,
        order.parent_id,
        order.is_parent,
        order.arrival_price,
        order.decision_price,
    )


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules know besides state and event.

    A closed order may be dropped when event time is `retention_ms` after its last event.
    """

    fees: FeeSchedule
    source: str = "status-aggregator"
    enrichment_source: str = "order-enrichment"
    retention_ms: int = 7 * 24 * 3_600_000


Output = OrderStatusChanged | OrderEnriched | FamilyChange


class Step(NamedTuple):
    """The order after an event (None: still unknown), what to send, and what was unusual."""

    order: Order | None
    outputs: Sequence[Output] = ()
    anomalies: Sequence[OrderAnomaly] = ()


def expire_at_ms(order: Order, context: Context) -> int:
    """The event time after which the order may be forgotten; `FOREVER_MS` while it is open."""
    return order.last_event_at // 1000 + context.retention_ms if order.closed else FOREVER_MS


def name_id(name: str) -> int:
    """A number for a name of a source or an order, the same in every process, so that state can tell it by; never 0."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1 | 1
