"""`orderflow risk`: limits and trading states changed while the flows run, and what accounts use of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from cli import query_rows
from cli.session import with_settings
from cli.table import write_rows
from config.errors import NotFoundError, StoreError, UsageError
from config.settings import Settings

if TYPE_CHECKING:
    from operators.model.risk.limits import RiskControl, Tables
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

    A scope is FIRM, DESK:<desk>, ACCOUNT:<id>, SYMBOL:<symbol>, SESSION:<id> or ACCOUNT:<id>/SYMBOL:<symbol>. One that
    nobody knows is stopped as well, with a warning: whoever stops something must not be held up.
    """
    from operators.model.risk.limits import TradingState
    from services import risk_controls

    state = TradingState.REDUCING if reducing else TradingState.HALTED

    def change(known: Tables, now: int) -> list[RiskControl]:
        for unknown in _unknown(settings, known, scope):
            _warn(f"{unknown}; {scope} is {state} all the same, look whether that is what you meant to stop")
        return [risk_controls.with_state(known.controls, scope, state, occurred_at=now, reason=reason)]

    _change(settings, change)


@risk.command()
@click.argument("scope", default="FIRM")
@_reason
@with_settings
def resume(settings: Settings, scope: str, reason: str | None) -> None:
    """Let SCOPE, by default FIRM, trade again. Other scopes that are halted stay so."""
    from services import risk_controls

    _change(
        settings,
        lambda known, now: [risk_controls.resumed(known.controls, scope, occurred_at=now, reason=reason)],
    )


@risk.command()
@click.argument("scope", default="FIRM")
@_reason
@with_settings
def rearm(settings: Settings, scope: str, reason: str | None) -> None:
    """Open the execution throttle of SCOPE again, for all that it has latched until now."""
    from services import risk_controls

    def change(known: Tables, now: int) -> list[RiskControl]:
        if scope not in known.controls and (unknown := _unknown(settings, known, scope)):
            if known.accounts or not scope.startswith("ACCOUNT:"):
                raise UsageError(f"{unknown[0]}, so there is nothing to re-arm; `orderflow risk show` has the scopes")
            _warn(f"{unknown[0]}; {scope} is re-armed all the same, look whether the name is right")
        return [risk_controls.rearmed(known.controls, scope, occurred_at=now, reason=reason)]

    _change(settings, change)


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
        text, source = reference.text_of(file), reference.SOURCE
        given = parse_controls(text, occurred_at=_now(), source=source, file=str(file))
        _change(settings, lambda known, now: risk_controls.from_file(known.controls, given, occurred_at=now))
    else:
        wanted, name = _as_yaml(values), str(scope)

        def change(known: Tables, now: int) -> list[RiskControl]:
            changed = risk_controls.with_limits(known.controls, name, wanted, occurred_at=now, reason=reason)
            for unknown in _unknown(settings, known, name) if name not in known.controls else ():
                _warn(f"{unknown}; its limits are published all the same, look whether the name is right")
            return [changed]

        _change(settings, change)


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
            accounts = [_of_totals(*each) for each in sorted(read_accounts(view))]
        if not accounts:
            click.echo("risk has seen no request yet", err=True)
        write_rows(accounts, form)
        return
    tables = risk_controls.tables_in_force(open_log(settings), open_codec(settings, reference.TOPICS))
    if not tables.controls:
        _warn(
            "no limits are published, so every order is rejected: `orderflow reference publish` or `risk limits FILE`"
        )
    if account is None:
        write_rows([_of_control(control) for _, control in sorted(tables.controls.items())], form)
        return
    with View(settings, FLOW, STEP) as view:
        found = read_account(view, account)
    if found is None:
        raise NotFoundError(f"risk has seen no request of account {account}")
    write_rows([_of_used(each) for each in limits_used(found, tables)], form)


def _change(settings: Settings, change: Callable[[Tables, int], Iterable[RiskControl]]) -> None:
    """Reads what is in force, publishes what a change makes of it, and says under which version."""
    from flows.connect import open_codec, open_log
    from services import reference, risk_controls

    log, codec = open_log(settings), open_codec(settings, reference.TOPICS)
    changed = list(change(risk_controls.tables_in_force(log, codec), _now()))
    client_id = settings.application.client_id_of("orderflow", "risk")
    risk_controls.publish(log, codec, changed, client_id=client_id)
    for control in changed:
        state = control.trading_state or "ACTIVE"
        click.echo(f"{control.key}: version {control.limits_version}, {state}", err=True)


def _unknown(settings: Settings, tables: Tables, scope: str) -> list[str]:
    """What nobody knows of the names in a scope: neither reference data nor, of an account, the risk check's store."""
    from services import risk_controls
    from sinks.risk_view import FLOW, STEP, read_account
    from sinks.views import View

    unknown = risk_controls.unknown_names(tables, scope)
    account = scope.partition("/")[0].removeprefix("ACCOUNT:")
    if unknown and scope.startswith("ACCOUNT:"):
        try:
            with View(settings, FLOW, STEP) as view:
                if read_account(view, account) is not None:
                    return [each for each in unknown if not each.endswith(f"account {account}")]
        except StoreError:
            pass  # the risk check has not run here, and reference data alone can tell
    return unknown


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


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
    said = {
        name: value
        for name, value in msgspec.to_builtins(control).items()
        if value not in (None, [], ()) and name not in _FRAME and name not in _SHOWN
    }
    return {
        "scope": control.key,
        "version": control.limits_version,
        "since": query_rows.time(control.occurred_at),
        "limitsAt": None if control.given_at is None else query_rows.time(control.given_at),
        "tradingState": control.trading_state or "ACTIVE",
        "reason": control.reason,
        "limits": _in_words(said),
    }


_FRAME = frozenset({"eventType", "version", "occurredAt", "key", "sequence", "source"})
_SHOWN = frozenset({"limitsVersion", "limitsAt", "tradingState", "reason"})
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def _in_words(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a control says as a limits file would: money in the currency, times and dates in ISO."""
    from operators.model.risk.limits import MONEY, RiskControl

    of_field = {field.encode_name: field.name for field in msgspec.structs.fields(RiskControl)}
    shown: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            shown[name] = _in_words(value)
        elif isinstance(value, list | tuple):
            shown[name] = [_in_words(each) if isinstance(each, Mapping) else each for each in value]
        elif of_field.get(name) in MONEY:
            shown[name] = query_rows.amount(value)
        elif name in ("validFrom", "validUntil"):
            shown[name] = date.fromordinal(value + _EPOCH_DAY).isoformat()
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
