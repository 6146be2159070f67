"""Who holds a transactional id: what a process says of itself, so that it can be told who took over, and from whom.

One id has one holder. Opening it fences every earlier one, wanted or not: a restart elsewhere does so, and somebody
who starts a flow that runs already does too, and both sides should be able to tell which it was.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

import msgspec
import structlog

log = structlog.get_logger(__name__)


class Holder(msgspec.Struct, frozen=True):
    """A process, and when it opened the id: ISO 8601, UTC."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}, since {self.since}"

    def still_runs_here(self) -> bool:
        """Whether a process of that number, and not this one, runs on this host."""
        if self.host != socket.gethostname() or self.pid == os.getpid():
            return False
        return process_exists(self.pid)


def process_exists(pid: int) -> bool:
    """Whether a process of that number runs on this host, or has ended and was not cleared away yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def this_holder() -> Holder:
    """The holder that this process becomes by opening an id now."""
    return Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="microseconds"))


def encoded(holder: Holder) -> bytes:
    """A holder as the log keeps it."""
    return msgspec.json.encode(holder)


def decoded(text: bytes | str | None) -> Holder | None:
    """The holder that the log kept; None if it kept none, or something else."""
    try:
        return msgspec.json.decode(text, type=Holder) if text else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def announce(transactional_id: str, before: Holder | None) -> None:
    """Says whom this process takes an id from, if that one may live; one that ended is not worth a line."""
    told = {"transactional_id": transactional_id, "holder_before": str(before)}
    if before is None:
        return
    if before.still_runs_here():
        log.warning("taking over from a process that runs: it can commit no more, and ends with an error", **told)
    elif before.host != socket.gethostname():
        log.info("taking over from a process on another host: if it runs, it can commit no more", **told)


def taken_over(transactional_id: str, *, mine: Holder, newest: Holder | None) -> str:
    """What a holder is told that another one took over from."""
    by = f" by {newest}" if newest is not None else ""
    return (
        f"transactional id {transactional_id} was taken over{by}. This one ({mine}) ends: nothing of its open "
        "transaction was written, and the other goes on from the last commit. Only one process at a time may hold an "
        "id: to run both, give one of them another application.prefix"
    )
