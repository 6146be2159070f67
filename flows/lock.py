"""One process at a time: a lock in the state folder that keeps a second one from starting beside the first.

The transactional id keeps two of them from doing harm, wherever they run, by ending the first. On one host, with one
state folder, a second one is a mistake most of the time, and refusing it costs the first one nothing. The lock goes
with the process that holds it, however that ends. Pods and hosts have folders of their own, and so take over freely.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from config.errors import AlreadyRunningError, StoreError
from flows.supervisor import SUPERVISOR_VARIABLE

FILE: Final = "lock"
PATIENCE_S: Final = 5.0
"""Processes of a supervisor that was killed need some time to notice it and end."""
_LOOK_S: Final = 0.1
_TEXT_BYTES: Final = 4_096

log = structlog.get_logger(__name__)


@contextmanager
def only_one(
    folder: Path, what: str, environment: Mapping[str, str], *, patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """Holds the lock of a folder while `what`, in words, runs.

    Raises:
        AlreadyRunningError: another process holds it, and has not ended within `patience_s` seconds.
        StoreError: the folder cannot be written to.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written to: {error.strerror}; see state.dir in the settings") from error
    try:
        _lock(file, folder, what, time.monotonic() + patience_s)
        with suppress(OSError):  # on a full disk the lock tells less, and the stores tell why
            os.truncate(file, 0)
            os.pwrite(file, _holder(environment).encode(), 0)
        yield
    finally:
        os.close(file)


def _lock(file: int, folder: Path, what: str, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline_s:
                time.sleep(_LOOK_S)
                continue
            holder = os.pread(file, _TEXT_BYTES, 0).decode(errors="replace").strip()
            raise AlreadyRunningError(
                f"{what} runs on this host already, with the same state folder {folder.parent}: "
                f"{holder or 'a process that has just started'}. This one has changed nothing. End the "
                "other first, by Ctrl-C or `kill`, and it commits what it has read; or, to run both, give one of them "
                "another application.prefix"
            ) from None
        except OSError as error:
            log.warning("this file system has no locks: nothing here keeps a second one from starting", what=what,
                        folder=str(folder), reason=error.strerror)  # fmt: skip
        return


def _holder(environment: Mapping[str, str]) -> str:
    """Who is to be ended: the supervisor where there is one, since it would start this process again."""
    pid = environment.get(SUPERVISOR_VARIABLE) or os.getpid()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {pid}, since {since} (orderflow {' '.join(sys.argv[1:])})"
