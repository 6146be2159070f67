"""`orderflow consume`: the records of a topic as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing

import click

from broker.contract import Log, Record, TopicPartition
from cli.session import with_settings
from config.errors import BadRecordError, UsageError
from config.settings import Settings
from flows.connect import open_codec, open_log, open_schemas

_READ_RECORDS_MAX = 10_000
_READ_TIMEOUT_S = 0.2


@click.command()
@click.argument("topic")
@click.option("--until-end", is_flag=True, help="Stop at what is now the end of the topic.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Where to start.",
)
@click.option("--max", "records_max", type=click.IntRange(min=1), help="Stop after this many records.")
@with_settings
def consume(settings: Settings, topic: str, until_end: bool, start: str, records_max: int | None) -> None:
    """Print the committed records of TOPIC as JSON lines, in order within each partition.

    A record that cannot be decoded is reported on standard error with its topic, partition and offset.
    """
    from operators.codec.json_form import dumps, to_json

    codec = open_codec(settings, [topic])
    schema = open_schemas(settings).latest(f"{topic}-value").document
    client_id = settings.application.client_id_of("orderflow", "consume")
    output = sys.stdout.buffer
    written = 0
    for batch in read_topic(open_log(settings), topic, client_id, from_latest=start == "latest", until_end=until_end):
        for record in batch:
            try:
                form = to_json(schema, codec.decode_record(topic, record.value()))
            except BadRecordError as error:
                click.echo(f"{topic}-{record.partition()}-{record.offset()}: {error}", err=True)
                continue
            output.write(dumps(form) + b"\n")
            written += 1
            if written == records_max:
                output.flush()
                return
        output.flush()


def read_topic(
    log: Log, topic: str, client_id: str, *, from_latest: bool = False, until_end: bool
) -> Iterator[list[Record]]:
    """The committed records of a topic in batches; with `until_end` those that are there now, else for ever."""
    with closing(log.admin()) as admin:
        count = admin.topics().get(topic)
        if count is None:
            raise UsageError(f"there is no topic {topic}; `orderflow topics create` creates those of the product")
        partitions = [TopicPartition(topic, number) for number in range(count)]
        ends = admin.ends(partitions)
        positions = dict(ends) if from_latest else admin.beginnings(partitions)
    waiting = {at for at in partitions if positions[at] < ends[at]}
    with closing(log.reader(client_id)) as reader:
        reader.assign(positions)
        while waiting or not until_end:
            records = list(reader.read(_READ_RECORDS_MAX, _READ_TIMEOUT_S))
            if not until_end:
                yield records
                continue
            yield [record for record in records if record.offset() < ends[_place(record)]]
            waiting.difference_update(
                _place(record) for record in records if record.offset() + 1 >= ends[_place(record)]
            )
            if reader.at_end():
                # The last offsets of a partition may be marks of transactions, which no record shows.
                return


def _place(record: Record) -> TopicPartition:
    return TopicPartition(record.topic(), record.partition())
