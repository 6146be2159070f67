"""Windows against a search through all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.state.windows import Windows, parse_window_key, window_key

TIMES = st.integers(-500, 500) | st.integers(-(10**13), 10**13)


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    return Windows(draw(st.integers(1, 60)), draw(st.integers(1, 60)), draw(st.integers(0, 30)))


@given(windows(), TIMES)
def test_a_time_belongs_to_exactly_the_windows_that_span_it(given_windows: Windows, time_ms: int) -> None:
    size, every = given_windows.size_ms, given_windows.every_ms
    near = range((time_ms - size) // every * every, time_ms + every + 1, every)
    assert list(given_windows.starts(time_ms)) == [start for start in near if start <= time_ms < start + size]


@given(st.integers(1, 1_000), TIMES)
def test_a_time_belongs_to_one_tumbling_window(size_ms: int, time_ms: int) -> None:
    [start] = Windows.tumbling(size_ms=size_ms, grace_ms=0).starts(time_ms)
    assert start <= time_ms < start + size_ms
    assert start % size_ms == 0


def test_the_first_and_the_last_millisecond_of_a_window_belong_to_it_and_the_next_to_the_next() -> None:
    minute = Windows.tumbling(size_ms=60_000, grace_ms=0)
    assert [list(minute.starts(t)) for t in (-1, 0, 59_999, 60_000)] == [[-60_000], [0], [0], [60_000]]


@given(windows(), TIMES, TIMES)
def test_a_window_takes_records_until_event_time_reaches_its_end_and_the_grace(
    given_windows: Windows, time_ms: int, event_time_ms: int
) -> None:
    size, grace = given_windows.size_ms, given_windows.grace_ms
    open_starts = [s for s in given_windows.starts(time_ms) if s + size + grace > event_time_ms]
    found = given_windows.open_keys("k", time_ms=time_ms, event_time_ms=event_time_ms)
    assert [parse_window_key(key) for key in found] == [("k", size, start) for start in open_starts]


@given(st.text(max_size=10), st.integers(1, 10**9), st.integers(0, 10**13))
def test_a_window_key_says_key_size_and_start(key: str, size_ms: int, start_ms: int) -> None:
    assert parse_window_key(window_key(key, size_ms=size_ms, start_ms=start_ms)) == (key, size_ms, start_ms)


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_window_keys_sort_by_their_start(one_ms: int, other_ms: int) -> None:
    one, other = (window_key("k", size_ms=1, start_ms=start) for start in (one_ms, other_ms))
    assert (one < other) == (one_ms < other_ms)


def test_the_form_of_a_window_key_is_part_of_stored_state() -> None:
    assert window_key("MSFT|XNAS", size_ms=60_000, start_ms=1_790_000_040_000) == "MSFT|XNAS@60000@01790000040000"
