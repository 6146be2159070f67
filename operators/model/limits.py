"""Risk limits and instrument data: the records that operations publish, and which limits hold for one order.

| limit | read from scopes | says |
|---|---|---|
| trading state | FIRM, ACCOUNT, SYMBOL | ACTIVE; REDUCING: only what lowers a position; HALTED: only cancels |
| maximum quantity, notional | FIRM, ACCOUNT, SYMBOL | per order |
| collar, reference age | FIRM, ACCOUNT, SYMBOL | per order |
| messages per window | FIRM, ACCOUNT | per account |
| exposure | FIRM, ACCOUNT | per account |

The strictest of all scopes holds, each limit for itself: nobody can be given more than the firm allows by adding a
record. FIRM is therefore a ceiling for every account, not a sum over accounts. A limit that no scope gives is
missing, and the order is rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

import msgspec
import yaml

from config.errors import ConfigurationError, InvalidRecordError, Problem
from operators.model.events import Event
from operators.model.money import fitting, to_micros

_T = TypeVar("_T")

FIRM: Final = "FIRM"
NO_LIMITS: Final = "NONE"
"""The limits version of a decision for which there was no control at all."""

_CONTROL_EVENT: Final = "RISK_CONTROL"
_SYMBOL_EVENT: Final = "SYMBOL_REFERENCE"


class TradingState(StrEnum):
    """What a scope may do."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class RiskControl(Event, frozen=True, kw_only=True, rename="camel"):
    """Limits and trading state of one scope, which is the key: topic risk.controls."""

    limits_version: str
    trading_state: str | None = None
    max_order_quantity: int | None = None
    max_order_notional: int | None = None
    collar_bps: int | None = None
    reference_age_max_ms: int | None = None
    max_messages: int | None = None
    message_window_ms: int | None = None
    max_exposure: int | None = None
    reason: str | None = None


class SymbolReference(Event, frozen=True, kw_only=True, rename="camel"):
    """What is known of one instrument, whose symbol is the key: topic reference.symbols."""

    tick: int
    lot: int
    reference_price: int | None = None
    reference_at: int | None = None

    @property
    def price_at(self) -> int:
        """When the reference price was true, in microseconds."""
        return self.occurred_at if self.reference_at is None else self.reference_at


class AccountReference(Event, frozen=True, kw_only=True, rename="camel"):
    """What is known of one account, whose id is the key: topic reference.accounts."""

    version: int = 1
    owner: str | None = None
    stp_group: str | None = None
    desk: str | None = None


class Limit(NamedTuple):
    """A limit and the scope it comes from."""

    value: int
    scope: str


class MessageRate(NamedTuple):
    """At most so many messages in a rolling window."""

    messages: int
    window_micros: int
    scope: str


class Limits(NamedTuple):
    """The limits that hold for one order. None is missing."""

    version: str
    states: Sequence[tuple[TradingState, str]]
    quantity: Limit | None
    notional: Limit | None
    collar_bps: Limit | None
    reference_age_ms: Limit | None
    rates: Sequence[MessageRate]
    exposure: Limit | None


def account_scope(account_id: str) -> str:
    """The scope of one account."""
    return f"ACCOUNT:{account_id}"


def symbol_scope(symbol: str) -> str:
    """The scope of one instrument."""
    return f"SYMBOL:{symbol}"


def limits_of(controls: Mapping[str, RiskControl], *, account_id: str, symbol: str) -> Limits:
    """The strictest limits of all scopes that apply to an order."""
    scopes = (FIRM, account_scope(account_id), symbol_scope(symbol))
    found = [(scope, controls[scope]) for scope in scopes if scope in controls]
    of_account = [(scope, control) for scope, control in found if scope != scopes[2]]
    return Limits(
        version=",".join(f"{scope}@{control.limits_version}" for scope, control in found) or NO_LIMITS,
        states=[(_state(control.trading_state), scope) for scope, control in found],
        quantity=_strictest((control.max_order_quantity, scope) for scope, control in found),
        notional=_strictest((control.max_order_notional, scope) for scope, control in found),
        collar_bps=_strictest((control.collar_bps, scope) for scope, control in found),
        reference_age_ms=_strictest((control.reference_age_max_ms, scope) for scope, control in found),
        rates=[
            MessageRate(control.max_messages, control.message_window_ms * 1000, scope)
            for scope, control in of_account
            if control.max_messages is not None and control.message_window_ms is not None
        ],
        exposure=_strictest((control.max_exposure, scope) for scope, control in of_account),
    )


def _strictest(values: Iterable[tuple[int | None, str]]) -> Limit | None:
    return min((Limit(value, scope) for value, scope in values if value is not None), default=None)


def _state(word: str | None) -> TradingState:
    """A word nobody knows halts: whoever wrote it wanted something stopped."""
    if word is None:
        return TradingState.ACTIVE
    return TradingState(word) if word in _STATES else TradingState.HALTED


_STATES: Final = frozenset(state.value for state in TradingState)

Number = int | float | str


class _Scope(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    trading_state: TradingState | None = None
    max_order_quantity: int | None = None
    max_order_notional: Number | None = None
    collar_bps: int | None = None
    reference_age_max_ms: int | None = None
    max_messages: int | None = None
    message_window_ms: int | None = None
    max_exposure: Number | None = None


class _LimitsFile(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    scopes: dict[str, _Scope]


class _Instrument(msgspec.Struct, forbid_unknown_fields=True):
    symbol: str
    tick: Number
    lot: int
    reference: Number | None = None


def parse_controls(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[RiskControl]:
    """The controls in a limits file; `ConfigurationError` lists every problem in it."""
    document = _read(text, _LimitsFile, file)
    problems: list[Problem] = []
    controls = []
    for number, (scope, given) in enumerate(document.scopes.items(), 1):
        problems += [Problem(f"{scope}: {message}", file) for message in _scope_problems(scope, given)]
        values = msgspec.structs.asdict(given)
        for name in ("max_order_notional", "max_exposure"):
            values[name] = _amount(values[name], f"{scope}: {name}", problems, file)
        controls.append(
            RiskControl(
                event_type=_CONTROL_EVENT, occurred_at=occurred_at, key=scope, sequence=number, source=source,
                limits_version=document.version, **values,
            )
        )  # fmt: skip
    if problems:
        raise ConfigurationError(problems)
    return controls


def parse_symbols(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[SymbolReference]:
    """The instruments in a symbols file, their reference prices true at `occurred_at`; errors as `parse_controls`."""
    problems: list[Problem] = []
    symbols = []
    for number, given in enumerate(_read(text, list[_Instrument], file), 1):
        tick = _amount(given.tick, f"{given.symbol}: tick", problems, file) or 0
        price = _amount(given.reference, f"{given.symbol}: reference", problems, file)
        if tick <= 0 or given.lot <= 0 or (price is not None and price <= 0):
            problems.append(Problem(f"{given.symbol}: tick, lot and reference must be above zero", file))
        symbols.append(
            SymbolReference(
                event_type=_SYMBOL_EVENT, occurred_at=occurred_at, key=given.symbol, sequence=number, source=source,
                tick=tick, lot=given.lot, reference_price=price,
            )
        )  # fmt: skip
    names = [symbol.key for symbol in symbols]
    problems += [Problem(f"{name} is given twice", file) for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise ConfigurationError(problems)
    return symbols


def _read(text: str, shape: type[_T], file: str | None) -> _T:
    try:
        return msgspec.convert(yaml.safe_load(text), shape)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ConfigurationError([Problem(str(error), file)]) from error


def _amount(value: Number | None, what: str, problems: list[Problem], file: str | None) -> int | None:
    """Millionths of an amount in the currency; a problem instead where it is none."""
    if value is None:
        return None
    try:
        return fitting(to_micros(value), what)
    except (ValueError, InvalidRecordError) as error:
        problems.append(Problem(f"{what}: {error}", file))
        return None


def _scope_problems(scope: str, given: _Scope) -> Iterator[str]:
    kind, _, name = scope.partition(":")
    if scope != FIRM and (kind not in ("ACCOUNT", "SYMBOL") or not name):
        yield "a scope is FIRM, ACCOUNT:<id> or SYMBOL:<symbol>"
    if kind == "SYMBOL" and (given.max_messages is not None or given.max_exposure is not None):
        yield "message rate and exposure are limits of an account"
    if (given.max_messages is None) != (given.message_window_ms is None):
        yield "maxMessages and messageWindowMs belong together"
    for field, value in msgspec.structs.asdict(given).items():
        if isinstance(value, int | float) and (value < 0 or (value == 0 and field == "message_window_ms")):
            yield f"{field} {value} is too small"
