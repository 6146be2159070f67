"""`orderflow simulate`: a simulated order engine and venue, and with `--orders` clients that place a day's orders."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import click

from cli.session import with_settings
from config.settings import Settings


@click.command()
@click.option("--orders", type=click.IntRange(min=1), help="Place so many orders; by default none.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Orders and cancels per second.  [default: as fast as the log takes them]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="What the day and its fills follow from.")
@click.option("--nights", is_flag=True, help="Begin a day only when the flows have read all of the day before.")
@click.option("--until-done", is_flag=True, help="Stop when all that follows from the orders is in the log.")
@click.option(
    "--give-up",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="With --until-done: seconds after which a risk check that gets no further is waited for no longer.",
)
@with_settings
def simulate(
    settings: Settings,
    orders: int | None,
    rate: float | None,
    seed: int,
    nights: bool,
    until_done: bool,
    give_up: float,
) -> None:
    """Answer the decisions of the risk check as an order engine and venues would; place orders with --orders.

    It resumes exactly where it was killed or stopped, if it is given the same orders and seed. Only one may run on a
    log: `orderflow up --simulate` has one.
    """
    from flows.connect import open_codec, open_log, require_topics
    from flows.lock import only_one
    from flows.supervisor import SUPERVISOR_VARIABLE, die_with_supervisor
    from services.day import Day, intents
    from services.live import event_groups
    from services.order_entry import TOPIC as INTENTS_TOPIC
    from services.simulation import CODEC_TOPICS, Simulation

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if supervisor := os.environ.get(SUPERVISOR_VARIABLE):
        threading.Thread(target=die_with_supervisor, args=(int(supervisor),), daemon=True).start()
    risk_group = settings.application.group_of("risk_check")
    folder = settings.state.dir / settings.application.group_of("simulation")
    with only_one(folder, "a simulated order engine and venue", os.environ), ExitStack() as stack:
        should_stop = stopping.is_set
        require_topics(open_log(settings), CODEC_TOPICS)
        simulation = Simulation(
            open_log(settings),
            open_codec(settings, CODEC_TOPICS),
            seed=seed,
            prefix=settings.application.prefix,
            risk_group=risk_group,
            intents=intents(Day(orders, seed, incidents=True)) if orders is not None else None,
            rate_per_s=rate,
            nights=event_groups(settings, ("order_status", "views")) if nights else None,
        )
        stack.enter_context(simulation)
        if until_done:
            should_stop = _patiently(stack, settings, stopping, {"risk_check": (risk_group, [INTENTS_TOPIC])}, give_up)
        simulation.run(should_stop, until_done=until_done)


def _patiently(
    stack: ExitStack,
    settings: Settings,
    stopping: threading.Event,
    groups: Mapping[str, tuple[str, Sequence[str]]],
    give_up_s: float,
) -> Callable[[], bool]:
    """Whether to stop, asked all the time, which also looks whether the flows that are waited for get further."""
    from flows.connect import open_log
    from services.patience import Patience
    from services.progress import GroupProgress

    client_id = settings.application.client_id_of("orderflow", "simulate")
    progress = stack.enter_context(GroupProgress(open_log(settings), client_id))
    patience = Patience(progress, groups, give_up_s=give_up_s, tell=lambda line: click.echo(line, err=True))

    def should_stop() -> bool:
        patience.look()
        return stopping.is_set()

    return should_stop
