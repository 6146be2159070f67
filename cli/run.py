"""`orderflow run`: one flow, as one process, as a supervised cluster on this host, or as one pod of a cluster."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import click
import structlog

from cli.session import with_settings
from config.errors import ConfigurationError, OrderflowError, Problem
from config.settings import Settings

log = structlog.get_logger(__name__)


@click.command()
@click.argument("flow")
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes that share the flow; default from the settings."
)
@click.option("--until-end", is_flag=True, help="Stop when everything now in the log is processed and committed.")
@with_settings
def run(settings: Settings, flow: str, workers: int | None, until_end: bool) -> None:
    """Run FLOW: the name of one that ships with us, or a topology file.

    With several workers a supervisor starts them as one cluster on this host and restarts all when one dies. In a pod,
    JOB_COMPLETION_INDEX, ORDERFLOW__WORKERS and ORDERFLOW__WORKERS__ADDRESSES say which worker this is.
    """
    if workers is not None:
        settings = replace(settings, workers=replace(settings.workers, count=workers))
    if settings.workers.index is None and settings.workers.count > 1:
        _supervise(settings, flow)
    else:
        with _told_to_the_supervisor():
            _run_here(settings, flow, until_end=until_end)


@contextmanager
def _told_to_the_supervisor() -> Iterator[None]:
    """Hands an error to the supervisor, if there is one: it tells which of all processes' errors is the cause, once."""
    from flows.failure import tell_supervisor

    try:
        yield
    except Exception as error:
        if tell_supervisor(error, os.environ) and isinstance(error, OrderflowError):
            raise SystemExit(error.exit_code) from error
        raise


def _run_here(settings: Settings, flow_name: str, *, until_end: bool) -> None:
    from config.endpoint import Endpoint, Health
    from config.metrics import Metrics
    from flows import chaos
    from flows.connect import open_flow
    from flows.failure import tell_supervisor
    from flows.lock import only_one
    from flows.native_output import native_output_as_logs
    from flows.observe import LagWatch, log_summary, observers
    from flows.process import run_process
    from flows.supervisor import SUPERVISOR_VARIABLE, die_with_supervisor

    if supervisor := os.environ.get(SUPERVISOR_VARIABLE):
        threading.Thread(target=die_with_supervisor, args=(int(supervisor),), daemon=True).start()
    chaos.install_from(os.environ)
    workers = settings.workers
    if workers.count > 1 and len(workers.addresses) != workers.count:
        listed = f"{len(workers.addresses)} are given for {workers.count} workers"
        raise ConfigurationError([Problem(f"workers.addresses must name host:port of every worker: {listed}")])
    flow = open_flow(settings, flow_name)
    metrics = Metrics()
    health = Health(metrics)
    listeners, commits = observers(metrics, flow.name, health)
    # On one host only the first worker can have the port of the settings.
    port = 0 if supervisor and workers.index and settings.metrics.port else settings.metrics.port
    with ExitStack() as stack:
        if not workers.index:  # the others of a cluster come and go with it
            folder = settings.state.dir / settings.application.group_of(flow.name)
            stack.enter_context(only_one(folder, f"the flow {flow.name}", os.environ))
        if port is not None:
            endpoint = stack.enter_context(Endpoint(settings.metrics.host, port, metrics, health))
            log.info("metrics and health are served", flow=flow.name, url=endpoint.url)
        stack.enter_context(LagWatch(flow.log, flow.name, metrics, commits))
        if workers.count > 1:
            stack.enter_context(native_output_as_logs())
        began_s = time.monotonic()
        stopped = run_process(
            flow,
            index=workers.index or 0,
            addresses=workers.addresses if workers.count > 1 else (),
            until_end=until_end,
            observers=listeners,
            on_error=lambda error: tell_supervisor(error, os.environ),
        )
        log_summary(
            listeners, flow=flow.name, process=workers.index or 0, stopped=stopped, seconds=time.monotonic() - began_s
        )
    if stopped and workers.index is not None and not supervisor:
        # A pod that is moved elsewhere has not completed its part of the Job: its orchestrator must start it again.
        raise SystemExit(128 + signal.SIGTERM)


def _supervise(settings: Settings, flow_name: str) -> None:
    """Starts this very command once per worker and looks after the cluster."""
    from flows.supervisor import Backoff, Cluster, supervise

    backoff = Backoff(settings.workers.restart_backoff_min_ms / 1e3, settings.workers.restart_backoff_max_ms / 1e3)
    cluster = Cluster(
        flow_name, [sys.executable, "-m", "cli", *_without_workers(sys.argv[1:])], settings.workers.count, backoff
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    code = supervise([cluster], stopping.is_set)
    if error := cluster.error():
        raise error
    if code:
        raise SystemExit(code)


def _without_workers(arguments: list[str]) -> list[str]:
    """The command line without `--workers`, which each worker gets from its environment instead."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--workers":
            skip = True
        elif not argument.startswith("--workers="):
            kept.append(argument)
    return kept
