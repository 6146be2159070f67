"""`orderflow topology`: flows described and validated."""

from __future__ import annotations

import click

from config.errors import ConfigurationError, Problem
from config.topology import load_topology, topology_names
from config.topology_text import describe_mermaid, describe_text


@click.group()
def topology() -> None:
    """Describe and validate flows."""


@topology.command()
@click.argument("flows", metavar="[FLOW|FILE]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(["text", "mermaid"]), default="text", show_default=True)
def describe(flows: tuple[str, ...], form: str) -> None:
    """Print what flows read, do and write; all that ship with us if none is named."""
    write = describe_mermaid if form == "mermaid" else describe_text
    click.echo("\n\n".join(write(load_topology(flow)) for flow in flows or topology_names()))


@topology.command()
@click.argument("flows", metavar="[FLOW|FILE]...", nargs=-1)
def validate(flows: tuple[str, ...]) -> None:
    """Check flows and print every problem with file and line; all that ship with us if none is named."""
    from flows.catalog import OPERATORS
    from flows.compile import load

    problems: list[Problem] = []
    for flow in flows or topology_names():
        try:
            load(flow, OPERATORS)
        except ConfigurationError as error:
            problems.extend(error.problems)
        else:
            click.echo(f"{flow}: valid")
    if problems:
        raise ConfigurationError(problems)
