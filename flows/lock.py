"""One process at a time: a lock in the state folder that keeps a second one from starting beside the first.

The transactional id keeps two of them from doing harm, wherever they run, by ending the first. On one host, with one
state folder, a second one is a mistake most of the time, and refusing it costs the first one nothing. The lock goes
with the process that holds it, however that ends. Pods and hosts have folders of their own, and so take over freely.

A process that was killed holds what it held until the system has cleared it away, which takes seconds on a busy
machine, and one whose supervisor is gone needs a moment to notice. Nobody made a mistake then, and the wait is long.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from broker.holder import process_exists
from config.errors import AlreadyRunningError, StoreError
from flows.supervisor import SUPERVISOR_VARIABLE

FILE: Final = "lock"
PATIENCE_S: Final = 5.0
"""For a holder that shows no sign of ending: it may just have been asked to."""
PATIENCE_WITH_ENDING_S: Final = 60.0
_LOOK_S: Final = 0.1
_TEXT_BYTES: Final = 4_096
_COMMAND_LENGTH_MAX: Final = 500
_PROC: Final = Path("/proc")
_EXITING: Final = 0x4
"""PF_EXITING of the kernel, in the flags of a process."""

log = structlog.get_logger(__name__)


class Running(msgspec.Struct, frozen=True):
    """Who holds a lock, as the file says."""

    pid: int
    host: str
    since: str
    """ISO 8601, UTC."""
    command: str
    supervisor: int | None = None

    def __str__(self) -> str:
        """Who is to be ended: the supervisor where there is one, since it would start the process again."""
        return f"process {self.supervisor or self.pid}, since {self.since} (orderflow {self.command})"

    def is_ending(self, supervisor: int | None) -> bool:
        """Whether it goes by itself: it is dying, its supervisor is gone, or is this one's, which ends all it had."""
        if self.host != socket.gethostname():
            return False
        if self.supervisor is not None and (self.supervisor == supervisor or not process_exists(self.supervisor)):
            return True
        return is_dying(self.pid)


@contextmanager
def only_one(
    folder: Path,
    what: str,
    environment: Mapping[str, str],
    *,
    patience_s: float = PATIENCE_S,
    patience_with_ending_s: float = PATIENCE_WITH_ENDING_S,
) -> Iterator[None]:
    """Holds the lock of a folder while `what`, in words, runs.

    Raises:
        AlreadyRunningError: another process holds it, and has not ended within `patience_s` seconds, or within
            `patience_with_ending_s` although it seemed to be about to.
        StoreError: the folder cannot be written to.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written to: {error.strerror}; see state.dir in the settings") from error
    mine = _this_process(environment)
    try:
        _lock(file, folder, what, mine.supervisor, patience_s=patience_s, with_ending_s=patience_with_ending_s)
        with suppress(OSError):  # on a full disk the lock tells less, and the stores tell why
            os.truncate(file, 0)
            os.pwrite(file, msgspec.json.encode(mine), 0)
        yield
    finally:
        os.close(file)


def _lock(
    file: int, folder: Path, what: str, supervisor: int | None, *, patience_s: float, with_ending_s: float
) -> None:
    began_s, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            is_ending = holder is not None and holder.is_ending(supervisor)
            most_s = max(patience_s, with_ending_s) if is_ending else patience_s
            name = str(holder) if holder is not None else "a process that has just started"
            if time.monotonic() - began_s < most_s:
                if not told:
                    log.warning("waiting for another process to end", what=what, holder=name, wait_max_s=most_s)
                    told = True
                time.sleep(_LOOK_S)
                continue
            raise AlreadyRunningError(
                f"{what} runs on this host already, with the same state folder {folder.parent}: {name}. This "
                "one has changed nothing. End the other first, by Ctrl-C or `kill`, and it commits what it has read; "
                "or, to run both, give one of them another application.prefix"
            ) from None
        except OSError as error:
            log.warning("this file system has no locks: nothing here keeps a second one from starting", what=what,
                        folder=str(folder), reason=error.strerror)  # fmt: skip
        return


def _holder(file: int) -> Running | None:
    """Who holds the lock; None if it has not said so yet."""
    try:
        return msgspec.json.decode(os.pread(file, _TEXT_BYTES, 0), type=Running)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _this_process(environment: Mapping[str, str]) -> Running:
    supervisor = environment.get(SUPERVISOR_VARIABLE)
    return Running(
        os.getpid(),
        socket.gethostname(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        " ".join(sys.argv[1:])[:_COMMAND_LENGTH_MAX],
        int(supervisor) if supervisor else None,
    )


def is_dying(pid: int) -> bool:
    """Whether a process of this host is gone, or killed and not cleared away yet; what cannot be told is a no."""
    if not process_exists(pid):
        return True
    try:
        stat = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        status = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return False
    state, flags = stat[0], int(stat[6])
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    killed = any(signals >> (signal.SIGKILL - 1) & 1 for signals in pending)
    return state in "ZX" or bool(flags & _EXITING) or killed
