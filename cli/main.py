"""The `orderflow` command itself: its groups, its global options, and how errors become exit codes.

Exit codes are those of the error classes in `config/errors.py`; README.md says what they mean to a caller. Standard
output carries results only.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import click

from cli.session import Session
from config.errors import OrderflowError


@dataclass(frozen=True, slots=True)
class Entry:
    """One command or group: where it is and what the list of commands says of it."""

    target: str
    help: str


COMMANDS: Final = {
    "demo": Entry("cli.demo:demo", "Play a simulated day through the whole pipeline."),
    "up": Entry("cli.up:up", "Run all flows, supervised."),
    "run": Entry("cli.run:run", "Run a flow."),
    "query": Entry("cli.query:query", "Ask the views: positions, timelines, dashboard, alerts."),
    "simulate": Entry("cli.simulate:simulate", "Run a simulated order engine and venue."),
    "import": Entry("cli.imports:import_", "Import market data files and FIX logs."),
    "produce": Entry("cli.produce:produce", "Write JSON lines to a topic."),
    "consume": Entry("cli.consume:consume", "Read a topic as JSON lines."),
    "topology": Entry("cli.topology:topology", "Describe and validate flows."),
    "dlq": Entry("cli.dlq:dlq", "Look at dead letters."),
    "risk": Entry("cli.risk:risk", "Halt, resume and limit trading; show exposure and limits used."),
    "reference": Entry("cli.reference:reference", "Publish and show limits, symbols, accounts and locates."),
    "topics": Entry("cli.topics:topics", "Create and list topics."),
    "schemas": Entry("cli.schemas:schemas", "Check, register and list schemas."),
    "config": Entry("cli.config:config", "Show the configuration in force, or its reference."),
}
"""Every command by name. A module is imported when its command is called, which keeps `--help` fast."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is called, and turns our errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table instead of from the imported commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command called; errors of ours end it with a message and their exit code, no traceback."""
        try:
            return super().invoke(ctx)
        except OrderflowError as error:
            raise _ReportedError(error) from error
        except KeyboardInterrupt:
            ctx.exit(130)


class _ReportedError(click.ClickException):
    """One of our errors on its way to the person at the terminal."""

    def __init__(self, error: OrderflowError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a class attribute in click, here it depends on the error
        """The error's own."""
        return self.error.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"error: {line}", file=file, err=file is None)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="ORDERFLOW_CONFIG",
    help="YAML file of settings; variables ORDERFLOW__SECTION__KEY override it.",
)
@click.version_option(package_name="orderflow", message="%(version)s")
@click.pass_context
def main(context: click.Context, config_file: Path | None) -> None:
    """Orders, their statuses, executions, positions and risk, exactly once."""
    context.obj = Session(config_file)
