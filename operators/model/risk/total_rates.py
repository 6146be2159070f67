"""Message rates over all accounts in a scope together: of a client session, a symbol, a desk, the firm.

| check | applies to | breached when |
|---|---|---|
| TOTAL_MESSAGE_RATE | new, replace | more in the rolling window of `maxTotalMessages` than allowed |

A request is counted before its account decides, so that one that is rejected there counts as well: it was sent. One
that is over a total is counted in none, or a client that goes on asking would never be served again. Cancels are
exempt.

Sources: RTS 6 (EU 2017/589) article 15(1), the maximum messages limit.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from operators.model.events import Breach, EventType
from operators.model.risk.book import Book
from operators.model.risk.limits import Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.request import in_force, over
from operators.model.risk.shared import SharedRequest, rejects
from operators.model.risk.times import remembered, within

TOTAL_MESSAGE_RATE: Final = "TOTAL_MESSAGE_RATE"
RATES: Final = frozenset({"MESSAGE_RATE", TOTAL_MESSAGE_RATE})

_COUNTED: Final = frozenset({EventType.ORDER_SUBMITTED, EventType.REPLACE_REQUESTED})


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """The state of the firm: how many requests were counted. The times of each scope are parts beside it."""

    requests: int = 0


def on_request(
    totals: Totals, book: Book, request: SharedRequest, tables: Tables, *, limits: LimitsInForce
) -> tuple[Totals, SharedRequest]:
    """The request with the totals that it breaches; counts it if it breaches none. `book` has the times by scope."""
    intent = request.intent
    scopes = in_force(intent, tables, limits).totals if intent.event_type in _COUNTED else ()
    if not scopes:
        return totals, request
    breaches: list[Breach] = []
    for counted in scopes:
        times = book.times(_part(counted.over))
        for count in counted.counts:
            recent = within(times, intent.occurred_at, count)
            breaches += over(TOTAL_MESSAGE_RATE, count.level, recent + 1, current=recent)
    found = replace(request, breaches=[*request.breaches, *breaches])
    if rejects(breaches):
        return totals, found
    for counted in scopes:
        part = _part(counted.over)
        book.put_times(part, remembered(book.times(part), intent.occurred_at, counted))
    return Totals(totals.requests + 1), found


def _part(scope: str) -> str:
    return f"messages|{scope}"
