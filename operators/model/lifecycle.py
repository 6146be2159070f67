"""The states of an order: what may follow what, which one shows, and which ones end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from operators.model.events import ExecType, OrdStatus

# What the engine may say next. The fills decide between NEW, PARTIALLY_FILLED and FILLED, whatever the engine says.
#
#            ┌──────────────────────────── any ────────────────────────────┐
#            ▼                                                             │
#   (none) ─▶ PENDING_NEW, ACCEPTED_FOR_BIDDING ─▶ NEW ⇄ PARTIALLY_FILLED ─┼─▶ FILLED ─▶ (reopened by a replace)
#                                                   ⇅                      │
#             PENDING_CANCEL, PENDING_REPLACE, REPLACED, SUSPENDED,        │
#             STOPPED, CALCULATED, DONE_FOR_DAY ───────────────────────────┤
#                                                                          ▼
#                                              CANCELED, EXPIRED, REJECTED: final; late fills still count
FINAL: Final = frozenset({OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.REJECTED})
_AFTER_ACCEPTANCE: Final = frozenset(OrdStatus) - {OrdStatus.PENDING_NEW, OrdStatus.ACCEPTED_FOR_BIDDING}
TRANSITIONS: Final[Mapping[OrdStatus | None, frozenset[OrdStatus]]] = {
    None: frozenset(OrdStatus),
    **dict.fromkeys(OrdStatus, _AFTER_ACCEPTANCE),
    OrdStatus.PENDING_NEW: frozenset(OrdStatus),
    OrdStatus.ACCEPTED_FOR_BIDDING: frozenset(OrdStatus),
    **{final: frozenset({final}) for final in FINAL},
}

# When an order is in several states at once, the highest shows (FIX 4.4 volume 4, ExecutionReport). Two deviations:
# a rejected order is dead even with fills, so REJECTED ranks with CANCELED; and FILLED and PARTIALLY_FILLED take their
# rank only from fills, because the engine may know of fills that have not arrived here yet.
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
    OrdStatus.REJECTED: 5,
    OrdStatus.NEW: 2,
    OrdStatus.PARTIALLY_FILLED: 2,
    OrdStatus.FILLED: 2,
    OrdStatus.REPLACED: 2,
    OrdStatus.PENDING_NEW: 2,
    OrdStatus.ACCEPTED_FOR_BIDDING: 1,
}
INACTIVE: Final = FINAL | {OrdStatus.DONE_FOR_DAY, OrdStatus.CALCULATED}
"""States in which nothing is open for execution: LeavesQty is 0 whatever OrderQty minus CumQty is."""

VENUE_STATES: Final[Mapping[ExecType, OrdStatus]] = {
    ExecType.CANCELED: OrdStatus.CANCELED,
    ExecType.EXPIRED: OrdStatus.EXPIRED,
    ExecType.REJECTED: OrdStatus.REJECTED,
    ExecType.DONE_FOR_DAY: OrdStatus.DONE_FOR_DAY,
}
"""Reports of a venue that change the order's state without a fill. The engine speaks for all other changes."""


def consolidated_code(
    engine_code: OrdStatus | None, venue_code: OrdStatus | None, *, filled: int, quantity: int
) -> OrdStatus | None:
    """The OrdStatus of an order by precedence; the engine wins a tie. None if nothing was reported or filled."""
    code, rank = None, 0
    if filled > 0:
        whole = filled >= quantity
        code = OrdStatus.FILLED if whole else OrdStatus.PARTIALLY_FILLED
        rank = FILLED_PRECEDENCE if whole else PARTIALLY_FILLED_PRECEDENCE
    for reported in (engine_code, venue_code):
        if reported is not None and REPORTED_PRECEDENCE[reported] > rank:
            code, rank = reported, REPORTED_PRECEDENCE[reported]
    return code
