"""Where the time of a drain goes: one run of the flow over a backlog under py-spy, by package and by function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import report
from bench.engines import flow_command, settings_in_force
from bench.machine import facts, kafka
from bench.peers.harness import cluster
from bench.peers.harness.load import load

PARTITIONS: Final = 4
SEED: Final = 1
SAMPLES_PER_S: Final = 200
TIMEOUT_S: Final = 900
WAITING: Final = ("Condition.wait (threading.py)", "_PollLikeSelector.select (selectors.py)")
"""Where threads of ours sleep, which py-spy cannot always tell from work."""
OURS: Final = ("broker", "cli", "config", "flows", "operators", "sinks")


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples, counted: in a function itself, in it and all it calls, and in the innermost module of ours."""

    total: int
    alone: Counter[str]
    with_callees: Counter[str]
    modules: Counter[str]


def parse(stacks: str) -> Profile:
    """Counts collapsed stacks: lines of frames `function (file:line)` joined by semicolons, a space, and a number."""
    profile = Profile(0, Counter(), Counter(), Counter())
    total = 0
    for line in stacks.splitlines():
        stack, _, count_text = line.rpartition(" ")
        count = int(count_text)
        frames = [_without_line(frame) for frame in stack.split(";")]
        if frames[-1] in WAITING:
            continue
        total += count
        profile.alone[frames[-1]] += count
        for frame in set(frames):
            profile.with_callees[frame] += count
        profile.modules[_module(frames)] += count
    return Profile(total, profile.alone, profile.with_callees, profile.modules)


def _without_line(frame: str) -> str:
    """`fold (operators/model/orders/fold.py:81)` as `fold (operators/model/orders/fold.py)`."""
    head, colon, tail = frame.rpartition(":")
    return f"{head})" if colon and tail.rstrip(")").isdigit() else frame


def _module(frames: list[str]) -> str:
    """The file of the innermost frame of ours: libraries count for who calls them."""
    for frame in reversed(frames):
        file = frame.rpartition("(")[2].rstrip(")")
        if file.partition("/")[0] in OURS:
            return file
    return "interpreter and libraries"


def profile(orders: int, top: int, bootstrap: str | None, say: Callable[[str], None]) -> Path:
    """Profiles one drain; the Markdown file of the results.

    Raises:
        RuntimeError: py-spy is missing or could not watch the flow.

    """
    py_spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if py_spy is None:
        raise RuntimeError("py-spy not found: it is no dependency of ours; install it with: pip install py-spy")
    machine = facts()
    with kafka(bootstrap) as address, tempfile.TemporaryDirectory(prefix="orderflow-bench-") as folder:
        say(f"broker at {address}; loading {orders:,} orders ...")
        truth = load(address, orders, PARTITIONS, SEED, Path(folder) / "truth.json")
        say(f"profiling a drain of {truth['inputs']:,} inputs ...")
        run = f"bench-profile-{os.getpid()}"
        try:
            found = parse(_record(py_spy, address, run, Path(folder)))
        finally:
            cluster.remove_leftovers(address, run)
    document = {
        "machine": machine,
        "settings": settings_in_force(),
        "orders": orders,
        "samples": found.total,
        "modules": dict(found.modules),
        "alone": dict(found.alone),
        "with_callees": dict(found.with_callees),
    }
    return report.write("profile", document, markdown(orders, top, machine, found))


def _record(py_spy: str, bootstrap: str, run: str, folder: Path) -> str:
    """Runs the flow to the end of the log under py-spy; the collapsed stacks."""
    stacks = folder / "stacks.txt"
    command = flow_command("--until-end").replace("{bootstrap}", bootstrap).replace("{run}", run)
    command = command.replace("{dir}", str(folder))
    recorder = [py_spy, "record", "--rate", str(SAMPLES_PER_S), "--format", "raw", "--output", str(stacks)]
    outcome = subprocess.run(
        [*recorder, "--", "bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if not stacks.exists() or not stacks.stat().st_size:
        raise RuntimeError(f"py-spy recorded nothing:\n{(outcome.stdout + outcome.stderr)[-2_000:]}")
    return stacks.read_text()


def markdown(orders: int, top: int, machine: Mapping[str, str], found: Profile) -> str:
    """The results as a page; shares of all samples."""

    def shares(heading: str, counts: Counter[str]) -> str:
        rows = ([name, f"{count / found.total:.1%}"] for name, count in counts.most_common(top))
        return report.table([heading, "share"], rows)

    return "\n".join(
        [
            report.facts_list({**machine, **settings_in_force()}),
            f"## Where the time goes: {found.total:,} samples of a drain of {orders:,} orders, start included\n",
            shares("module of ours, libraries it calls included", found.modules),
            shares("function alone", found.alone),
            shares("function with what it calls", found.with_callees),
        ]
    )
