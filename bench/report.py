"""Results as Markdown for people, pure, and as files: one for machines, one for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.engines import ROOT
from bench.summary import Spread

RESULTS: Final = ROOT / "bench" / "results"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    alignment = ["---", *["---:"] * (len(headings) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, alignment, *rows))


def number(value: float) -> str:
    """A figure with three digits that matter and thousands set apart."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def spread_text(value: Spread) -> str:
    """The median, and the range if there is one."""
    if value.count == 1:
        return number(value.median)
    return f"{number(value.median)} ({number(value.least)}–{number(value.greatest)})"


def spread_table(
    spreads: Mapping[str, Mapping[str, Spread]], figures: Mapping[str, str], labels: Mapping[str, str]
) -> str:
    """A row per engine, a column per figure."""
    rows = (
        [labels[engine], *(spread_text(found[figure]) if figure in found else "" for figure in figures)]
        for engine, found in spreads.items()
    )
    return table(["", *figures.values()], rows)


def ratio_table(rows: Mapping[str, Mapping[str, float]], figures: Mapping[str, str]) -> str:
    """A row per pair of engines, a column per figure."""
    cells = ([pair, *(f"{found[f]:.2f}" if f in found else "" for f in figures)] for pair, found in rows.items())
    return table(["ratio of medians", *figures.values()], cells)


def facts_list(facts: Mapping[str, str]) -> str:
    """Machine, versions and settings."""
    return "".join(f"- {name}: {value}\n" for name, value in facts.items())


def write(name: str, document: Mapping[str, Any], text: str, folder: Path = RESULTS) -> Path:
    """Writes `<time>-<name>.json` and `.md`; the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}.md"
    path.write_text(text)
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    return path
