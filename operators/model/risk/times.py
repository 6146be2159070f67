"""Times of recent messages or executions, as the first of them and the steps from each to the next.

Microseconds, ascending. Steps are small numbers, so they take few bytes, and what nearly every event asks for needs
none of the times in between: the last is the sum, and the whole window counts if the first is young enough.
"""

from __future__ import annotations

from bisect import insort
from itertools import accumulate, pairwise

from operators.model.risk.limits_in_force import Count, Counted
from operators.model.risk.state import NEVER

Times = tuple[int, ...]


def times_part(what: str, over: str, *, symbol: str, session: str | None = None) -> str:
    """The name under which times are kept that are counted over the account, a symbol or a session."""
    if over == "symbol":
        return f"{what}|symbol|{symbol}"
    return f"{what}|session|{session}" if over == "session" else what


def remembered(times: Times, at: int, counted: Counted) -> Times:
    """The times with one more, as far as a count still looks at them: so many, the latest, and no older."""
    if not times:
        return (at,)
    last, oldest = sum(times), at - counted.window_micros
    if at < last:
        known = [known for known in accumulate(times) if known > oldest]
        insort(known, at)
        return _steps(known[-counted.kept :])
    first, dropped = times[0], 0
    while first <= oldest or len(times) - dropped >= counted.kept:
        dropped += 1
        if dropped == len(times):
            return (at,)
        first += times[dropped]
    return (first, *times[dropped + 1 :], at - last)


def within(times: Times, at: int, count: Count, since: int = NEVER) -> int:
    """How many of the times lie in the count's window before `at`, and after `since`; one from the future counts."""
    after = max(at - count.window_micros, since)
    if not times or times[0] > after:
        return len(times)
    return sum([known > after for known in accumulate(times)])


def _steps(times: list[int]) -> Times:
    return (*times[:1], *[after - before for before, after in pairwise(times)])
