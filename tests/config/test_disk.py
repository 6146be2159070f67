"""A full disk is told with the space there is, also where the path is yet to be made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from config.disk import says_full, space_at


def test_space_is_that_of_the_disk_under_the_path_or_under_what_is_there_of_it(tmp_path: Path) -> None:
    total = os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    for path in (tmp_path, tmp_path / "not" / "yet" / "there"):
        assert f" MB of {total / 1e6:.1f} MB are free" in space_at(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_what_a_full_disk_can_be_reported_as(code: int) -> None:
    assert says_full(OSError(code, os.strerror(code)))
    assert not says_full(OSError(errno.EACCES, os.strerror(errno.EACCES)))
