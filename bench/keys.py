"""Cost per input and memory against the number of keys, with a bounded cache.

One process of the flow lives through all of it, while its state grows to 10 thousand orders, 100 thousand, and so on.
At each size two backlogs are measured: fills on the newest orders, which the cache holds, and fills on orders from all
over, most of which it has to fetch from the local store. Cost that stays flat in the first shows that the number of
keys does not matter by itself; the second shows what a fetch costs. Every output of the whole run is checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import report
from bench.engines import flow_command, settings_in_force
from bench.key_ledger import KeyLedger
from bench.key_workload import KeyWorkload
from bench.machine import facts, kafka
from bench.observation import Outputs, wait_until_committed
from bench.peers.harness import cluster
from bench.peers.harness.job import Job
from bench.peers.harness.load import send_events
from bench.peers.harness.workload import TRADE, Ints, Workload

PARTITIONS: Final = 4
FIRST_SIZE: Final = 10_000
NEWEST: Final = 10_000
GROW_ORDERS: Final = 50_000
"""New orders per step of growth."""
AHEAD_MAX: Final = 200_000
"""Outputs that may be due while more is sent."""
BEHIND_MAX: Final = 50_000
"""Offsets of an input partition that may be unread while more is sent: statuses, of which the flow itself writes most,
fall behind executions, and outputs do not tell. Both bounds keep what is unread within what the log retains."""
TIMEOUT_S: Final = 900.0
SAMPLE_EVERY_S: Final = 1.0
# Old segments go, so that the disk needs no more than what comes between two looks of the broker, five minutes apart.
TOPIC_CONFIG: Final = {"retention.bytes": str(256 << 20), "segment.bytes": str(64 << 20)}


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory at a moment."""

    at_s: float
    keys: int
    own_mib: float
    """Of the process itself."""
    mapped_mib: float
    """Of mapped files, the local store above all; the kernel drops it when memory is short."""


@dataclass(frozen=True, slots=True)
class Size:
    """What was found at one number of keys; CPU seconds per 1,000 inputs."""

    keys: int
    growing_cost: float
    newest_cost: float
    any_cost: float
    own_mib: float
    mapped_mib: float


class _Bench:
    """The flow and the growing workload."""

    def __init__(self, bootstrap: str, job: Job, outputs: Outputs, keys_max: int, records: int) -> None:
        self.samples: list[Sample] = []
        self._bootstrap, self._job, self._outputs, self._records = bootstrap, job, outputs, records
        self._group = f"{job.run}-order_status"
        self._work = KeyWorkload(keys_max)
        self._started = time.monotonic()

    @property
    def fills(self) -> Ints:
        """How many fills each order got."""
        return self._work.fills

    def warm_up(self) -> None:
        """The first orders, and one backlog that is not measured."""
        self._grow(FIRST_SIZE)
        self._backlog(self._newest())

    def size(self, keys: int) -> Size:
        """Grows to so many keys and measures there."""
        growing = self._grow(keys) if keys > self._work.keys else 0.0
        newest, anywhere = self._backlog(self._newest()), self._backlog(self._any())
        self._sample()
        last = self.samples[-1]
        return Size(keys, growing, newest, anywhere, last.own_mib, last.mapped_mib)

    def _grow(self, keys: int) -> float:
        """Sends new orders while the flow works; CPU seconds per 1,000 inputs."""
        before, inputs = self._job.process.cpu_seconds(), 2 * (keys - self._work.keys)
        while self._work.keys < keys:
            self._send(self._work.grow(min(GROW_ORDERS, keys - self._work.keys)))
            self._await(self._outputs.due - AHEAD_MAX)
            wait_until_committed(self._bootstrap, self._group, behind_max=BEHIND_MAX)
        self._settle()
        return round((self._job.process.cpu_seconds() - before) / inputs * 1_000, 4)

    def _newest(self) -> Iterator[Workload]:
        for _ in range(self._records // NEWEST):
            yield self._work.touch_newest(NEWEST, NEWEST)

    def _any(self) -> Iterator[Workload]:
        for _ in range(self._records // FIRST_SIZE):
            yield self._work.touch_any(FIRST_SIZE)

    def _backlog(self, parts: Iterator[Workload]) -> float:
        """Loads a backlog while the flow is paused, lets it work that off; CPU seconds per 1,000 inputs."""
        inputs = 0
        self._job.process.pause()
        try:
            for part in parts:
                inputs += len(part.events)
                self._send(part)
        finally:
            self._job.process.resume()
        before = self._job.process.cpu_seconds()
        self._settle()
        return round((self._job.process.cpu_seconds() - before) / inputs * 1_000, 4)

    def _send(self, work: Workload) -> None:
        self._outputs.due += int((work.events.kind == TRADE).sum())
        send_events(self._bootstrap, work, work.events)

    def _settle(self) -> None:
        self._await(self._outputs.due)
        wait_until_committed(self._bootstrap, self._group)

    def _await(self, outputs: int) -> None:
        self._outputs.poll_until(outputs, self._job, TIMEOUT_S, self._sample_if_due)

    def _sample_if_due(self) -> None:
        if not self.samples or time.monotonic() - self._started >= self.samples[-1].at_s + SAMPLE_EVERY_S:
            self._sample()

    def _sample(self) -> None:
        own, mapped = self._job.process.memory()
        at_s = round(time.monotonic() - self._started, 1)
        self.samples.append(Sample(at_s, self._work.keys, round(own / 2**20, 1), round(mapped / 2**20, 1)))


def sizes_up_to(keys_max: int) -> list[int]:
    """Powers of ten from the first size on."""
    sizes = [FIRST_SIZE]
    while sizes[-1] * 10 <= keys_max:
        sizes.append(sizes[-1] * 10)
    return sizes


def keys(keys_max: int, cache_rows: int, records: int, bootstrap: str | None, say: Callable[[str], None]) -> Path:
    """Measures at every size; the Markdown file of the results.

    Raises:
        RuntimeError: an output is wrong or came twice, or the flow ended by itself.
        TimeoutError: an output did not come.

    """
    machine, sizes, found = facts(), sizes_up_to(keys_max), []
    command = flow_command(settings={"ORDERFLOW__STATE__CACHE_ROWS": str(cache_rows)})
    with kafka(bootstrap) as address:
        say(f"broker at {address}; sizes: {', '.join(f'{size:,}' for size in sizes)} keys")
        cluster.recreate_topics(address, PARTITIONS, config=TOPIC_CONFIG)
        ledger = KeyLedger(sizes[-1])
        with Job(command, address) as job, Outputs(address, PARTITIONS, ledger.take) as outputs:
            bench = _Bench(address, job, outputs, sizes[-1], records)
            bench.warm_up()
            for size in sizes:
                found.append(bench.size(size))
                say(f"  {size:,} keys: {found[-1].newest_cost} CPU-s per 1,000 inputs, {found[-1].own_mib:.0f} MiB")
            outputs.finish()
            ledger.check_whole(bench.fills)
            say(f"  {outputs.count:,} outputs, each as it must be")
    document = {
        "machine": machine,
        "settings": settings_in_force(),
        "cache_rows": cache_rows,
        "records": records,
        "outputs": outputs.count,
        "sizes": [asdict(size) for size in found],
        "samples": [asdict(sample) for sample in bench.samples],
    }
    return report.write("keys", document, markdown(cache_rows, machine, found, bench.samples))


def markdown(cache_rows: int, machine: Mapping[str, str], sizes: Sequence[Size], samples: Sequence[Sample]) -> str:
    """The results as a page."""
    rows = [
        [
            f"{size.keys:,}",
            f"{size.growing_cost:.4f}" if size.growing_cost else "",
            f"{size.newest_cost:.4f}",
            f"{size.any_cost:.4f}",
            report.number(size.own_mib),
            report.number(max(sample.own_mib for sample in samples if sample.keys <= size.keys)),
            report.number(size.mapped_mib),
        ]
        for size in sizes
    ]
    headings = [
        "keys",
        "growing to it",
        "fills on the newest",
        "fills on any",
        "own memory, MiB",
        "its peak so far, MiB",
        "mapped files, MiB",
    ]
    title = f"## CPU-seconds per 1,000 inputs and memory, cache of {cache_rows:,} rows\n"
    return "\n".join([report.facts_list({**machine, **settings_in_force()}), title, report.table(headings, rows)])
