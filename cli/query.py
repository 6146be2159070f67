"""`orderflow query`: what the views know, as a table or as JSON lines, while the flow runs or after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from cli import query_rows, query_table
from cli.freshness import Freshness, freshness_of
from cli.session import with_settings
from config.errors import NotFoundError, StoreError, UsageError
from config.settings import Settings

if TYPE_CHECKING:
    from operators.model.risk.limits import AccountReference, RiskControl
    from operators.model.views.timeline_order import Line
    from services.exposures import Exposure
    from sinks.views import View

_SIZES_MS: Final = {"1m": 60_000, "5m": 300_000}

_format = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)
_wide = click.option("--wide", is_flag=True, help="A table with all columns, however wide.")


@click.group()
def query() -> None:
    """Ask the views: positions, fees, timelines, dashboard, alerts."""


@query.command()
@click.argument("account", required=False)
@click.option(
    "--mark",
    type=click.Choice(["last", "reference"]),
    default="last",
    show_default=True,
    help="What open quantity is valued at: the account's last fill, or the published reference price.",
)
@_format
@_wide
@with_settings
def positions(settings: Settings, account: str | None, mark: str, form: str, wide: bool) -> None:
    """Print the positions of ACCOUNT, by default of all accounts, with exposure and limits used.

    At average cost and by FIFO.

    Exposure comes from the risk check's store; where that flow does not run on this host, its columns are empty.
    """
    from sinks.views import FLOW, POSITIONS, View, read_positions

    with View(settings, FLOW, POSITIONS) as view:
        fresh = freshness_of(settings, FLOW, view)
        found = {(position.account_id, position.symbol): position for position in read_positions(view, account)}
    exposures = _exposures(settings, account)
    if account is not None and not found and not exposures:
        raise NotFoundError(f"account {account} has no position{_until(fresh)}")
    prices = _reference_prices(settings) if mark == "reference" else None
    rows = [
        query_rows.of_position(key, found.get(key), exposures.get(key), prices)
        for key in sorted(found.keys() | exposures.keys())
    ]
    _write(rows, form, fresh, query_table.POSITIONS, wide=wide)


@query.command()
@click.argument("account", required=False)
@click.option(
    "--by",
    type=click.Choice(["day", "month"]),
    default="month",
    show_default=True,
    help="A line per trade date or month.",
)
@_format
@_wide
@with_settings
def fees(settings: Settings, account: str | None, by: str, form: str, wide: bool) -> None:
    """Print the fees of ACCOUNT, by default of all accounts: exact, and as billed in whole cents.

    Monthly tiers of the commission are an adjustment of the month, which single days do not have.
    """
    from sinks.views import FEE_LEDGER, FLOW, View, read_fees

    with View(settings, FLOW, FEE_LEDGER) as view:
        fresh = freshness_of(settings, FLOW, view)
        found = read_fees(view, account)
    if account is not None and not found:
        raise NotFoundError(f"account {account} has no fees{_until(fresh)}")
    if by == "month":
        _write([query_rows.of_month(month) for month in found], form, fresh, query_table.MONTHS, wide=wide)
    else:
        days = [row for month in found for row in query_rows.of_days(month)]
        _write(days, form, fresh, query_table.DAYS, wide=wide)


@query.command()
@click.argument("order_key")
@click.option("--children", is_flag=True, help="With everything that was said about its child orders.")
@_format
@_wide
@with_settings
def timeline(settings: Settings, order_key: str, children: bool, form: str, wide: bool) -> None:
    """Print everything that was said about the order ORDER_KEY (accountId|orderId), in the order of time.

    A parent's timeline lists its children.
    """
    if "|" not in order_key:
        raise UsageError(f"{order_key!r} is no order key: write accountId|orderId, in quotes")
    lines, fresh = _timeline(settings, order_key, with_children=children)
    if not lines:
        raise NotFoundError(f"nothing is known of order {order_key}{_until(fresh)}")
    rows = [query_rows.of_line(line) for line in lines]
    if form == "table":
        several = len({row["key"] for row in rows}) > 1
        rows = query_rows.without_empty_columns(rows if several or wide else [{**row, "key": None} for row in rows])
    _write(rows, form, fresh, query_table.TIMELINE, wide=wide)


@query.command()
@click.option("--symbol", help="Only this symbol.")
@click.option("--venue", help="Only this venue.")
@click.option(
    "--window", type=click.Choice(list(_SIZES_MS)), default="1m", show_default=True, help="Tumbling 1m, hopping 5m."
)
@click.option("--last", type=click.IntRange(min=1), default=10, show_default=True, help="So many windows, the newest.")
@_format
@_wide
@with_settings
def dashboard(
    settings: Settings, symbol: str | None, venue: str | None, window: str, last: int, form: str, wide: bool
) -> None:
    """Print figures by symbol and venue over windows of event time; open orders are those of now."""
    from sinks.views import DASHBOARD, FLOW, View, read_totals, read_windows

    with View(settings, FLOW, DASHBOARD) as view:
        fresh = freshness_of(settings, FLOW, view)
        found = read_windows(view, size_ms=_SIZES_MS[window], symbol=symbol, venue=venue)
        totals = read_totals(view)
    if not found and (symbol is not None or venue is not None):
        raise NotFoundError(
            f"there are no windows of {symbol or 'any symbol'} at {venue or 'any venue'}{_until(fresh)}"
        )
    newest = sorted({each.start_ms for each in found})[-last:]
    rows = [
        query_rows.of_window(each, totals.get((each.symbol, each.venue))) for each in found if each.start_ms in newest
    ]
    _write(rows, form, fresh, query_table.DASHBOARD, wide=wide)


@query.command()
@click.argument("account", required=False)
@click.option("--kind", help="Only alerts of this kind, e.g. WASH_TRADE.")
@click.option("--open", "open_only", is_flag=True, help="Only those that are not over.")
@_format
@_wide
@with_settings
def alerts(settings: Settings, account: str | None, kind: str | None, open_only: bool, form: str, wide: bool) -> None:
    """Print what surveillance told of ACCOUNT, by default of all accounts, by time."""
    from operators.model.surveillance.alerts import AlertKind
    from sinks.views import ALERTS, SURVEILLANCE, View, read_alerts

    kinds = [known.value for known in AlertKind]
    if kind is not None and kind not in kinds:
        raise UsageError(f"there is no kind of alert {kind!r}; there are {', '.join(kinds)}")
    with View(settings, SURVEILLANCE, ALERTS) as view:
        fresh = freshness_of(settings, SURVEILLANCE, view)
        found = read_alerts(view, account, open_only=open_only)
    rows = [query_rows.of_episode(each) for each in found if kind in (None, each.alert.kind)]
    _write(rows, form, fresh, query_table.ALERTS, wide=wide)


def _timeline(settings: Settings, order_key: str, *, with_children: bool) -> tuple[list[Line], Freshness]:
    """The lines of an order, those that list its children and, if so wished, the children's own, all by time.

    With them how old they are.
    """
    from operators.model.views.timeline_order import in_order, read_in_order
    from sinks.views import CHILDREN, FLOW, TIMELINE, View, read_children, read_timeline

    lines: list[Line] = []
    seen, wanted = {order_key}, [order_key]
    with ExitStack() as stack:
        timelines = stack.enter_context(View(settings, FLOW, TIMELINE))
        fresh = freshness_of(settings, FLOW, timelines)
        families = _optional(stack, settings, FLOW, CHILDREN)
        while wanted:
            key = wanted.pop()
            if (found := read_timeline(timelines, key)) is not None:
                lines += read_in_order(key, found.entries)
            children = read_children(families, key) if families is not None else []
            lines += [query_rows.child_line(key, number, child) for number, child in enumerate(children)]
            if with_children:
                wanted += [child.key for child in children if child.key not in seen]
                seen |= {child.key for child in children}
    return in_order(lines), fresh


def _reference_prices(settings: Settings) -> dict[str, int | None]:
    """The published reference price of each symbol, in millionths."""
    from flows.connect import open_codec, open_log
    from services import reference

    topic = "reference.symbols"
    records = reference.read(open_log(settings), open_codec(settings, (topic,)), topic)
    return {symbol: record["referencePrice"] for symbol, record in records.items()}


def _exposures(settings: Settings, account: str | None) -> dict[tuple[str, str], Exposure]:
    """Exposures by account and symbol; none where the risk check has no store here."""
    from services.exposures import FLOW, STEP, read_exposures

    with ExitStack() as stack:
        view = _optional(stack, settings, FLOW, STEP)
        if view is None:
            return {}
        found = read_exposures(view, *_reference(settings), account)
    return {(exposure.account_id, exposure.symbol): exposure for exposure in found}


def _reference(settings: Settings) -> tuple[dict[str, RiskControl], dict[str, AccountReference]]:
    """The controls in force by scope, and what is known of accounts."""
    import msgspec

    from flows.connect import open_codec, open_log
    from operators.model.risk.limits import AccountReference, RiskControl
    from services.reference import ACCOUNTS_TOPIC, CONTROLS_TOPIC, read

    log, client_id = open_log(settings), settings.application.client_id_of("query", "cli")
    codec = open_codec(settings, [CONTROLS_TOPIC, ACCOUNTS_TOPIC])
    controls = read(log, codec, CONTROLS_TOPIC, client_id=client_id)
    accounts = read(log, codec, ACCOUNTS_TOPIC, client_id=client_id)
    return (
        {scope: msgspec.convert(record, RiskControl) for scope, record in controls.items()},
        {name: msgspec.convert(record, AccountReference) for name, record in accounts.items()},
    )


def _optional(stack: ExitStack, settings: Settings, flow: str, step: str) -> View | None:
    """The view of a step, or None where its flow has never run with this state folder."""
    from sinks.views import View

    try:
        return stack.enter_context(View(settings, flow, step))
    except StoreError:
        return None


def _write(
    rows: Sequence[Mapping[str, Any]], form: str, fresh: Freshness, columns: Sequence[str], *, wide: bool
) -> None:
    """Rows and how old they are: in fields of each in JSON, in a line on standard error for a table."""
    if form == "json":
        from operators.codec.json_form import dumps

        for row in rows:
            click.echo(dumps({**row, **fresh.fields()}))
        return
    click.echo(fresh.line(), err=True)
    query_table.write_rows(rows, columns, wide=wide)


def _until(fresh: Freshness) -> str:
    """What an answer that is not there adds: it may be there later."""
    if fresh.as_of_ms is None:
        return ", and no event has been processed"
    return f" ({fresh.line()})"
