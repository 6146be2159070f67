"""How a person reads a timeline: by time, then cause, with what is odd about it marked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.model.views.timeline import Entry
from operators.model.views.timeline_order import in_order, read_in_order

KEY = "ACC1|ORD1"


def entry(index: int, sequence: int, at: int, origin: str = "ENGINE", source: str = "engine") -> Entry:
    return Entry(index=index, occurred_at=at, origin=origin, source=source, sequence=sequence, kind="NEW")


def read(*entries: Entry) -> list[tuple[int, tuple[str, ...]]]:
    return [(line.entry.sequence, line.marks) for line in read_in_order(KEY, entries)]


def test_a_late_event_stands_where_its_time_puts_it() -> None:
    assert read(entry(0, 1, 10), entry(1, 3, 30), entry(2, 2, 20)) == [(1, ()), (2, ("LATE",)), (3, ())]


def test_events_of_one_time_follow_each_other_as_cause_and_effect_do() -> None:
    origins = ["ALERT", "ENRICHMENT", "CONSOLIDATED", "ANOMALY", "VENUE", "ENGINE", "RISK"]
    lines = read_in_order(KEY, [entry(at, 1, 5, origin, origin) for at, origin in enumerate(origins)])
    assert [line.entry.origin for line in lines] == list(reversed(origins))


def test_a_repeat_is_marked_and_a_missing_number_too() -> None:
    assert read(entry(0, 2, 10), entry(1, 2, 10), entry(2, 5, 20)) == [
        (2, ("GAP",)),
        (2, ("DUPLICATE",)),
        (5, ("GAP",)),
    ]


def test_a_number_that_came_late_leaves_no_gap() -> None:
    marks = [marks for _, marks in read(entry(0, 1, 10), entry(1, 3, 30), entry(2, 2, 20))]
    assert not any("GAP" in each for each in marks)


def test_a_clock_that_was_set_back_is_marked() -> None:
    assert read(entry(0, 1, 10), entry(1, 2, 5)) == [(2, ("CLOCK",)), (1, ())]


@pytest.mark.parametrize("origin", ["ENRICHMENT", "ALERT"])
def test_origins_that_do_not_number_their_own_events_have_no_gaps(origin: str) -> None:
    assert read(entry(0, 4, 10, origin), entry(1, 9, 20, origin)) == [(4, ()), (9, ())]


def test_sources_are_numbered_each_for_itself() -> None:
    entries = [entry(0, 1, 10), entry(1, 1, 11, source="other"), entry(2, 1, 12, "VENUE", "gateway")]
    assert [marks for _, marks in read(*entries)] == [(), (), ()]


numbered = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 4), st.sampled_from(["ENGINE", "VENUE", "CONSOLIDATED"])), max_size=12
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(numbered, st.randoms())
def test_lines_are_in_the_order_of_time_whatever_the_order_of_arrival(
    given_entries: list[tuple[int, int, str]], random: Any
) -> None:
    entries = [entry(at, sequence, time, origin) for at, (sequence, time, origin) in enumerate(given_entries)]
    lines = read_in_order(KEY, entries)
    assert [line.entry.occurred_at for line in lines] == sorted(each.occurred_at for each in entries)
    assert sorted(line.entry.index for line in lines) == list(range(len(entries)))
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert in_order(shuffled) == lines


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(numbered)
def test_each_number_is_new_once_and_every_other_time_a_duplicate(given_entries: list[tuple[int, int, str]]) -> None:
    entries = [entry(at, sequence, time, origin) for at, (sequence, time, origin) in enumerate(given_entries)]
    repeats = sum("DUPLICATE" in line.marks for line in read_in_order(KEY, entries))
    assert repeats == len(entries) - len({(each.origin, each.sequence) for each in entries})
