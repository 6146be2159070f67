"""Wash trades: one owner's accounts that buy and sell a symbol at one price within a short time.

| rule | |
|---|---|
| match | fills of one owner in one symbol, of two accounts, on opposite sides, at one price, within `window` |
| raised | with the first match, on the order of the later fill; `measured` is the smaller of the two quantities |
| same episode | every match at most `quiet` after the last one |
| cleared | when event time has passed the last match by `quiet` |
| busted fills | match nothing from then on |
| corrected fills | match by their corrected price and quantity, from then on |

Both sides of one account are no match: a market maker's account trades both ways all day, and an account cannot trade
with itself where self-trade prevention is on. Accounts whose owner is not known are not looked at. Whether the two
fills met each other is for a person to find out: venues do not tell who the other side was.

The state is that of one owner in one symbol. It holds the fills of the last `window`, at most `FILLS_KEPT`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from operators.model.events import account_of
from operators.model.positions.positions import side_sign
from operators.model.surveillance.alerts import AlertKind, AlertScope, OrderAlert, cleared, raised
from operators.model.views.milestones import Milestone, MilestoneKind

FILLS_KEPT: Final = 256
"""So many fills of one owner in one symbol are held against later ones; the oldest go first."""

_MICROS: Final = 1_000
_NEVER: Final = (1 << 63) - 1


class WashLimits(NamedTuple):
    """Times in milliseconds."""

    window_ms: int
    quiet_ms: int
    grace_ms: int


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """One fill: `sign` is +1 for a buy and -1 for a sell, `at` microseconds, `price` millionths."""

    at: int
    sign: int
    price: int
    quantity: int
    key: str
    exec_id: str | None


class WashWatch(msgspec.Struct, frozen=True, kw_only=True):
    """State of one owner in one symbol: recent fills in the order of arrival, and the episode under way."""

    fills: tuple[Fill, ...] = ()
    alert: OrderAlert | None = None
    last_match_at: int = 0
    last_fill_at: int = 0
    sequence: int = 0


class WashJudged(NamedTuple):
    """The state after a fill, and the alerts it brought."""

    state: WashWatch
    alerts: list[OrderAlert]


def on_fill(
    state: WashWatch | None, milestone: Milestone, *, limits: WashLimits, event_time_ms: int, source: str
) -> WashJudged:
    """Takes in one fill or bust of the owner."""
    judged = on_time(state or WashWatch(), limits=limits, event_time_ms=event_time_ms)
    before, alerts = judged
    fill = _fill(milestone)
    if milestone.kind in (MilestoneKind.BUSTED, MilestoneKind.CORRECTED):
        named = next((f for f in before.fills if (f.key, f.exec_id) == (milestone.key, milestone.exec_ref_id)), None)
        before = replace(before, fills=tuple(each for each in before.fills if each is not named))
        if milestone.kind == MilestoneKind.BUSTED or named is None or fill is None:
            return WashJudged(before, alerts)
        fill = replace(fill, at=named.at, quantity=named.quantity + milestone.quantity)
    elif milestone.kind != MilestoneKind.TRADED or fill is None:
        return judged
    matches = [other for other in before.fills if _match(fill, other, limits.window_ms * _MICROS)]
    if matches:
        before, told = _matched(before, fill, matches, milestone, limits, source)
        alerts = [*alerts, *told]
    latest = max(before.last_fill_at, fill.at)
    kept = [other for other in (*before.fills, fill) if other.at >= latest - limits.window_ms * _MICROS]
    return WashJudged(replace(before, fills=tuple(kept[-FILLS_KEPT:]), last_fill_at=latest), alerts)


def _fill(milestone: Milestone) -> Fill | None:
    if milestone.price is None or milestone.side is None:
        return None
    sign = side_sign(milestone.side)
    return Fill(milestone.occurred_at, sign, milestone.price, milestone.quantity, milestone.key, milestone.exec_id)


def on_time(state: WashWatch, *, limits: WashLimits, event_time_ms: int) -> WashJudged:
    """Ends an episode that has been quiet for long enough, and drops fills too old to match."""
    alerts = []
    if state.alert is not None and _quiet_ms(state, limits) + limits.grace_ms <= event_time_ms:
        state, alert = _cleared(state, limits)
        alerts.append(alert)
    if state.fills and _outdated_ms(state, limits) <= event_time_ms:
        state = replace(state, fills=())
    return WashJudged(state, alerts)


def next_due_ms(state: WashWatch, limits: WashLimits) -> int:
    """The event time at which the episode is over or the fills are of no use any more; the end of time if neither."""
    quiet = _quiet_ms(state, limits) + limits.grace_ms if state.alert is not None else _NEVER
    return min(quiet, _outdated_ms(state, limits) if state.fills else _NEVER)


def is_empty(state: WashWatch) -> bool:
    """Whether nothing is lost by forgetting the state."""
    return not state.fills and state.alert is None and state.sequence == 0


def _quiet_ms(state: WashWatch, limits: WashLimits) -> int:
    return -(-state.last_match_at // _MICROS) + limits.quiet_ms


def _outdated_ms(state: WashWatch, limits: WashLimits) -> int:
    return -(-state.last_fill_at // _MICROS) + limits.window_ms + limits.grace_ms


def _match(fill: Fill, other: Fill, window_micros: int) -> bool:
    return (
        fill.sign == -other.sign
        and fill.price == other.price
        and abs(fill.at - other.at) <= window_micros
        and account_of(fill.key) != account_of(other.key)
    )


def _matched(
    state: WashWatch, fill: Fill, matches: list[Fill], milestone: Milestone, limits: WashLimits, source: str
) -> tuple[WashWatch, list[OrderAlert]]:
    """The episode goes on, or a new one begins where the last one was quiet for long enough."""
    at = max(fill.at, *(other.at for other in matches))
    alerts = []
    if state.alert is not None and at > state.last_match_at + limits.quiet_ms * _MICROS:
        state, alert = _cleared(state, limits)
        alerts.append(alert)
    if state.alert is None:
        alert = _raised(fill, matches, milestone, limits, at=at, sequence=state.sequence + 1, source=source)
        alerts.append(alert)
        state = replace(state, alert=alert, sequence=alert.sequence, last_match_at=at)
    return replace(state, last_match_at=max(at, state.last_match_at)), alerts


def _raised(
    fill: Fill,
    matches: list[Fill],
    milestone: Milestone,
    limits: WashLimits,
    *,
    at: int,
    sequence: int,
    source: str,
) -> OrderAlert:
    other = min(matches, key=lambda match: (match.at, match.key, match.exec_id or ""))
    later = max((fill, other), key=lambda each: (each.at, each.key))
    accounts = " and ".join(sorted({account_of(fill.key), account_of(other.key)}))
    detail = f"accounts {accounts} of owner {milestone.owner_id} bought and sold at one price"
    alert = raised(
        AlertKind.WASH_TRADE, at=at, key=later.key, scope=AlertScope.ORDER, detail=detail, sequence=sequence,
        source=source,
    )  # fmt: skip
    return replace(
        alert,
        symbol=milestone.symbol,
        measured=float(min(fill.quantity, other.quantity)),
        unit="quantity",
        window_start=at - limits.window_ms * _MICROS,
        window_end=at,
        order_keys=sorted({fill.key, other.key}),
        correlation_id=milestone.correlation_id if later is fill else None,
    )


def _cleared(state: WashWatch, limits: WashLimits) -> tuple[WashWatch, OrderAlert]:
    assert state.alert is not None
    at = state.last_match_at + limits.quiet_ms * _MICROS
    detail = f"no match for {limits.quiet_ms / 1_000:g} s"
    alert = cleared(state.alert, at=at, detail=detail, sequence=state.sequence + 1)
    return replace(state, alert=None, sequence=alert.sequence), alert
