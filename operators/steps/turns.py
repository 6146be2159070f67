"""Whose turn it is: in which order a batch of statuses and a batch of executions of the same orders are folded.

Both topics are in order, but not with each other. Of what waits together, an order's events are taken in the order of
their times as far as each topic's own order allows: first its statuses up to its first execution, then its executions
up to the next status, and so on. So a replay tells the same story as the day did, and a cancel that waits beside the
fills before it comes after them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from operators.model.arrays import among, places
from operators.stream.records import Ints

STATUS, EXECUTION = 0, 1
TURNS_MAX: Final = 8
"""What an order would still have to alternate after so many turns is folded in two: its statuses, its executions."""
_SPAN_MAX: Final = 2**40
"""Times further apart than this count as equal, so that row and time fit one number; in microseconds 12 days."""


def turns(status_rows: Ints, status_times: Ints, execution_rows: Ints, execution_times: Ints) -> tuple[Ints, Ints]:
    """The turn of each status (even) and of each execution (odd). `rows` tell orders apart; each is in topic order.

    At the same time a status comes first.
    """
    of_status, of_execution = np.zeros(len(status_rows), np.int64), np.ones(len(execution_rows), np.int64)
    shared_status = places(among(status_rows, execution_rows))
    if not len(shared_status):
        return of_status, of_execution
    shared_execution = places(among(execution_rows, status_rows))
    rows = np.concatenate([status_rows[shared_status], execution_rows[shared_execution]])
    role = np.repeat([STATUS, EXECUTION], [len(shared_status), len(shared_execution)])
    start = min(status_times[shared_status].min(), execution_times[shared_execution].min())
    times = np.concatenate(
        [
            _never_back(status_rows[shared_status], _since(status_times[shared_status], start)),
            _never_back(execution_rows[shared_execution], _since(execution_times[shared_execution], start)),
        ]
    )
    order = np.lexsort((role, times, rows))
    by_row, by_role = rows[order], role[order]
    first = np.append(True, by_row[1:] != by_row[:-1])
    changes = np.cumsum(np.append(False, by_role[1:] != by_role[:-1]) & ~first)
    starts = places(first)
    group = np.cumsum(first) - 1
    turn = changes - changes[starts][group] + by_role[starts][group]
    turn = np.minimum(turn, TURNS_MAX + by_role)
    result = np.empty(len(turn), np.int64)
    result[order] = turn
    of_status[shared_status], of_execution[shared_execution] = np.split(result, [len(shared_status)])
    return of_status, of_execution


def _since(times: Ints, start: int) -> Ints:
    since: Ints = np.clip(times.astype(np.float64) - float(start), 0, _SPAN_MAX - 1).astype(np.int64)
    return since


def _never_back(rows: Ints, times: Ints) -> Ints:
    """The largest time of a row so far, per event: a topic's own order goes before times."""
    order = np.argsort(rows, kind="stable")
    by_row = rows[order]
    group = np.cumsum(np.append(False, by_row[1:] != by_row[:-1]))
    highest = np.maximum.accumulate(group * _SPAN_MAX + times[order]) - group * _SPAN_MAX
    result = np.empty(len(rows), np.int64)
    result[order] = highest
    return result
