"""The command as its users call it, on an embedded log of its own."""

import logging

import pytest
import structlog
from click.testing import CliRunner

from broker.embedded import EmbeddedLog
from cli.main import main


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
