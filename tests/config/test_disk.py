"""A full disk is told with the space there is, also where the path is yet to be made."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from broker.embedded import EmbeddedLog
from config.disk import require_space, says_full, space_at
from config.errors import LogFullError
from operators.state.store import KeyGroupStore


class Usage(NamedTuple):
    """As much of a disk as is asked for."""

    free: int
    total: int


def test_space_is_that_of_the_disk_under_the_path_or_under_what_is_there_of_it(tmp_path: Path) -> None:
    total = os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    for path in (tmp_path, tmp_path / "not" / "yet" / "there"):
        assert f" MB of {total / 1e6:.1f} MB are free" in space_at(path)


def test_a_disk_without_room_is_refused_before_anything_is_mapped_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_space(tmp_path / "not" / "yet")
    EmbeddedLog(tmp_path / "there").admin().close()
    (tmp_path / "cut").mkdir()
    with (tmp_path / "cut" / "lock.mdb").open("wb") as cut:
        cut.truncate(8_192)
    monkeypatch.setattr("config.disk.shutil.disk_usage", lambda _: Usage(free=100_000, total=8_000_000))
    require_space(tmp_path / "there")  # a log on a full disk can still be read
    with pytest.raises(OSError, match="No space left on device"):
        require_space(tmp_path / "cut")
    with pytest.raises(OSError, match="No space left on device") as caught:
        require_space(tmp_path)
    assert says_full(caught.value)
    with pytest.raises(LogFullError, match=r"log is full .*0\.1 MB of 8\.0 MB are free"):
        EmbeddedLog(tmp_path / "log").admin()
    with pytest.raises(LogFullError, match=r"store: cannot be opened: .*0\.1 MB of 8\.0 MB are free\. Free some"):
        KeyGroupStore(tmp_path / "store", changelog="c")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_what_a_full_disk_can_be_reported_as(code: int) -> None:
    assert says_full(OSError(code, os.strerror(code)))
    assert not says_full(OSError(errno.EACCES, os.strerror(errno.EACCES)))
