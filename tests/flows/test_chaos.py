"""Crashes on purpose come from the environment, where it asks for them, and end when it says so."""

import os
import signal
from pathlib import Path
from random import Random

import pytest

from config import crash_points
from config.crash_points import CrashPoint
from config.errors import ConfigurationError
from flows.chaos import Crash, hook, install_from, parse


def test_points_probabilities_and_actions_are_read() -> None:
    assert parse("commit.before:0.02, store.flushed:1:stop") == {
        CrashPoint.COMMIT_BEFORE: Crash(0.02, signal.SIGKILL),
        CrashPoint.STORE_FLUSHED: Crash(1.0, signal.SIGSTOP),
    }


@pytest.mark.parametrize("text", ["nowhere:1", "commit.before", "commit.before:often", "commit.before:1:faint"])
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ORDERFLOW_CRASH"):
        install_from({"ORDERFLOW_CRASH": text})


def test_without_the_variable_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_points, "install", lambda _hook: pytest.fail("a hook was installed"))
    install_from({"ORDERFLOW_CRASH_SEED": "1"})


def test_a_crash_is_noted_before_it_happens_and_their_number_is_bounded(tmp_path: Path) -> None:
    ended: list[signal.Signals] = []
    log = tmp_path / "crashes"
    crashes = {CrashPoint.COMMIT_BEFORE: Crash(1.0, signal.SIGKILL), CrashPoint.FENCED: Crash(0.0, signal.SIGKILL)}
    reach = hook(crashes, Random(1), log=log, crashes_max=2, end=ended.append)
    for point in [CrashPoint.LANE_EMITTED, CrashPoint.FENCED, *[CrashPoint.COMMIT_BEFORE] * 3]:
        reach(point)
    assert ended == [signal.SIGKILL] * 2
    assert log.read_text() == f"commit.before {os.getpid()}\n" * 2
