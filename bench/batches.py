"""What a batch costs against its size: the flow's own parts in this process, on an embedded log, without Bytewax.

A flow at a low rate works on small batches, whose cost is that of the calls, not of the records. Each batch is written
to the log, read by the lane with what the flow itself wrote before, run through the steps, and committed; the processor
time of the three is kept apart.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from bench import report
from bench.engines import FLOW, ROOT, settings_in_force
from bench.machine import facts
from bench.peers.harness import cluster, wire
from bench.peers.harness.workload import generate
from bench.summary import Spread, spread
from broker.contract import Producer, TopicSpec
from broker.embedded import EmbeddedLog
from config.settings import Settings
from config.topics import TOPICS
from flows.assembly import Assembly, Flow
from flows.catalog import EVENT_TYPES, OPERATORS, SCHEMA_FOLDER
from flows.compile import load
from operators.codec.sources import FolderSchemas
from operators.stream.lane import Lane
from sinks.committer import Committer

PARTITIONS: Final = 4
SIZES: Final[Mapping[int, int]] = {10: 200, 40: 200, 100: 100, 200: 60, 400: 40, 4_000: 8, 32_000: 3}
"""How many batches are measured of each size."""
WARM: Final = 80_000
"""Inputs before the first measurement: they fill the book."""
_EVENTS_PER_ORDER: Final = 4
Message = tuple[str, bytes, bytes]
Costs = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """What a batch of so many inputs takes, in milliseconds of processor time."""

    inputs: int
    batches: int
    reading: Spread
    steps: Spread
    commit: Spread


def batches(sizes: Mapping[int, int], warm: int, say: Callable[[str], None]) -> Path:
    """Measures and writes the report; its path."""
    machine, settings = facts(), settings_in_force()
    found = []
    for size in measured(sizes, warm):
        found.append(size)
        say(f"{size.inputs:>6} inputs: {size.steps.median:.2f} ms in the steps")
    rows = [
        [
            report.number(size.inputs),
            *(report.spread_text(cost) for cost in (size.reading, size.steps, size.commit)),
            report.number(size.steps.median * 1e3 / size.inputs),
        ]
        for size in found
    ]
    text = report.table(["inputs", "reading, ms", "steps, ms", "commit, ms", "steps, µs per input"], rows)
    document = {"machine": machine, "settings": settings, "sizes": [asdict(size) for size in found]}
    return report.write("batches", document, f"# A batch\n\n{report.facts_list(machine | settings)}\n{text}")


def measured(sizes: Mapping[int, int], warm: int) -> Iterator[Size]:
    """What the batches of each size take, by size."""
    inputs = warm + sum(size * count for size, count in sizes.items())
    messages = iter(_messages(inputs))
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as folder, Assembly(_flow(Path(folder))) as assembly:
        producer = EmbeddedLog(Path(folder) / "log").producer("bench")
        lane, committer = assembly.lane(clock=time.time, watched=False), assembly.committer()
        assert committer is not None
        run = _Run(assembly, lane, committer, producer)
        for start in range(0, warm, 20_000):
            run.batch(messages, min(20_000, warm - start))
        for size, count in sizes.items():
            reading, steps, commit = zip(*(run.batch(messages, size) for _ in range(count)), strict=True)
            yield Size(size, count, spread(reading), spread(steps), spread(commit))
        producer.close()
        lane.close()


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of the flow, and who writes what they read."""

    assembly: Assembly
    lane: Lane
    committer: Committer
    producer: Producer

    def batch(self, messages: Iterator[Message], size: int) -> Costs:
        """One batch from the log to its commit: milliseconds of reading, steps and commit."""
        for _ in range(size):
            self.producer.send(*next(messages))
        self.producer.flush()
        started = time.process_time()
        items = self.lane.next_batch()
        read = time.process_time()
        outcomes = self.assembly.pipeline.run(items)
        worked = time.process_time()
        self.committer.write_batch(outcomes)
        self.committer.snapshot()
        committed = time.process_time()
        self.lane.snapshot()
        if any(outcome.dead_letters for outcome in outcomes) or not any(item.reads for item in items):
            raise RuntimeError("a batch was not read, or some of it ended in the dead letters")
        return (read - started) * 1e3, (worked - read) * 1e3, (committed - worked) * 1e3


def _flow(folder: Path) -> Flow:
    settings = Settings()
    settings = replace(settings, state=replace(settings.state, dir=folder / "state"))
    log = EmbeddedLog(folder / "log")
    admin = log.admin()
    admin.create_topics([TopicSpec(topic.name, PARTITIONS, config={}) for topic in TOPICS.values()])
    admin.close()
    return Flow(load(ROOT / FLOW, OPERATORS), OPERATORS, EVENT_TYPES, settings, log, FolderSchemas(SCHEMA_FOLDER))


def _messages(count: int) -> list[Message]:
    """Topic, key and value of so many inputs, in the order of time."""
    # Later orders' events reach back in time, so that there are more orders than the inputs are of.
    work = generate(count // _EVENTS_PER_ORDER + 100_000, seed=1)
    events = work.events.part(0, count)
    messages: list[Message] = [("", b"", b"")] * count
    for topic, encoded in zip((cluster.STATUS, cluster.EXECUTIONS), wire.encode(work, events), strict=True):
        for at, key, value in zip(encoded.index.tolist(), encoded.keys, encoded.values, strict=True):
            messages[at] = topic, key, value
    return messages
