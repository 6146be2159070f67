"""The order in which a person reads what several sources said, and the marks that show what is odd about it.

Events are put in the order of their own time, wherever they stood when they arrived: a late one stands where it
belongs. At one time the origins follow each other as cause and effect do (decision, engine, venue, anomaly,
consolidated status, enrichment, alert), the events of one source by its sequence, and repeats as they arrived.

| mark | the event |
|---|---|
| DUPLICATE | repeats a sequence number that its source had used before |
| LATE | arrived after a higher number of its source |
| GAP | follows a missing number of its source |
| CLOCK | has an earlier time than a lower number of its source: two clocks, or one that was set back |

Numbers are looked at per order, origin and source. Those of enrichments are not, for they count the consolidated
statuses and not themselves; nor those of alerts, which may count what is about several orders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from operators.model.views.timeline import Entry, Origin

_RANKS: Final[Mapping[str, int]] = {origin.value: rank for rank, origin in enumerate(Origin)}
_UNNUMBERED: Final = frozenset({Origin.ENRICHMENT.value, Origin.ALERT.value})


class Line(NamedTuple):
    """One entry of a timeline as it is read; `key` is that of the order it is about."""

    key: str
    entry: Entry
    marks: tuple[str, ...] = ()


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Lines of one or several orders by time, cause and sequence; independent of the order in which they are given."""
    return sorted(lines, key=_place)


def read_in_order(key: str, entries: Sequence[Entry]) -> list[Line]:
    """The entries of one order in the order in which they are read, with their marks."""
    marks = _marks(entries)
    return in_order(Line(key, entry, tuple(marks[entry.index])) for entry in entries)


def _place(line: Line) -> tuple[int, int, str, str, int, int]:
    entry = line.entry
    rank = _RANKS.get(entry.origin, len(_RANKS))
    return entry.occurred_at, rank, line.key, entry.source, entry.sequence, entry.index


def _marks(entries: Sequence[Entry]) -> Mapping[int, list[str]]:
    """The marks by index of the entry."""
    by_source: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.origin not in _UNNUMBERED:
            by_source[entry.origin, entry.source].append(entry)
    marks: defaultdict[int, list[str]] = defaultdict(list)
    for said in by_source.values():
        _mark_arrival(said, marks)
        _mark_sequence(said, marks)
    return marks


def _mark_arrival(said: Sequence[Entry], marks: Mapping[int, list[str]]) -> None:
    seen: set[int] = set()
    highest = 0
    for entry in sorted(said, key=lambda entry: entry.index):
        if entry.sequence in seen:
            marks[entry.index].append("DUPLICATE")
        elif entry.sequence < highest:
            marks[entry.index].append("LATE")
        seen.add(entry.sequence)
        highest = max(highest, entry.sequence)


def _mark_sequence(said: Sequence[Entry], marks: Mapping[int, list[str]]) -> None:
    """Gaps and clocks, over the first entry of each number."""
    before, latest = 0, None
    for entry in sorted(said, key=lambda entry: (entry.sequence, entry.index)):
        if "DUPLICATE" in marks[entry.index]:
            continue
        if entry.sequence > before + 1:
            marks[entry.index].append("GAP")
        if latest is not None and entry.occurred_at < latest:
            marks[entry.index].append("CLOCK")
        before, latest = entry.sequence, max(entry.occurred_at, latest or 0)
