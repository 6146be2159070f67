"""`python -m bench`: the benchmarks; progress goes to standard error, results to standard output."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import click

from config.errors import OrderflowError

_bootstrap = click.option("--bootstrap", help="A broker to use; by default one of our own is started, and removed.")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _show(path: Path) -> None:
    click.echo(path.read_text())
    _say(f"written to {path} and {path.with_suffix('.json').name}")


class _Group(click.Group):
    """Turns what can go wrong in a measurement into a message and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command called."""
        try:
            return super().invoke(ctx)
        except (RuntimeError, TimeoutError, OSError, OrderflowError) as error:
            if isinstance(error, click.exceptions.Exit | click.exceptions.Abort):
                raise
            raise click.ClickException(f"{type(error).__name__}: {error}") from error


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Measure the product; without a command: compare it with Kafka Streams."""
    if context.invoked_subcommand is None:
        context.invoke(compare)


@main.command()
@click.option("--orders", default=250_000, show_default=True, help="Orders of the backlog; 4.2 inputs each.")
@click.option("--partitions", default=4, show_default=True, help="Of each topic.")
@click.option("--repetitions", default=3, show_default=True, help="Drains per engine; 0 for none.")
@click.option(
    "--latency-repetitions", default=1, show_default=True, help="Latency runs per engine and rate; 0 for none."
)
@click.option("--rate", "rates", type=int, multiple=True, default=(2_000, 10_000), show_default=True, help="Inputs/s.")
@click.option("--seconds", default=60, show_default=True, help="Length of a latency run.")
@click.option("--peer-two-threads", is_flag=True, help="Drain with two stream threads of the peer, too.")
@click.option("--quick", is_flag=True, help="A fast try: 50,000 orders, one repetition, 10 s at 2,000/s.")
@_bootstrap
def compare(
    orders: int,
    partitions: int,
    repetitions: int,
    latency_repetitions: int,
    rates: tuple[int, ...],
    seconds: int,
    peer_two_threads: bool,
    quick: bool,
    bootstrap: str | None,
) -> None:
    """Throughput and latency, ours and Kafka Streams in turns."""
    from bench.compare import Plan
    from bench.compare import compare as run

    plan = Plan(
        orders, partitions, repetitions, latency_repetitions, rates, seconds, (1, 2) if peer_two_threads else (1,)
    )
    if quick:
        plan = replace(plan, orders=50_000, drains=1, latencies=1, rates=(2_000,), seconds=10)
    _show(run(plan, bootstrap, _say))


@main.command()
@click.option("--orders", default=1_000_000, show_default=True, help="Keys of state.")
@click.option("--repetitions", default=3, show_default=True, help="Starts of each kind.")
@_bootstrap
def restart(orders: int, repetitions: int, bootstrap: str | None) -> None:
    """Time from a start to the first output: with the local store, after a kill, without the store."""
    from bench.restart import restart as run

    _show(run(orders, repetitions, bootstrap, _say))


@main.command()
@click.option("--keys-max", default=1_000_000, show_default=True, help="Grow to so many keys; 10000000 takes long.")
@click.option("--cache-rows", default=100_000, show_default=True, help="Rows of state kept in memory.")
@click.option("--records", default=400_000, show_default=True, help="Inputs per measurement.")
@_bootstrap
def keys(keys_max: int, cache_rows: int, records: int, bootstrap: str | None) -> None:
    """Cost per input and memory, against the number of keys in the state."""
    from bench.keys import keys as run

    _show(run(keys_max, cache_rows, records, bootstrap, _say))


@main.command()
@click.option("--orders", default=250_000, show_default=True, help="Orders of the backlog.")
@click.option("--top", default=30, show_default=True, help="Functions shown.")
@_bootstrap
def profile(orders: int, top: int, bootstrap: str | None) -> None:
    """Where the time of a drain goes; needs py-spy."""
    from bench.profile import profile as run

    _show(run(orders, top, bootstrap, _say))


@main.command()
def batches() -> None:
    """Processor time of a batch against its size, in one process and without a broker."""
    from bench.batches import SIZES, WARM
    from bench.batches import batches as run

    _show(run(SIZES, WARM, _say))


if __name__ == "__main__":
    # As Ctrl-C, so that the broker and the measured job, which have sessions of their own, are ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(prog_name="python -m bench")
