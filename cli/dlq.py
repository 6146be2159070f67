"""`orderflow dlq`: dead letters, which are records that could not be processed, with the reason in their headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from broker.contract import Record
from cli.consume import read_topic
from cli.session import with_settings
from cli.table import write_table
from config.errors import ConfigurationError, DecodeError, NotFoundError, UsageError
from config.settings import Settings
from config.topics import (
    DEAD_LETTER_TOPIC,
    HEADER_EXCEPTION,
    HEADER_FLOW,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_STEP,
    HEADER_TOPIC,
)
from flows.connect import open_codec, open_log, open_schemas
from services.imports.common import DEAD_LETTER_FLOW

_POSITION = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<offset>\d+)")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and what its headers say."""

    record: Record
    headers: dict[str, str]

    @property
    def position(self) -> str:
        """Where it is itself."""
        return f"{self.record.topic()}-{self.record.partition()}-{self.record.offset()}"

    @property
    def time(self) -> str:
        """When it was written, in ISO 8601."""
        return f"{datetime.fromtimestamp(self.record.timestamp()[1] / 1e3, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    @property
    def source(self) -> str:
        """Where the failed record is."""
        parts = (self.headers.get(name, "?") for name in (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET))
        return "-".join(parts)


@click.group()
def dlq() -> None:
    """Look at dead letters."""


@dlq.command(name="list")
@click.option("--flow", help="Only those of this flow.")
@click.option("--topic", help="Only those whose failed record is from this topic.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@with_settings
def list_letters(settings: Settings, flow: str | None, topic: str | None, form: str) -> None:
    """List dead letters, oldest first.

    When each was written and where it is, where the failed record is, which flow and step gave up on it, and why.
    """
    letters = [
        letter
        for letter in _letters(settings)
        if flow in (None, letter.headers.get(HEADER_FLOW)) and topic in (None, letter.headers.get(HEADER_TOPIC))
    ]
    if form == "json":
        from operators.codec.json_form import dumps

        for letter in letters:
            place = {"time": letter.time, "position": letter.position, "source": letter.source}
            click.echo(dumps({**place, "headers": letter.headers}))
        return
    columns = (HEADER_FLOW, HEADER_STEP, HEADER_EXCEPTION, HEADER_MESSAGE)
    rows = [
        (letter.time, letter.position, letter.source, *(letter.headers.get(name) or "-" for name in columns))
        for letter in letters
    ]
    write_table(("TIME", "POSITION", "SOURCE", "FLOW", "STEP", "EXCEPTION", "MESSAGE"), rows)


@dlq.command()
@click.argument("position", metavar="TOPIC-PARTITION-OFFSET")
@with_settings
def show(settings: Settings, position: str) -> None:
    """Print one dead letter: its headers, its key, and its value: decoded, of a file its text, else in hexadecimal.

    It is named by its own position or by that of the failed record, as `list` prints them.
    """
    if not _POSITION.fullmatch(position):
        raise UsageError(f"{position!r} is no position: write TOPIC-PARTITION-OFFSET, e.g. orders.status-2-1041")
    found = [letter for letter in _letters(settings) if position in (letter.position, letter.source)]
    if not found:
        raise NotFoundError(f"there is no dead letter {position}; `orderflow dlq list` shows those there are")
    for letter in found:
        click.echo(f"time: {letter.time}")
        click.echo(f"position: {letter.position}")
        for name, text in letter.headers.items():
            click.echo(f"{name}: {text}")
        key = letter.record.key()
        click.echo(f"key: {'null' if key is None else _text(key)}")
        click.echo(f"value: {_shown_value(settings, letter)}")


def _letters(settings: Settings) -> list[Letter]:
    client_id = settings.application.client_id_of("orderflow", "dlq")
    batches = read_topic(open_log(settings), DEAD_LETTER_TOPIC, client_id, until_end=True)
    letters = [
        Letter(record, {name: _text(value or b"") for name, value in record.headers() or ()})
        for batch in batches
        for record in batch
    ]
    return sorted(letters, key=lambda letter: letter.time)


def _shown_value(settings: Settings, letter: Letter) -> str:
    from operators.codec.json_form import dumps, to_json

    value = letter.record.value()
    topic = letter.headers.get(HEADER_TOPIC, "")
    if value is None:
        return "null"
    if letter.headers.get(HEADER_FLOW) == DEAD_LETTER_FLOW:
        return repr(value)[2:-1]
    try:
        record = open_codec(settings, [topic]).decode_record(topic, value)
        schema = open_schemas(settings).latest(f"{topic}-value").document
        return dumps(to_json(schema, record)).decode()
    except (DecodeError, ConfigurationError, UsageError):
        return f"{value.hex()} ({len(value)} bytes)"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
