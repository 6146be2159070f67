"""`orderflow demo` from end to end."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing, suppress

import psutil
import pytest

from broker.contract import TopicPartition
from broker.embedded import EmbeddedLog


def summary_of(process, timeout_s=120):
    output, errors = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, errors
    (line,) = output.splitlines()
    return json.loads(line)


def test_the_last_line_is_a_summary_with_an_exact_verdict(start, tmp_path):
    process = start("demo", "--orders", 300, "--rate", 0, "--exit", "--folder", tmp_path / "demo")
    summary = summary_of(process)
    assert summary["exact"]
    assert summary["verdict"]["counts"]["orders"] >= 290
    checks = summary["verdict"]["checks"]
    assert all(check["compared"] for check in checks.values())
    counts = summary["counts"]
    assert counts["children"] > counts["parents"] > 0
    assert counts["alerts"] >= 6 > counts["open_alerts"] > 0
    assert counts["anomalies"] > 0
    assert counts["approved"] + counts["rejected"] == counts["intents"] > 300
    assert summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert (tmp_path / "demo" / "logs" / "views.log").exists()


@pytest.mark.kills
def test_killed_processes_are_restarted_and_the_verdict_is_exact_all_the_same(start, tmp_path):
    process = start("demo", "--orders", 300, "--rate", 100, "--exit", "--folder", tmp_path / "demo")
    _wait_for_child(process.pid, "simulate")
    log = EmbeddedLog(tmp_path / "demo" / "log")
    for fills, victim in ((100, "order_status"), (250, "simulate"), (400, "views")):
        _wait_for_fills(log, fills)
        os.kill(_wait_for_child(process.pid, victim), signal.SIGKILL)
    summary = summary_of(process)
    assert summary["exact"], summary["verdict"]["differences"]
    assert summary["restarts"] == 3


def test_several_workers_per_flow_are_exact_too(start, tmp_path):
    process = start("demo", "--orders", 200, "--rate", 0, "--exit", "--workers", 2, "--folder", tmp_path / "demo")
    assert summary_of(process)["exact"]


def test_without_exit_it_runs_on_after_the_summary_and_leaves_nothing_behind(start, environment, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment["TMPDIR"] = str(temporary)
    process = start("demo", "--orders", 50, "--rate", 0)
    assert json.loads(process.stdout.readline())["exact"]
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "orderflow query positions" in errors
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert list(temporary.iterdir()) == []


def test_interrupted_before_the_verdict_it_fails_and_cleans_up(start, environment, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment["TMPDIR"] = str(temporary)
    process = start("demo", "--orders", 100_000, "--rate", 10, "--exit")
    child = _wait_for_child(process.pid, "views")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert not psutil.pid_exists(child)
    assert list(temporary.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(run, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "precious").write_text("data")
    result = run("demo", "--exit", "--folder", folder)
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert [file.name for file in folder.iterdir()] == ["precious"]


def _wait_for_child(pid, word, timeout_s=30.0):
    """The process id of the child whose command line has the word."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children(recursive=True):
            # One that was killed a moment ago has no command line any more.
            with suppress(psutil.NoSuchProcess):
                if any(word in argument for argument in child.cmdline()):
                    return child.pid
        time.sleep(0.02)
    raise AssertionError(f"no child with {word} in its command line")


def _wait_for_fills(log, count, timeout_s=60.0):
    """Waits until so many fills are enriched."""
    deadline = time.monotonic() + timeout_s
    with closing(log.admin()) as admin:
        while time.monotonic() < deadline:
            partitions = [TopicPartition("orders.enrichment", n) for n in range(4)]
            if "orders.enrichment" in admin.topics() and sum(admin.ends(partitions).values()) >= count:
                return
            time.sleep(0.02)
    raise AssertionError(f"there are no {count} fills")
