"""Cancel ratio and order-to-trade ratio of an account, or of an account in a symbol, over windows of event time.

| ratio | is | alert when |
|---|---|---|
| cancel ratio | canceled / placed orders | above `cancel_ratio` |
| order-to-trade ratio | placed orders / fills, at least one fill counted | above `order_to_trade_ratio` |

Both only where at least `orders_min` orders were placed in the window: one order that is canceled is no pattern. A bust
takes its fill back. Replaces are not counted: milestones do not tell them.

A window is `panes` times `every` long, and one ends every `every`. It is judged once, when event time has passed its
end by `grace`, so the figures do not depend on the order in which records arrived within the grace, nor on how they
were cut into batches. What comes when all its windows are judged is not counted, and told as LATE.

An episode begins with the first window above the limit and ends with the first one that is not: a quiet account's
next window. The state holds counts by pane, a pane being `every` long; a window is the sum of its panes, and sums can
be merged in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from operators.model.surveillance.alerts import AlertKind, AlertScope, OrderAlert, cleared, raised
from operators.model.views.milestones import Milestone, MilestoneKind

SAMPLE_ORDERS: Final = 8
"""So many order keys stand in an alert: the first by key of those that were canceled or, if none was, placed."""

_COUNTED: Final = frozenset({MilestoneKind.PLACED, MilestoneKind.CANCELED, MilestoneKind.TRADED, MilestoneKind.BUSTED})
_MICROS: Final = 1_000
_NEVER: Final = (1 << 63) - 1


class RatioLimits(NamedTuple):
    """Panes of a window, their length and the grace in milliseconds, and the ratios above which they are told."""

    every_ms: int
    panes: int
    grace_ms: int
    orders_min: int
    cancel_ratio: float
    order_to_trade_ratio: float

    @property
    def window_ms(self) -> int:
        """The length of a window."""
        return self.every_ms * self.panes


class Pane(msgspec.Struct, frozen=True, array_like=True):
    """Counts of a stretch of time. `merge` is associative and commutative."""

    orders: int = 0
    canceled: int = 0
    fills: int = 0
    canceled_keys: tuple[str, ...] = ()
    placed_keys: tuple[str, ...] = ()

    def merge(self, other: Pane) -> Pane:
        """The counts of both."""
        return Pane(
            self.orders + other.orders,
            self.canceled + other.canceled,
            self.fills + other.fills,
            _sample((*self.canceled_keys, *other.canceled_keys)),
            _sample((*self.placed_keys, *other.placed_keys)),
        )


class RatioWatch(msgspec.Struct, frozen=True, kw_only=True):
    """State of one account, or account and symbol. `panes` by start in milliseconds.

    `next_end_ms` is the end of the next window to judge; `alerts` are those raised and not cleared, by kind.
    """

    panes: dict[int, Pane] = {}
    next_end_ms: int | None = None
    alerts: dict[str, OrderAlert] = {}
    sequence: int = 0


class Judged(NamedTuple):
    """The state after something happened, the alerts it brought, and whether a record came too late to be counted."""

    state: RatioWatch
    alerts: list[OrderAlert]
    late: bool = False


class Scope(NamedTuple):
    """Whose ratios: all symbols of an account, or one."""

    account_id: str
    symbol: str | None

    @classmethod
    def of(cls, key: str) -> Scope:
        """The scope of a state key, accountId or accountId|symbol."""
        account_id, _, symbol = key.partition("|")
        return cls(account_id, symbol or None)


def is_counted(milestone: Milestone) -> bool:
    """Whether the milestone counts at all."""
    return milestone.kind in _COUNTED


def on_milestone(
    state: RatioWatch | None, key: str, milestone: Milestone, *, limits: RatioLimits, event_time_ms: int, source: str
) -> Judged:
    """Judges the windows whose time is over, then counts the milestone where its windows are still to be judged."""
    judged = on_time(state or RatioWatch(), key, limits=limits, event_time_ms=event_time_ms, source=source)
    start = milestone.occurred_at // _MICROS // limits.every_ms * limits.every_ms
    # The first window that holds the pane ends with it; those that event time has closed are not judged again.
    closed_ms = (event_time_ms - limits.grace_ms) // limits.every_ms * limits.every_ms
    first_end = max(start, closed_ms) + limits.every_ms
    if first_end > start + limits.window_ms:
        return judged._replace(late=True)
    pane = judged.state.panes.get(start, Pane()).merge(_pane_of(milestone))
    next_end = first_end if judged.state.next_end_ms is None else min(first_end, judged.state.next_end_ms)
    return judged._replace(state=replace(judged.state, panes={**judged.state.panes, start: pane}, next_end_ms=next_end))


def on_time(state: RatioWatch, key: str, *, limits: RatioLimits, event_time_ms: int, source: str) -> Judged:
    """Judges every window whose end and grace event time has passed, in order."""
    alerts: list[OrderAlert] = []
    while state.next_end_ms is not None and state.next_end_ms + limits.grace_ms <= event_time_ms:
        state, told = _judge(state, key, state.next_end_ms, limits, source)
        alerts += told
    return Judged(state, alerts)


def next_due_ms(state: RatioWatch, limits: RatioLimits) -> int:
    """The event time at which the next window is judged; the end of time if there is none."""
    return _NEVER if state.next_end_ms is None else state.next_end_ms + limits.grace_ms


def is_empty(state: RatioWatch) -> bool:
    """Whether nothing is lost by forgetting the state: it counts nothing and never told anything."""
    return not state.panes and not state.alerts and state.sequence == 0


def _judge(
    state: RatioWatch, key: str, end_ms: int, limits: RatioLimits, source: str
) -> tuple[RatioWatch, list[OrderAlert]]:
    start_ms = end_ms - limits.window_ms
    counts = _sum(pane for at, pane in state.panes.items() if start_ms <= at < end_ms)
    alerts = []
    for kind, measured, limit in _ratios(counts, limits):
        alert = None
        breached = counts.orders >= limits.orders_min and measured > limit
        if breached and kind not in state.alerts:
            alert = _raised(
                kind, Scope.of(key), counts, measured, limit, (start_ms, end_ms), state.sequence + 1, source
            )
            state = replace(state, alerts={**state.alerts, kind.value: alert})
        elif not breached and kind in state.alerts:
            detail = (
                f"the window to its end has {counts.canceled} of {counts.orders} orders canceled, {counts.fills} fills"
            )
            alert = cleared(state.alerts[kind], at=end_ms * _MICROS, detail=detail, sequence=state.sequence + 1)
            rest = {name: other for name, other in state.alerts.items() if name != kind}
            state = replace(state, alerts=rest)
        if alert is not None:
            alerts.append(alert)
            state = replace(state, sequence=alert.sequence)
    panes = {at: pane for at, pane in state.panes.items() if at >= start_ms + limits.every_ms}
    following = end_ms + limits.every_ms if panes or state.alerts else None
    return replace(state, panes=panes, next_end_ms=following), alerts


def _ratios(counts: Pane, limits: RatioLimits) -> list[tuple[AlertKind, float, float]]:
    orders = max(counts.orders, 1)
    return [
        (AlertKind.CANCEL_RATIO, counts.canceled / orders, limits.cancel_ratio),
        (AlertKind.ORDER_TO_TRADE_RATIO, counts.orders / max(counts.fills, 1), limits.order_to_trade_ratio),
    ]


def _raised(
    kind: AlertKind,
    scope: Scope,
    counts: Pane,
    measured: float,
    limit: float,
    window_ms: tuple[int, int],
    sequence: int,
    source: str,
) -> OrderAlert:
    detail = f"{counts.canceled} of {counts.orders} orders canceled, {counts.fills} fills"
    alert = raised(
        kind,
        at=window_ms[1] * _MICROS,
        key=scope.account_id,
        scope=AlertScope.ACCOUNT if scope.symbol is None else AlertScope.ACCOUNT_SYMBOL,
        detail=detail,
        sequence=sequence,
        source=source,
    )
    return replace(
        alert,
        symbol=scope.symbol,
        measured=measured,
        limit=limit,
        unit="ratio",
        window_start=window_ms[0] * _MICROS,
        window_end=window_ms[1] * _MICROS,
        order_keys=list(counts.canceled_keys or counts.placed_keys),
    )


def _pane_of(milestone: Milestone) -> Pane:
    counts: Mapping[str, Pane] = {
        MilestoneKind.PLACED: Pane(orders=1, placed_keys=(milestone.key,)),
        MilestoneKind.CANCELED: Pane(canceled=1, canceled_keys=(milestone.key,)),
        MilestoneKind.TRADED: Pane(fills=1),
        MilestoneKind.BUSTED: Pane(fills=-1),
    }
    return counts[milestone.kind]


def _sum(panes: Iterable[Pane]) -> Pane:
    total = Pane()
    for pane in panes:
        total = total.merge(pane)
    return total


def _sample(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(keys))[:SAMPLE_ORDERS])
