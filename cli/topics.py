"""`orderflow topics`: the topics of the product, created and listed."""

from __future__ import annotations

import click

from cli.session import with_settings
from cli.table import write_table
from config.settings import Settings
from config.topics import TOPICS, Topic
from flows.connect import open_log


@click.group()
def topics() -> None:
    """Create and list topics."""


@topics.command()
@click.option("--partitions", type=click.IntRange(1, 1_000), help="Partitions of the event topics.  [default: 4]")
@with_settings
def create(settings: Settings, partitions: int | None) -> None:
    """Create every topic of the product that does not exist yet; print the names of those created."""
    from broker.contract import TopicSpec

    def spec(topic: Topic) -> TopicSpec:
        # Controls and reference data are read whole by every process, from one partition, whatever the load.
        count = partitions if partitions is not None and topic.cleanup_policy != "compact" else topic.partitions
        return TopicSpec(topic.name, count, settings.kafka.replication_factor, topic.config)

    admin = open_log(settings).admin()
    try:
        for name in admin.create_topics([spec(topic) for topic in TOPICS.values()]):
            click.echo(name)
    finally:
        admin.close()


@topics.command(name="list")
@with_settings
def list_topics(settings: Settings) -> None:
    """List the topics in the log, and those of the product that are missing."""
    admin = open_log(settings).admin()
    try:
        existing = admin.topics()
    finally:
        admin.close()
    rows = []
    for name in sorted(set(existing) | set(TOPICS)):
        topic = TOPICS.get(name)
        schema = (topic.schema or "bytes") if topic else "-"
        policy = topic.cleanup_policy if topic else "-"
        rows.append((name, str(existing.get(name, "missing")), schema, policy))
    write_table(("TOPIC", "PARTITIONS", "VALUE", "CLEANUP"), rows)
