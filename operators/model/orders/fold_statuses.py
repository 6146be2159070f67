"""Engine statuses folded over whole arrays: which are plain, and what they make of their orders."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Groups, Ints, RecordBatch, places
from operators.model.events import OrdStatus
from operators.model.orders.columns import IS_PENDING, StatusColumns, open_quantities, shown_codes
from operators.model.orders.family_columns import Standing, family_batch
from operators.model.orders.folded import Folded, close, parent_ids
from operators.model.orders.layout import NO_NAME, NONE, STATUSES, VOICE_NUMBERS, VOICES, Column
from operators.model.orders.lifecycle import ANSWERS, FINAL, TRANSITIONS
from operators.model.orders.output_columns import OrderView, cl_ord_ids, consolidated_batch, day_column, passed_on
from operators.model.orders.state import Context
from operators.model.orders.table import OrderTable

# By number of a status, and of a voice.
_IS_DEAD: Final = np.array([status in FINAL for status in STATUSES])
_REPLACED: Final = STATUSES.index(OrdStatus.REPLACED)
_IS_ANSWER: Final = np.array([status in ANSWERS for status in STATUSES])
_NEXT: Final = np.array([[VOICE_NUMBERS[voice.says(status)] for status in STATUSES] for voice in VOICES])
_LEGAL: Final = np.array([[status in TRANSITIONS[voice.code] for status in STATUSES] for voice in VOICES])
_HAS_REQUEST: Final = np.array([voice.pending is not None for voice in VOICES])


class _Terms(NamedTuple):
    """What holds before and after each status."""

    before: Standing
    after: Standing
    limit_before: Ints
    limit: Ints
    venue_before: Ints
    venue: Ints


class Statuses(NamedTuple):
    """Statuses of a batch, their orders' rows as numbers before them, by group, their ids and terms."""

    batch: RecordBatch
    ids: Array
    events: StatusColumns
    groups: Groups
    state: Ints
    terms: _Terms
    """As if all statuses were plain."""

    @staticmethod
    def read(table: OrderTable, batch: RecordBatch, ids: Array, events: StatusColumns, rows: Ints) -> Statuses:
        """Those of some rows of the table."""
        groups = Groups(rows)
        state = table.numbers[groups.rows]
        return Statuses(batch, ids, events, groups, state, _terms(events, groups, state))


def plain_statuses(statuses: Statuses) -> Flags:
    """Which events belong to orders whose events are all plain."""
    _, _, events, groups, state, terms = statuses
    of, first = groups.of, groups.first
    known = state[:, Column.LAST_EVENT_AT] != NONE
    source = np.where(state[:, Column.STATUS_SOURCE] == 0, events.source[first], state[:, Column.STATUS_SOURCE])
    symbol = np.where(known, state[:, Column.SYMBOL], events.symbol[first])
    side = np.where(known, state[:, Column.SIDE], events.side[first])
    parent = _parents(events, groups, state)
    has_arrival = (state[:, Column.ARRIVAL_PRICE] != NONE) | (events.arrival_price[first] != NONE)
    sequence_before = groups.previous(events.sequence, state[:, Column.STATUS_SEQUENCE])
    code = np.maximum(events.code, 0)
    plain = (
        (events.readable & ~events.is_parent)
        & (events.occurred_at >= 0)
        & (events.code >= 0)
        & (state[:, Column.EXTRA_BYTES] == 0)[of]
        & (events.sequence == sequence_before + 1)
        & (events.source == source[of])
        & (events.quantity >= 0)
        & (events.side >= 0)
        & (events.side == side[of])
        & (events.symbol == symbol[of])
        & ((events.parent == 0) | (events.parent == parent[of]))
        & (parent != NO_NAME)[of]
        & ((events.arrival_price == NONE) | has_arrival[of])
        & ~(_IS_ANSWER[code] & _HAS_REQUEST[state[:, Column.AT_VENUE]][of])
        & _benchmarks_stay(events, groups, state)
    )
    plain &= (events.quantity >= state[:, Column.FILLED][of]) | (code != _REPLACED)
    plain &= _LEGAL[terms.before.engine, code]
    return groups.all(plain)[of]


def _parents(events: StatusColumns, groups: Groups, state: Ints) -> Ints:
    """The parent of each order; of one that had none that of its first event."""
    known = state[:, Column.PARENT]
    return np.where(known == 0, events.parent[groups.first], known)


def _benchmarks_stay(events: StatusColumns, groups: Groups, state: Ints) -> Flags:
    """Whether decision price and market at acceptance are known from the first event on, and no shortfall is due."""
    plain = np.ones(len(events.code), np.bool_)
    has_decision = state[:, Column.DECISION_PRICE] != NONE
    if has_decision.any() or (events.decision_price != NONE).any():
        has_decision |= events.decision_price[groups.first] != NONE
        plain &= (events.decision_price == NONE) | has_decision[groups.of]
        plain &= ~(_IS_DEAD[np.maximum(events.code, 0)] & has_decision[groups.of])
    if events.market.known:
        complete = (events.market.volume != NONE) & (events.market.turnover != NONE)
        has_market = (state[:, Column.MARKET_VOLUME] != NONE) | complete[groups.first]
        plain &= ~complete | has_market[groups.of]
    return plain


def _terms(events: StatusColumns, groups: Groups, state: Ints) -> _Terms:
    """The terms and the engine's voice before and after each event, as if all were legal."""
    first, of, code = groups.first, groups.of, np.maximum(events.code, 0)
    known = state[:, Column.LAST_EVENT_AT] != NONE
    quantity = np.where(known, state[:, Column.QUANTITY], events.quantity[first])
    limit = np.where(known, state[:, Column.LIMIT_PRICE], events.limit_price[first])
    time = np.where(known, state[:, Column.TIME_IN_FORCE], events.time_in_force[first])
    sets = ~IS_PENDING[code]
    at = groups.latest(sets)
    quantity_after = np.where(at >= 0, events.quantity[at], quantity[of])
    # A pending word leaves the state behind it, which is that of the last word that was none.
    voice = np.where(at >= 0, _NEXT[0, code[at]], state[:, Column.ENGINE][of])
    engine = np.where(sets, voice, _NEXT[voice, code])
    limit_after = _given(groups, sets, events.limit_price, NONE, limit)
    time_after = _given(groups, sets, events.time_in_force, 0, time)
    venue = _given(groups, events.venue != 0, events.venue, 0, state[:, Column.VENUE])
    fixed = (state[:, column][of] for column in (Column.AT_VENUE, Column.FILLED, Column.NOTIONAL))
    at_venue, filled, notional = fixed
    before = (
        groups.previous(engine, state[:, Column.ENGINE]),
        at_venue,
        groups.previous(time_after, time),
        groups.previous(quantity_after, quantity),
    )
    return _Terms(
        Standing(*before, filled, notional),
        Standing(engine, at_venue, time_after, quantity_after, filled, notional),
        limit_before=groups.previous(limit_after, limit),
        limit=limit_after,
        venue_before=groups.previous(venue, state[:, Column.VENUE]),
        venue=venue,
    )


def _given(groups: Groups, sets: Flags, values: Ints, missing: int, before: Ints) -> Ints:
    """Per event the last value that was given and taken, `before` per group where there is none."""
    given = sets & (values != missing)
    if not given.any():
        return before[groups.of]
    at = groups.latest(given)
    return np.where(at >= 0, values[at], before[groups.of])


def fold_plain_statuses(table: OrderTable, folded: Folded, statuses: Statuses, context: Context) -> None:
    """Statuses that are all plain. A status that shows nothing new raises no event."""
    _, _, events, groups, state, terms = statuses
    after = _after(events, groups, state, terms)
    _name_parents(table, statuses, after)
    code = shown_codes(terms.after.engine, terms.after.at_venue, terms.after.filled, terms.after.quantity)
    shows = _shows(statuses, after, code)
    sequence = state[:, Column.SEQUENCE][groups.of] + groups.running_count(shows)
    after[:, Column.SEQUENCE] = sequence[groups.last]
    close(after, groups, events.occurred_at, context)
    table.numbers[groups.rows] = after
    view = _order_view(table, statuses, after, code, sequence)
    reason, position = statuses.batch.column("status").field("reason"), events.position
    if after[:, Column.PARENT].any():
        _tell_parents(folded, statuses, after, view, reason)
    if not shows.all():
        shown = places(shows)
        view, reason, position = view.take(shown), reason.take(pa.array(shown)), position[shown]
    folded.consolidated = consolidated_batch(view, reason, context)
    folded.consolidated_from = position
    folded.rows = groups.rows


def _name_parents(table: OrderTable, statuses: Statuses, after: Ints) -> None:
    """Keeps the ids of parents that were named for the first time."""
    groups = statuses.groups
    named = places(after[:, Column.PARENT] != statuses.state[:, Column.PARENT])
    if len(named):
        given = statuses.batch.column("order").field("parentId").take(pa.array(groups.first[named]))
        for row, parent_id in zip(groups.rows[named].tolist(), given.to_pylist(), strict=True):
            table.set_parent(row, parent_id)


def _shows(statuses: Statuses, after: Ints, code: Ints) -> Flags:
    """Which statuses change something that shows; `code` is what shows after each."""
    _, _, _, groups, state, terms = statuses
    before, standing = terms.before, terms.after
    code_before = shown_codes(before.engine, before.at_venue, before.filled, before.quantity)
    fixed = [Column.ARRIVAL_PRICE, Column.DECISION_PRICE, Column.PARENT]
    opening = np.zeros(len(groups.of), np.bool_)
    opening[groups.first] = (after[:, fixed] != state[:, fixed]).any(axis=1)
    shows: Flags = (code >= 0) & (
        opening
        | (code != code_before)
        | (_open(standing) != _open(before))
        | (standing.quantity != before.quantity)
        | (terms.limit != terms.limit_before)
        | (standing.time_in_force != before.time_in_force)
        | (terms.venue != terms.venue_before)
    )
    return shows


def _open(standing: Standing) -> Ints:
    return open_quantities(
        standing.engine, standing.at_venue, standing.time_in_force, standing.filled, standing.quantity
    )


def _order_view(table: OrderTable, statuses: Statuses, after: Ints, code: Ints, sequence: Ints) -> OrderView:
    batch, ids, events, groups, state, terms = statuses
    of, standing = groups.of, terms.after
    day_filled, day_notional = state[:, Column.DAY_FILLED][of], state[:, Column.DAY_NOTIONAL][of]
    earlier = np.where(day_filled == NONE, 0, standing.filled - day_filled)
    return OrderView(
        key=batch.column("key"),
        order_id=ids,
        parent_id=parent_ids(table, groups, after),
        symbol=batch.column("order").field("symbol"),
        side=events.side,
        venue=table.venues.column(terms.venue),
        quantity=standing.quantity,
        limit_price=terms.limit,
        time_in_force=table.times_in_force.column(standing.time_in_force),
        code=code,
        filled=standing.filled,
        leaves=_open(standing),
        notional=standing.notional,
        day=day_column(state[:, Column.TRADE_DATE][of], standing.quantity, earlier, day_filled, day_notional),
        arrival_price=after[:, Column.ARRIVAL_PRICE][of],
        decision_price=after[:, Column.DECISION_PRICE][of],
        sequence=sequence,
        occurred_at=events.occurred_at,
        cl_ord_id=cl_ord_ids(batch),
        market=passed_on(batch, "market"),
        correlation_id=passed_on(batch, "correlationId"),
    )


def _tell_parents(folded: Folded, statuses: Statuses, after: Ints, view: OrderView, reason: Array) -> None:
    """How the shares of children changed; all of it is new to a parent that the first event names."""
    _, _, events, groups, state, terms = statuses
    of_children = np.flatnonzero((after[:, Column.PARENT] != 0)[groups.of])
    is_new = np.zeros(len(groups.of), np.bool_)
    is_new[groups.first] = state[:, Column.PARENT] == 0
    folded.family, told = family_batch(
        view.take(of_children),
        terms.before.take(of_children),
        terms.after.take(of_children),
        is_new[of_children],
        reason.take(pa.array(of_children)),
    )
    folded.family_from = events.position[of_children[told]]


def _after(events: StatusColumns, groups: Groups, state: Ints, terms: _Terms) -> Ints:
    """The rows after all their events, but for what follows from the other columns."""
    first, last = groups.first, groups.last
    arrival = state[:, Column.ARRIVAL_PRICE]
    decision, volume = state[:, Column.DECISION_PRICE], state[:, Column.MARKET_VOLUME]
    after = state.copy()
    after[:, Column.QUANTITY] = terms.after.quantity[last]
    after[:, Column.LIMIT_PRICE] = terms.limit[last]
    after[:, Column.TIME_IN_FORCE] = terms.after.time_in_force[last]
    after[:, Column.ENGINE] = terms.after.engine[last]
    after[:, Column.PARENT] = _parents(events, groups, state)
    after[:, Column.SIDE] = events.side[last]
    after[:, Column.SYMBOL] = events.symbol[last]
    after[:, Column.VENUE] = terms.venue[last]
    after[:, Column.ARRIVAL_PRICE] = np.where(arrival == NONE, events.arrival_price[first], arrival)
    after[:, Column.DECISION_PRICE] = np.where(decision == NONE, events.decision_price[first], decision)
    if events.market.known:
        market = events.market
        complete = (market.volume != NONE) & (market.turnover != NONE)
        taken = (volume == NONE) & complete[first]
        after[:, Column.MARKET_VOLUME] = np.where(taken, market.volume[first], volume)
        after[:, Column.MARKET_TURNOVER] = np.where(taken, market.turnover[first], state[:, Column.MARKET_TURNOVER])
    after[:, Column.STATUS_SOURCE] = events.source[last]
    after[:, Column.STATUS_SEQUENCE] = events.sequence[last]
    return after
