"""What orders tell their parents, built as columns: how each event changed the order's share."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Ints, RecordBatch
from operators.model.events import OrdStatus
from operators.model.orders.columns import inactive
from operators.model.orders.layout import VOICES
from operators.model.orders.lifecycle import Voice
from operators.model.orders.output_columns import OrderView, side_names
from operators.model.orders.schemas import FAMILY, TERMS_TYPE

_ALIVE, _CANCELED, _EXPIRED, _REJECTED = range(4)


def _end(engine: Voice, at_venue: Voice) -> int:
    """What an order counts as in its parent by who says that it has ended."""
    codes = {voice.code for voice in (engine, at_venue) if voice.dead}
    if not codes:
        return _ALIVE
    if codes == {OrdStatus.REJECTED}:
        return _REJECTED
    return _EXPIRED if codes == {OrdStatus.EXPIRED} else _CANCELED


_END: Final = np.array([[_end(engine, at_venue) for at_venue in VOICES] for engine in VOICES])


class Standing(NamedTuple):
    """What an order's share of its parent follows from, per event."""

    engine: Ints
    at_venue: Ints
    time_in_force: Ints
    quantity: Ints
    filled: Ints
    notional: Ints

    def take(self, events: Ints) -> Standing:
        """That of some of the events."""
        return Standing._make(column[events] for column in self)

    def shares(self) -> Ints:
        """The share: a row per field of `Share`, a column per event; what `outputs` makes of one order."""
        completed = (self.filled > 0) & (self.filled >= self.quantity)
        end = _END[self.engine, self.at_venue]
        counted = np.where(completed, _ALIVE, end)
        closed = completed | inactive(self.engine, self.at_venue, self.time_in_force)
        quantity = np.where(end == _ALIVE, self.quantity, self.filled)
        ended = [counted == kind for kind in (_CANCELED, _EXPIRED, _REJECTED)]
        return np.array([np.ones_like(end), ~closed, *ended, quantity, self.filled, self.notional], np.int64)


def family_batch(
    view: OrderView, before: Standing, after: Standing, is_new: Flags, reason: Array
) -> tuple[RecordBatch, Ints]:
    """What the parents of orders are told, and by which of the events; `is_new` where there was no parent before."""
    change = after.shares() - np.where(is_new, 0, before.shares())
    told = np.flatnonzero(change.any(axis=0))
    if len(told) < len(is_new):
        view, change, reason = view.take(told), change[:, told], reason.take(pa.array(told))
    columns = [
        pa.array(view.occurred_at),
        view.key,
        view.parent_id,
        view.symbol,
        side_names(view.side),
        *map(pa.array, change),
        pa.nulls(len(told), TERMS_TYPE),
        reason,
        view.cl_ord_id,
        view.correlation_id,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FAMILY), told
