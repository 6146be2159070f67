"""Crashes on purpose: kills or stops this process at named points of the protocols, if the environment says so.

    ORDERFLOW_CRASH       point:probability[:stop], separated by commas, e.g. "commit.before:0.02,store.flushed:0.01"
    ORDERFLOW_CRASH_SEED  makes the draws of one process number repeatable
    ORDERFLOW_CRASH_LOG   a file that gets a line with point and process id per crash
    ORDERFLOW_CRASH_MAX   no more crashes once that file has so many lines

`stop` pauses the process (SIGSTOP) instead of killing it (SIGKILL): a process that is continued after its successor
started is a zombie. For tests of exactness only; without the first variable nothing is installed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from config import crash_points
from config.crash_points import CrashPoint
from config.errors import ConfigurationError, Problem

CRASH_VARIABLE: Final = "ORDERFLOW_CRASH"
SEED_VARIABLE: Final = "ORDERFLOW_CRASH_SEED"
LOG_VARIABLE: Final = "ORDERFLOW_CRASH_LOG"
MAX_VARIABLE: Final = "ORDERFLOW_CRASH_MAX"
_UNBOUNDED: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Crash:
    """With which probability reaching a point ends the process, and by which signal."""

    probability: float
    signal: signal.Signals


def install_from(environment: Mapping[str, str]) -> None:
    """Installs the crashes that the environment asks for; `ConfigurationError` if they cannot be understood."""
    text = environment.get(CRASH_VARIABLE)
    if not text:
        return
    log, most = environment.get(LOG_VARIABLE), environment.get(MAX_VARIABLE)
    crash_points.install(
        hook(
            parse(text),
            Random(f"{environment.get(SEED_VARIABLE, '')}|{os.getpid()}"),
            log=Path(log) if log else None,
            crashes_max=int(most) if most else _UNBOUNDED,
        )
    )


def parse(text: str) -> dict[CrashPoint, Crash]:
    """The crashes by point."""
    crashes = {}
    for part in text.split(","):
        try:
            point, probability, *action = part.strip().split(":")
            if action not in ([], ["stop"]):
                raise ValueError(f"{action[0]!r} is no action; there is only `stop`")
            crashes[CrashPoint(point)] = Crash(float(probability), signal.SIGSTOP if action else signal.SIGKILL)
        except ValueError as error:
            raise ConfigurationError([Problem(f"{CRASH_VARIABLE}: {part!r}: {error}")]) from error
    return crashes


def hook(
    crashes: Mapping[CrashPoint, Crash],
    random: Random,
    *,
    log: Path | None,
    crashes_max: int,
    end: Callable[[signal.Signals], None] = lambda number: signal.pthread_kill(threading.get_ident(), number),
) -> Callable[[CrashPoint], None]:
    """What to call at every crash point.

    The signal goes to the calling thread. Sent to the process, another thread may take it, and this one runs on for a
    moment: a process meant to pause before a commit would pause in it, holding the lock of an embedded log.
    """

    def reach(point: CrashPoint) -> None:
        crash = crashes.get(point)
        if crash is None or random.random() >= crash.probability:
            return
        if log is not None:
            if log.exists() and len(log.read_bytes().splitlines()) >= crashes_max:
                return
            with log.open("ab") as file:  # one small append is atomic among processes
                file.write(f"{point} {os.getpid()}\n".encode())
        end(crash.signal)

    return reach
