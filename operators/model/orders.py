"""The life of one order: engine statuses and venue executions joined into consolidated statuses and enrichment.

These scalar rules are the definition. The columnar fold computes the same for plain events of many orders at once, and
hands everything else to the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.events import (
    EventType,
    ExecType,
    ExecutionReport,
    Fee,
    FeeKind,
    Liquidity,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    OrdStatus,
    Side,
    StatusDetail,
    order_of,
)
from operators.model.fees import Charged, FeeSchedule, fees_of_fill
from operators.model.lifecycle import FINAL, INACTIVE, TRANSITIONS, VENUE_STATES, consolidated_code
from operators.model.money import fitting

TEXT_BYTES_MAX: Final = 255
"""Longest identifier, symbol or venue in UTF-8. FIX venues use some tens; more is a broken or hostile producer."""

FOREVER_MS: Final = 2**63 - 1


class AnomalyKind(StrEnum):
    """Something unusual that is counted and shown, but does not stop the record."""

    DUPLICATE = "DUPLICATE"
    GAP = "GAP"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    OVERFILL = "OVERFILL"
    CUM_MISMATCH = "CUM_MISMATCH"
    NOT_APPLIED = "NOT_APPLIED"


class Anomaly(msgspec.Struct, frozen=True):
    """One anomaly and what was seen."""

    kind: AnomalyKind
    detail: str


class Identity(NamedTuple):
    """What tells two executions of an order apart: ExecID(17) is unique only within a venue and trade date."""

    venue: str
    trade_date: int
    exec_id: str


class Execution(msgspec.Struct, frozen=True):
    """A fill that counted, as far as later busts and corrections need it."""

    venue: str
    trade_date: int
    exec_id: str
    quantity: int
    price: int
    liquidity: str | None

    @property
    def identity(self) -> Identity:
        """Its identity within the order."""
        return Identity(self.venue, self.trade_date, self.exec_id)


class Position(NamedTuple):
    """How far the messages of one source were seen: the source's `source_id` and the last sequence."""

    source: int
    sequence: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one order.

    `executions` are the recent ones: whoever keeps the state may move old ones out and answer for them (`Recall`).
    """

    key: str
    symbol: str
    side: str
    quantity: int
    venue: str | None = None
    parent_id: str | None = None
    arrival_price: int | None = None
    engine_code: OrdStatus | None = None
    venue_code: OrdStatus | None = None
    filled: int = 0
    notional: int = 0
    commission: int = 0
    total_fees: int = 0
    sequence: int = 0
    last_event_at: int
    statuses_seen: Position | None = None
    executions_seen: Position | None = None
    other_statuses_seen: tuple[Position, ...] = ()
    other_executions_seen: tuple[Position, ...] = ()
    executions: tuple[Execution, ...] = ()

    @property
    def code(self) -> OrdStatus | None:
        """The consolidated OrdStatus; None until the engine or a fill has said something."""
        return consolidated_code(self.engine_code, self.venue_code, filled=self.filled, quantity=self.quantity)

    @property
    def leaves(self) -> int:
        """LeavesQty(151)."""
        return 0 if self.code in INACTIVE else max(0, self.quantity - self.filled)

    @property
    def average_price(self) -> int | None:
        """AvgPx(6), rounded down; None before the first fill."""
        return self.notional // self.filled if self.filled > 0 else None

    @property
    def closed(self) -> bool:
        """Nothing more is expected, though late fills may come."""
        return 0 < self.filled >= self.quantity or self.engine_code in FINAL or self.venue_code in FINAL


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules know besides state and event.

    A closed order may be dropped when event time is `retention_ms` after its last event.
    """

    fees: FeeSchedule
    source: str = "status-aggregator"
    enrichment_source: str = "order-enrichment"
    retention_ms: int = 7 * 24 * 3_600_000


Output = OrderStatusChanged | OrderEnriched


class Step(NamedTuple):
    """The order after an event (None: still unknown), what to send, and what was unusual."""

    order: Order | None
    outputs: Sequence[Output] = ()
    anomalies: Sequence[Anomaly] = ()


Recall = Callable[[Identity], bool]
"""Tells whether an execution was counted whose record was moved out of `Order.executions`."""


def nothing_moved_out(_: Identity) -> bool:
    """The `Recall` of an order that holds all its executions."""
    return False


def on_status(order: Order | None, event: OrderStatusChanged, context: Context) -> Step:
    """Takes in a status of the order engine. `InvalidRecordError` for values no rule can work with."""
    code = _checked_status(event)
    source = source_id(event.source)
    last = _last_sequence(order.statuses_seen, order.other_statuses_seen, source) if order else None
    if order and last is not None and event.sequence <= last:
        return Step(order, (), (_anomaly(AnomalyKind.DUPLICATE, f"status {event.sequence} after {last}"),))
    anomalies = []
    if event.sequence != (last or 0) + 1:
        anomalies.append(_anomaly(AnomalyKind.GAP, f"status {event.sequence} after {last or 0}"))
    before = order or Order(
        key=event.key,
        symbol=event.order.symbol,
        side=event.order.side,
        quantity=event.order.quantity,
        last_event_at=event.occurred_at,
    )
    seen, others = _advance(before.statuses_seen, before.other_statuses_seen, Position(source, event.sequence))
    before = msgspec.structs.replace(before, statuses_seen=seen, other_statuses_seen=others)
    if code not in TRANSITIONS[before.engine_code]:
        anomalies.append(_anomaly(AnomalyKind.ILLEGAL_TRANSITION, f"{code} after {before.engine_code}"))
        return Step(before, (), anomalies)
    after = msgspec.structs.replace(
        before,
        symbol=event.order.symbol,
        side=event.order.side,
        quantity=event.order.quantity,
        venue=before.venue if event.venue is None else event.venue,
        parent_id=before.parent_id if event.order.parent_id is None else event.order.parent_id,
        arrival_price=_benchmark(event) if before.arrival_price is None else before.arrival_price,
        engine_code=code,
        sequence=before.sequence + 1,
        last_event_at=max(before.last_event_at, event.occurred_at),
    )
    return Step(after, (_consolidated(after, event.occurred_at, event.status.reason, context),), anomalies)


def on_execution(
    order: Order | None, event: ExecutionReport, context: Context, recall: Recall = nothing_moved_out
) -> Step:
    """Takes in a message of a venue; the order need not be known yet. `InvalidRecordError` as for `on_status`."""
    kind = _checked_execution(event)
    source = source_id(event.source)
    before = order or Order(
        key=event.key,
        symbol=event.symbol,
        side=event.side,
        quantity=event.order_quantity,
        venue=event.venue,
        last_event_at=event.occurred_at,
    )
    last = _last_sequence(before.executions_seen, before.other_executions_seen, source)
    anomalies = []
    if kind is ExecType.TRADE:
        identity = Identity(event.venue, event.trade_date, event.exec_id)
        if any(known.identity == identity for known in before.executions) or recall(identity):
            return Step(order, (), (_anomaly(AnomalyKind.DUPLICATE, "execution {} {} {}".format(*identity)),))
        if last is not None and event.sequence <= last:
            anomalies.append(_anomaly(AnomalyKind.OUT_OF_ORDER, f"execution {event.sequence} after {last}"))
    elif last is not None and event.sequence <= last:
        return Step(order, (), (_anomaly(AnomalyKind.DUPLICATE, f"{kind} {event.sequence} after {last}"),))
    position = Position(source, event.sequence if last is None else max(last, event.sequence))
    seen, others = _advance(before.executions_seen, before.other_executions_seen, position)
    before = msgspec.structs.replace(
        before,
        venue=event.venue if before.venue is None else before.venue,
        executions_seen=seen,
        other_executions_seen=others,
        last_event_at=max(before.last_event_at, event.occurred_at),
    )
    if kind is ExecType.TRADE:
        return _on_trade(before, event, context, anomalies)
    return _on_report(before, event, kind, context)


def _on_trade(order: Order, event: ExecutionReport, context: Context, anomalies: list[Anomaly]) -> Step:
    """A fill that was not seen before. A fill after CANCELED is legal and counts."""
    assert event.last_price is not None
    quantity, price = event.last_quantity, event.last_price
    fees = fees_of_fill(
        context.fees,
        trade_date=event.trade_date,
        venue=event.venue,
        side=order.side,
        liquidity=event.liquidity,
        quantity=quantity,
        price=price,
        before=Charged(order.filled, order.notional, order.commission),
    )
    commission = sum(fee.amount for fee in fees if fee.kind == FeeKind.COMMISSION)
    execution = Execution(event.venue, event.trade_date, event.exec_id, quantity, price, event.liquidity)
    after = msgspec.structs.replace(
        order,
        filled=fitting(order.filled + quantity, "filled quantity"),
        notional=fitting(order.notional + quantity * price, "notional"),
        commission=fitting(order.commission + commission, "commission"),
        total_fees=fitting(order.total_fees + sum(fitting(fee.amount, fee.kind) for fee in fees), "total of fees"),
        sequence=order.sequence + 1,
        executions=(*order.executions, execution),
    )
    if after.filled > after.quantity:
        anomalies.append(_anomaly(AnomalyKind.OVERFILL, f"filled {after.filled} of {after.quantity}"))
    anomalies += _mismatches(after, event)
    consolidated = _consolidated(after, event.occurred_at, None, context)
    return Step(after, (consolidated, _enriched(after, event, fees, context)), anomalies)


def _on_report(order: Order, event: ExecutionReport, kind: ExecType, context: Context) -> Step:
    """Any message but a fill: what the venue says of the order's state, sent on if it changes the order's."""
    if kind in (ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT):
        return Step(order, (), (_anomaly(AnomalyKind.NOT_APPLIED, f"{kind} of execution {event.exec_ref_id}"),))
    after = msgspec.structs.replace(order, venue_code=VENUE_STATES.get(kind, order.venue_code))
    if after.code == order.code:
        return Step(after)
    after = msgspec.structs.replace(after, sequence=order.sequence + 1)
    return Step(after, (_consolidated(after, event.occurred_at, event.text, context),))


def _mismatches(order: Order, event: ExecutionReport) -> list[Anomaly]:
    """What the venue reports against what its fills add up to. The fills are the truth."""
    open_quantity = max(0, event.order_quantity - order.filled)
    leaves_agree = event.leaves_quantity == open_quantity or (event.leaves_quantity == 0 and order.closed)
    if event.cum_quantity == order.filled and leaves_agree:
        return []
    reported = f"cumQuantity {event.cum_quantity}, leavesQuantity {event.leaves_quantity} reported"
    return [_anomaly(AnomalyKind.CUM_MISMATCH, f"{reported}, {order.filled} filled, {open_quantity} open")]


def _consolidated(order: Order, occurred_at: int, reason: str | None, context: Context) -> OrderStatusChanged:
    assert order.code is not None
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED,
        occurred_at=occurred_at,
        key=order.key,
        sequence=order.sequence,
        source=context.source,
        order=OrderSummary(
            id=order_of(order.key),
            parent_id=order.parent_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
        ),
        status=StatusDetail(
            code=order.code,
            reason=reason,
            filled_quantity=order.filled,
            leaves_quantity=order.leaves,
            avg_price=order.average_price,
        ),
        venue=order.venue,
        arrival_price=order.arrival_price,
    )


def _enriched(order: Order, event: ExecutionReport, fees: list[Fee], context: Context) -> OrderEnriched:
    return OrderEnriched(
        event_type=EventType.ORDER_ENRICHED,
        occurred_at=event.occurred_at,
        key=order.key,
        sequence=order.sequence,
        source=context.enrichment_source,
        symbol=order.symbol,
        venue=order.venue,
        side=order.side,
        filled_quantity=order.filled,
        avg_price=order.average_price,
        notional=order.notional,
        slippage_bps=_slippage_bps(order),
        fees=fees,
        total_fees=order.total_fees,
        last_exec_id=event.exec_id,
        last_quantity=event.last_quantity,
        last_price=event.last_price,
    )


def _slippage_bps(order: Order) -> float | None:
    """Side times (AvgPx - arrival) / arrival in basis points: positive is a cost."""
    if order.average_price is None or order.arrival_price is None:
        return None
    cost = float(order.average_price - order.arrival_price) / float(order.arrival_price) * 1e4
    return (cost if order.side == Side.BUY else -cost) + 0.0  # no negative zero


def _benchmark(event: OrderStatusChanged) -> int | None:
    """The arrival price. One that is not positive is no benchmark, but no reason to lose a status either."""
    return event.arrival_price if event.arrival_price is not None and event.arrival_price > 0 else None


def expire_at_ms(order: Order, context: Context) -> int:
    """The event time after which the order may be forgotten; `FOREVER_MS` while it is open."""
    return order.last_event_at // 1000 + context.retention_ms if order.closed else FOREVER_MS


def source_id(source: str) -> int:
    """A number for a source, the same in every process, so that state holds it in place of the name; never 0."""
    return int.from_bytes(blake2b(source.encode(), digest_size=8).digest(), "big") >> 1 | 1


def _last_sequence(seen: Position | None, others: tuple[Position, ...], source: int) -> int | None:
    """The last sequence seen of a source; None if there was none."""
    if seen is None:
        return None
    return next((known.sequence for known in (seen, *others) if known.source == source), None)


def _advance(
    seen: Position | None, others: tuple[Position, ...], position: Position
) -> tuple[Position, tuple[Position, ...]]:
    """The position as the current one, and those of all other sources."""
    if seen is None or seen.source == position.source:
        return position, others
    return position, (*(known for known in others if known.source != position.source), seen)


def _anomaly(kind: AnomalyKind, detail: str) -> Anomaly:
    return Anomaly(kind, detail)


def _checked_status(event: OrderStatusChanged) -> OrdStatus:
    order = event.order
    _check(event.occurred_at >= 0, "time", event.occurred_at)
    _check(order.quantity >= 0, "order quantity", order.quantity)
    _check(event.sequence >= 1, "sequence", event.sequence)
    _check(order.side in _SIDES, "side", order.side)
    _check(event.status.code in _STATUSES, "status", event.status.code)
    order_of(event.key)
    _check_texts(event.key, order.symbol, event.venue, order.parent_id)
    return OrdStatus(event.status.code)


def _checked_execution(event: ExecutionReport) -> ExecType:
    _check(event.occurred_at >= 0, "time", event.occurred_at)
    _check(event.exec_type in _EXEC_TYPES, "execType", event.exec_type)
    _check(event.order_quantity >= 0, "order quantity", event.order_quantity)
    _check(event.sequence >= 0, "sequence", event.sequence)
    _check(event.side in _SIDES, "side", event.side)
    _check(event.liquidity is None or event.liquidity in _LIQUIDITIES, "liquidity", event.liquidity)
    order_of(event.key)
    _check_texts(event.key, event.symbol, event.venue, event.exec_id)
    kind = ExecType(event.exec_type)
    if kind is ExecType.TRADE:
        price = event.last_price
        _check(event.last_quantity > 0, "last quantity", event.last_quantity)
        _check(price is not None and price > 0, "last price", price)
        fitting(event.last_quantity * (price or 0), "notional")
    return kind


def _check(holds: bool, what: str, value: object) -> None:
    if not holds:
        raise InvalidRecordError(f"{what} {value}")


def _check_texts(*texts: str | None) -> None:
    for text in texts:
        if text is not None and len(text.encode()) > TEXT_BYTES_MAX:
            raise InvalidRecordError(f"text of more than {TEXT_BYTES_MAX} bytes: {text[:40]!r}...")


_SIDES: Final = frozenset(side.value for side in Side)
_STATUSES: Final = frozenset(status.value for status in OrdStatus)
_EXEC_TYPES: Final = frozenset(kind.value for kind in ExecType)
_LIQUIDITIES: Final = frozenset(flag.value for flag in Liquidity)
