"""`orderflow import`: files of real market data, and logs of FIX engines, become records on the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from cli.progress import bytes_progress
from cli.session import with_settings
from config.errors import NotFoundError
from config.settings import Settings
from config.topics import DEAD_LETTER_TOPIC
from flows.connect import open_codec, open_log, require_topics
from services.imports.common import (
    ACCOUNTS,
    EXECUTIONS_TOPIC,
    INTENT_TOPIC,
    OTHER_SESSION,
    OTHER_TEXT,
    STANDARD_INPUT,
    STATUS_TOPIC,
)

if TYPE_CHECKING:
    from services.imports.common import Batch, ImportSummary

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE_OR_STANDARD_INPUT = click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True)
_date = click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="Trade date.  [default: that in the file name]")
_accounts = click.option(
    "--accounts",
    type=click.IntRange(1, 1_000_000),
    default=ACCOUNTS,
    show_default=True,
    help="Accounts to spread orders over.",
)
_venue = click.option("--venue", default="XNAS", show_default=True, help="Market identifier code of the venue.")


@click.group(name="import")
def import_() -> None:
    """Import market data files and FIX logs, plain or .gz, into the topics of orders.

    Orders get accounts by a hash of their number. Repeating an import is harmless: the same file gives the same
    records, and order_status knows what it has seen. A summary is printed as one line of JSON. A file in which no
    message of its kind is found ends with exit code 1.

    Executions of days that the fee table does not cover become dead letters. To replay such days run order_status from
    a copy of its topology with the option `fees: free`, which charges nothing.
    """


@import_.command()
@click.argument("file", type=_FILE)
@_date
@click.option("--symbol", help="Symbol of the file.  [default: that in the file name]")
@_accounts
@_venue
@with_settings
def lobster(
    settings: Settings, file: Path, date: datetime | None, symbol: str | None, accounts: int, venue: str
) -> None:
    """Import a LOBSTER message file (lobsterdata.com)."""
    from services.imports import lobster as importer

    day = date.date() if date is not None else None
    _import(settings, file, "LOBSTER message", importer.read(file, day, symbol, accounts=accounts, venue=venue))


@import_.command()
@click.argument("file", type=_FILE)
@_date
@_accounts
@_venue
@with_settings
def itch(settings: Settings, file: Path, date: datetime | None, accounts: int, venue: str) -> None:
    """Import a NASDAQ TotalView-ITCH 5.0 file."""
    from services.imports import itch as importer

    day = date.date() if date is not None else None
    _import(settings, file, "ITCH message", importer.read(file, day, accounts=accounts, venue=venue))


@import_.command()
@click.argument("file", type=_FILE_OR_STANDARD_INPUT)
@click.option("--account", help="Account of messages without Account(1).  [default: by a hash of the order id]")
@_accounts
@click.option("--venue", help="Venue where a message names none.  [default: the counterparty's CompID]")
@click.option(
    "--counterparty",
    "counterparties",
    multiple=True,
    help="Only sessions with this CompID; may be repeated. For logs that hold an order's way in and its way out.",
)
@click.option("--strict", is_flag=True, help="Messages with a wrong CheckSum or BodyLength become dead letters.")
@click.option("--order-prefix", default="", help="Before each order id, where ClOrdIDs start anew each day.")
@click.option("--name", help="Stands for the file in sources and dead letters.  [default: the file's name]")
@click.option(
    "--token-key",
    envvar="ORDERFLOW_TOKEN_KEY",
    default="",
    help="Secret that user tokens are made with; variable ORDERFLOW_TOKEN_KEY.",
)
@with_settings
def fix(
    settings: Settings,
    file: Path,
    account: str | None,
    accounts: int,
    venue: str | None,
    counterparties: tuple[str, ...],
    strict: bool,
    order_prefix: str,
    name: str | None,
    token_key: str,
) -> None:
    """Import the log of a FIX engine: FILE, or - for standard input.

    Requests become intents, reports executions, and both the engine's statuses. Fields may be separated by SOH, |, ;
    or ^A, and anything may stand before a message. What cannot be read becomes a dead letter, see `orderflow dlq`.
    """
    from services.fix.chains import Naming
    from services.imports import fix as importer

    options = importer.Options(
        name=name,
        naming=Naming(account=account, accounts=accounts, prefix=order_prefix, venue=venue),
        counterparties=frozenset(counterparties),
        strict=strict,
        token_key=token_key.encode(),
    )
    topics = (INTENT_TOPIC, STATUS_TOPIC, EXECUTIONS_TOPIC)
    _import(settings, file, "FIX message", importer.read(file, options), topics, letters=True)


def _import(
    settings: Settings,
    file: Path,
    kind: str,
    batches: Iterator[Batch],
    topics: tuple[str, ...] = (STATUS_TOPIC, EXECUTIONS_TOPIC),
    *,
    letters: bool = False,
) -> None:
    from services.imports.common import write

    log = open_log(settings)
    require_topics(log, [*topics, *([DEAD_LETTER_TOPIC] if letters else [])])
    name = settings.application.client_id_of("orderflow", f"import-{file.name}")
    with bytes_progress(file.name) as progress:
        summary = write(log, open_codec(settings, topics), batches, progress, name=name)
    click.echo(msgspec.json.encode(summary))
    _check_found(summary, "standard input" if file == STANDARD_INPUT else str(file), kind)


def _check_found(summary: ImportSummary, file: str, kind: str) -> None:
    """Raises `NotFoundError` with what the file has instead, if it has no message of its kind that was asked for."""
    if summary.recognised and summary.recognised == summary.messages[OTHER_SESSION]:
        raise NotFoundError(
            f"{file}: none of its {summary.recognised} messages is of a session with the --counterparty given; "
            "nothing was imported"
        )
    if summary.recognised:
        return
    reason = summary.malformed_first[0].reason if summary.malformed_first else ""
    found = [
        f"{count} {what}"
        for count, what in (
            (summary.messages[OTHER_TEXT], "line(s) of other text"),
            (summary.malformed, f"damaged piece(s), the first: {reason}"),
        )
        if count
    ]
    letters = "; the damaged ones are dead letters: `orderflow dlq list --flow import`" if summary.dead_letters else ""
    raise NotFoundError(f"{file}: there is no {kind} in it, only {' and '.join(found) or 'nothing'}{letters}")
