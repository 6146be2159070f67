"""`python -m bench.peers`: measures any implementation of the order status job on a Kafka broker; see README.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.peers.harness.drain import drain
from bench.peers.harness.latency import latency
from bench.peers.harness.load import load


def main() -> int:
    """Runs one subcommand; prints its JSON; 0 if the result is correct."""
    options = _parser().parse_args()
    try:
        result = _run(options)
    except (RuntimeError, TimeoutError, OSError) as error:
        result = {"correct": False, "failure": f"{type(error).__name__}: {error}"}
    print(json.dumps(result, indent=1))
    return 0 if result.get("correct", True) else 1


def _run(options: argparse.Namespace) -> dict[str, Any]:
    if options.step == "load":
        return load(options.bootstrap, options.orders, options.partitions, options.seed, options.out)
    if options.step == "latency":
        return latency(
            options.bootstrap,
            options.rate,
            options.seconds,
            options.partitions,
            options.seed,
            options.command,
            options.log,
        )
    truth: dict[str, Any] = json.loads(options.truth.read_text())
    if options.reload:
        truth = load(options.bootstrap, truth["orders"], truth["partitions"], truth["seed"], options.truth)
    return drain(options.bootstrap, truth, options.command, options.timeout, options.log)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    loading = steps.add_parser("load", help="fresh topics and the inputs of a drain")
    loading.add_argument("--orders", type=int, required=True)
    loading.add_argument("--partitions", type=int, default=4)
    loading.add_argument("--seed", type=int, default=1)
    loading.add_argument("--out", type=Path, default=Path("truth.json"))
    draining = steps.add_parser("drain", help="throughput over the loaded inputs, and correctness")
    draining.add_argument("--truth", type=Path, default=Path("truth.json"))
    draining.add_argument("--reload", action="store_true", help="load afresh first, as the truth file says")
    draining.add_argument("--timeout", type=float, default=300.0)
    timing = steps.add_parser("latency", help="latency at a fixed input rate")
    timing.add_argument("--rate", type=int, required=True, help="input events per second")
    timing.add_argument("--seconds", type=int, default=30)
    timing.add_argument("--partitions", type=int, default=4)
    timing.add_argument("--seed", type=int, default=1)
    for step in (loading, draining, timing):
        step.add_argument("--bootstrap", required=True)
    for step in (draining, timing):
        step.add_argument(
            "--command",
            required=True,
            help="the job; {bootstrap}, {run} (a fresh id) and {dir} (a fresh folder) are filled in",
        )
        step.add_argument("--log", type=Path, default=None, help="file for the job's output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
