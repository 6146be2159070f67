"""The processes of a pipeline on one host, its flows and the simulated surroundings, supervised in a thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from config.settings import Settings
from config.topology import load_topology
from flows.supervisor import Backoff, Cluster, free_addresses, supervise
from services.progress import event_topics

EVERY_FLOW: Final = ("risk_check", "order_status", "views", "surveillance")
"""All flows, in the order of the stream."""
_COMMAND: Final = (sys.executable, "-m", "cli")
_METRICS_PORT_VARIABLE: Final = "ORDERFLOW__METRICS__PORT"


@dataclass(frozen=True, slots=True)
class FlowProcess:
    """A flow to be run: its topology by name or file, its workers, where its first worker serves metrics."""

    name: str
    topology: str
    workers: int
    metrics_host: str
    metrics_port: int | None

    @property
    def metrics_url(self) -> str | None:
        """Where its metrics and health are served, if they are."""
        return f"http://{self.metrics_host}:{self.metrics_port}" if self.metrics_port is not None else None


def event_groups(settings: Settings, flows: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The consumer groups of shipped flows, in the order given, with the topics on which they commit offsets."""
    return {settings.application.group_of(flow): event_topics(load_topology(flow)) for flow in flows}


def plan_flows(settings: Settings, topologies: Mapping[str, str], *, workers: int) -> list[FlowProcess]:
    """The flows (topology by flow name), each with a metrics port: from `metrics.port` on, or free ones."""
    first, host = settings.metrics.port, settings.metrics.host
    ports: list[int | None]
    if first is None:
        ports = [None] * len(topologies)
    elif first:
        ports = [first + number for number in range(len(topologies))]
    else:
        ports = [int(address.rpartition(":")[2]) for address in free_addresses(len(topologies))]
    return [
        FlowProcess(name, topology, workers, host, port)
        for (name, topology), port in zip(topologies.items(), ports, strict=True)
    ]


@dataclass(slots=True)
class Pipeline:
    """Flows and simulation as subprocesses, restarted by a supervisor in a thread; a context manager that stops them.

    `environment` is that of every process, without what a flow's place and port add. With `log_folder` each process
    writes its log into a file there, else to standard error.
    """

    settings: Settings
    flows: Sequence[FlowProcess]
    environment: Mapping[str, str]
    simulate: Sequence[str] | None = None
    """Arguments of `orderflow simulate`; None runs no simulation."""
    log_folder: Path | None = None
    clusters: dict[str, Cluster] = field(default_factory=dict)
    exit_code: int | None = None
    """Set when all processes have ended."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for flow in self.flows:
            port = "off" if flow.metrics_port is None else str(flow.metrics_port)
            environment = {**self.environment, _METRICS_PORT_VARIABLE: port}
            self._add(flow.name, ["run", flow.topology], flow.workers, environment)
        if self.simulate is not None:
            self._add("simulation", ["simulate", *self.simulate], 1, self.environment)
        self._thread = threading.Thread(target=self._supervise, name="supervisor")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ends all processes, after they have committed what they read; the exit code, 0 if all ended well."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        assert self.exit_code is not None
        return self.exit_code

    def wait(self, timeout_s: float) -> bool:
        """Waits for the end of all processes; False if it has not come by then."""
        assert self._thread is not None
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def is_running(self) -> bool:
        """Whether processes are still looked after."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def restarts(self) -> dict[str, int]:
        """How often each part was restarted in a row."""
        return {name: cluster.restarts for name, cluster in self.clusters.items()}

    def _add(self, name: str, arguments: Sequence[str], workers: int, environment: Mapping[str, str]) -> None:
        workers_settings = self.settings.workers
        backoff = Backoff(workers_settings.restart_backoff_min_ms / 1e3, workers_settings.restart_backoff_max_ms / 1e3)
        log_file = self.log_folder / f"{name}.log" if self.log_folder is not None else None
        self.clusters[name] = Cluster(
            name, [*_COMMAND, *arguments], workers, backoff, environment=environment, log_file=log_file
        )

    def _supervise(self) -> None:
        self.exit_code = 1
        self.exit_code = supervise(list(self.clusters.values()), self._stop.is_set)
