"""Named places in the commit and restore protocols where a crash would hurt most; tests install a hook to die there.

A hook is a plain function of the point's name. Without one, reaching a point costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """Where a flow can be made to die; the comment at each call says what a crash there costs."""

    LANE_EMITTED = "lane.emitted"
    KERNEL_PROCESSED = "kernel.processed"
    STORE_FLUSHING = "store.flushing"
    STORE_FLUSHED = "store.flushed"
    CATCH_UP_STARTED = "catch_up.started"
    CATCH_UP_APPLIED = "catch_up.applied"
    FENCED = "commit.fenced"
    COMMIT_SENDING = "commit.sending"
    COMMIT_BEFORE = "commit.before"
    COMMIT_AFTER = "commit.after"


_hook: Callable[[CrashPoint], None] | None = None


def install(hook: Callable[[CrashPoint], None] | None) -> None:
    """Calls `hook` at every crash point from now on, in this process; None removes it."""
    global _hook
    _hook = hook


def reach(point: CrashPoint) -> None:
    """Marks that execution got here."""
    if _hook is not None:
        _hook(point)
