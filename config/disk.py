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


def says_full(error: Exception) -> bool:
    """Whether an error of the file system, or of what works on it, may come from a full disk."""
    return any(reason in str(error) for reason in _FULL)


def space_at(path: Path | str) -> str:
    """How much space there is on the disk under a path, in words."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError as error:
        return f"how much is free is not known: {error.strerror}"
    return f"{usage.free / _MEGABYTE:.1f} MB of {usage.total / _MEGABYTE:.1f} MB are free"
