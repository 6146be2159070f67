"""`drain`: how fast a job works off loaded inputs, at what cost, and how correctly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cluster
from .job import Job
from .verify import verify
from .workload import expected, generate

SAMPLE_SECONDS = 0.2
SETTLE_SECONDS = 2.0
STEADY_FROM = 0.5


@dataclass(frozen=True)
class Sample:
    """Outputs committed and CPU seconds spent at a moment."""

    at: float
    committed: int
    cpu: float


def drain(bootstrap: str, truth: dict[str, Any], command: str, timeout: float, log: Path | None) -> dict[str, Any]:
    """Runs the job until all outputs are visible; measures and verifies."""
    known = expected(generate(truth["orders"], truth["seed"]))
    if int(known.notional.sum()) != truth["notional"]:
        raise RuntimeError("this numpy does not regenerate the loaded workload: load again with it")
    for topic, offsets in truth["end_offsets"].items():
        if cluster.end_offsets(bootstrap, topic) != offsets:
            raise RuntimeError(f"{topic} is not as loaded: load again, or drain with --reload")
    started = time.monotonic()
    with Job(command, bootstrap, log) as job:
        values, samples, failure = _watch(bootstrap, truth, job, started + timeout)
        peak_rss = job.process.peak_rss
        job.process.stop()
        consolidated = cluster.read_to_end(bootstrap, cluster.STATUS, truth["end_offsets"][cluster.STATUS])
    result: dict[str, Any] = {"command": command, "correct": False}
    if failure is not None:
        result["failure"] = failure
    if samples and samples[-1].at > samples[0].at:
        result |= _figures(truth, started, samples)
    result |= {
        "peak_rss_mib": round(peak_rss / 2**20),
        "consolidated_visible": len(consolidated),
        **verify(known, values, consolidated),
    }
    if failure is not None:
        result["correct"] = False
    return result


def _watch(
    bootstrap: str, truth: dict[str, Any], job: Job, deadline: float
) -> tuple[list[bytes], list[Sample], str | None]:
    """Collects outputs; samples from the first to the last expected one; why it failed, if so."""
    want: int = truth["enriched"]
    values: list[bytes] = []
    samples: list[Sample] = []
    start: list[int] = truth["end_offsets"][cluster.ENRICHMENT]
    consumer, observer = cluster.reader(bootstrap, cluster.ENRICHMENT, start), cluster.observer(bootstrap)
    next_sample = 0.0
    try:
        while len(values) < want:
            # One message first, so that the window starts with it; never wait for more than are due.
            limit = min(5_000, want - len(values)) if values else 1
            values.extend(cluster.good(consumer.consume(limit, 0.1)))
            now = time.monotonic()
            if now >= next_sample or (values and not samples) or len(values) >= want:
                job.process.check()
                committed = cluster.committed_since(observer, cluster.ENRICHMENT, start)
                # Each transaction's marker counts as well, so that the sum may be beyond what is due.
                sample = Sample(now, min(want, committed), job.process.cpu_seconds())
                next_sample = now + SAMPLE_SECONDS
                if values:
                    samples.append(sample)
            if now > deadline:
                return values, samples, f"timeout: {len(values)} of {want} outputs visible"
        settled = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < settled:
            values.extend(cluster.good(consumer.consume(5_000, 0.1)))
        return values, samples, None
    finally:
        consumer.close()
        observer.close()


def _figures(truth: dict[str, Any], started: float, samples: list[Sample]) -> dict[str, Any]:
    first, last = samples[0], samples[-1]
    inputs_per_output = truth["inputs"] / truth["enriched"]
    steady = next(s for s in samples if s.committed >= STEADY_FROM * last.committed)
    figures: dict[str, Any] = {
        "inputs": truth["inputs"],
        "first_output_after_s": round(first.at - started, 3),
        "window_s": round(last.at - first.at, 3),
        "window_cpu_s": round(last.cpu - first.cpu, 2),
        "total_cpu_s": round(last.cpu, 2),
        "input_records_per_s_with_start": round(truth["inputs"] / (last.at - started)),
        "input_records_per_cpu_s_with_start": round(truth["inputs"] / last.cpu),
    }
    # What was committed before the first output was seen is no work of the window.
    if last.committed > first.committed:
        inputs = (last.committed - first.committed) * inputs_per_output
        figures |= {
            "input_records_per_s": round(inputs / (last.at - first.at)),
            "input_records_per_cpu_s": round(inputs / max(0.01, last.cpu - first.cpu)),
        }
    if last.committed > steady.committed:
        inputs = (last.committed - steady.committed) * inputs_per_output
        figures |= {
            "steady_input_records_per_s": round(inputs / (last.at - steady.at)),
            "steady_input_records_per_cpu_s": round(inputs / max(0.01, last.cpu - steady.cpu)),
        }
    return figures
