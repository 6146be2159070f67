"""`orderflow query`: what the views know, as a table or as JSON lines, while the flow runs or after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click

from cli.session import with_settings
from cli.table import write_table
from config.errors import NotFoundError, UsageError
from config.settings import Settings

if TYPE_CHECKING:
    from operators.model.fee_ledger import AccountMonth
    from operators.model.positions import Position
    from operators.model.timeline import Entry
    from sinks.views import Window

_SIZES_MS: Final = {"1m": 60_000, "5m": 300_000}
_MICROS: Final = 1_000_000
_PERCENTILES: Final = {"p50": 0.5, "p99": 0.99}

_format = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


@click.group()
def query() -> None:
    """Ask the views: positions, fees, timelines, dashboard."""


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
@with_settings
def positions(settings: Settings, account: str | None, mark: str, form: str) -> None:
    """Print the positions of ACCOUNT, by default of all accounts, at average cost and by FIFO."""
    from sinks.views import FLOW, POSITIONS, View, read_positions

    with View(settings, FLOW, POSITIONS) as view:
        found, as_of = read_positions(view, account), view.as_of_ms()
    if account is not None and not found:
        raise NotFoundError(f"account {account} has no position{_until(as_of)}")
    prices = _reference_prices(settings) if mark == "reference" else None
    _write([_of_position(position, prices) for position in found], form, as_of)


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
@with_settings
def fees(settings: Settings, account: str | None, by: str, form: str) -> None:
    """Print the fees of ACCOUNT, by default of all accounts: exact, and as billed in whole cents.

    Monthly tiers of the commission are an adjustment of the month, which single days do not have.
    """
    from sinks.views import FEE_LEDGER, FLOW, View, read_fees

    with View(settings, FLOW, FEE_LEDGER) as view:
        found, as_of = read_fees(view, account), view.as_of_ms()
    if account is not None and not found:
        raise NotFoundError(f"account {account} has no fees{_until(as_of)}")
    rows = [_of_month(month) for month in found]
    _write(rows if by == "month" else [row for month in found for row in _of_days(month)], form, as_of)


@query.command()
@click.argument("order_key")
@_format
@with_settings
def timeline(settings: Settings, order_key: str, form: str) -> None:
    """Print everything that was said about the order ORDER_KEY (accountId|orderId), in the order of arrival."""
    from sinks.views import FLOW, TIMELINE, View, read_timeline

    if "|" not in order_key:
        raise UsageError(f"{order_key!r} is no order key: write accountId|orderId, in quotes")
    with View(settings, FLOW, TIMELINE) as view:
        found, as_of = read_timeline(view, order_key), view.as_of_ms()
    if found is None:
        raise NotFoundError(f"nothing is known of order {order_key}{_until(as_of)}")
    _write([_of_entry(entry) for entry in found.entries], form, as_of)


@query.command()
@click.option("--symbol", help="Only this symbol.")
@click.option("--venue", help="Only this venue.")
@click.option(
    "--window", type=click.Choice(list(_SIZES_MS)), default="1m", show_default=True, help="Tumbling 1m, hopping 5m."
)
@click.option("--last", type=click.IntRange(min=1), default=10, show_default=True, help="So many windows, the newest.")
@_format
@with_settings
def dashboard(settings: Settings, symbol: str | None, venue: str | None, window: str, last: int, form: str) -> None:
    """Print figures by symbol and venue over windows of event time."""
    from sinks.views import DASHBOARD, FLOW, View, read_windows

    with View(settings, FLOW, DASHBOARD) as view:
        as_of = view.as_of_ms()
        found = read_windows(view, size_ms=_SIZES_MS[window], symbol=symbol, venue=venue)
    if not found and (symbol is not None or venue is not None):
        raise NotFoundError(
            f"there are no windows of {symbol or 'any symbol'} at {venue or 'any venue'}{_until(as_of)}"
        )
    newest = sorted({each.start_ms for each in found})[-last:]
    _write([_of_window(each) for each in found if each.start_ms in newest], form, as_of)


def _write(rows: Sequence[Mapping[str, Any]], form: str, as_of_ms: int | None) -> None:
    """Rows, and the event time up to which they are: a field of each in JSON, a line on standard error for a table."""
    as_of = None if as_of_ms is None else _time(as_of_ms * 1_000)
    if form == "json":
        from operators.codec.json_form import dumps

        for row in rows:
            click.echo(dumps({**row, "asOf": as_of}))
        return
    if as_of is not None:
        click.echo(f"as of {as_of} (event time)", err=True)
    if rows:
        write_table([name.upper() for name in rows[0]], [[_text(value) for value in row.values()] for row in rows])


def _until(as_of_ms: int | None) -> str:
    """What an answer that is not there adds: it may be there later."""
    return ", and no event has been processed" if as_of_ms is None else f" as of {_time(as_of_ms * 1_000)} (event time)"


def _reference_prices(settings: Settings) -> dict[str, int | None]:
    """The published reference price of each symbol, in millionths."""
    from flows.connect import open_codec, open_log
    from services import reference

    topic = "reference.symbols"
    records = reference.read(open_log(settings), open_codec(settings, (topic,)), topic)
    return {symbol: record["referencePrice"] for symbol, record in records.items()}


def _of_position(position: Position, reference_prices: Mapping[str, int | None] | None) -> dict[str, Any]:
    mark = position.last_price if reference_prices is None else reference_prices.get(position.symbol)
    return {
        "accountId": position.account_id,
        "symbol": position.symbol,
        "quantity": position.quantity,
        "averageCost": _amount(position.average_cost),
        "costBasis": _amount(position.cost_basis),
        "realised": _amount(position.net_realised),
        "unrealised": _amount(None if mark is None else position.unrealised(mark)),
        "fifoCostBasis": _amount(position.fifo_cost_basis),
        "fifoRealised": _amount(position.net_fifo_realised),
        "fifoUnrealised": _amount(None if mark is None else position.fifo_unrealised(mark)),
        "mark": _amount(mark),
        "fees": _amount(position.fees),
        "feesInside": position.fees_inside,
        "tradedQuantity": position.traded_quantity,
        "tradedNotional": _amount(position.traded_notional),
        "lastPrice": _amount(position.last_price),
        "updatedAt": _time(position.updated_at),
    }


def _of_month(month: AccountMonth) -> dict[str, Any]:
    from operators.model.fee_ledger import cents_up

    totals, adjustment = month.totals(), month.tier_adjustment
    return {
        "accountId": month.account_id,
        "month": month.month,
        "shares": month.shares,
        "exact": {kind: _amount(exact) for kind, (exact, _) in sorted(totals.items())},
        "billed": {kind: _amount(billed) for kind, (_, billed) in sorted(totals.items())},
        "tierAdjustment": _amount(adjustment),
        "exactTotal": _amount(sum(exact for exact, _ in totals.values()) + adjustment),
        "billedTotal": _amount(sum(billed for _, billed in totals.values()) + cents_up(adjustment)),
        "rounding": month.rounding,
        "unverified": list(month.unverified),
        "updatedAt": _time(month.updated_at),
    }


def _of_days(month: AccountMonth) -> list[dict[str, Any]]:
    from operators.model.fee_ledger import date_of

    rows = []
    for trade_date, day in sorted(month.days.items()):
        billed = {kind: amount.billed(month.rounding) for kind, amount in sorted(day.fees.items())}
        rows.append(
            {
                "accountId": month.account_id,
                "tradeDate": date_of(trade_date).isoformat(),
                "shares": day.shares,
                "exact": {kind: _amount(amount.exact) for kind, amount in sorted(day.fees.items())},
                "billed": {kind: _amount(amount) for kind, amount in billed.items()},
                "exactTotal": _amount(sum(amount.exact for amount in day.fees.values())),
                "billedTotal": _amount(sum(billed.values())),
                "rounding": month.rounding,
            }
        )
    return rows


def _of_entry(entry: Entry) -> dict[str, Any]:
    return {
        "index": entry.index,
        "occurredAt": _time(entry.occurred_at),
        "origin": entry.origin,
        "source": entry.source,
        "sequence": entry.sequence,
        "kind": entry.kind,
        "code": entry.code,
        "venue": entry.venue,
        "quantity": entry.quantity,
        "filledQuantity": entry.filled,
        "leavesQuantity": entry.leaves,
        "averagePrice": _amount(entry.average_price),
        "lastQuantity": entry.last_quantity,
        "lastPrice": _amount(entry.last_price),
        "execId": entry.exec_id,
        "fees": _amount(entry.fees),
        "text": entry.text,
    }


def _of_window(window: Window) -> dict[str, Any]:
    figures = window.aggregate
    rate = figures.fill_rate
    return {
        "symbol": window.symbol,
        "venue": window.venue,
        "start": _time(window.start_ms * 1_000),
        "orders": figures.orders,
        "openChange": figures.open_change,
        "fills": figures.fills,
        "tradedQuantity": figures.traded_quantity,
        "tradedNotional": _amount(figures.traded_notional),
        "vwap": _amount(figures.vwap),
        "fillRate": None if rate is None else round(rate, 4),
        "filled": figures.filled,
        "canceled": figures.canceled,
        "rejected": figures.rejected,
        "expired": figures.expired,
        "reopened": figures.reopened,
        "acknowledgementMicros": {name: figures.acknowledgement.quantile(p) for name, p in _PERCENTILES.items()},
        "firstFillMicros": {name: figures.first_fill.quantile(p) for name, p in _PERCENTILES.items()},
        "rejectReasons": figures.reject_reasons,
    }


def _amount(micros: int | None) -> int | Decimal | None:
    """Millionths as the JSON form of events has them: a number without trailing zeros."""
    if micros is None:
        return None
    whole, rest = divmod(micros, _MICROS)
    return whole if rest == 0 else Decimal(micros).scaleb(-6).normalize()


def _time(micros: int) -> str:
    seconds, rest = divmod(micros, _MICROS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def _text(value: Any) -> str:
    if value is None or value in ("", {}, []):
        return "-"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return ",".join(f"{name}={'-' if part is None else part}" for name, part in value.items())
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
