"""`orderflow import fix`: a desk runs its engine's log through the flows, and reads timelines and positions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
FIX_42 = DATA / "DESK-XNYS_FIX.4.2_2026-11-19.messages.log"
FIX_44 = DATA / "fix-engine_2026-11-20.log"


@pytest.fixture
def topics(run):
    assert run("topics", "create").exit_code == 0


def rows(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def quantities(result):
    return {(row["accountId"], row["symbol"]): row["quantity"] for row in rows(result)}


def test_two_days_of_a_desk_run_through_the_flows(topics, run, start, monkeypatch, tmp_path):
    for file in (FIX_42, FIX_44):
        [summary] = rows(run("import", "fix", file))
        assert summary["dead_letters"] == summary["malformed"]
    for flow in ("order_status", "views"):
        process = start("run", flow, "--until-end")
        assert process.wait(timeout=90) == 0, process.stderr.read()
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))
    positions = quantities(run("query", "positions", "--format", "json"))
    # What the fills of the logs add up to; the resent fill of A1 counts once.
    assert positions["ALPHA", "IBM"] == 1000 + 250
    assert positions["ALPHA", "MSFT"] == -350
    timeline = rows(run("query", "timeline", "ALPHA|A2", "--format", "json"))
    assert timeline
    assert "jdoe" not in str(timeline)
    letters = rows(run("dlq", "list", "--format", "json"))
    assert {letter["headers"]["orderflow.flow"] for letter in letters} == {"import"}
    assert len(letters) == 5


def test_the_dead_letter_of_a_cut_off_message_can_be_looked_at(topics, run):
    rows(run("import", "fix", FIX_42, "--name", "desk.log"))
    [letter] = [each for each in rows(run("dlq", "list", "--format", "json")) if "cut off" in str(each)]
    shown = run("dlq", "show", letter["source"])
    assert shown.exit_code == 0
    assert "8=FIX.4.2" in shown.stdout
    assert letter["source"].startswith("desk.log-0-")


def test_importing_a_log_again_changes_nothing(topics, run, start, monkeypatch, tmp_path):
    for _ in range(2):
        rows(run("import", "fix", FIX_44))
    for flow in ("order_status", "views"):
        process = start("run", flow, "--until-end")
        assert process.wait(timeout=90) == 0, process.stderr.read()
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))
    positions = quantities(run("query", "positions", "--format", "json"))
    assert positions["ALPHA", "IBM"] == 250


def test_standard_input_is_a_log_too(topics, run):
    [summary] = rows(run("import", "fix", "-", stdin=FIX_44.read_bytes()))
    [of_file] = rows(run("import", "fix", FIX_44))
    assert summary["executions"] == of_file["executions"] == 20


def test_without_the_topic_of_dead_letters_it_says_how_to_create_it(run):
    result = run("import", "fix", FIX_44)
    assert result.exit_code == 2
    assert "orders.dlq" in result.stderr
    assert "orderflow topics create" in result.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "only nothing"),
        (b"09:30:01 session up\n09:30:02 heartbeat sent\n", "2 line(s) of other text"),
        (b"8=FIX.4.4|9=60|35=D|11=A1\n", "1 damaged piece(s), the first: line 1: it is cut off"),
    ],
    ids=["empty", "text", "damaged"],
)
def test_a_file_without_a_fix_message_is_a_failure_that_says_what_it_has(topics, run, tmp_path, content, told):
    file = tmp_path / "engine.log"
    file.write_bytes(content)
    result = run("import", "fix", file)
    assert result.exit_code == 1
    assert f"{file}: there is no FIX message in it" in result.stderr
    assert told in result.stderr
    summary = json.loads(result.stdout)
    assert summary["executions"] == summary["statuses"] == summary["intents"] == 0
    letters = run("dlq", "list", "--flow", "import").stdout.splitlines()[1:]
    assert len(letters) == summary["dead_letters"] == summary["malformed"]
    assert ("dlq list" in result.stderr) == bool(letters)


def test_a_counterparty_that_no_session_has_is_a_failure(topics, run):
    result = run("import", "fix", FIX_44, "--counterparty", "NOBODY")
    assert result.exit_code == 1
    assert "messages is of a session with the --counterparty given" in result.stderr
