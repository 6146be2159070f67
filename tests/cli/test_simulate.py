"""`orderflow simulate` where something is missing: topics, a risk check, or that nobody else does the same."""

from __future__ import annotations

import signal
import time


def test_without_topics_it_says_how_to_create_them(run):
    result = run("simulate", "--orders", 1)
    assert result.exit_code == 2
    assert "orders.input" in result.stderr
    assert "orderflow topics create" in result.stderr


def test_without_a_risk_check_it_says_what_it_waits_for_and_gives_up(run, monkeypatch, tmp_path):
    assert run("topics", "create").exit_code == 0
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setattr("services.patience.LOOK_EVERY_S", 0.1)
    result = run("simulate", "--orders", 3, "--until-done", "--give-up", 0.5)
    assert result.exit_code == 1
    assert "waiting: risk_check has got no further" in result.stderr
    assert "error: given up: risk_check" in result.stderr
    assert "orderflow run risk_check" in result.stderr


def test_a_second_one_beside_that_of_up_is_refused(run, start, tmp_path, monkeypatch):
    assert run("topics", "create").exit_code == 0
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))
    up, lock = start("up", "--simulate"), tmp_path / "state" / "simulation" / "lock"
    while not (lock.exists() and lock.read_text()):
        assert up.poll() is None, up.stderr.read()
        time.sleep(0.05)
    result = run("simulate", "--orders", 1)
    assert result.exit_code == 1
    told = f"a simulated order engine and venue runs on this host already, with the same state folder {tmp_path}"
    assert told in result.stderr
    assert f"process {up.pid}, since" in result.stderr
    assert run("consume", "orders.input", "--until-end").stdout == ""
    up.send_signal(signal.SIGTERM)
    _, errors = up.communicate(timeout=60)
    assert up.returncode == 0, errors
