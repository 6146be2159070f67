"""The command reports errors as messages and exit codes, and loads only what it needs."""

import subprocess
import sys

import click
import click.testing
import pytest

from cli.main import COMMANDS, LazyGroup
from config.errors import BrokerUnavailableError, ConfigurationError, Problem, UsageError


def failing(error):
    @click.group(cls=LazyGroup, invoke_without_command=True)
    def group():
        raise error

    return group


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("no such thing"), 2, "error: no such thing\n"),
        (ConfigurationError([Problem("a", "f.yaml", 3), Problem("b")]), 2, "error: f.yaml:3: a\nerror: b\n"),
        (BrokerUnavailableError("the log is away"), 1, "error: the log is away\n"),
    ],
)
def test_our_errors_become_messages_and_exit_codes(error, code, message):
    result = click.testing.CliRunner().invoke(failing(error), [])
    assert (result.exit_code, result.stderr, result.stdout) == (code, message, "")


def test_an_interrupt_ends_with_130():
    assert click.testing.CliRunner().invoke(failing(KeyboardInterrupt()), []).exit_code == 130


def test_an_unknown_command_is_an_error_of_usage(run):
    assert run("prodoose").exit_code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded_and_explains_itself(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'bytewax', 'confluent_kafka', 'fastavro', 'lmdb', 'numpy', 'pyarrow', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert [name for name in COMMANDS if name not in result.stdout] == []
    assert result.stderr == "[]\n"


def test_wrong_settings_stop_every_command_before_it_starts(run, tmp_path):
    file = tmp_path / "orderflow.yaml"
    file.write_text("log: {kind: kafka}\n")
    result = run("--config", file, "topics", "create")
    assert result.exit_code == 2
    assert result.stderr == f"error: {file}:1: log.kind is kafka, so kafka.bootstrap_servers must be given\n"
