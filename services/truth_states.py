"""Which final states an order may have, by trying every way in which its two topics may have been read.

Each topic keeps its own order, but statuses and venue reports interleave as they are read, and what shows in the end
may depend on that (a cancel reject read before the engine's PENDING_CANCEL, say). So all interleavings are followed at
once, as the set of states after the first i statuses and the first j reports. Written from the rules in
docs/domain/lifecycle.md and on purpose without the product's own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

DEAD = frozenset({"CANCELED", "EXPIRED", "REJECTED"})
PENDING = frozenset({"PENDING_CANCEL", "PENDING_REPLACE"})
FILLED_WORDS = frozenset({"FILLED", "PARTIALLY_FILLED", "REPLACED"})
GOOD_TILL = frozenset({"GOOD_TILL_CANCEL", "GOOD_TILL_DATE"})
_PLAIN = DEAD | {"FILLED", "PARTIALLY_FILLED", "NEW"}
_VENUE_STATES = frozenset({"NEW", "PENDING_NEW", "STOPPED", "SUSPENDED", "CALCULATED", "DONE_FOR_DAY"})
# Highest first; CANCELED and EXPIRED tie, as do NEW, REJECTED and PENDING_NEW.
_RANKS = {
    "PENDING_CANCEL": 13, "PENDING_REPLACE": 12, "DONE_FOR_DAY": 11, "CALCULATED": 10, "FILLED": 9, "STOPPED": 8,
    "SUSPENDED": 7, "CANCELED": 6, "EXPIRED": 6, "PARTIALLY_FILLED": 5, "NEW": 4, "REJECTED": 4, "PENDING_NEW": 4,
    "ACCEPTED_FOR_BIDDING": 1,
}  # fmt: skip


class Said(NamedTuple):
    """A status of the engine."""

    code: str
    quantity: int
    client_order_id: str | None
    time_in_force: str | None


class Reported(NamedTuple):
    """A message of a venue; `filled` is what was known with it. `kind` is its ExecType, empty for fills."""

    kind: str
    order_status: str
    quantity: int
    cumulative: int
    original_client_order_id: str | None
    time_in_force: str | None
    new_day: bool
    filled: int


class Final(NamedTuple):
    """What an order may show in the end."""

    code: str | None
    leaves: int
    quantity: int


class _State(NamedTuple):
    engine: str | None = None
    engine_pending: str | None = None
    venue: str | None = None
    venue_pending: str | None = None
    quantity: int | None = None
    time_in_force: str | None = None
    superseded: frozenset[str] = frozenset()
    venue_ahead: bool = False
    """Whether a venue has said REPLACED and the engine has not yet."""
    told: bool = False
    """Whether somebody named a state or a request, so that there is an order to show."""


def final_states(
    statuses: Sequence[Said], reports: Sequence[Reported], *, filled: int, traded: bool
) -> frozenset[Final]:
    """Every final state that some interleaving leads to; `filled` in the end, `traded` if ever."""
    column = [frozenset({_State()})]
    for status in statuses:
        column.append(frozenset(_noted(_after_status(state, status, 0), 0) for state in column[-1]))
    known = 0
    for report in reports:
        known = report.filled
        before, column = column, [frozenset(_noted(_after_report(state, report), known) for state in column[0])]
        for i, status in enumerate(statuses):
            by_report = {_noted(_after_report(state, report), known) for state in before[i + 1]}
            by_status = {_noted(_after_status(state, status, known), known) for state in column[i]}
            column.append(frozenset(by_report | by_status))
    return frozenset(_final(state, filled, traded=traded) for state in column[-1])


def parent_states(children: Sequence[frozenset[Final]], filled: Sequence[int]) -> frozenset[Final]:
    """What a parent may show of which the engine says nothing; nothing is said where a child's end is uncertain."""
    finals = [next(iter(states)) for states in children if len(states) == 1]
    if len(finals) < len(children) or not all(final.code in _PLAIN for final in finals):
        return frozenset()
    total = sum(filled)
    pairs = list(zip(finals, filled, strict=True))
    quantity = sum(done if final.code in DEAD else final.quantity for final, done in pairs)
    codes = {final.code for final in finals}
    if codes <= DEAD:
        code = "CANCELED" if len(codes) > 1 else codes.pop()
        code = "PARTIALLY_FILLED" if code == "REJECTED" and total else code
    else:
        code = "FILLED" if total >= quantity else "PARTIALLY_FILLED" if total else "NEW"
    still_open = any(final.leaves for final in finals)
    return frozenset({Final(code, max(quantity - total, 0) if still_open else 0, quantity)})


def _noted(state: _State, filled: int) -> _State:
    """With what was shown; an order of which nothing is left is as new as when a venue first took it."""
    if filled > 0 or any((state.engine, state.engine_pending, state.venue, state.venue_pending)):
        return state if state.told else state._replace(told=True)
    return state._replace(venue="NEW") if state.told else state


def _after_status(state: _State, status: Said, filled: int) -> _State:
    if state.quantity is None:
        state = state._replace(quantity=status.quantity, time_in_force=status.time_in_force)
    if state.engine in DEAD and status.code != state.engine:
        return state
    if status.code in PENDING:
        return state._replace(engine_pending=status.code)
    base = "NEW" if status.code in FILLED_WORDS else status.code
    state = state._replace(engine=base, engine_pending=None)
    if status.code in DEAD or status.code == "REPLACED":
        state = state._replace(venue_pending=None)
    if status.client_order_id in state.superseded:
        return state
    if status.code == "REPLACED":
        state = state._replace(venue_ahead=False)
    elif status.client_order_id is None and state.venue_ahead:
        return state
    quantity = max(status.quantity, filled) if status.code == "REPLACED" else status.quantity
    return state._replace(quantity=quantity, time_in_force=status.time_in_force or state.time_in_force)


def _after_report(state: _State, report: Reported) -> _State:
    if state.quantity is None:
        state = state._replace(quantity=report.quantity, time_in_force=report.time_in_force)
    if report.new_day:
        engine = "NEW" if state.engine == "DONE_FOR_DAY" else state.engine
        venue = "NEW" if state.venue == "DONE_FOR_DAY" else state.venue
        state = state._replace(engine=engine, venue=venue)
    kind = report.kind
    if kind == "TRIGGERED":
        kind = "NEW"
    if kind == "RESTATED":
        kind = "NEW" if report.order_status in FILLED_WORDS else report.order_status
        state = _with_terms(state, report)
    if kind in PENDING:
        return state._replace(venue_pending=kind)
    if kind == "REJECTED" and report.order_status != "REJECTED":
        return state
    if kind in DEAD:
        return state._replace(venue=kind, venue_pending=None, engine_pending=None)
    if kind in _VENUE_STATES:
        return state._replace(venue=kind, venue_pending=None)
    if kind == "REPLACED":
        original = report.original_client_order_id
        superseded = state.superseded if original is None else state.superseded | {original}
        state = state._replace(superseded=superseded, venue_ahead=True)
        return _with_terms(_answered(state, report.order_status), report)
    if kind == "CANCEL_REJECTED":
        return _answered(state, report.order_status)
    return state


def _answered(state: _State, order_status: str) -> _State:
    """A request was answered: it waits no longer, unless the answer says that it does."""
    kept = [p if p == order_status else None for p in (state.engine_pending, state.venue_pending)]
    return state._replace(engine_pending=kept[0], venue_pending=kept[1])


def _with_terms(state: _State, report: Reported) -> _State:
    quantity = max(report.quantity, report.filled, report.cumulative)
    return state._replace(quantity=quantity, time_in_force=report.time_in_force or state.time_in_force)


def _final(state: _State, filled: int, *, traded: bool) -> Final:
    quantity = state.quantity or 0
    dead = state.engine in DEAD or state.venue in DEAD
    # An order that was shown, and of whose states and fills nothing is left, is new.
    unsaid = "NEW" if traded or state.told else None
    shown: list[str] = [word for word in (state.engine, state.venue) if word is not None]
    if not dead:
        shown += [word for word in (state.engine_pending, state.venue_pending) if word is not None]
    if filled > 0:
        shown.append("FILLED" if filled >= quantity else "PARTIALLY_FILLED")
    code = max(shown, key=lambda word: (_RANKS[word], word in DEAD, word == "NEW"), default=unsaid)
    still_working = state.time_in_force in GOOD_TILL
    closed = dead or code == "CALCULATED" or (code == "DONE_FOR_DAY" and not still_working)
    return Final(code, 0 if closed else max(quantity - filled, 0), quantity)
