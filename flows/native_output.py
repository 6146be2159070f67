"""What Bytewax and its libraries write past Python to the process's outputs, as log lines like all others.

They write remarks on connections to standard output, which is for results, and the words of panics to standard error.
Both are caught below Python, at the file descriptors; what Python itself writes to standard error goes on as before.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

_OUTPUT: Final = 1
_ERRORS: Final = 2
_READ_BYTES: Final = 65_536

log = structlog.get_logger("bytewax")


@contextmanager
def native_output_as_logs() -> Iterator[None]:
    """While it lasts, each line that native code writes to standard output or standard error becomes a log line."""
    kept = {descriptor: os.dup(descriptor) for descriptor in (_OUTPUT, _ERRORS)}
    reading, writing = os.pipe()
    reader = threading.Thread(target=_log_lines, args=(reading,), name="native-output", daemon=True)
    reader.start()
    python_errors = sys.stderr
    sys.stderr = open(kept[_ERRORS], "w", buffering=1, closefd=False)  # noqa: SIM115 -- closed below
    faulthandler.enable(sys.stderr)  # a process that aborts has no time to read what it wrote
    for descriptor in kept:
        os.dup2(writing, descriptor)
    os.close(writing)
    try:
        yield
    finally:
        for descriptor, own in kept.items():
            os.dup2(own, descriptor)
        reader.join()
        faulthandler.disable()
        sys.stderr.close()
        sys.stderr = python_errors
        for own in kept.values():
            os.close(own)


def _log_lines(reading: int) -> None:
    rest = b""
    while read := os.read(reading, _READ_BYTES):
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            _log_line(line)
    _log_line(rest)
    os.close(reading)


def _log_line(line: bytes) -> None:
    text = " ".join(line.decode(errors="replace").split())
    if not text:
        return
    if "error connecting to worker" in text:
        log.info("another process of the flow is not there yet", remark=text)
    else:
        log.warning("a library says", remark=text)
