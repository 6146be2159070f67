"""`orderflow up`: all flows under one supervisor, and on request a simulated order engine and venue."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing

import click

from cli.session import Session
from config.errors import UsageError
from config.settings import Settings
from config.topics import TOPICS

_POLL_S = 0.5


@click.command()
@click.option("--workers", type=click.IntRange(1, 256), help="Processes of each flow.  [default: from the settings]")
@click.option("--simulate", is_flag=True, help="Run a simulated order engine and venue besides.")
@click.option("--seed", type=int, default=1, show_default=True, help="What the simulated fills follow from.")
@click.option("--create-topics", is_flag=True, help="Create the topics that are missing.")
@click.pass_obj
def up(session: Session, workers: int | None, simulate: bool, seed: int, create_topics: bool) -> None:
    """Run all flows until SIGTERM or Ctrl-C; a process that dies is restarted.

    The risk check rejects every order until limits are published: `orderflow reference publish`.
    """
    from services.live import EVERY_FLOW, Pipeline, plan_flows

    settings = session.settings
    _check_topics(settings, create=create_topics)
    environment = dict(os.environ)
    if session.config_file is not None:
        environment["ORDERFLOW_CONFIG"] = str(session.config_file)
    flows = plan_flows(settings, {flow: flow for flow in EVERY_FLOW}, workers=workers or settings.workers.count)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with Pipeline(settings, flows, environment, simulate=["--seed", str(seed)] if simulate else None) as pipeline:
        for flow in flows:
            served = f", {flow.metrics_url}/metrics" if flow.metrics_url else ""
            click.echo(f"{flow.name}: {flow.workers} worker(s){served}", err=True)
        while pipeline.is_running() and not stopping.wait(_POLL_S):
            pass
        code = pipeline.stop()
    for error in filter(None, (cluster.error() for cluster in pipeline.clusters.values())):
        raise error
    if code:
        raise SystemExit(code)


def _check_topics(settings: Settings, *, create: bool) -> None:
    from broker.contract import TopicSpec
    from flows.connect import open_log

    with closing(open_log(settings).admin()) as admin:
        existing = admin.topics()
        missing = [topic for topic in TOPICS.values() if topic.name not in existing]
        if missing and not create:
            names = ", ".join(topic.name for topic in missing)
            raise UsageError(f"topics are missing ({names}): run `orderflow topics create`, or give --create-topics")
        admin.create_topics(
            [
                TopicSpec(topic.name, topic.partitions, settings.kafka.replication_factor, topic.config)
                for topic in missing
            ]
        )
