import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.model.sketch import Sketch

latencies = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)


def sketch_of(values: list[int]) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch = sketch.add(value)
    return sketch


@given(latencies, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_every_quantile_is_within_one_percent_of_the_exact_one(values: list[int], part: float) -> None:
    exact = sorted(values)[max(1, math.ceil(part * len(values))) - 1]
    found = sketch_of(values).quantile(part)
    assert found is not None
    assert abs(found - exact) <= exact * 0.01


@given(latencies, latencies, latencies)
def test_merging_is_associative_commutative_and_equal_to_adding_everything(
    a: list[int], b: list[int], c: list[int]
) -> None:
    left, middle, right = sketch_of(a), sketch_of(b), sketch_of(c)
    whole = sketch_of(a + b + c)
    assert (
        left.merge(middle).merge(right) == left.merge(middle.merge(right)) == right.merge(left).merge(middle) == whole
    )


@given(latencies)
def test_a_sketch_survives_msgpack(values: list[int]) -> None:
    sketch = sketch_of(values)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sketch), type=Sketch) == sketch


@pytest.mark.parametrize("value", [0, 1, 127])
def test_small_values_are_exact(value: int) -> None:
    assert Sketch().add(value).quantile(0.5) == value


def test_neighbouring_buckets_meet_at_powers_of_two() -> None:
    for power in range(7, 40):
        below, at = Sketch().add(2**power - 1).quantile(0.5), Sketch().add(2**power).quantile(0.5)
        assert below is not None
        assert at is not None
        assert below < 2**power <= at


def test_clock_skew_counts_as_zero_and_no_values_have_no_quantile() -> None:
    assert Sketch().add(-5).quantile(1.0) == 0
    assert Sketch().quantile(0.5) is None


def test_adding_leaves_the_old_sketch_as_it_was() -> None:
    before = Sketch().add(7)
    before.add(7)
    assert before == Sketch({7: 1}, 1)
