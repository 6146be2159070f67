"""The comparison: ours and the peer in turns, over a backlog for throughput, then at fixed rates for latency.

Every run must be correct record by record, or the comparison ends with an error: a figure of wrong work means nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.engines import Engine, build_kafka_streams, kafka_streams, ours, settings_in_force
from bench.machine import facts, kafka
from bench.peers.harness.drain import drain
from bench.peers.harness.latency import latency
from bench.peers.harness.load import load
from bench.summary import DRAIN_FIGURES, LATENCY_FIGURES, Run, ratios, spreads

DRAIN_TIMEOUT_S: Final = 900.0
SEED: Final = 1
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and how often."""

    orders: int = 250_000
    """Of the backlog; each brings 4.2 inputs on average."""
    partitions: int = 4
    drains: int = 3
    """Repetitions per engine; 0 leaves throughput out."""
    latencies: int = 1
    """Repetitions per engine and rate; 0 leaves latency out."""
    rates: tuple[int, ...] = (2_000, 10_000)
    """Inputs per second."""
    seconds: int = 60
    """Length of one latency run."""
    peer_threads: tuple[int, ...] = (1,)


@dataclass(slots=True)
class Findings:
    """All runs so far."""

    drains: list[Run] = field(default_factory=list)
    latencies: dict[int, list[Run]] = field(default_factory=dict)
    """By rate."""


def compare(plan: Plan, bootstrap: str | None, say: Say) -> Path:
    """Runs the plan; the Markdown file of the results. What was measured before a failure is written too.

    Raises:
        RuntimeError: a run was not correct, or could not be done.

    """
    say("building the Kafka Streams peer ...")
    build_kafka_streams()
    machine, findings = facts(), Findings()
    with kafka(bootstrap) as address:
        say(f"broker at {address}; load of the machine at the start: {machine['load at start']}")
        try:
            _drains(plan, address, findings, say)
            _latencies(plan, address, findings, say)
        finally:
            path = report.write("compare", _document(plan, machine, findings), markdown(plan, machine, findings))
    return path


def _drains(plan: Plan, bootstrap: str, findings: Findings, say: Say) -> None:
    engines = [ours(1), *(kafka_streams(threads) for threads in plan.peer_threads), ours(2)]
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as folder:
        for repetition in range(plan.drains):
            # Another one goes first each time, so that what drifts on the machine favours none.
            for engine in _rotated(engines, repetition):
                say(f"drain {repetition + 1}/{plan.drains}, {engine.label}: loading {plan.orders:,} orders ...")
                truth = load(bootstrap, plan.orders, plan.partitions, SEED, Path(folder) / "truth.json")
                result = drain(bootstrap, truth, engine.command, DRAIN_TIMEOUT_S, None)
                _require_correct(engine, result)
                findings.drains.append(Run(engine.name, result))
                per_s, per_cpu_s = (result[f"input_records_per_{unit}_with_start"] for unit in ("s", "cpu_s"))
                say(f"  {per_s:,}/s and {per_cpu_s:,} per CPU-second, start included")


def _latencies(plan: Plan, bootstrap: str, findings: Findings, say: Say) -> None:
    engines = [ours(1), kafka_streams(1)]
    for rate in plan.rates:
        for repetition in range(plan.latencies):
            for engine in _rotated(engines, repetition):
                say(f"latency {repetition + 1}/{plan.latencies} at {rate:,}/s, {engine.label}: {plan.seconds} s ...")
                result = latency(bootstrap, rate, plan.seconds, plan.partitions, SEED, engine.command, None)
                _require_correct(engine, result)
                findings.latencies.setdefault(rate, []).append(Run(engine.name, result))
                say(f"  p50 {result['p50_ms']} ms, p95 {result['p95_ms']} ms, p99 {result['p99_ms']} ms")


def _rotated(engines: Sequence[Engine], by: int) -> Sequence[Engine]:
    first = by % len(engines)
    return [*engines[first:], *engines[:first]]


def _require_correct(engine: Engine, result: dict[str, Any]) -> None:
    if not result["correct"]:
        raise RuntimeError(f"{engine.label}: the run is not correct:\n{json.dumps(result, indent=1)}")


def markdown(plan: Plan, machine: dict[str, str], findings: Findings) -> str:
    """The results as a page."""
    engines = [ours(1), ours(2), *(kafka_streams(threads) for threads in plan.peer_threads), kafka_streams(1)]
    labels = {engine.name: engine.label for engine in engines}
    parts = [report.facts_list({**machine, **settings_in_force()})]
    if findings.drains:
        found = spreads(findings.drains, DRAIN_FIGURES)
        pairs = {
            f"{labels[one]} / {labels[other]}": ratios(found[one], found[other])
            for one, other in (
                ("orderflow-1", "kafka-streams-1"),
                ("orderflow-2", "kafka-streams-1"),
                ("orderflow-2", "kafka-streams-2"),
                ("orderflow-2", "orderflow-1"),
            )
            if one in found and other in found
        }
        inputs = findings.drains[0].result["inputs"]
        parts.append(f"## Throughput: a backlog of {inputs:,} inputs, {plan.partitions} partitions\n")
        parts += [report.spread_table(found, DRAIN_FIGURES, labels), report.ratio_table(pairs, DRAIN_FIGURES)]
    for rate, runs in findings.latencies.items():
        found = spreads(runs, LATENCY_FIGURES)
        parts.append(f"## Latency at {rate:,} inputs per second, {plan.seconds} s\n")
        parts.append(report.spread_table(found, LATENCY_FIGURES, labels))
        late = [run for run in runs if not run.result["generator_kept_up"]]
        if late:
            parts.append(f"The generator was late in {len(late)} of {len(runs)} runs: the machine was too busy.\n")
    parts.append("Every run listed was correct: each output compared with what the workload asks for.\n")
    return "\n".join(parts)


def _document(plan: Plan, machine: dict[str, str], findings: Findings) -> dict[str, Any]:
    return {
        "machine": machine,
        "settings": settings_in_force(),
        "plan": asdict(plan),
        "drains": [asdict(run) for run in findings.drains],
        "latencies": {str(rate): [asdict(run) for run in runs] for rate, runs in findings.latencies.items()},
    }
