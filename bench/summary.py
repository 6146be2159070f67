"""From the figures of single runs to medians, spreads and ratios: pure arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

DRAIN_FIGURES: Final = {
    "input_records_per_s": "inputs/s",
    "input_records_per_cpu_s": "inputs/CPU-s",
    "steady_input_records_per_s": "steady inputs/s",
    "steady_input_records_per_cpu_s": "steady inputs/CPU-s",
    "input_records_per_cpu_s_with_start": "inputs/CPU-s, start included",
    "first_output_after_s": "first output after, s",
    "peak_rss_mib": "peak RSS, MiB",
}
"""Figures of a drain by the harness's name, and their heading."""
LATENCY_FIGURES: Final = {
    "p50_ms": "p50, ms",
    "p95_ms": "p95, ms",
    "p99_ms": "p99, ms",
    "p99_9_ms": "p99.9, ms",
    "max_ms": "max, ms",
    "cpu_s_per_1000_records": "CPU-s per 1,000 inputs",
    "peak_rss_mib": "peak RSS, MiB",
}
"""Figures of a latency run by the harness's name, and their heading."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one engine: what the harness found."""

    engine: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of a figure over repetitions."""

    median: float
    least: float
    greatest: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def spreads(runs: Iterable[Run], figures: Iterable[str]) -> dict[str, dict[str, Spread]]:
    """By engine, in the order of its first run, and by figure; a figure that one of its runs lacks is left out."""
    by_engine: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        by_engine.setdefault(run.engine, []).append(run.result)
    wanted = tuple(figures)
    return {
        engine: {
            figure: spread([float(result[figure]) for result in results])
            for figure in wanted
            if all(figure in result for result in results)
        }
        for engine, results in by_engine.items()
    }


def ratios(of: Mapping[str, Spread], to: Mapping[str, Spread]) -> dict[str, float]:
    """Per figure that both have, the median of one over the median of the other; 0 is no denominator."""
    return {
        figure: spread_of.median / to[figure].median
        for figure, spread_of in of.items()
        if figure in to and to[figure].median
    }
