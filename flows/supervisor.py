"""The supervisor of a flow on one host: starts its processes as one Bytewax cluster and restarts all when one dies.

A cluster lives and dies as a whole, because an epoch is committed by all or by none. States of a cluster:

    waiting ──start──▶ running ──all ended well──▶ done
       ▲                  │
       └─back-off─────────┴── one died ──▶ (the others are killed)

A wrong configuration is a failure and not restarted; nor is what another process has taken over, which would only be
taken back and forth, and nothing is once the cluster was asked to end.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from config.errors import BrokenWorldError, ConfigurationError, OrderflowError, Problem
from flows.failure import FAILURE_VARIABLE, Failure, FailurePipe, cause_of

EXIT_BAD_CONFIGURATION: Final = ConfigurationError.exit_code
CALM_AFTER_S: Final = 30.0
"""A cluster that ran this long starts its back-off anew."""
POLL_S: Final = 0.05
_STANDARD_ERROR: Final = 2
SUPERVISOR_VARIABLE: Final = "ORDERFLOW_SUPERVISOR"
"""Tells a process the process id of the supervisor that it must not outlive."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between restarts: the first, then doubled up to the longest."""

    first_s: float
    longest_s: float

    def wait_s(self, restarts: int) -> float:
        """The wait before restart number `restarts`, counted from 0."""
        return min(self.longest_s, self.first_s * 2.0 ** min(restarts, 30))


@dataclass(slots=True)
class Cluster:
    """The processes of one flow. `command` is started once per worker, told its place by environment variables."""

    name: str
    command: Sequence[str]
    workers: int
    backoff: Backoff
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    log_file: Path | None = None
    """Where all that the processes write goes; by default to the supervisor's standard error."""
    clock: Callable[[], float] = time.monotonic
    restarts: int = 0
    exit_code: int | None = None
    """Set when the cluster is done (0) or has failed for good."""
    failure: Failure | None = None
    """Why it failed the last time."""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _start_at_s: float = 0.0
    _started_at_s: float = 0.0
    _terminating: bool = False
    _pipes: list[FailurePipe] = field(default_factory=list)

    def poll(self) -> None:
        """Looks after the cluster once; to be called every few hundredths of a second until `exit_code` is set."""
        if self.exit_code is not None:
            return
        if not self._processes:
            if self.clock() >= self._start_at_s:
                self._start()
            return
        codes = [process.poll() for process in self._processes]
        if all(code == 0 for code in codes):
            self.exit_code = 0
            self.kill()
        elif any(code == EXIT_BAD_CONFIGURATION for code in codes):
            self._fail(EXIT_BAD_CONFIGURATION, codes)
        elif self._terminating:
            if None not in codes:
                # One that had not begun yet dies of the signal itself: it held nothing.
                failed = [None if code == -signal.SIGTERM else code for code in codes]
                self._fail(int(any(failed)), failed)
        elif any(code not in (None, 0) for code in codes):
            self._restart(codes)

    def _start(self) -> None:
        addresses = free_addresses(self.workers) if self.workers > 1 else []
        self._started_at_s = self.clock()
        for index in range(self.workers):
            pipe = FailurePipe()
            environment = {
                **self.environment,
                "ORDERFLOW__WORKERS": str(self.workers),
                "JOB_COMPLETION_INDEX": str(index),
                "ORDERFLOW__WORKERS__ADDRESSES": ",".join(addresses),
                SUPERVISOR_VARIABLE: str(os.getpid()),
                FAILURE_VARIABLE: str(pipe.writing),
            }
            self._processes.append(self._spawn(environment, pipe.writing))
            self._pipes.append(pipe)
            pipe.started()

    def _spawn(self, environment: Mapping[str, str], pipe: int) -> subprocess.Popen[bytes]:
        """One process, in a group of its own: Ctrl-C at the terminal is for the supervisor, which stops it in order."""
        with ExitStack() as stack:
            output = stack.enter_context(self.log_file.open("ab")) if self.log_file is not None else None
            # Bytewax writes remarks on its connections to standard output, which is for results.
            stream = output if output is not None else _STANDARD_ERROR
            return subprocess.Popen(  # noqa: S603 -- our own command
                list(self.command), env=environment, stdout=stream, stderr=stream, process_group=0, pass_fds=[pipe]
            )

    def _fail(self, exit_code: int, codes: Sequence[int | None]) -> None:
        self.exit_code, self.failure = exit_code, cause_of(self._end(), codes)

    def _restart(self, codes: Sequence[int | None]) -> None:
        self.failure = cause = cause_of(self._end(), codes)
        if cause is not None and cause.is_final:
            self.exit_code = codes[cause.process] or 1
            return
        if self.clock() - self._started_at_s > CALM_AFTER_S:
            self.restarts = 0
        wait_s = self.backoff.wait_s(self.restarts)
        self.restarts += 1
        self._start_at_s = self.clock() + wait_s
        told = {"process": cause.process, "error": cause.error, "reason": cause.message} if cause else {}
        log.error("a process failed, the flow restarts", flow=self.name, **told, exit_codes=list(codes), wait_s=wait_s)

    def error(self) -> OrderflowError | None:
        """What the cluster failed with for good, as an error to be shown; None while it has not."""
        if not self.exit_code or self.failure is None:
            return None
        if self.exit_code == EXIT_BAD_CONFIGURATION:
            return ConfigurationError([Problem(line) for line in self.failure.message.splitlines()])
        return BrokenWorldError(f"{self.name}: process {self.failure.process} failed: {self.failure.message}")

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [process.pid for process in self._processes]

    def terminate(self) -> None:
        """Asks all processes to commit what they read and end; one that fails on the way is not restarted."""
        self._terminating = True
        for process in self._processes:
            process.terminate()
        if not self._processes and self.exit_code is None:
            self.exit_code = 0

    def kill(self) -> None:
        """Ends all processes at once; nothing uncommitted survives, and nothing is lost."""
        self._end()

    def _end(self) -> list[Failure | None]:
        """Ends all processes; what each told of its failure."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        told = [pipe.close() for pipe in self._pipes]
        self._processes, self._pipes = [], []
        return told


def supervise(clusters: Sequence[Cluster], should_stop: Callable[[], bool], *, grace_s: float = 30.0) -> int:
    """Looks after clusters until all are done, one has failed for good, or it is told to stop; the exit code."""
    stop_at_s: float | None = None
    try:
        while any(cluster.exit_code is None for cluster in clusters):
            for cluster in clusters:
                cluster.poll()
            failed = [cluster.exit_code for cluster in clusters if cluster.exit_code]
            if failed:
                return failed[0]
            if should_stop() and stop_at_s is None:
                stop_at_s = time.monotonic() + grace_s
                for cluster in clusters:
                    cluster.terminate()
            if stop_at_s is not None and time.monotonic() > stop_at_s:
                return 1
            time.sleep(POLL_S)
        return 0
    finally:
        for cluster in clusters:
            cluster.kill()


def free_addresses(count: int) -> list[str]:
    """So many addresses on this host that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def die_with_supervisor(pid: int) -> None:
    """Ends this process when the supervisor that started it is gone; to be run in a daemon thread."""
    while os.getppid() == pid:
        time.sleep(1.0)
    os._exit(1)
