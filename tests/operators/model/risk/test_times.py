"""Remembered times against a model that keeps all of them."""

from hypothesis import given
from hypothesis import strategies as st

from operators.model.risk.limits_in_force import Count, Counted, Level, Limit
from operators.model.risk.times import Times, remembered, within

limits = st.integers(0, 8)
windows = st.integers(1, 50)
moments = st.lists(st.integers(-5, 100), max_size=40)


def count(limit: int, window: int) -> Count:
    return Count("account", window, Level(Limit(limit, "FIRM")))


@given(moments, st.lists(st.tuples(limits, windows), min_size=1, max_size=3), st.integers(-5, 100))
def test_counts_are_those_of_all_times_as_far_as_a_limit_can_tell(
    times: list[int], given_counts: list[tuple[int, int]], since: int
) -> None:
    counts = [count(*each) for each in given_counts]
    counted = Counted("account", counts, max(one.kept for one in counts), max(one.window_micros for one in counts))
    known: Times = ()
    happened: list[int] = []
    for at in times:
        known = remembered(known, at, counted)
        happened.append(at)
        assert len(known) <= counted.kept
        if at == max(happened):  # one from the past may count what was forgotten since
            for one in counts:
                expected = sum(max(at - one.window_micros, since) < each for each in happened)
                assert min(within(known, at, one, since), one.kept) == min(expected, one.kept)


def test_times_are_kept_as_the_first_and_the_steps_between_them() -> None:
    counted = Counted("account", [count(5, 1_000)], 6, 1_000)
    known: Times = ()
    for at in (100, 250, 180, 250):
        known = remembered(known, at, counted)
    assert known == (100, 80, 70, 0)
    assert remembered(known, 1_200, counted) == (250, 0, 950)
