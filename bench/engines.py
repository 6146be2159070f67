"""The engines that are compared: how each is built, and the command that runs it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FLOW: Final = "bench/order_status.yaml"
_KAFKA_STREAMS: Final = ROOT / "bench" / "peers" / "kafka-streams"
_BUILD_TIMEOUT_S: Final = 600


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine in one set-up."""

    name: str
    label: str
    """As tables show it."""
    command: str
    """For a shell; `{bootstrap}`, `{run}` (a fresh id) and `{dir}` (a fresh folder) are filled in by the harness."""


def ours(workers: int = 1, settings: Mapping[str, str] | None = None) -> Engine:
    """The product with so many workers; `settings` are environment variables besides those of the connection."""
    several = f"{workers} workers" if workers > 1 else "1 worker"
    options = f"--workers {workers}" if workers > 1 else ""  # one process needs no supervisor beside it
    return Engine(f"orderflow-{workers}", f"orderflow, {several}", flow_command(options, settings))


def flow_command(options: str = "", settings: Mapping[str, str] | None = None) -> str:
    """The command that runs the flow of the benchmark as one deployment of its own, with its state in `{dir}/state`."""
    variables = {
        "ORDERFLOW__LOG__KIND": "kafka",
        "ORDERFLOW__KAFKA__BOOTSTRAP_SERVERS": "{bootstrap}",
        "ORDERFLOW__APPLICATION__PREFIX": "{run}-",
        "ORDERFLOW__STATE__DIR": "{dir}/state",
        **(settings or {}),
    }
    assignments = " ".join(f"{name}={value}" for name, value in variables.items())
    # From the repository's root, because the topology names its fee table relative to it.
    return (
        f"cd {shlex.quote(str(ROOT))} && exec env {assignments} {sys.executable} -m cli run {FLOW} {options}".rstrip()
    )


def kafka_streams(threads: int = 1) -> Engine:
    """The peer with so many stream threads in one JVM; it must have been built."""
    run = shlex.quote(str(_KAFKA_STREAMS / "run.sh"))
    options = f"--bootstrap {{bootstrap}} --app-id {{run}} --state-dir {{dir}}/state --threads {threads}"
    several = f"{threads} threads" if threads > 1 else "1 thread"
    return Engine(f"kafka-streams-{threads}", f"Kafka Streams, {several}", f"exec {run} {options}")


def build_kafka_streams() -> None:
    """Builds the peer with Maven; quick if nothing changed. `RuntimeError` says what is missing or what failed."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"{' and '.join(missing)} not found: the peer needs Java 17 or newer, and Maven to build it")
    command = ["mvn", "-q", "-B", "-f", str(_KAFKA_STREAMS / "pom.xml"), "package"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False)
    if outcome.returncode:
        raise RuntimeError(f"the peer could not be built:\n{(outcome.stdout + outcome.stderr)[-2_000:]}")


def settings_in_force() -> dict[str, str]:
    """Settings of the product that the environment changes for every run of ours: part of the result."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("ORDERFLOW__")}
