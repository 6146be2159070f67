"""Results read well as Markdown, and are there as a file for machines too."""

import json
from pathlib import Path

import pytest

from bench import report
from bench.summary import spread


def test_a_table_aligns_numbers_to_the_right() -> None:
    assert report.table(["", "x"], [["a", "1"]]) == "|  | x |\n| --- | ---: |\n| a | 1 |\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (79_638, "79,638"),
        (151.4, "151"),
        (78.26, "78.3"),
        (3.257, "3.26"),
        (0.012345, "0.0123"),
        (2.0, "2"),
    ],
)
def test_a_number_shows_the_digits_that_matter(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_range_is_shown_only_if_there_are_several_runs() -> None:
    assert report.spread_text(spread([1_000.0])) == "1,000"
    assert report.spread_text(spread([3_000.0, 1_000.0, 2_000.0])) == "2,000 (1,000–3,000)"


def test_a_missing_figure_leaves_its_cell_empty() -> None:
    text = report.spread_table({"a": {"x": spread([1.0])}}, {"x": "X", "y": "Y"}, {"a": "Engine A"})
    assert text.splitlines()[-1] == "| Engine A | 1 |  |"


def test_ratios_have_two_digits() -> None:
    assert report.ratio_table({"a / b": {"x": 2.0}}, {"x": "X"}).splitlines()[-1] == "| a / b | 2.00 |"


def test_both_files_are_written(tmp_path: Path) -> None:
    path = report.write("try", {"a": 1}, "text\n", tmp_path / "results")
    assert path.read_text() == "text\n"
    assert json.loads(path.with_suffix(".json").read_text()) == {"a": 1}
