"""Medians, spreads and ratios are those of the runs."""

from bench.summary import Run, Spread, ratios, spread, spreads


def test_a_spread_holds_median_least_and_greatest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread([4.0, 2.0]).median == 3.0


def test_figures_are_gathered_by_engine_in_the_order_of_first_runs() -> None:
    runs = [Run("b", {"rate": 10}), Run("a", {"rate": 1}), Run("b", {"rate": 30})]
    found = spreads(runs, ["rate"])
    assert list(found) == ["b", "a"]
    assert found["b"]["rate"] == Spread(20.0, 10.0, 30.0, 2)


def test_a_figure_that_one_run_lacks_is_left_out() -> None:
    runs = [Run("a", {"rate": 1, "steady": 2}), Run("a", {"rate": 1})]
    assert list(spreads(runs, ["rate", "steady"])["a"]) == ["rate"]


def test_a_ratio_is_of_medians_and_only_where_both_have_the_figure() -> None:
    one = {"rate": spread([10.0, 20.0, 60.0]), "alone": spread([1.0]), "zero": spread([1.0])}
    other = {"rate": spread([8.0]), "zero": spread([0.0])}
    assert ratios(one, other) == {"rate": 2.5}
