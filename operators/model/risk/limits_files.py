"""The files that operations keep limits and reference data in, read whole and refused with every problem in them.

Amounts are in the currency, times in milliseconds, dates ISO. A limits file names its version and, by scope, the fields
of `limits.RiskControl`; the others are lists of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Final, TypeVar

import msgspec
import yaml

from config.errors import ConfigurationError, InvalidRecordError, Problem
from operators.model.money import fitting, to_micros
from operators.model.risk.limits import (
    ACCOUNT_EVENT,
    CONTROL_EVENT,
    FIRM,
    LOCATE_EVENT,
    SYMBOL_EVENT,
    AccountReference,
    Levels,
    Locate,
    Restriction,
    RiskControl,
    SelfTrade,
    Severity,
    SymbolReference,
    TradingState,
)
from operators.model.risk.limits_in_force import ACCOUNT_FIELDS, KNOWN_CHECKS

_T = TypeVar("_T")
Number = int | float | str

TIMES_MAX: Final = 4_096
"""The largest count of messages or executions per window: their times are part of the state."""

_MONEY: Final = (
    "max_order_notional", "max_exposure", "max_net_exposure", "max_net_long", "max_net_short", "max_credit",
    "max_daily_notional", "max_daily_loss",
)  # fmt: skip
_WINDOWS: Final = (
    ("max_messages", "message_window_ms"),
    ("max_total_messages", "total_message_window_ms"),
    ("max_executions", "execution_window_ms"),
)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class _Levels(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    max_order_quantity: int | None = None
    max_order_notional: Number | None = None
    collar_bps: int | None = None
    collar_away_bps: int | None = None
    reference_age_max_ms: int | None = None
    max_messages: int | None = None
    max_total_messages: int | None = None
    max_exposure: Number | None = None
    max_position: int | None = None
    max_long: int | None = None
    max_short: int | None = None
    max_net_exposure: Number | None = None
    max_net_long: Number | None = None
    max_net_short: Number | None = None
    max_credit: Number | None = None
    max_daily_notional: Number | None = None
    max_daily_loss: Number | None = None
    max_working_orders: int | None = None
    max_order_to_trade: int | None = None
    max_executions: int | None = None
    duplicate_window_ms: int | None = None


class _Restriction(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    side: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    reason: str | None = None


class _Scope(_Levels, kw_only=True, rename="camel", forbid_unknown_fields=True):
    trading_state: TradingState | None = None
    message_window_ms: int | None = None
    total_message_window_ms: int | None = None
    order_to_trade_from: int | None = None
    execution_window_ms: int | None = None
    self_trade: SelfTrade | None = None
    short_sale_marking: Severity | None = None
    locate: Severity | None = None
    required_checks: list[str] = []
    restrictions: list[_Restriction] = []
    warn: _Levels | None = None
    reason: str | None = None


class _LimitsFile(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    scopes: dict[str, _Scope]


class _Instrument(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    symbol: str
    tick: Number
    lot: int
    reference: Number | None = None
    bid: Number | None = None
    easy_to_borrow: bool | None = None


class _Account(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    account: str
    owner: str | None = None
    stp_group: str | None = None
    desk: str | None = None


class _LocateRow(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    locate: str
    account: str
    symbol: str
    quantity: int
    valid_from: date | None = None
    valid_until: date | None = None


def parse_controls(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[RiskControl]:
    """The controls in a limits file; `ConfigurationError` lists every problem in it."""
    document = _read(text, _LimitsFile, file)
    problems: list[Problem] = []
    controls = []
    for number, (scope, given) in enumerate(document.scopes.items(), 1):
        problems += [Problem(f"{scope}: {message}", file) for message in _scope_problems(scope, given)]
        values = _in_micros(msgspec.structs.asdict(given), scope, problems, file)
        if given.warn is not None:
            values["warn"] = Levels(**_in_micros(msgspec.structs.asdict(given.warn), f"{scope}: warn", problems, file))
        values["required_checks"] = tuple(given.required_checks)
        values["restrictions"] = tuple(
            Restriction(
                side=one.side,
                valid_from=_day(one.valid_from),
                valid_until=_day(one.valid_until),
                reason=one.reason,
            )
            for one in given.restrictions
        )
        controls.append(
            RiskControl(
                event_type=CONTROL_EVENT, occurred_at=occurred_at, key=scope, sequence=number, source=source,
                limits_version=document.version, **values,
            )
        )  # fmt: skip
    _raise(problems)
    return controls


def parse_symbols(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[SymbolReference]:
    """The instruments in a symbols file, their prices true at `occurred_at`; errors as `parse_controls`."""
    problems: list[Problem] = []
    symbols = []
    for number, given in enumerate(_read(text, list[_Instrument], file), 1):
        tick = _amount(given.tick, f"{given.symbol}: tick", problems, file) or 0
        price = _amount(given.reference, f"{given.symbol}: reference", problems, file)
        bid = _amount(given.bid, f"{given.symbol}: bid", problems, file)
        if min(tick, given.lot, *(each for each in (price, bid) if each is not None)) <= 0:
            problems.append(Problem(f"{given.symbol}: tick, lot, reference and bid must be above zero", file))
        symbols.append(
            SymbolReference(
                event_type=SYMBOL_EVENT, occurred_at=occurred_at, key=given.symbol, sequence=number, source=source,
                tick=tick, lot=given.lot, reference_price=price, bid_price=bid, easy_to_borrow=given.easy_to_borrow,
            )
        )  # fmt: skip
    _raise([*problems, *_twice(symbols, file)])
    return symbols


def parse_accounts(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[AccountReference]:
    """The accounts in a file; errors as `parse_controls`."""
    accounts = [
        AccountReference(
            event_type=ACCOUNT_EVENT, occurred_at=occurred_at, key=given.account, sequence=number, source=source,
            owner=given.owner, stp_group=given.stp_group, desk=given.desk,
        )
        for number, given in enumerate(_read(text, list[_Account], file), 1)
    ]  # fmt: skip
    _raise(_twice(accounts, file))
    return accounts


def parse_locates(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[Locate]:
    """The locates in a file; errors as `parse_controls`."""
    locates = [
        Locate(
            event_type=LOCATE_EVENT, occurred_at=occurred_at, key=given.locate, sequence=number, source=source,
            account_id=given.account, symbol=given.symbol, quantity=given.quantity,
            valid_from=_day(given.valid_from), valid_until=_day(given.valid_until),
        )
        for number, given in enumerate(_read(text, list[_LocateRow], file), 1)
    ]  # fmt: skip
    few = [Problem(f"{one.key}: quantity must be above zero", file) for one in locates if one.quantity <= 0]
    _raise([*few, *_twice(locates, file)])
    return locates


def scope_problem(scope: str) -> str | None:
    """What is wrong with the name of a scope."""
    kinds = [part.partition(":") for part in scope.split("/")]
    known = [kind for kind, _, name in kinds if name and kind in ("DESK", "ACCOUNT", "SYMBOL", "SESSION")]
    whole = len(known) == len(kinds) and (len(known) == 1 or known == ["ACCOUNT", "SYMBOL"])
    if scope == FIRM or whole:
        return None
    return "a scope is FIRM, DESK:<desk>, ACCOUNT:<id>, SYMBOL:<symbol>, SESSION:<id> or ACCOUNT:<id>/SYMBOL:<symbol>"


def _scope_problems(scope: str, given: _Scope) -> Iterator[str]:
    if problem := scope_problem(scope):
        yield problem
    of_account = scope == FIRM or (scope.startswith(("DESK:", "ACCOUNT:")) and "/" not in scope)
    for name, level in _named_levels(given):
        if name in ACCOUNT_FIELDS and not of_account:
            yield f"{_camel(name)} is a limit of an account: give it under FIRM, DESK or ACCOUNT"
        if level < 0:
            yield f"{_camel(name)} {level} is too small"
        if name in dict(_WINDOWS) and level > TIMES_MAX:
            yield f"{_camel(name)} {level} is too large: at most {TIMES_MAX}"
        if name == "max_total_messages" and scope.startswith("ACCOUNT:"):
            yield "maxTotalMessages counts over accounts: give it under FIRM, DESK, SYMBOL or SESSION"
    if scope.startswith("SESSION:") and (given.max_working_orders is not None or given.max_executions is not None):
        yield "a session has no working orders and executions of its own: limit its messages"
    for limit, window in _WINDOWS:
        has_limit = any(name == limit for name, _ in _named_levels(given))
        span = getattr(given, window)
        if has_limit != (span is not None):
            yield f"{_camel(limit)} and {_camel(window)} belong together"
        elif span is not None and span <= 0:
            yield f"{_camel(window)} {span} is too small"
    for name in given.required_checks:
        if name not in KNOWN_CHECKS:
            yield f"requiredChecks: there is no {name}; there are {', '.join(sorted(KNOWN_CHECKS))}"
    for one in given.restrictions:
        if one.side not in (None, "BUY", "SELL"):
            yield f"restrictions: side {one.side} is neither BUY nor SELL"


def _named_levels(given: _Scope) -> Iterator[tuple[str, float]]:
    for levels in (given, given.warn):
        for name in Levels.__struct_fields__:
            value = None if levels is None else getattr(levels, name)
            if isinstance(value, int | float):
                yield name, value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _read(text: str, shape: type[_T], file: str | None) -> _T:
    try:
        return msgspec.convert(yaml.safe_load(text), shape)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ConfigurationError([Problem(str(error), file)]) from error


def _in_micros(values: dict[str, Any], what: str, problems: list[Problem], file: str | None) -> dict[str, Any]:
    return values | {name: _amount(values[name], f"{what}: {_camel(name)}", problems, file) for name in _MONEY}


def _amount(value: Number | None, what: str, problems: list[Problem], file: str | None) -> int | None:
    """Millionths of an amount in the currency; a problem instead where it is none."""
    if value is None:
        return None
    try:
        return fitting(to_micros(value), what)
    except (ValueError, InvalidRecordError) as error:
        problems.append(Problem(f"{what}: {error}", file))
        return None


def _day(value: date | None) -> int | None:
    return None if value is None else value.toordinal() - _EPOCH_DAY


def _twice(records: Iterable[SymbolReference | AccountReference | Locate], file: str | None) -> list[Problem]:
    names = [record.key for record in records]
    return [Problem(f"{name} is given twice", file) for name in sorted({n for n in names if names.count(n) > 1})]


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise ConfigurationError(problems)
