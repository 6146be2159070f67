"""`orderflow risk`: limits and trading states changed while the flows run, and what accounts use of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import query_rows
from cli.session import with_settings
from cli.table import write_table
from config.errors import NotFoundError, UsageError
from config.settings import Settings

if TYPE_CHECKING:
    from operators.model.risk.limits import RiskControl, TradingState
    from sinks.risk_view import Used

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group()
def risk() -> None:
    """Halt, resume and limit trading; show exposure and the limits used."""


def _reason(command: _F) -> _F:
    return click.option("--reason", help="Why, for people and audit.")(command)


_format = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


@risk.command()
@click.argument("scope", default="FIRM")
@click.option("--reducing", is_flag=True, help="Let orders pass that only lower a position.")
@_reason
@with_settings
def halt(settings: Settings, scope: str, reducing: bool, reason: str | None) -> None:
    """Stop trading in SCOPE, by default the whole FIRM: new and replace requests are rejected, cancels pass.

    A scope is FIRM, DESK:<desk>, ACCOUNT:<id>, SYMBOL:<symbol>, SESSION:<id> or ACCOUNT:<id>/SYMBOL:<symbol>.
    """
    from operators.model.risk.limits import TradingState

    _set_state(settings, scope, TradingState.REDUCING if reducing else TradingState.HALTED, reason)


@risk.command()
@click.argument("scope", default="FIRM")
@_reason
@with_settings
def resume(settings: Settings, scope: str, reason: str | None) -> None:
    """Let SCOPE, by default FIRM, trade again. Other scopes that are halted stay so."""
    from operators.model.risk.limits import TradingState

    _set_state(settings, scope, TradingState.ACTIVE, reason)


@risk.command()
@click.argument("scope", default="FIRM")
@_reason
@with_settings
def rearm(settings: Settings, scope: str, reason: str | None) -> None:
    """Open the execution throttle of SCOPE again, for all that it has latched until now."""
    from services import risk_controls

    _change(
        settings,
        lambda known, now: [risk_controls.rearmed(known, scope, occurred_at=now, reason=reason)],
    )


@risk.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--scope", help="Change this scope alone, by --set.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="A limit, as in a limits file; repeatable.")
@_reason
@with_settings
def limits(
    settings: Settings, file: Path | None, scope: str | None, values: tuple[str, ...], reason: str | None
) -> None:
    """Publish the limits of FILE, or change those of one scope.

    A scope that is published again gets the limits of the file in place of its own; it keeps its trading state, which
    halt and resume change. `--scope ACCOUNT:ACC1 --set maxExposure=5000000 --set warn.maxExposure=4000000` changes what
    it names and leaves the rest.
    """
    from operators.model.risk.limits_files import parse_controls
    from services import reference, risk_controls

    if (file is None) == (scope is None) or bool(values) != (scope is not None):
        raise UsageError("give a FILE of limits, or --scope with at least one --set")
    if file is not None:
        text, source = file.read_text(), reference.SOURCE
        given = parse_controls(text, occurred_at=_now(), source=source, file=str(file))
        _change(settings, lambda known, now: risk_controls.from_file(known, given, occurred_at=now))
    else:
        wanted = _as_yaml(values)
        name = str(scope)
        _change(
            settings,
            lambda known, now: [risk_controls.with_limits(known, name, wanted, occurred_at=now, reason=reason)],
        )


@risk.command()
@click.argument("account", required=False)
@click.option("--all", "everyone", is_flag=True, help="The totals of every account on this host.")
@_format
@with_settings
def show(settings: Settings, account: str | None, everyone: bool, form: str) -> None:
    """Print the controls in force; with ACCOUNT, what it has at risk and uses of its limits.

    Exposure is read from the local stores of the flow risk_check, while it runs or after it. Money in the currency.
    """
    from flows.connect import open_codec, open_log
    from services import reference, risk_controls
    from sinks.risk_view import FLOW, STEP, limits_used, read_account, read_accounts
    from sinks.views import View

    if everyone:
        with View(settings, FLOW, STEP) as view:
            _write([_of_totals(*each) for each in sorted(read_accounts(view))], form)
        return
    tables = risk_controls.tables_in_force(open_log(settings), open_codec(settings, reference.TOPICS))
    if account is None:
        _write([_of_control(control) for _, control in sorted(tables.controls.items())], form)
        return
    with View(settings, FLOW, STEP) as view:
        found = read_account(view, account)
    if found is None:
        raise NotFoundError(f"risk has seen no request of account {account}")
    _write([_of_used(each) for each in limits_used(found, tables)], form)


def _set_state(settings: Settings, scope: str, state: TradingState, reason: str | None) -> None:
    from services import risk_controls

    _change(
        settings,
        lambda known, now: [risk_controls.with_state(known, scope, state, occurred_at=now, reason=reason)],
    )


def _change(settings: Settings, change: Callable[[Mapping[str, RiskControl], int], Iterable[RiskControl]]) -> None:
    """Reads what is in force, publishes what a change makes of it, and says under which version."""
    from flows.connect import open_codec, open_log
    from services import reference, risk_controls

    log, codec = open_log(settings), open_codec(settings, reference.TOPICS)
    changed = list(change(risk_controls.tables_in_force(log, codec).controls, _now()))
    client_id = settings.application.client_id_of("orderflow", "risk")
    risk_controls.publish(log, codec, changed, client_id=client_id)
    for control in changed:
        state = control.trading_state or "ACTIVE"
        click.echo(f"{control.key}: version {control.limits_version}, {state}", err=True)


def _as_yaml(values: Iterable[str]) -> str:
    """NAME=VALUE pairs as the YAML mapping that a limits file would have; `warn.NAME` is a level that warns."""
    import yaml

    given: dict[str, Any] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or not value:
            raise UsageError(f"--set {each!r}: write NAME=VALUE")
        into = given.setdefault("warn", {}) if name.startswith("warn.") else given
        into[name.removeprefix("warn.")] = yaml.safe_load(value)
    text: str = yaml.safe_dump(given, default_flow_style=True, width=10_000)
    return text.strip()


def _of_control(control: RiskControl) -> dict[str, Any]:
    import msgspec

    said = {
        name: value
        for name, value in msgspec.to_builtins(control).items()
        if value not in (None, [], ()) and name not in _FRAME and name not in _SHOWN
    }
    return {
        "scope": control.key,
        "version": control.limits_version,
        "since": query_rows.time(control.occurred_at),
        "tradingState": control.trading_state or "ACTIVE",
        "reason": control.reason,
        "limits": _in_currency(said),
    }


_FRAME = frozenset({"eventType", "version", "occurredAt", "key", "sequence", "source"})
_SHOWN = frozenset({"limitsVersion", "tradingState", "reason"})
_MONEY = ("Notional", "Exposure", "Credit", "Loss", "NetLong", "NetShort")


def _in_currency(values: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            shown[name] = _in_currency({each: given for each, given in value.items() if given is not None})
        elif name.endswith(_MONEY):
            shown[name] = _number(value / 1_000_000)
        else:
            shown[name] = query_rows.time(value) if name == "rearmedAt" else value
    return shown


def _of_used(used: Used) -> dict[str, Any]:
    return {
        "symbol": used.symbol,
        "check": used.check,
        "used": _number(used.used),
        "limit": _number(used.limit),
        "warn": _number(used.warn),
        "share": None if used.share is None else round(used.share, 4),
        "scope": used.scope,
    }


def _of_totals(account_id: str, risk_of: Any) -> dict[str, Any]:
    return {
        "accountId": account_id,
        "reservedBuys": _number(risk_of.reserved_buys / 1_000_000),
        "reservedSells": _number(risk_of.reserved_sells / 1_000_000),
        "openNotional": _number(risk_of.open_notional / 1_000_000),
        "netNotional": _number(risk_of.net_notional / 1_000_000),
        "workingOrders": risk_of.working,
        "tradedToday": _number(risk_of.traded / 1_000_000),
        "resultToday": _number(risk_of.day_result / 1_000_000),
    }


def _number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _now() -> int:
    return time.time_ns() // 1_000


def _write(rows: list[dict[str, Any]], form: str) -> None:
    if form == "json":
        from operators.codec.json_form import dumps

        for row in rows:
            click.echo(dumps(row))
    elif rows:
        write_table([name.upper() for name in rows[0]], [[_text(value) for value in row.values()] for row in rows])


def _text(value: Any) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_text(part)}" for name, part in value.items())
    return str(value)
