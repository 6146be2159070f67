"""What a flow is killed in: a log of its own, input that keeps arriving, and clusters of processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL
from typing import Literal

from chaos_log import PARTITIONS, Job, Place
from chaos_processes import ForkServer, Worker

from broker.contract import Log, TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from broker.kafka import KafkaLog
from broker.server.server import Broker, start
from config.errors import BrokerUnavailableError
from config.topics import TOPICS
from flows.chaos import LOG_VARIABLE
from flows.supervisor import free_addresses

LogKind = Literal["embedded", "kafka"]

POLL_S = 0.01
FEEDING_TRIES = 6


@dataclass
class World:
    """A log with the product's topics, and a folder for everything else; processes are led to both by variables."""

    kind: LogKind
    folder: Path
    log: Log
    broker: Broker | None = None

    @property
    def place(self) -> Place:
        """Where its flows run."""
        return Place(self.log, self.folder / "state")

    @property
    def crash_log(self) -> Path:
        """Where crashes at named points are noted."""
        return self.folder / "crashes"

    def environment(self) -> dict[str, str]:
        """The variables of a process, which make epochs short, batches small, and the cache too small."""
        log = {"ORDERFLOW__LOG__KIND": self.kind, "ORDERFLOW__LOG__PATH": str(self.folder / "log")}
        if self.broker is not None:
            log["ORDERFLOW__KAFKA__BOOTSTRAP_SERVERS"] = self.broker.bootstrap
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ORDERFLOW")},
            **log,
            LOG_VARIABLE: str(self.crash_log),
            "ORDERFLOW__STATE__DIR": str(self.folder / "state"),
            "ORDERFLOW__STATE__CACHE_ROWS": "1000",
            "ORDERFLOW__STATE__POSITION_INTERVAL_MS": "20",
            "ORDERFLOW__STATE__FLUSH_INTERVAL_MS": "20",
            "ORDERFLOW__ENGINE__EPOCH_MS": "10",
            "ORDERFLOW__ENGINE__POLL_RECORDS": "200",
            "ORDERFLOW__METRICS__PORT": "off",
            "ORDERFLOW__LOGS__LEVEL": "warning",
        }


@contextmanager
def world(kind: LogKind, folder: Path, *, tools_dir: Path) -> Iterator[World]:
    """A fresh log in a folder; with `kafka` on a broker of its own, which may be killed."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = start(folder / "kafka", tools_dir=tools_dir) if kind == "kafka" else None
    try:
        log = EmbeddedLog(folder / "log") if broker is None else KafkaLog(broker.bootstrap, deadline_s=10.0)
        with closing(log.admin()) as admin:
            admin.create_topics(
                [TopicSpec(t.name, 1 if t.cleanup_policy == "compact" else PARTITIONS) for t in TOPICS.values()]
            )
        yield World(kind, folder, log, broker)
    finally:
        if broker is not None:
            broker.kill()


class Feeder:
    """Writes the job's input to the log bit by bit."""

    def __init__(self, log: Log, job: Job) -> None:
        self._records, self._at = job.records, 0
        self._log = log
        self._producer = log.producer("feeder")

    @property
    def left(self) -> int:
        """Records not yet written."""
        return len(self._records) - self._at

    def rewind(self) -> None:
        """Begins anew, for input that may repeat itself."""
        self._at = 0

    def feed(self, count: int) -> None:
        """Writes the next records; again by a new client if a broker that went away left the old one stuck."""
        for left in reversed(range(FEEDING_TRIES)):
            try:
                self._write(count)
                break
            except BrokerUnavailableError:
                if not left:
                    raise
                with suppress(BrokerUnavailableError):
                    self._producer.close()
                self._producer = self._log.producer("feeder")
        self._at = min(self._at + count, len(self._records))

    def _write(self, count: int) -> None:
        for topic, key, value in self._records[self._at : self._at + count]:
            self._producer.send(topic, key, value)
        self._producer.flush()

    def close(self) -> None:
        """Lets go of the log."""
        self._producer.close()


class Cluster:
    """One start of a flow."""

    def __init__(self, server: ForkServer, job: Job, place: World, *, workers: int, environment: Mapping[str, str],
                 until_end: bool = False, name: str = "errors") -> None:  # fmt: skip
        addresses = free_addresses(workers) if workers > 1 else []
        command = [*job.command, "--until-end"] if until_end else job.command
        self.workers: list[Worker] = []
        for index in range(workers):
            variables = {
                **place.environment(),
                **job.environment,
                **environment,
                "ORDERFLOW__WORKERS": str(workers),
                "JOB_COMPLETION_INDEX": str(index),
                "ORDERFLOW__WORKERS__ADDRESSES": ",".join(addresses),
            }
            self.workers.append(server.start(command, variables, index=index, errors=place.folder / f"{name}-{index}"))

    def codes(self) -> list[int | None]:
        """Exit codes, None of those that run."""
        return [worker.poll() for worker in self.workers]

    def alive(self) -> list[Worker]:
        """Those that run."""
        return [worker for worker in self.workers if worker.poll() is None]

    def has_failed(self) -> bool:
        """Whether a process ended otherwise than well."""
        return any(code not in (None, 0) for code in self.codes())

    def kill(self) -> None:
        """Ends what is left, paused or not."""
        for worker in self.workers:
            worker.send(SIGKILL)
            worker.send(SIGCONT)
        wait_until(lambda: not self.alive(), 30.0, "killed processes end")

    def wait(self, timeout_s: float) -> list[int | None]:
        """Waits until all have ended, or one has failed; the codes."""
        wait_until(lambda: self.has_failed() or not self.alive(), timeout_s, "the flow ends", self.errors)
        return self.codes()

    def errors(self) -> str:
        """What the processes said last."""
        return "\n".join(f"worker {w.index}, exit {w.poll()}: {w.said()[-1500:]}" for w in self.workers)


def wait_until(holds: Callable[[], bool], timeout_s: float, what: str, tell: Callable[[], str] = str) -> None:
    """Waits for something that must come about; the deadline is one of patience, not of speed."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"within {timeout_s} s it did not come about that {what}: {tell()}"
        time.sleep(POLL_S)


def progress(place: World, job: Job) -> int:
    """How far the flow's outputs reach; grows with its commits."""
    with closing(place.log.admin()) as admin:
        return sum(admin.ends([TopicPartition(job.progress_topic, p) for p in range(PARTITIONS)]).values())
