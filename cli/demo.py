"""`orderflow demo`: a simulated trading day through the whole pipeline, watched live and judged at its end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.session import Session
from config.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from services.demo import Demo, Snapshot

_LOOK_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 5.0
_EXIT_INEXACT: Final = 1


@click.command()
@click.option("--orders", type=click.IntRange(min=1), default=20_000, show_default=True, help="Orders of the day.")
@click.option("--exit", "exits", is_flag=True, help="Stop after the verdict; by default all runs on until Ctrl-C.")
@click.option("--seed", type=int, default=1, show_default=True, help="What the day follows from.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=500,
    show_default=True,
    help="Orders and cancels per second; 0 for as fast as the log takes them, where latencies are those of a queue.",
)
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Processes of each flow.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Empty or new folder for log, stores and logs; kept.  [default: a temporary one, removed at the end]",
)
@click.option("--keep", is_flag=True, help="Keep the temporary folder.")
@click.pass_obj
def demo(
    session: Session,
    orders: int,
    exits: bool,
    seed: int,
    rate: float,
    workers: int,
    folder: Path | None,
    keep: bool,
) -> None:
    """Play a simulated trading day through all flows, and judge what comes out.

    Everything runs on a log of its own. On Kafka the topics must be empty, since the verdict is on all they hold, and
    groups, transactional ids and changelogs get a prefix of their own. The last line on standard output is a JSON
    summary with counts, verdict, latencies and throughput. Exit code 0 says that the verdict is exact.
    """
    import msgspec

    from services.demo import Demo, DemoOptions, demo_settings

    _stop_on_sigterm()
    with _folder(folder, keep=keep) as place:
        settings = demo_settings(session.settings, place)
        options = DemoOptions(place, orders, seed, rate or None, workers)
        with Demo(settings, options, _environment(session)) as running:
            _watch(running)
            click.echo("the flows have caught up; what they wrote is compared with what it must be", err=True)
            summary, parent = running.summary(), running.example_parent()
            with suppress(KeyboardInterrupt):
                click.echo(msgspec.json.encode(summary))
                if not exits:
                    _stay(running, parent)
        if not summary["exact"]:
            raise SystemExit(_EXIT_INEXACT)


def _environment(session: Session) -> dict[str, str]:
    environment = {"ORDERFLOW__LOGS__FORMAT": "json", **os.environ}
    if session.config_file is not None:
        environment["ORDERFLOW_CONFIG"] = str(session.config_file)
    return environment


def _stop_on_sigterm() -> None:
    """Lets SIGTERM end the demo as Ctrl-C does: processes stopped, folder removed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def _folder(given: Path | None, *, keep: bool) -> Iterator[Path]:
    """The folder to work in. A temporary one is removed unless it is to be kept or something went wrong."""
    if given is not None:
        if given.exists() and any(given.iterdir()):
            raise UsageError(f"{given} is not empty: an earlier demo, or something of yours, is in it")
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="orderflow-demo-"))
    try:
        yield place
    except UsageError:
        raise
    except Exception:
        keep = True
        raise
    finally:
        if keep:
            click.echo(f"what the demo left is in {place}", err=True)
        else:
            shutil.rmtree(place, ignore_errors=True)


def _watch(running: Demo) -> None:
    """Shows how it goes until the flows have caught up."""
    with _display() as show:
        while True:
            snapshot = running.snapshot()
            show(snapshot)
            if snapshot.phase == "settled":
                return
            time.sleep(_LOOK_EVERY_S)


def _stay(running: Demo, parent: str | None) -> None:
    """Says how to look at the flows while they go on, until Ctrl-C."""
    from services.demo import demo_variables

    click.echo("the day is over; the flows go on until Ctrl-C. In another terminal:", err=True)
    for name, value in demo_variables(running.settings).items():
        click.echo(f"  export {name}={shlex.quote(value)}", err=True)
    timeline = f"timeline {shlex.quote(parent)} --children" if parent else "timeline 'ACCOUNT|ORDER'"
    for command in ("positions ACC00001", "dashboard --symbol AAPL --last 5", "alerts --open", timeline):
        click.echo(f"  orderflow query {command}", err=True)
    for flow in running.flows:
        click.echo(f"metrics of {flow.name}: {flow.metrics_url}/metrics", err=True)
    while True:
        running.check_processes()
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def _display() -> Iterator[Callable[[Snapshot], None]]:
    """A live table on a terminal; elsewhere a line every few seconds. Both on standard error."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda snapshot: live.update(_table(snapshot), refresh=True)


class _Lines:
    """Writes a snapshot as one line, at most every few seconds and when the phase changes."""

    def __init__(self) -> None:
        self._written_at_s, self._phase = 0.0, ""

    def __call__(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if snapshot.phase == self._phase and now - self._written_at_s < _LINE_EVERY_S:
            return
        self._written_at_s, self._phase = now, snapshot.phase
        figures = "  ".join(f"{name} {value}" for name, value in _figures(snapshot))
        lags = "  ".join(f"{flow} {lag}" for flow, lag in snapshot.lags.items())
        click.echo(f"{snapshot.seconds:6.1f} s  {snapshot.phase:8}  {figures}  lag: {lags}", err=True)


def _figures(snapshot: Snapshot) -> list[tuple[str, str]]:
    seconds = max(snapshot.seconds, 0.001)
    return [
        ("sent", f"{snapshot.intents}"),
        ("approved", f"{snapshot.event_types.get('RISK_APPROVED', 0)}"),
        ("rejected", f"{snapshot.event_types.get('RISK_REJECTED', 0)}"),
        ("fills", f"{snapshot.fills}"),
        ("alerts", f"{snapshot.alerts}"),
        ("records/s", f"{sum(snapshot.records.values()) / seconds:.0f}"),
    ]


def _table(snapshot: Snapshot) -> Table:
    from rich.table import Table

    figures = "   ".join(f"{name} {value}" for name, value in _figures(snapshot))
    table = Table(title=f"{snapshot.phase}, {snapshot.seconds:.0f} s   {figures}", title_justify="left")
    table.add_column("flow")
    for name in ("lag", "p50 ms", "p95 ms", "p99 ms", "restarts"):
        table.add_column(name, justify="right")
    for flow, lag in snapshot.lags.items():
        latencies = [f"{value:.1f}" if value is not None else "-" for value in snapshot.latencies[flow].values()]
        table.add_row(flow, str(lag), *latencies, str(snapshot.restarts[flow]))
    return table
