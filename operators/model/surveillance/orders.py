"""What surveillance watches of one order: is it answered, is it stuck, is it filled far from the market.

| alert | raised when | cleared by |
|---|---|---|
| UNACKNOWLEDGED | no venue has answered `acknowledgement` after its placement | the venue's NEW, a fill, its end |
| STUCK_PENDING | a pending status has stood for `pending` | any other status |
| STUCK_OPEN | an order that is not GT has been open for `open` | its end |
| FILL_OUTSIDE_COLLAR | a price is more than `collar_bps` away from its reference, up or down | a fill inside, a bust |

GT orders (GOOD_TILL_CANCEL, GOOD_TILL_DATE) are meant to stay. An alert on fills is cleared by the next fill, or
corrected fill, inside the collar, and by the bust of the last fill outside. The reference of a fill is the market's
last known price at the fill, else the arrival price; a fill without any is not judged.
`deviation = |price - reference| / reference × 10,000` basis points.

The first three are deadlines in event time, and the flow waits for `grace` after each: an answer says when it happened,
so one that is told late but happened in time raises nothing. One that happened after the deadline raises and clears.
What is raised therefore depends on the events and on the event time of the key group, not on how records are cut into
batches.

Pending statuses and ends come from one source, which tells them in order, so the first answer told is the first there
was, and is believed at once. Answers of venues come from several: an order's cancel may be told before the NEW that
preceded it. So UNACKNOWLEDGED is judged once, when deadline and grace are over, by the earliest answer known then.

Where an answer is told later than the grace allows for, the alert stands and is cleared with the time of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from operators.model.money import to_decimal
from operators.model.orders.lifecycle import GOOD_TILL
from operators.model.surveillance.alerts import AlertKind, AlertScope, OrderAlert, cleared, raised
from operators.model.views.milestones import Milestone, MilestoneKind

_K = MilestoneKind
_ENDS: Final = frozenset({_K.FILLED, _K.CANCELED, _K.REJECTED, _K.EXPIRED, _K.DONE})
_FILLS: Final = frozenset({_K.TRADED, _K.CORRECTED})
_ANSWERS: Final = frozenset({_K.ACKNOWLEDGED, _K.TRADED}) | _ENDS
_BASIS_POINTS: Final = 10_000
_MICROS: Final = 1_000
_MICROS_PER_S: Final = 1_000_000
_NEVER: Final = (1 << 63) - 1


class OrderLimits(NamedTuple):
    """How long an order may wait, in milliseconds, and how far a fill may be from its reference, in basis points."""

    acknowledgement_ms: int
    pending_ms: int
    open_ms: int
    grace_ms: int
    collar_bps: int


class OrderWatch(msgspec.Struct, frozen=True, kw_only=True):
    """State of one watched order. Times are microseconds; `alerts` are those raised and not cleared, by kind.

    `answered_at` is the earliest answer of a venue, `judged` whether that was judged; `pending` a pending status
    and since when it stands; `outside` the execution behind an open collar alert.
    """

    symbol: str
    placed_at: int | None = None
    good_till: bool = False
    answered_at: int | None = None
    judged: bool = False
    opened_at: int | None = None
    ended: bool = False
    pending: tuple[str, int] | None = None
    outside: str | None = None
    alerts: dict[str, OrderAlert] = {}
    correlation_id: str | None = None
    sequence: int = 0
    last_event_at: int

    @property
    def closed_at(self) -> int | None:
        """When (microseconds) the last thing happened to an order that is over or was never placed; None if open."""
        return self.last_event_at if self.ended or self.placed_at is None else None


class Watched(NamedTuple):
    """The order after something happened, and the alerts that begin or end with it."""

    state: OrderWatch
    alerts: list[OrderAlert]


class _Deadline(NamedTuple):
    kind: AlertKind
    started_at: int
    allowed_ms: int
    what: str

    @property
    def at(self) -> int:
        return self.started_at + self.allowed_ms * _MICROS


def on_milestone(
    state: OrderWatch | None, milestone: Milestone, *, limits: OrderLimits, event_time_ms: int, source: str
) -> Watched:
    """Takes in one milestone: first what event time has made overdue, then what the milestone answers and begins."""
    before = state or OrderWatch(symbol=milestone.symbol, last_event_at=milestone.occurred_at)
    watch = _Watch(before, milestone.key, limits, source)
    watch.raise_overdue(event_time_ms)
    watch.answer(milestone)
    watch.begin(milestone)
    if milestone.kind in _FILLS or milestone.kind == _K.BUSTED:
        watch.judge_fill(milestone)
    return watch.done()


def on_time(state: OrderWatch, key: str, *, limits: OrderLimits, event_time_ms: int, source: str) -> Watched:
    """What event time has made overdue."""
    watch = _Watch(state, key, limits, source)
    watch.raise_overdue(event_time_ms)
    return watch.done()


def next_due_ms(state: OrderWatch, limits: OrderLimits) -> int:
    """The event time at which a deadline and its grace are over; the end of time if nothing is waited for."""
    waited_for = [deadline.at for deadline in _deadlines(state, limits) if deadline.kind not in state.alerts]
    # A deadline in the middle of a millisecond is over with the next one.
    return min((-(-at // _MICROS) + limits.grace_ms for at in waited_for), default=_NEVER)


def _deadlines(state: OrderWatch, limits: OrderLimits) -> Iterator[_Deadline]:
    if state.placed_at is not None and not state.judged:
        unanswered = _Deadline(
            AlertKind.UNACKNOWLEDGED, state.placed_at, limits.acknowledgement_ms, "no venue has answered the order"
        )
        if state.answered_at is None or state.answered_at > unanswered.at:
            yield unanswered
    if state.ended:
        return
    if state.pending is not None:
        code, since = state.pending
        yield _Deadline(AlertKind.STUCK_PENDING, since, limits.pending_ms, f"{code} has no answer")
    if state.opened_at is not None and not state.good_till:
        yield _Deadline(AlertKind.STUCK_OPEN, state.opened_at, limits.open_ms, "the order is still open")


class _Watch:
    """One call's changes to an order's state, and its alerts in order."""

    def __init__(self, state: OrderWatch, key: str, limits: OrderLimits, source: str) -> None:
        self._state, self._key, self._limits, self._source = state, key, limits, source
        self._alerts: list[OrderAlert] = []

    def raise_overdue(self, event_time_ms: int) -> None:
        """Raises for every deadline whose grace is over."""
        for deadline in list(_deadlines(self._state, self._limits)):
            if -(-deadline.at // _MICROS) + self._limits.grace_ms > event_time_ms:
                continue
            self._raise_deadline(deadline)
            if deadline.kind == AlertKind.UNACKNOWLEDGED:
                self._state = replace(self._state, judged=True)
                if self._state.answered_at is not None:
                    self._clear(deadline.kind, self._state.answered_at, "an answer")

    def answer(self, milestone: Milestone) -> None:
        """Ends what the milestone answers; where its deadline is not judged later, raises first if that was missed."""
        if milestone.kind in _ANSWERS:
            earlier = self._state.answered_at
            at = milestone.occurred_at if earlier is None else min(earlier, milestone.occurred_at)
            self._state = replace(self._state, answered_at=at)
            self._clear(AlertKind.UNACKNOWLEDGED, milestone.occurred_at, milestone.kind)
        before = after = self._state
        if milestone.kind in _ENDS:
            after = replace(after, ended=True, pending=None, opened_at=None)
        elif milestone.kind in (_K.PENDING, _K.ANSWERED):
            after = replace(after, pending=None)
        waiting = {deadline.kind for deadline in _deadlines(after, self._limits)}
        for deadline in list(_deadlines(before, self._limits)):
            if deadline.kind in waiting:
                continue
            if milestone.occurred_at > deadline.at:
                self._raise_deadline(deadline)
            self._clear(deadline.kind, milestone.occurred_at, milestone.code or milestone.kind)
        self._state = replace(after, alerts=self._state.alerts, sequence=self._state.sequence)

    def begin(self, milestone: Milestone) -> None:
        """Begins what the milestone begins."""
        state = replace(
            self._state,
            last_event_at=max(self._state.last_event_at, milestone.occurred_at),
            good_till=self._state.good_till or milestone.time_in_force in GOOD_TILL,
            correlation_id=milestone.correlation_id or self._state.correlation_id,
        )
        if milestone.kind == _K.PLACED and state.placed_at is None:
            state = replace(
                state,
                placed_at=milestone.occurred_at,
                opened_at=None if state.ended else milestone.occurred_at,
            )
        elif milestone.kind == _K.REOPENED:
            state = replace(state, ended=False, opened_at=milestone.occurred_at)
        elif milestone.kind == _K.PENDING and milestone.code is not None:
            state = replace(state, pending=(milestone.code, milestone.occurred_at))
        self._state = state

    def judge_fill(self, milestone: Milestone) -> None:
        """Raises or clears the alert on fills outside the collar."""
        kind, outside = AlertKind.FILL_OUTSIDE_COLLAR, self._state.outside
        if milestone.kind == _K.BUSTED:
            if outside is not None and milestone.exec_ref_id == outside:
                self._clear(kind, milestone.occurred_at, milestone.kind)
                self._state = replace(self._state, outside=None)
            return
        price, reference = milestone.price, milestone.reference_price
        if price is None or reference is None or reference <= 0:
            return
        deviation = abs(price - reference) * _BASIS_POINTS / reference
        if deviation > self._limits.collar_bps:
            told = f"execution {milestone.exec_id} at {to_decimal(price)}"
            detail = f"{told} is {deviation:.1f} bps from the reference {to_decimal(reference)}"
            self._raise(
                kind, milestone.occurred_at, detail,
                measured=deviation, limit=self._limits.collar_bps, unit="bps", started_at=None,
            )  # fmt: skip
            self._state = replace(self._state, outside=milestone.exec_id)
        elif kind in self._state.alerts:
            self._clear(kind, milestone.occurred_at, milestone.kind)
            self._state = replace(self._state, outside=None)

    def done(self) -> Watched:
        """What came of it."""
        return Watched(self._state, self._alerts)

    def _raise_deadline(self, deadline: _Deadline) -> None:
        allowed_s = deadline.allowed_ms / 1_000
        self._raise(
            deadline.kind, deadline.at, f"{deadline.what} after {allowed_s:g} s",
            measured=None, limit=allowed_s, unit="s", started_at=deadline.started_at,
        )  # fmt: skip

    def _raise(
        self,
        kind: AlertKind,
        at: int,
        detail: str,
        *,
        measured: float | None,
        limit: float,
        unit: str,
        started_at: int | None,
    ) -> None:
        """Raises the alert unless its episode is under way."""
        state = self._state
        if kind in state.alerts:
            return
        alert = replace(
            raised(
                kind, at=at, key=self._key, scope=AlertScope.ORDER, detail=detail,
                sequence=state.sequence + 1, source=self._source,
            ),
            symbol=state.symbol,
            measured=measured,
            limit=limit,
            unit=unit,
            window_start=started_at,
            window_end=None if started_at is None else at,
            order_keys=[self._key],
            correlation_id=state.correlation_id,
        )  # fmt: skip
        self._alerts.append(alert)
        self._state = replace(state, alerts={**state.alerts, kind.value: alert}, sequence=alert.sequence)

    def _clear(self, kind: AlertKind, at: int, told: str) -> None:
        """Ends the alert's episode, if one is under way, with what was told of `at`."""
        state = self._state
        alert = state.alerts.get(kind)
        if alert is None:
            return
        detail = f"over with {told}"
        if at < alert.raised_at:
            detail += ", which happened in time and was told late"
        elif alert.window_start is not None:
            detail += f" after {(at - alert.window_start) / _MICROS_PER_S:g} s"
        ended = cleared(alert, at=max(at, alert.raised_at), detail=detail, sequence=state.sequence + 1)
        self._alerts.append(ended)
        rest = {name: other for name, other in state.alerts.items() if name != kind}
        self._state = replace(state, alerts=rest, sequence=ended.sequence)
