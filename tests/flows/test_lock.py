"""One process of a flow at a time on a host: who is second is refused, and a lock goes with its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog.testing

from config.errors import AlreadyRunningError, StoreError
from flows import lock
from flows.lock import is_dying, only_one
from flows.supervisor import SUPERVISOR_VARIABLE

HOLD = """
import os, sys, time
from pathlib import Path
from flows.lock import only_one
with only_one(Path(sys.argv[1]), "it", os.environ):
    print("holds", flush=True)
    time.sleep(60)
"""


def attempt(
    folder: Path,
    what: str = "f",
    patience_s: float = 0.0,
    with_ending_s: float = 0.0,
    environment: Mapping[str, str] | None = None,
) -> None:
    with only_one(folder, what, environment or {}, patience_s=patience_s, patience_with_ending_s=with_ending_s):
        pass


@contextmanager
def held(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "holds\n"
            yield holder
        finally:
            holder.kill()


def when_waiting(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Has something happen each time that a process waits for the lock."""
    monkeypatch.setattr(lock, "time", type("Time", (), {"monotonic": time.monotonic, "sleep": lambda _: call()}))


def test_a_second_one_is_refused_with_who_is_first_and_what_to_do(tmp_path: Path) -> None:
    with only_one(tmp_path / "flow", "the flow f", {}):
        with pytest.raises(AlreadyRunningError) as caught:
            attempt(tmp_path / "flow", "the flow f")
        assert f"the flow f runs on this host already, with the same state folder {tmp_path}: " in str(caught.value)
        assert f"process {os.getpid()}, since 20" in str(caught.value)
    attempt(tmp_path / "flow", "the flow f")


def test_of_a_supervised_process_the_supervisor_is_the_one_to_end(tmp_path: Path) -> None:
    with (
        only_one(tmp_path, "f", {SUPERVISOR_VARIABLE: "4242"}),
        pytest.raises(AlreadyRunningError, match="process 4242, since"),
    ):
        attempt(tmp_path)


def test_other_folders_have_other_locks(tmp_path: Path) -> None:
    with only_one(tmp_path / "a", "a", {}):
        attempt(tmp_path / "b")


def test_a_lock_goes_with_its_process_however_that_ends_and_is_waited_for(tmp_path: Path) -> None:
    with held(tmp_path) as holder:
        with pytest.raises(AlreadyRunningError, match=f"process {holder.pid}, "):
            attempt(tmp_path)
        holder.send_signal(signal.SIGKILL)
        attempt(tmp_path, patience_s=60)


def test_who_waits_says_for_whom_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    with held(tmp_path) as holder, structlog.testing.capture_logs() as logs:
        when_waiting(monkeypatch, lambda: (looks.append(1), len(looks) == 3 and holder.kill()))
        attempt(tmp_path, "the flow f", patience_s=60)
    assert len(looks) >= 3
    [line] = logs
    assert (line["event"], line["what"]) == ("waiting for another process to end", "the flow f")
    assert line["holder"].startswith(f"process {holder.pid}, since 20")


def test_a_predecessor_under_the_same_supervisor_is_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor starts one after another, so the one before is about to be gone."""
    mine = {SUPERVISOR_VARIABLE: str(os.getpid())}
    with held(tmp_path, **mine) as holder:
        other = {SUPERVISOR_VARIABLE: "1"}
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}, "):
            attempt(tmp_path, with_ending_s=60, environment=other)
        when_waiting(monkeypatch, holder.kill)
        attempt(tmp_path, with_ending_s=60, environment=mine)


def test_a_process_whose_supervisor_is_gone_is_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as supervisor:
        supervisor.wait()
    with held(tmp_path, **{SUPERVISOR_VARIABLE: str(supervisor.pid)}) as holder:
        when_waiting(monkeypatch, holder.kill)
        attempt(tmp_path, with_ending_s=60)


def test_a_killed_process_is_dying_until_it_is_cleared_away_and_a_living_one_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        assert not is_dying(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: nobody has taken its exit code
        assert is_dying(process.pid)
        process.wait()
    assert is_dying(process.pid)


def test_on_a_full_disk_the_lock_holds_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with (
        only_one(tmp_path, "f", {}),
        pytest.raises(AlreadyRunningError, match="a process that has just started"),
    ):
        attempt(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/flow: cannot be written to: Not a directory"):
        attempt(tmp_path / "file" / "flow")
