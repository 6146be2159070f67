"""`orderflow config`: the configuration in force, and the reference of all settings."""

from __future__ import annotations

import os

import click

from cli.session import Session
from config.reference import reference_markdown, shown_value
from config.settings import load_settings_and_places, options


@click.group()
def config() -> None:
    """Show the configuration in force, or its reference."""


@config.command()
@click.pass_obj
def show(session: Session) -> None:
    """Print every setting in force as YAML, with where it was given; secrets are hidden."""
    import yaml

    settings, places = load_settings_and_places(session.config_file, os.environ)
    section = ""
    for item in options():
        if item.section != section:
            section = item.section
            click.echo(f"{section}:")
        value = yaml.safe_dump(shown_value(item, settings), default_flow_style=True, width=1_000)
        text = value.removesuffix("\n...\n").rstrip("\n")
        click.echo(f"  {item.name}: {text}  # {places.get(item.path, 'default')}")


@config.command()
def reference() -> None:
    """Print the reference of all settings as Markdown."""
    click.echo(reference_markdown(), nl=False)
