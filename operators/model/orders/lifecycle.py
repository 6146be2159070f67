"""The states of an order: who may say what, what may follow what, which state shows, and what is open for execution.

Two voices speak of an order: its engine and its venues. Each has a *state* (its last word that is no pending one) and
may have a *pending request* besides. The live fills are the third witness, and the only one for FILLED.

| rank | OrdStatus(39) | holds while | LeavesQty |
|---|---|---|---|
| 12 | PENDING_CANCEL | a cancel request of a voice is unanswered, and no voice is dead | quantity - filled |
| 11 | PENDING_REPLACE | the same of a replace request | quantity - filled |
| 10 | DONE_FOR_DAY | it is the state of a voice, until a venue speaks of a later trade date | 0; GT orders keep it |
| 9 | CALCULATED | it is the state of a voice | 0 |
| 8 | FILLED | live fills reach the quantity | 0 |
| 7 | STOPPED | it is the state of a voice | quantity - filled |
| 6 | SUSPENDED | it is the state of a voice | quantity - filled |
| 5 | CANCELED, EXPIRED | it is the state of a voice: the order is dead | 0 |
| 4 | PARTIALLY_FILLED | there are live fills | quantity - filled |
| 2 | REJECTED | it is the state of a voice: the order is dead | 0 |
| 2 | NEW, PENDING_NEW | it is the state of a voice | quantity - filled |
| 1 | ACCEPTED_FOR_BIDDING | it is the state of a voice | quantity - filled |

The highest rank shows (FIX 4.4 volume 4, ExecutionReport); in a tie a dead state, then NEW, for an order that one voice
calls accepted waits no longer, then the engine's word. A voice that says FILLED or PARTIALLY_FILLED is ahead of the
fills and counts as NEW, and so does REPLACED, which is an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from operators.model.events import ExecType, OrdStatus

# What the engine may say next. A pending request leaves the state behind it as it is.
#
#            ┌─────────────────────── any of them ──────────────────────────┐
#            ▼                                                              │
#   (none) ─▶ PENDING_NEW, ACCEPTED_FOR_BIDDING, NEW, PARTIALLY_FILLED, ────┤
#             FILLED (reopened by a replace), REPLACED, SUSPENDED, STOPPED, │
#             CALCULATED, DONE_FOR_DAY, + PENDING_CANCEL, + PENDING_REPLACE │
#                                                                           ▼
#                                                            CANCELED, EXPIRED, REJECTED: dead,
#                                                            nothing follows; late fills still count
FINAL: Final = frozenset({OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.REJECTED})
TRANSITIONS: Final[Mapping[OrdStatus | None, frozenset[OrdStatus]]] = {
    None: frozenset(OrdStatus),
    **dict.fromkeys(OrdStatus, frozenset(OrdStatus)),
    **{final: frozenset({final}) for final in FINAL},
}
"""What the engine may say in a state; FIX forbids nothing but to leave a dead one. Venues are not held to it at all."""

PENDING: Final = frozenset({OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE})
ANSWERS: Final = FINAL | {OrdStatus.REPLACED}
"""Words of the engine that answer a request, so that it is pending at no voice any more."""
COUNTS_AS_NEW: Final = frozenset({OrdStatus.FILLED, OrdStatus.PARTIALLY_FILLED, OrdStatus.REPLACED})

VENUE_STATES: Final[Mapping[ExecType, OrdStatus]] = {
    ExecType.NEW: OrdStatus.NEW,
    ExecType.TRIGGERED: OrdStatus.NEW,
    ExecType.PENDING_NEW: OrdStatus.PENDING_NEW,
    ExecType.STOPPED: OrdStatus.STOPPED,
    ExecType.SUSPENDED: OrdStatus.SUSPENDED,
    ExecType.CALCULATED: OrdStatus.CALCULATED,
    ExecType.DONE_FOR_DAY: OrdStatus.DONE_FOR_DAY,
    ExecType.CANCELED: OrdStatus.CANCELED,
    ExecType.EXPIRED: OrdStatus.EXPIRED,
    ExecType.REJECTED: OrdStatus.REJECTED,
    ExecType.PENDING_CANCEL: OrdStatus.PENDING_CANCEL,
    ExecType.PENDING_REPLACE: OrdStatus.PENDING_REPLACE,
}
"""Reports of a venue that set its state by their type; RESTATED sets it by its ordStatus."""

FILLED_PRECEDENCE: Final = 8
PARTIALLY_FILLED_PRECEDENCE: Final = 4
REPORTED_PRECEDENCE: Final[Mapping[OrdStatus, int]] = {
    OrdStatus.PENDING_CANCEL: 12,
    OrdStatus.PENDING_REPLACE: 11,
    OrdStatus.DONE_FOR_DAY: 10,
    OrdStatus.CALCULATED: 9,
    OrdStatus.STOPPED: 7,
    OrdStatus.SUSPENDED: 6,
    OrdStatus.CANCELED: 5,
    OrdStatus.EXPIRED: 5,
    OrdStatus.REJECTED: 2,
    OrdStatus.NEW: 2,
    OrdStatus.PENDING_NEW: 2,
    OrdStatus.ACCEPTED_FOR_BIDDING: 1,
}

GOOD_TILL: Final = frozenset({"GOOD_TILL_CANCEL", "GOOD_TILL_DATE"})
"""TimeInForce(59) of orders that live on after their day."""


class Voice(NamedTuple):
    """What the engine, or the venues, last said: a state, and a request that waits for its answer."""

    code: OrdStatus | None = None
    pending: OrdStatus | None = None

    @property
    def dead(self) -> bool:
        """Whether it says that the order has ended."""
        return self.code in FINAL

    def says(self, code: OrdStatus) -> Voice:
        """After its next word, which is its state or a request beside its state."""
        if code in PENDING:
            return Voice(self.code, code)
        return Voice(OrdStatus.NEW if code in COUNTS_AS_NEW else code)

    def answered(self, still_pending: OrdStatus | None = None) -> Voice:
        """After the answer to a request; one that the answer names as still pending stays."""
        return self if self.pending is None or self.pending == still_pending else Voice(self.code)

    def next_day(self) -> Voice:
        """On a new trading day DONE_FOR_DAY is over."""
        return Voice(OrdStatus.NEW, self.pending) if self.code is OrdStatus.DONE_FOR_DAY else self


def consolidated_code(engine: Voice, venue: Voice, *, filled: int, quantity: int) -> OrdStatus | None:
    """The OrdStatus that shows, by the table above. None if nothing was reported or filled."""
    holding = [voice.code for voice in (engine, venue) if voice.dead]
    if not holding:
        holding += [engine.pending, venue.pending]
    holding += [engine.code, venue.code]
    code, rank = None, 0
    if filled > 0:
        whole = filled >= quantity
        code = OrdStatus.FILLED if whole else OrdStatus.PARTIALLY_FILLED
        rank = FILLED_PRECEDENCE if whole else PARTIALLY_FILLED_PRECEDENCE
    for reported in holding:
        if reported is None:
            continue
        accepted = (code, reported) == (OrdStatus.PENDING_NEW, OrdStatus.NEW)
        if REPORTED_PRECEDENCE[reported] > rank or accepted:
            code, rank = reported, REPORTED_PRECEDENCE[reported]
    return code


def is_inactive(engine: Voice, venue: Voice, time_in_force: str | None) -> bool:
    """Whether nothing is open for execution, whatever OrderQty minus CumQty is: dead, calculated, or over for the day.

    DONE_FOR_DAY ends orders that are not known to live on. Both must show: a pending request shows over them.
    """
    if engine.dead or venue.dead:
        return True
    shown = consolidated_code(engine, venue, filled=0, quantity=0)  # fills rank below both
    return shown is OrdStatus.CALCULATED or (shown is OrdStatus.DONE_FOR_DAY and time_in_force not in GOOD_TILL)
