"""`orderflow produce`: JSON lines in, records out, in the form that the topic's schema says."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from cli.session import with_settings
from config.errors import BadRecordError, InvalidRecordError
from config.settings import Settings
from flows.connect import open_codec, open_log, open_schemas

_REPORT_LINES = 1_000


@click.command()
@click.argument("topic")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-")
@with_settings
def produce(settings: Settings, topic: str, file: Path) -> None:
    """Write the JSON lines of FILE, by default standard input, to TOPIC.

    A line that cannot be written is reported with its place and reason, and the others are written all the same; the
    exit code is 1 then.
    """
    encode = _line_encoder(settings, topic)
    name = "<stdin>" if str(file) == "-" else str(file)
    produced = refused = 0
    with click.open_file(str(file), "rb") as lines, _progress(topic) as advance:
        producer = open_log(settings).producer(settings.application.client_id_of("orderflow", "produce"))
        try:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    key, value = encode(line)
                    producer.send(topic, key, value)
                except BadRecordError as error:
                    refused += 1
                    click.echo(f"{name}:{number}: {error}", err=True)
                    continue
                produced += 1
                if produced % _REPORT_LINES == 0:
                    advance(produced)
            producer.flush()
        finally:
            producer.close()
    click.echo(f"{topic}: {produced} produced, {refused} refused", err=True)
    if refused:
        sys.exit(1)


def _line_encoder(settings: Settings, topic: str) -> Callable[[bytes], tuple[bytes, bytes]]:
    """From a line to key and value of its record; `BadRecordError` if it has none."""
    from operators.codec.json_form import from_json, loads

    codec = open_codec(settings, [topic])
    schema = open_schemas(settings).latest(f"{topic}-value").document

    def encode(line: bytes) -> tuple[bytes, bytes]:
        record = from_json(schema, loads(line))
        key = record.get("key")
        if not isinstance(key, str) or not key:
            raise InvalidRecordError(f"key: {key!r}, expected the record's key, a text that is not empty")
        (value,) = codec.encode_records(topic, [record])
        return key.encode(), value

    return encode


@contextlib.contextmanager
def _progress(topic: str) -> Iterator[Callable[[int], None]]:
    """Shows the number of records on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed} produced"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(topic, total=None)
        yield lambda count: progress.update(task, completed=count)
