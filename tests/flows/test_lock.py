"""One process of a flow at a time on a host: who is second is refused, and a lock goes with its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import AlreadyRunningError, StoreError
from flows.lock import only_one
from flows.supervisor import SUPERVISOR_VARIABLE

HOLD = """
import os, sys, time
from pathlib import Path
from flows.lock import only_one
with only_one(Path(sys.argv[1]), "it", os.environ):
    print("holds", flush=True)
    time.sleep(60)
"""


def attempt(folder: Path, what: str = "f", patience_s: float = 0.0) -> None:
    with only_one(folder, what, {}, patience_s=patience_s):
        pass


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
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        with pytest.raises(AlreadyRunningError, match=f"process {holder.pid}, "):
            attempt(tmp_path)
        holder.send_signal(signal.SIGKILL)
        attempt(tmp_path, patience_s=60)


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
