"""Processes of a flow, started in milliseconds: a server that has imported everything forks them.

Importing the product costs one to two seconds of processor time, a fork next to nothing; hundreds of kills become
affordable. The server opens no log, no store and no client before it forks; from the fork on a process does what
`orderflow run` does.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHAIN_MODULE = Path(__file__).parents[1] / "flows" / "conftest.py"
_PRELOADED = (
    "bytewax.testing", "confluent_kafka", "broker.kafka", "broker.embedded", "cli.main", "cli.run", "config.endpoint",
    "config.logs", "flows.chaos", "flows.connect", "flows.observe", "flows.process", "flows.supervisor",
)  # fmt: skip


@dataclass(slots=True)
class Worker:
    """One process of a flow, a child of the fork server."""

    server: ForkServer
    pid: int
    index: int
    errors: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal, or None while it runs."""
        if self.code is None:
            self.code = self.server.ask({"poll": self.pid})
        return self.code

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended; a process number is not given to another before `poll` says so."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def is_stopped(self) -> bool:
        """Whether it is paused."""
        with suppress(FileNotFoundError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def said(self) -> str:
        """What it wrote to standard error."""
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""


class ForkServer:
    """Starts workers; a context that leaves none behind."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def start(self, command: Sequence[str], environment: Mapping[str, str], *, index: int, errors: Path) -> Worker:
        """Runs `orderflow` with these arguments, or `chain` (and `--until-end`) for the chain of two steps."""
        environment = {**environment, "ORDERFLOW_SUPERVISOR": str(self._process.pid)}
        pid = self.ask({"start": list(command), "environment": environment, "errors": str(errors)})
        return Worker(self, pid, index, errors)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """One request, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def load_module(path: Path, name: str) -> Any:
    """A module by path, for those that no package holds."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def _serve(lines: Iterable[str]) -> dict[str, Any] | None:
    """Answers requests until the other side is gone; in a forked child, returns what it was asked to run."""
    running: dict[int, int | None] = {}
    for line in lines:
        request = json.loads(line)
        if "start" in request:
            answer: int | None = os.fork()
            if answer == 0:
                return dict(request)
            assert answer is not None
            running[answer] = None
        else:
            answer = running[request["poll"]]
            if answer is None:
                pid, status = os.waitpid(request["poll"], os.WNOHANG)
                answer = running[request["poll"]] = os.waitstatus_to_exitcode(status) if pid else None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in [pid for pid, code in running.items() if code is None]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def _become(request: Mapping[str, Any]) -> None:
    """Turns this fork into the process that was asked for."""
    nothing = os.open(os.devnull, os.O_RDWR)
    errors = os.open(request["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["start"][0] == "chain":
        _run_chain("--until-end" in request["start"])
    else:
        from cli.main import main

        sys.argv = ["orderflow", *request["start"]]
        main(request["start"])


def _run_chain(until_end: bool) -> None:
    """What `orderflow run` does, for a flow whose operators are not in the catalog."""
    from config import logs
    from config.errors import OrderflowError
    from config.settings import load_settings
    from config.topology import load_topology
    from flows import chaos
    from flows.assembly import Flow
    from flows.catalog import EVENT_TYPES
    from flows.connect import open_log, open_schemas
    from flows.process import run_process
    from flows.supervisor import die_with_supervisor

    settings = load_settings(None, os.environ)
    logs.setup(settings.logs.level, settings.logs.format)
    supervisor = int(os.environ["ORDERFLOW_SUPERVISOR"])
    threading.Thread(target=die_with_supervisor, args=(supervisor,), daemon=True).start()
    chaos.install_from(os.environ)
    operators = load_module(CHAIN_MODULE, "chain").OPERATORS
    topology = load_topology(Path(os.environ["CHAIN_TOPOLOGY"]))
    flow = Flow(topology, operators, EVENT_TYPES, settings, open_log(settings), open_schemas(settings))
    addresses = settings.workers.addresses if settings.workers.count > 1 else ()
    try:
        run_process(flow, index=settings.workers.index or 0, addresses=addresses, until_end=until_end)
    except OrderflowError as error:
        sys.exit(f"error: {error}")


def _main() -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    load_module(CHAIN_MODULE, "chain")
    request = _serve(sys.stdin)
    if request is not None:
        _become(request)


if __name__ == "__main__":
    _main()
