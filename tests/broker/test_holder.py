"""Who held a transactional id before is told if it may live, and not if it is known to have ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from broker.holder import Holder, announce, decoded, encoded, taken_over, this_holder

HERE = socket.gethostname()


def told(before: Holder | None) -> list[str]:
    with capture_logs() as logs:
        announce("flow", before)
    return [line["log_level"] for line in logs]


def test_a_holder_is_read_back_from_what_the_log_keeps() -> None:
    holder = this_holder()
    assert (holder.pid, holder.host) == (os.getpid(), HERE)
    assert decoded(encoded(holder)) == holder


@pytest.mark.parametrize("kept", [None, b"", "", "set by another tool", b"\xff", "{}"])
def test_what_is_no_holder_is_none(kept: bytes | str | None) -> None:
    assert decoded(kept) is None


def test_who_may_live_is_told_and_who_has_ended_is_not() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert told(Holder(ended.pid, HERE, "2026")) == []
    assert told(Holder(os.getpid(), HERE, "2026")) == [], "a process that was there before a container started anew"
    assert told(Holder(os.getppid(), HERE, "2026")) == ["warning"]
    assert told(Holder(1, "another-host", "2026")) == ["info"]
    assert told(None) == []


def test_without_knowing_who_took_over_the_rest_is_told() -> None:
    mine = Holder(1, "a", "2026")
    assert taken_over("flow", mine=mine, newest=None).startswith("transactional id flow was taken over. This one (")
