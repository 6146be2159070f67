"""The development broker: installed once, started once, stopped by whoever asks."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from broker.contract import TopicSpec
from broker.kafka import KafkaLog
from broker.server import __main__ as command_line
from broker.server.server import ensure_installed, running, start
from config.errors import BrokerUnavailableError, ConfigurationError

ROOT = Path(__file__).parents[3]


def test_missing_java_and_maven_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="java and mvn not found"):
        ensure_installed(tmp_path)


def test_nothing_runs_where_nothing_was_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert running(tmp_path, tools_dir=tmp_path) is None
    assert command_line.main(["status", "--data", str(tmp_path)]) == 1
    assert command_line.main(["stop", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "no broker is running\nno broker is running\n")


def test_a_process_number_that_now_belongs_to_another_program_is_no_broker(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / "broker.pid").write_text(str(other.pid))
        (tmp_path / "server.properties").write_text("")
        assert running(tmp_path, tools_dir=tmp_path) is None
        other.communicate(b"\n")


def test_a_failed_installation_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in {"java": "exit 0", "mvn": "echo no network; exit 1"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    with pytest.raises(BrokerUnavailableError, match="no network"):
        ensure_installed(tmp_path / "tools")
    assert [path.name for path in (tmp_path / "tools").iterdir()] == ["install.lock"]


@pytest.mark.kafka
def test_start_status_and_stop_work_across_processes_and_keep_data(tmp_path: Path, kafka_tools_dir: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "broker.server", *arguments]
        options = ["--data", str(tmp_path / "kafka"), "--tools", str(kafka_tools_dir)]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    code, address, _ = run("start", "--port", "0")
    assert code == 0
    try:
        with closing(KafkaLog(address).admin()) as admin:
            admin.create_topics([TopicSpec("kept", 1)])
        code, again, said = run("start", "--port", "0")
        assert (code, again) == (0, address)
        assert said.startswith("already running as process ")
        assert run("status") == (0, address, "")
    finally:
        assert run("stop") == (0, "", "stopped")
    assert run("status")[0] == 1
    broker = start(tmp_path / "kafka", tools_dir=kafka_tools_dir)
    try:
        with closing(KafkaLog(broker.bootstrap).admin()) as admin:
            assert admin.topics() == {"kept": 1}
    finally:
        broker.stop()
