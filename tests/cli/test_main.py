"""The command reports errors as messages and exit codes, and loads only what it needs."""

import signal
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import pytest

from cli.main import COMMANDS, LazyGroup
from config.errors import BrokerUnavailableError, ConfigurationError, OrderflowError, Problem, UsageError


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


def test_the_readme_has_the_exit_codes_of_all_our_errors():
    def classes(root):
        return {root.exit_code}.union(*(classes(each) for each in root.__subclasses__()))

    table = (
        (Path(__file__).parents[2] / "README.md").read_text().partition("| exit code | means |")[2].partition("\n\n")[0]
    )
    told = {int(row.split("|")[1]) for row in table.splitlines()[2:]}
    assert classes(OrderflowError) | {0, 130, 128 + signal.SIGTERM} == told
