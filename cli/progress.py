"""Progress of long work on standard error: a bar on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

_LINE_EVERY_S: Final = 5.0


@contextmanager
def bytes_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what to call with the bytes done and in total."""
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Lines:
    """Writes how far the work is, at most every few seconds."""

    def __init__(self, what: str) -> None:
        self._what, self._written_at_s = what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._written_at_s >= _LINE_EVERY_S:
            self._written_at_s = now
            click.echo(f"{self._what}: {done} of {total} bytes, {100 * done / max(total, 1):.0f} %", err=True)
