"""A command as a process tree: starting and ending it, its CPU seconds and its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class JobFailedError(RuntimeError):
    """The job ended by itself."""


class ProcessTree:
    """A shell command in a session of its own, from the moment it is made, and all descendants of its processes."""

    def __init__(self, command: str, log: Path) -> None:
        self.peak_rss = 0
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                ["bash", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def last_output(self, size: int = 3_000) -> str:
        """The end of what the job printed."""
        return self.log.read_text(errors="replace")[-size:]

    def check(self) -> None:
        """Raises if the job has ended."""
        if (code := self._process.poll()) is not None:
            raise JobFailedError(f"the job ended with code {code}")

    def cpu_seconds(self) -> float:
        """CPU seconds of the tree so far, ended and waited-for children included; notes memory too."""
        ticks = pages = 0
        for stat in self._tree().values():
            ticks += sum(int(stat[i]) for i in (11, 12, 13, 14))
            pages += int(stat[21])
        self.peak_rss = max(self.peak_rss, pages * _PAGE)
        return ticks / _TICK

    def memory(self) -> tuple[int, int]:
        """Resident bytes now: of the processes' own, and of mapped files, which the kernel can drop at any time."""
        own = mapped = 0
        for pid in self._tree():
            with suppress(FileNotFoundError, ProcessLookupError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
                own += kib["RssAnon"] * 1024
                mapped += (kib["RssFile"] + kib["RssShmem"]) * 1024
        return own, mapped

    def pause(self) -> None:
        """Lets the tree do nothing until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a pause."""
        self._signal(signal.SIGCONT)

    def stop(self, patience: float = 30.0) -> None:
        """SIGTERM to the whole tree, SIGKILL to what is left after `patience` seconds."""
        for sig, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
            if self._end(sig, wait):
                return
        raise RuntimeError("the job could not be stopped")

    def kill(self) -> None:
        """SIGKILL to the whole tree."""
        if not self._end(signal.SIGKILL, 10.0):
            raise RuntimeError("the job could not be killed")

    def _end(self, sig: signal.Signals, wait: float) -> bool:
        deadline = time.monotonic() + wait
        self._signal(sig)
        while time.monotonic() < deadline:
            self._process.poll()
            if not self._tree():
                return True
            time.sleep(0.05)
        return False

    def _signal(self, sig: signal.Signals) -> None:
        for pid in self._tree():
            with suppress(ProcessLookupError):
                os.kill(pid, sig)

    def _tree(self) -> dict[int, list[str]]:
        """Per live process of the job, the fields of /proc/PID/stat from the third on.

        The tree is the job's session and all descendants of its members.
        """
        stats: dict[int, list[str]] = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                text = Path(entry.path, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = text[text.rindex(")") + 2 :].split()
            if fields[0] not in "ZX":
                stats[int(entry.name)] = fields
        root = self._process.pid
        members = {pid for pid, fields in stats.items() if pid == root or int(fields[3]) == root}
        grown = True
        while grown:
            children = {pid for pid, fields in stats.items() if int(fields[1]) in members} - members
            members |= children
            grown = bool(children)
        return {pid: stats[pid] for pid in members}
