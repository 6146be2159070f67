"""The restart of a flow with much state: from the start of its process to the first output that a consumer sees.

Some events wait in the log before each start, so the time holds all of it: interpreter, fencing, stores, restore, the
first epoch. Three kinds of start: after an orderly stop, after a kill in the middle of work, and without local stores.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import report
from bench.engines import flow_command, settings_in_force
from bench.machine import facts, kafka
from bench.observation import Outputs, wait_until_committed
from bench.peers.harness import cluster
from bench.peers.harness.job import Job
from bench.peers.harness.load import send_events
from bench.peers.harness.workload import TRADE, Events, Workload, generate
from bench.summary import spread

PARTITIONS: Final = 4
SEED: Final = 1
WAITING_EVENTS: Final = 1_000
KILLED_EVENTS: Final = 20_000
"""Sent to the running flow right before it is killed."""
BUILD_TIMEOUT_S: Final = 1_800.0
START_TIMEOUT_S: Final = 300.0
AFTER_STOP, AFTER_KILL, WITHOUT_STORE = "after SIGTERM", "after SIGKILL at work", "without its local store"


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the flow, measured."""

    kind: str
    first_output_s: float
    all_outputs_s: float
    """Until everything that waited was visible."""
    outputs: int
    """That were due after the start."""
    restored_records: int
    restore_s: float


class _Bench:
    """The running flow, its outputs, and the events that are still to be sent."""

    def __init__(self, bootstrap: str, job: Job, outputs: Outputs, work: Workload, held_back: int) -> None:
        self._bootstrap, self._job, self._outputs, self._work = bootstrap, job, outputs, work
        self._next = len(work.events) - held_back

    def build(self) -> None:
        """Starts the flow and lets it work off all events but those held back."""
        self._job.start()
        self._send(self._work.events.part(0, self._next))
        self._outputs.poll_until(self._outputs.due, self._job, BUILD_TIMEOUT_S)
        wait_until_committed(self._bootstrap, f"{self._job.run}-order_status")

    def start(self, kind: str) -> Start:
        """Ends the flow in one way, sends what is to wait, starts it and measures."""
        if kind == AFTER_KILL:
            self._send_next(KILLED_EVENTS)
            self._await_first()
            self._job.process.kill()
        else:
            self._job.process.stop()
        if kind == WITHOUT_STORE:
            shutil.rmtree(self._job.folder / "state")
        self._outputs.poll_until_quiet()
        self._send_next(WAITING_EVENTS)
        return self._measure(kind)

    def _measure(self, kind: str) -> Start:
        before, log_size = self._outputs.count, self._job.log.stat().st_size
        started = time.monotonic()
        self._job.start()
        self._await_first()
        first = time.monotonic()
        self._outputs.poll_until(self._outputs.due, self._job, START_TIMEOUT_S)
        last = time.monotonic()
        records, seconds = restored(self._job.log.read_text(errors="replace")[log_size:])
        wait_until_committed(self._bootstrap, f"{self._job.run}-order_status")
        outputs = self._outputs.due - before
        return Start(kind, round(first - started, 3), round(last - started, 3), outputs, records, seconds)

    def _await_first(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._outputs.poll():
            self._job.process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"there was no output within {START_TIMEOUT_S:.0f} s")

    def _send_next(self, count: int) -> None:
        self._send(self._work.events.part(self._next, self._next + count))
        self._next += count

    def _send(self, events: Events) -> None:
        self._outputs.due += int(((events.kind == TRADE) & ~events.duplicate).sum())
        send_events(self._bootstrap, self._work, events)


def restored(log_text: str) -> tuple[int, float]:
    """Records restored and the seconds that took, from the log lines of one start; (0, 0.0) if none say so."""
    lines = [line for line in _json_lines(log_text) if line.get("event") == "state restored"]
    return sum(int(str(line["records"])) for line in lines), max(
        (float(str(line["seconds"])) for line in lines), default=0.0
    )


def _json_lines(text: str) -> Iterator[Mapping[str, object]]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def restart(orders: int, repetitions: int, bootstrap: str | None, say: Callable[[str], None]) -> Path:
    """Builds the state, then starts the flow again and again; the Markdown file of the results.

    Raises:
        RuntimeError: an output came twice, or the flow ended by itself.
        TimeoutError: an output did not come.

    """
    machine = facts()
    kinds = [kind for _ in range(repetitions) for kind in (AFTER_STOP, AFTER_KILL, WITHOUT_STORE)]
    held_back = len(kinds) * WAITING_EVENTS + repetitions * KILLED_EVENTS
    with kafka(bootstrap) as address:
        say(f"broker at {address}; building the state of {orders:,} orders ...")
        work = generate(orders, SEED)
        if held_back > len(work.events) // 2:
            raise RuntimeError(f"{orders:,} orders are too few for {repetitions} repetitions")
        cluster.recreate_topics(address, PARTITIONS)
        starts = []
        with Job(flow_command(), address, start_now=False) as job, Outputs(address, PARTITIONS) as outputs:
            bench = _Bench(address, job, outputs, work, held_back)
            bench.build()
            for kind in kinds:
                starts.append(bench.start(kind))
                say(f"  {kind}: first output after {starts[-1].first_output_s} s")
            outputs.finish()
    document = {
        "machine": machine,
        "settings": settings_in_force(),
        "orders": orders,
        "starts": [asdict(start) for start in starts],
    }
    return report.write("restart", document, markdown(orders, machine, starts))


def markdown(orders: int, machine: Mapping[str, str], starts: Sequence[Start]) -> str:
    """The results as a page."""
    rows = []
    for kind in dict.fromkeys(start.kind for start in starts):
        of_kind = [start for start in starts if start.kind == kind]
        with_restore = [start for start in of_kind if start.restored_records]
        rows.append(
            [
                kind,
                str(len(of_kind)),
                report.spread_text(spread([start.first_output_s for start in of_kind])),
                report.spread_text(spread([start.all_outputs_s for start in of_kind])),
                report.spread_text(spread([start.restored_records for start in of_kind])),
                report.spread_text(spread([start.restored_records / start.restore_s for start in with_restore]))
                if with_restore
                else "",
            ]
        )
    headings = ["start", "times", "first output after, s", "all outputs after, s", "records restored", "restored/s"]
    title = f"## Restart with the state of {orders:,} orders\n"
    return "\n".join([report.facts_list({**machine, **settings_in_force()}), title, report.table(headings, rows)])
