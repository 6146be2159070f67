"""The measured job in surroundings of its own: a fresh id, a fresh folder, and nothing left behind."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from pathlib import Path
from types import TracebackType

from . import cluster
from .process import ProcessTree


class Job:
    """A context in which the command can be started, as often as needed, with one id and one folder.

    Entering it starts the command, unless `start_now` is False; leaving it stops what runs, deletes the folder, and the
    topics and groups whose names hold the id.
    """

    def __init__(self, command: str, bootstrap: str, log: Path | None = None, *, start_now: bool = True) -> None:
        self.run = f"bench-{uuid.uuid4().hex[:10]}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.run}-"))
        self.log = log or self.folder / "job.log"
        self._bootstrap = bootstrap
        self._start_now = start_now
        self._command = (
            command.replace("{bootstrap}", bootstrap).replace("{run}", self.run).replace("{dir}", str(self.folder))
        )
        self._process: ProcessTree | None = None

    @property
    def process(self) -> ProcessTree:
        """The process tree of the last start."""
        if self._process is None:
            raise RuntimeError("the job was not started")
        return self._process

    def start(self) -> ProcessTree:
        """Starts the command; an earlier start must have ended. What it prints is added to the log."""
        self._process = ProcessTree(self._command, self.log)
        return self._process

    def __enter__(self) -> Job:
        self.log.write_bytes(b"")
        if self._start_now:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.stop()
            if error is not None:
                print(f"last output of the job:\n{self._process.last_output()}", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
        cluster.remove_leftovers(self._bootstrap, self.run)
