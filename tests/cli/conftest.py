"""The command as its users call it, on an embedded log of its own."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

import config
from broker.embedded import EmbeddedLog
from cli.main import main
from config.settings import Settings
from flows.connect import open_codec
from services.day import generate_events
from services.progress import GroupProgress
from services.truth_fees import FeeTable
from services.verdict import verify

FEES_FILE = Path(config.__file__).parent / "fees" / "us_equities.yaml"


@pytest.fixture
def log_path(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def log(log_path):
    return EmbeddedLog(log_path)


@pytest.fixture
def run(log_path, monkeypatch):
    """Calls `orderflow` with arguments, and standard input if there is some; the result has exit code and outputs."""
    monkeypatch.setenv("ORDERFLOW__LOG__PATH", str(log_path))
    monkeypatch.setenv("ORDERFLOW__LOGS__LEVEL", "error")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments, stdin=None):
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    logging.captureWarnings(False)


@pytest.fixture
def environment(tmp_path, log_path):
    """Environment variables under which a process works on the log and stores of this test."""
    return {
        **os.environ,
        "ORDERFLOW__LOG__PATH": str(log_path),
        "ORDERFLOW__STATE__DIR": str(tmp_path / "state"),
        "ORDERFLOW__LOGS__LEVEL": "warning",
    }


@pytest.fixture
def start(environment):
    """Starts a Python program, by default `orderflow`, in a process of its own that does not outlive the test."""
    processes = []
    # What a shell runs in the background ignores Ctrl-C, and so do its children unless someone here takes it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments, module="cli"):
        command = [sys.executable, "-m", module, *[str(argument) for argument in arguments]]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def caught_up(log):
    """Waits until a group has read everything on its topics."""

    def wait(group, *topics, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        with GroupProgress(log, "test") as progress:
            while not progress.has_caught_up(group, topics):
                assert time.monotonic() < deadline, f"{group} is {progress.lag(group, topics)} records behind"
                time.sleep(0.05)

    return wait


@pytest.fixture
def write_events(log, run):
    """Creates the topics and writes a day's engine statuses and executions of so many orders."""

    def write(orders, seed=1):
        assert run("topics", "create").exit_code == 0
        codec = open_codec(Settings(), ["orders.status", "orders.executions"])
        transaction = log.transaction("events", "events")
        transaction.begin()
        for topic, record in generate_events(orders, seed):
            (value,) = codec.encode_records(topic, [record])
            transaction.send(topic, record["key"].encode(), value)
        transaction.commit({})
        transaction.close()

    return write


@pytest.fixture
def verdict(log):
    """What the verdict says of the order_status flow's outputs."""

    def judge():
        codec = open_codec(Settings(), ["orders.status", "orders.executions", "orders.enrichment"])
        return verify(log, codec, FeeTable.load(FEES_FILE))

    return judge
