"""What a full disk looks like, and what is told of it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

# LMDB reports a write that the file system took only in part as EIO, so a full disk shows as any of these.
_FULL: Final = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))
_MEGABYTE: Final = 1_000_000
_ROOM_BYTES: Final = 256 * 1024


def says_full(error: Exception) -> bool:
    """Whether an error of the file system, or of what works on it, may come from a full disk."""
    return any(reason in str(error) for reason in _FULL)


def require_space(path: Path | str) -> None:
    """`OSError` with ENOSPC if the disk has no room for a new, empty environment of LMDB at a path.

    LMDB writes its lock file through memory, so that a disk with no room for it would kill the process by SIGBUS.
    """
    lock = Path(path) / "lock.mdb"
    is_there = lock.exists() and lock.stat().st_blocks > 0  # one that was cut off by a full disk has a size only
    if not is_there and shutil.disk_usage(_existing(path)).free < _ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def space_at(path: Path | str) -> str:
    """How much space there is on the disk under a path, in words."""
    try:
        usage = shutil.disk_usage(_existing(path))
    except OSError as error:
        return f"how much is free is not known: {error.strerror}"
    return f"{usage.free / _MEGABYTE:.1f} MB of {usage.total / _MEGABYTE:.1f} MB are free"


def _existing(path: Path | str) -> Path:
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    return place
