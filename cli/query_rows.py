"""What `orderflow query` prints: a row per position, event, window or alert, money as decimals, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from cli.table import is_empty

if TYPE_CHECKING:
    from operators.model.fees.ledger import AccountMonth
    from operators.model.positions.positions import Position
    from operators.model.surveillance.alerts import AlertEpisode
    from operators.model.views.children import Child
    from operators.model.views.dashboard import Aggregate
    from operators.model.views.timeline_order import Line
    from services.exposures import Exposure
    from sinks.views import Window

_MICROS: Final = 1_000_000
_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def of_position(
    key: tuple[str, str],
    position: Position | None,
    exposure: Exposure | None,
    reference_prices: Mapping[str, int | None] | None = None,
) -> dict[str, Any]:
    """One account and symbol: what it holds, what its orders have at risk, and the account's limit.

    Valued at the last fill's price, or at the reference prices in millionths by symbol if they are given.
    """
    account_id, symbol = key
    mark = None if position is None else position.last_price
    if reference_prices is not None:
        mark = reference_prices.get(symbol)
    row: dict[str, Any] = {"accountId": account_id, "symbol": symbol}
    row |= {
        "quantity": 0 if position is None else position.quantity,
        "averageCost": None if position is None else amount(position.average_cost),
        "costBasis": amount(0 if position is None else position.cost_basis),
        **_results(position, mark),
        "fees": amount(0 if position is None else position.fees),
        "feesInside": None if position is None else position.fees_inside,
        "tradedQuantity": 0 if position is None else position.traded_quantity,
        "tradedNotional": amount(0 if position is None else position.traded_notional),
        "lastPrice": None if position is None else amount(position.last_price),
        "openBuy": None if exposure is None else exposure.open_buy,
        "openSell": None if exposure is None else exposure.open_sell,
        "workingOrders": None if exposure is None else exposure.working,
        "positionLimitUsed": None if exposure is None else _part(exposure.position_used),
        "accountReserved": None if exposure is None else amount(exposure.account_reserved),
        "accountExposure": None if exposure is None else amount(exposure.account_exposure),
        "exposureLimit": None if exposure is None else amount(exposure.exposure_limit),
        "exposureLimitUsed": None if exposure is None else _part(exposure.used),
        "tradingState": None if exposure is None else exposure.trading_state,
        "updatedAt": None if position is None else time(position.updated_at),
    }
    return row


def _results(position: Position | None, mark: int | None) -> dict[str, Any]:
    """What was realised, and what closing at `mark` would realise, at average cost and by FIFO."""
    if position is None:
        return dict.fromkeys(("realised", "unrealised", "fifoCostBasis", "fifoRealised", "fifoUnrealised", "mark"))
    return {
        "realised": amount(position.net_realised),
        "unrealised": amount(None if mark is None else position.unrealised(mark)),
        "fifoCostBasis": amount(position.fifo_cost_basis),
        "fifoRealised": amount(position.net_fifo_realised),
        "fifoUnrealised": amount(None if mark is None else position.fifo_unrealised(mark)),
        "mark": amount(mark),
    }


def of_month(month: AccountMonth) -> dict[str, Any]:
    """The fees of one account and month, exact and as billed."""
    from operators.model.fees.ledger import cents_up

    totals, adjustment = month.totals(), month.tier_adjustment
    return {
        "accountId": month.account_id,
        "month": month.month,
        "shares": month.shares,
        "exact": {kind: amount(exact) for kind, (exact, _) in sorted(totals.items())},
        "billed": {kind: amount(billed) for kind, (_, billed) in sorted(totals.items())},
        "tierAdjustment": amount(adjustment),
        "exactTotal": amount(sum(exact for exact, _ in totals.values()) + adjustment),
        "billedTotal": amount(sum(billed for _, billed in totals.values()) + cents_up(adjustment)),
        "rounding": month.rounding,
        "unverified": list(month.unverified),
        "updatedAt": time(month.updated_at),
    }


def of_days(month: AccountMonth) -> list[dict[str, Any]]:
    """The same by trade date."""
    from operators.model.fees.ledger import date_of

    rows = []
    for trade_date, day in sorted(month.days.items()):
        billed = {kind: each.billed(month.rounding) for kind, each in sorted(day.fees.items())}
        rows.append(
            {
                "accountId": month.account_id,
                "tradeDate": date_of(trade_date).isoformat(),
                "shares": day.shares,
                "exact": {kind: amount(each.exact) for kind, each in sorted(day.fees.items())},
                "billed": {kind: amount(each) for kind, each in billed.items()},
                "exactTotal": amount(sum(each.exact for each in day.fees.values())),
                "billedTotal": amount(sum(billed.values())),
                "rounding": month.rounding,
            }
        )
    return rows


def _part(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def of_line(line: Line) -> dict[str, Any]:
    """One event of a timeline, with the marks that say what is odd about it."""
    entry = line.entry
    return {
        "key": line.key,
        "occurredAt": time(entry.occurred_at),
        "origin": entry.origin,
        "source": entry.source,
        "sequence": entry.sequence,
        "marks": list(line.marks),
        "kind": entry.kind,
        "code": entry.code,
        "venue": entry.venue,
        "quantity": entry.quantity,
        "price": amount(entry.price),
        "filledQuantity": entry.filled,
        "leavesQuantity": entry.leaves,
        "averagePrice": amount(entry.average_price),
        "lastQuantity": entry.last_quantity,
        "lastPrice": amount(entry.last_price),
        "execId": entry.exec_id,
        "execRefId": entry.exec_ref_id,
        "clOrdId": entry.cl_ord_id,
        "fees": amount(entry.fees),
        "limitsVersion": entry.limits_version,
        "correlationId": entry.correlation_id,
        "index": entry.index,
        "text": entry.text,
    }


def child_line(parent_key: str, number: int, child: Child) -> Line:
    """The line by which a parent's timeline lists one of its children: `text` is the child's key."""
    from operators.model.views.timeline import Entry
    from operators.model.views.timeline_order import Line

    entry = Entry(
        index=number,
        occurred_at=child.known_at,
        origin="CHILD",
        source="",
        sequence=number + 1,
        kind="CHILD",
        venue=child.venue,
        text=child.key,
    )
    return Line(parent_key, entry)


def of_window(window: Window, total: Aggregate | None) -> dict[str, Any]:
    """One window of the dashboard; `total` are the figures since the beginning, which tell the open orders of now."""
    figures = window.aggregate
    rate = figures.fill_rate
    return {
        "symbol": window.symbol,
        "venue": window.venue,
        "start": time(window.start_ms * 1_000),
        "orders": figures.orders,
        "openChange": figures.open_change,
        "openNow": None if total is None else total.open_change,
        "fills": figures.fills,
        "tradedQuantity": figures.traded_quantity,
        "tradedNotional": amount(figures.traded_notional),
        "vwap": amount(figures.vwap),
        "fillRate": None if rate is None else round(rate, 4),
        "filled": figures.filled,
        "canceled": figures.canceled,
        "rejected": figures.rejected,
        "expired": figures.expired,
        "done": figures.done,
        "reopened": figures.reopened,
        "acknowledgementMicros": {name: figures.acknowledgement.quantile(p) for name, p in _PERCENTILES.items()},
        "firstFillMicros": {name: figures.first_fill.quantile(p) for name, p in _PERCENTILES.items()},
        "rejectReasons": figures.reject_reasons,
    }


def of_episode(episode: AlertEpisode) -> dict[str, Any]:
    """One episode of an alert, from its beginning to its end."""
    alert = episode.alert
    return {
        "raisedAt": time(alert.raised_at),
        "clearedAt": None if episode.cleared is None else time(episode.cleared.occurred_at),
        "kind": alert.kind,
        "severity": alert.severity,
        "scope": alert.scope,
        "key": alert.key,
        "symbol": alert.symbol,
        "measured": None if alert.measured is None else round(alert.measured, 4),
        "limit": alert.limit,
        "unit": alert.unit,
        "orderKeys": alert.order_keys,
        "correlationId": alert.correlation_id,
        "detail": alert.detail,
    }


def without_empty_columns(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what none of them has, so that a table of many columns can be read."""
    told = [name for name in rows[0] if any(not is_empty(row[name]) for row in rows)] if rows else []
    return [{name: row[name] for name in told} for row in rows]


def amount(micros: int | None) -> int | Decimal | None:
    """Millionths as the JSON form of events has them: a number without trailing zeros."""
    if micros is None:
        return None
    whole, rest = divmod(micros, _MICROS)
    return whole if rest == 0 else Decimal(micros).scaleb(-6).normalize()


def time(micros: int) -> str:
    """Microseconds since 1970 in ISO 8601."""
    seconds, rest = divmod(micros, _MICROS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
