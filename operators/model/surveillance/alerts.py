"""What surveillance tells people: alerts, each once when its episode begins and once when it is over.

| kind | about | severity |
|---|---|---|
| UNACKNOWLEDGED | an order that no venue has answered | CRITICAL |
| STUCK_PENDING | a pending new, cancel or replace without answer | WARNING |
| STUCK_OPEN | a day order that is open for too long | WARNING |
| FILL_OUTSIDE_COLLAR | a fill far from the market or the arrival price | CRITICAL |
| CANCEL_RATIO | an account, or an account in a symbol, that cancels nearly all it places | WARNING |
| ORDER_TO_TRADE_RATIO | the same, that places very much for each fill | WARNING |
| WASH_TRADE | fills on both sides at one price for one owner | CRITICAL |

An episode is named by key, kind, symbol and the event time at which it began. Logic that raises an alert remembers the
episode with its state, so that a restart tells nothing twice, and processing the log again from its beginning tells
the same.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from operators.model.events import Event, EventType


class AlertKind(StrEnum):
    """What was seen."""

    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    STUCK_PENDING = "STUCK_PENDING"
    STUCK_OPEN = "STUCK_OPEN"
    FILL_OUTSIDE_COLLAR = "FILL_OUTSIDE_COLLAR"
    CANCEL_RATIO = "CANCEL_RATIO"
    ORDER_TO_TRADE_RATIO = "ORDER_TO_TRADE_RATIO"
    WASH_TRADE = "WASH_TRADE"


class AlertState(StrEnum):
    """Where an episode stands."""

    RAISED = "RAISED"
    CLEARED = "CLEARED"


class AlertScope(StrEnum):
    """What an alert is about."""

    ORDER = "ORDER"
    ACCOUNT = "ACCOUNT"
    ACCOUNT_SYMBOL = "ACCOUNT_SYMBOL"


_CRITICAL: Final = frozenset({AlertKind.UNACKNOWLEDGED, AlertKind.FILL_OUTSIDE_COLLAR, AlertKind.WASH_TRADE})


class OrderAlert(Event, frozen=True, kw_only=True, rename="camel"):
    """One alert: topic orders.alerts. `key` is the order's key where the scope is ORDER, else the account's id."""

    version: int = 1
    kind: str
    state: str
    severity: str
    scope: str
    symbol: str | None = None
    raised_at: int
    detail: str
    measured: float | None = None
    limit: float | None = None
    unit: str | None = None
    window_start: int | None = None
    window_end: int | None = None
    order_keys: list[str] = msgspec.field(default_factory=list)
    correlation_id: str | None = None


def raised(
    kind: AlertKind, *, at: int, key: str, scope: AlertScope, detail: str, sequence: int, source: str
) -> OrderAlert:
    """The alert that begins an episode at `at` (microseconds of event time); what it measured the caller adds."""
    return OrderAlert(
        event_type=EventType.ORDER_ALERT,
        occurred_at=at,
        key=key,
        kind=kind,
        state=AlertState.RAISED,
        severity="CRITICAL" if kind in _CRITICAL else "WARNING",
        scope=scope,
        raised_at=at,
        detail=detail,
        sequence=sequence,
        source=source,
    )


def cleared(alert: OrderAlert, *, at: int, detail: str, sequence: int) -> OrderAlert:
    """The alert that ends the episode of `alert` at `at`."""
    return replace(
        alert,
        occurred_at=at,
        state=AlertState.CLEARED,
        detail=detail,
        measured=None,
        limit=None,
        unit=None,
        window_start=None,
        window_end=None,
        sequence=sequence,
    )


class AlertEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """One episode as the view of alerts holds it: how it began, and how it ended if it did."""

    raised: OrderAlert | None = None
    cleared: OrderAlert | None = None

    @property
    def alert(self) -> OrderAlert:
        """The alert that names it."""
        found = self.raised or self.cleared
        assert found is not None
        return found


def with_alert(episode: AlertEpisode | None, alert: OrderAlert) -> AlertEpisode:
    """The episode with one more of its two alerts, in whatever order they come."""
    before = episode or AlertEpisode()
    if alert.state == AlertState.CLEARED:
        return replace(before, cleared=alert)
    return replace(before, raised=alert)


def episode_key(alert: OrderAlert) -> str:
    """The state key of the alert's episode: episodes of a key lie together, those of one kind by time."""
    return f"{alert.key}@{alert.kind}@{alert.symbol or ''}@{alert.raised_at:020d}"
