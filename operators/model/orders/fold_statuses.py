"""Engine statuses folded over whole arrays: which are plain, and what they make of their orders."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Groups, Ints, RecordBatch
from operators.model.events import OrdStatus
from operators.model.orders.columns import IS_PENDING, StatusColumns, open_quantities, shown_codes
from operators.model.orders.folded import Folded, close
from operators.model.orders.layout import NONE, STATUSES, VOICE_NUMBERS, VOICES, Column
from operators.model.orders.lifecycle import ANSWERS, FINAL, TRANSITIONS
from operators.model.orders.output_columns import OrderView, cl_ord_ids, consolidated_batch, passed_on
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
    """What holds after each status, and what held before it: numbers, prices, venues, and the engine's voice."""

    engine_before: Ints
    engine: Ints
    quantity_before: Ints
    quantity: Ints
    limit_before: Ints
    limit: Ints
    time_before: Ints
    time: Ints
    venue_before: Ints
    venue: Ints


def plain_statuses(table: OrderTable, events: StatusColumns, rows: Ints) -> Flags:
    """Which events belong to orders whose events are all plain."""
    groups = Groups(rows)
    state, of, first = table.numbers[groups.rows], groups.of, groups.first
    known = state[:, Column.LAST_EVENT_AT] != NONE
    source = np.where(state[:, Column.STATUS_SOURCE] == 0, events.source[first], state[:, Column.STATUS_SOURCE])
    symbol = np.where(known, state[:, Column.SYMBOL], events.symbol[first])
    side = np.where(known, state[:, Column.SIDE], events.side[first])
    has_arrival = (state[:, Column.ARRIVAL_PRICE] != NONE) | (events.arrival_price[first] != NONE)
    sequence_before = groups.previous(events.sequence, state[:, Column.STATUS_SEQUENCE])
    code = np.maximum(events.code, 0)
    plain = (
        (events.readable & events.no_family)
        & (events.occurred_at >= 0)
        & (events.code >= 0)
        & (state[:, Column.EXTRA_BYTES] == 0)[of]
        & (events.sequence == sequence_before + 1)
        & (events.source == source[of])
        & (events.quantity >= 0)
        & (events.side >= 0)
        & (events.side == side[of])
        & (events.symbol == symbol[of])
        & ((events.arrival_price == NONE) | has_arrival[of])
        & ~(_IS_ANSWER[code] & _HAS_REQUEST[state[:, Column.AT_VENUE]][of])
        & _benchmarks_stay(events, groups, state)
    )
    terms = _terms(events, groups, state, code)
    plain &= (events.quantity >= state[:, Column.FILLED][of]) | (code != _REPLACED)
    plain &= _LEGAL[terms.engine_before, code]
    return groups.all(plain)[of]


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


def _terms(events: StatusColumns, groups: Groups, state: Ints, code: Ints) -> _Terms:
    """The terms and the engine's voice before and after each event, as if all were legal."""
    first, of = groups.first, groups.of
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
    return _Terms(
        engine_before=groups.previous(engine, state[:, Column.ENGINE]),
        engine=engine,
        quantity_before=groups.previous(quantity_after, quantity),
        quantity=quantity_after,
        limit_before=groups.previous(limit_after, limit),
        limit=limit_after,
        time_before=groups.previous(time_after, time),
        time=time_after,
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


def fold_plain_statuses(
    table: OrderTable,
    folded: Folded,
    batch: RecordBatch,
    ids: Array,
    events: StatusColumns,
    rows: Ints,
    context: Context,
) -> None:
    """Statuses that are all plain. A status that shows nothing new raises no event."""
    groups = Groups(rows)
    state, of, last = table.numbers[groups.rows], groups.of, groups.last
    terms = _terms(events, groups, state, events.code)
    after = _after(events, groups, state, terms)
    at_venue, filled = state[:, Column.AT_VENUE][of], state[:, Column.FILLED][of]
    code = shown_codes(terms.engine, at_venue, filled, terms.quantity)
    code_before = shown_codes(terms.engine_before, at_venue, filled, terms.quantity_before)
    leaves = open_quantities(terms.engine, at_venue, terms.time, filled, terms.quantity)
    leaves_before = open_quantities(terms.engine_before, at_venue, terms.time_before, filled, terms.quantity_before)
    fixed = [Column.ARRIVAL_PRICE, Column.DECISION_PRICE]
    opening = np.zeros(len(rows), np.bool_)
    opening[groups.first] = (after[:, fixed] != state[:, fixed]).any(axis=1)
    shows = (code >= 0) & (
        opening
        | (code != code_before)
        | (leaves != leaves_before)
        | (terms.quantity != terms.quantity_before)
        | (terms.limit != terms.limit_before)
        | (terms.time != terms.time_before)
        | (terms.venue != terms.venue_before)
    )
    sequence = state[:, Column.SEQUENCE][of] + groups.running_count(shows)
    after[:, Column.SEQUENCE] = sequence[last]
    close(after, groups, events.occurred_at, context)
    table.numbers[groups.rows] = after
    view = OrderView(
        key=batch.column("key"),
        order_id=ids,
        symbol=batch.column("order").field("symbol"),
        side=events.side,
        venue=table.venues.column(terms.venue),
        quantity=terms.quantity,
        limit_price=terms.limit,
        time_in_force=table.times_in_force.column(terms.time),
        code=code,
        filled=filled,
        leaves=leaves,
        notional=state[:, Column.NOTIONAL][of],
        arrival_price=after[:, Column.ARRIVAL_PRICE][of],
        decision_price=after[:, Column.DECISION_PRICE][of],
        sequence=sequence,
        occurred_at=events.occurred_at,
        cl_ord_id=cl_ord_ids(batch),
        market=passed_on(batch, "market"),
        correlation_id=passed_on(batch, "correlationId"),
    )
    reason, position = batch.column("status").field("reason"), events.position
    if not shows.all():
        shown = np.flatnonzero(shows)
        view, reason, position = view.take(shown), reason.take(pa.array(shown)), position[shown]
    folded.consolidated = consolidated_batch(view, reason, context)
    folded.consolidated_from = position
    folded.rows = groups.rows


def _after(events: StatusColumns, groups: Groups, state: Ints, terms: _Terms) -> Ints:
    """The rows after all their events, but for what follows from the other columns."""
    first, last = groups.first, groups.last
    arrival = state[:, Column.ARRIVAL_PRICE]
    decision, volume = state[:, Column.DECISION_PRICE], state[:, Column.MARKET_VOLUME]
    after = state.copy()
    after[:, Column.QUANTITY] = terms.quantity[last]
    after[:, Column.LIMIT_PRICE] = terms.limit[last]
    after[:, Column.TIME_IN_FORCE] = terms.time[last]
    after[:, Column.ENGINE] = terms.engine[last]
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
