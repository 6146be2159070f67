"""`orderflow simulate`: a simulated order engine and venue, and with `--orders` clients that place a day's orders."""

from __future__ import annotations

import os
import signal
import threading

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
@with_settings
def simulate(
    settings: Settings, orders: int | None, rate: float | None, seed: int, nights: bool, until_done: bool
) -> None:
    """Answer the decisions of the risk check as an order engine and venues would; place orders with --orders.

    It resumes exactly where it was killed or stopped, if it is given the same orders and seed.
    """
    from flows.connect import open_codec, open_log
    from flows.supervisor import SUPERVISOR_VARIABLE, die_with_supervisor
    from services.day import Day, intents
    from services.live import event_groups
    from services.simulation import CODEC_TOPICS, Simulation

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if supervisor := os.environ.get(SUPERVISOR_VARIABLE):
        threading.Thread(target=die_with_supervisor, args=(int(supervisor),), daemon=True).start()
    simulation = Simulation(
        open_log(settings),
        open_codec(settings, CODEC_TOPICS),
        seed=seed,
        prefix=settings.application.prefix,
        risk_group=settings.application.group_of("risk_check"),
        intents=intents(Day(orders, seed, incidents=True)) if orders is not None else None,
        rate_per_s=rate,
        nights=event_groups(settings, ("order_status", "views")) if nights else None,
    )
    with simulation:
        simulation.run(stopping.is_set, until_done=until_done)
