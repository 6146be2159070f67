"""`orderflow reference`: limits, instruments, accounts and locates, published to the log and shown."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cli.session import with_settings
from config.settings import Settings
from flows.connect import open_codec, open_log, open_schemas
from services import reference as service

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def reference() -> None:
    """Publish and show limits, symbols, accounts and locates."""


@reference.command()
@click.option(
    "--limits", type=_FILE, default=service.LIMITS_FILE, help="Risk limits.  [default: those that ship with us]"
)
@click.option(
    "--symbols", type=_FILE, default=service.SYMBOLS_FILE, help="Instruments.  [default: those that ship with us]"
)
@click.option("--accounts", type=_FILE, help="Accounts with owner, desk and self-trade group.  [default: none]")
@click.option("--locates", type=_FILE, help="Locates for short sales.  [default: none]")
@with_settings
def publish(settings: Settings, limits: Path, symbols: Path, accounts: Path | None, locates: Path | None) -> None:
    """Publish risk limits, instruments, accounts and locates; reference prices count as those of now.

    Running flows follow within an epoch. What is published again replaces what was known of the same scope, symbol,
    account or locate.
    """
    published = service.publish(
        open_log(settings),
        open_codec(settings, service.TOPICS),
        occurred_at=time.time_ns() // 1_000,
        limits_file=limits,
        symbols_file=symbols,
        accounts_file=accounts,
        locates_file=locates,
        client_id=settings.application.client_id_of("orderflow", "reference"),
    )
    for topic, count in published.items():
        click.echo(f"{topic}: {count} published", err=True)


@reference.command()
@with_settings
def show(settings: Settings) -> None:
    """Print the limits, instruments, accounts and locates in force as JSON lines."""
    from operators.codec.json_form import dumps, to_json

    log, codec = open_log(settings), open_codec(settings, service.TOPICS)
    for topic in service.TOPICS:
        schema = open_schemas(settings).latest(f"{topic}-value").document
        for record in service.read(log, codec, topic).values():
            click.echo(dumps(to_json(schema, record)))
