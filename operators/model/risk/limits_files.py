"""The files that operations keep limits and reference data in, read whole and refused with every problem in them.

Amounts are in the currency, times in milliseconds, dates ISO. A limits file names its version and, by scope, the fields
of `limits.RiskControl`; the others are lists of records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.yaml_positions import MappingNode, Node, Place, SequenceNode
from operators.model.events import Event
from operators.model.risk.file_fields import (
    Field,
    File,
    amount,
    day,
    fields_of,
    flag,
    text,
    texts,
    whole,
    word_of,
)
from operators.model.risk.limits import (
    ACCOUNT_EVENT,
    CONTROL_EVENT,
    FIRM,
    LOCATE_EVENT,
    MONEY,
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

TIMES_MAX: Final = 4_096
"""The largest count of messages or executions per window: their times are part of the state."""

_WINDOWS: Final = (
    ("max_messages", "message_window_ms"),
    ("max_total_messages", "total_message_window_ms"),
    ("max_executions", "execution_window_ms"),
)
_LONGER_IS_STRICTER: Final = frozenset({"duplicate_window_ms"})


def parse_controls(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[RiskControl]:
    """The controls in a limits file; `ConfigurationError` lists every problem in it."""
    reading = File(file)
    document = reading.mapping(reading.read(text), "a limits file")
    given = {} if document is None else reading.values(document, _LIMITS_FILE, "a limits file")
    scopes = reading.mapping(given["scopes"], "scopes") if "scopes" in given else None
    controls = []
    for number, (scope, node) in enumerate(({} if scopes is None else scopes.entries).items(), 1):
        values = _limits_in(node, scope, reading)
        control = RiskControl(
            event_type=CONTROL_EVENT, occurred_at=occurred_at, key=scope, sequence=number, source=source,
            limits_version=given.get("version", ""), **values,
        )  # fmt: skip
        for field, message in problems_of(control):
            reading.wrong(_place_of(field, node), f"{scope}: {message}")
        controls.append(control)
    reading.done()
    return controls


def parse_limits(text: str, scope: str) -> dict[str, Any]:
    """The limits of one scope in a YAML mapping, by their names in the record.

    `ConfigurationError` for what is no limit or has no value of its kind; whether the values go together with those
    that stay is for `problems_of`.
    """
    reading = File(None)
    values = _limits_in(reading.read(text), scope, reading)
    reading.done()
    return values


def parse_symbols(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[SymbolReference]:
    """The instruments in a symbols file, their prices true at `occurred_at`; errors as `parse_controls`."""
    reading = File(file)
    symbols = []
    for number, (place, name, given) in enumerate(_rows(text, reading, _INSTRUMENT, "symbol"), 1):
        for field in ("tick", "lot", "reference_price", "bid_price"):
            if given.get(field, 1) <= 0:
                reading.wrong(place, f"{name}: {_IN_SYMBOLS_FILE.get(field, field)} must be above zero")
        symbols.append(
            SymbolReference(event_type=SYMBOL_EVENT, occurred_at=occurred_at, sequence=number, source=source, **given)
        )
    reading.done()
    return symbols


def parse_accounts(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[AccountReference]:
    """The accounts in a file; errors as `parse_controls`."""
    reading = File(file)
    accounts = [
        AccountReference(event_type=ACCOUNT_EVENT, occurred_at=occurred_at, sequence=number, source=source, **given)
        for number, (_, _, given) in enumerate(_rows(text, reading, _ACCOUNT, "account"), 1)
    ]
    reading.done()
    return accounts


def parse_locates(text: str, *, occurred_at: int, source: str, file: str | None = None) -> list[Locate]:
    """The locates in a file; errors as `parse_controls`."""
    reading = File(file)
    locates = []
    for number, (place, name, given) in enumerate(_rows(text, reading, _LOCATE, "locate"), 1):
        if given["quantity"] <= 0:
            reading.wrong(place, f"{name}: quantity must be above zero")
        if given.get("valid_from", 0) > given.get("valid_until", given.get("valid_from", 0)):
            reading.wrong(place, f"{name}: validUntil is before validFrom")
        locates.append(
            Locate(event_type=LOCATE_EVENT, occurred_at=occurred_at, sequence=number, source=source, **given)
        )
    reading.done()
    return locates


def scope_problem(scope: str) -> str | None:
    """What is wrong with the name of a scope."""
    kinds = [part.partition(":") for part in scope.split("/")]
    known = [kind for kind, _, name in kinds if name and kind in ("DESK", "ACCOUNT", "SYMBOL", "SESSION")]
    whole = len(known) == len(kinds) and (len(known) == 1 or known == ["ACCOUNT", "SYMBOL"])
    if scope == FIRM or whole:
        return None
    return "a scope is FIRM, DESK:<desk>, ACCOUNT:<id>, SYMBOL:<symbol>, SESSION:<id> or ACCOUNT:<id>/SYMBOL:<symbol>"


def problems_of(control: RiskControl) -> Iterator[tuple[str, str]]:
    """What of a control does not go together, each with the name of the field in a file; none for its scope."""
    scope = control.key
    if problem := scope_problem(scope):
        yield "", problem
    yield from _level_problems(control)
    if scope.startswith("SESSION:"):
        for name in ("max_working_orders", "max_executions"):
            if getattr(control, name) is not None:
                yield _camel(name), "a session has no working orders and executions of its own: limit its messages"
    for limit, window in _WINDOWS:
        has_limit = any(name == limit for name, _, _ in _named_levels(control))
        span = getattr(control, window)
        if has_limit != (span is not None):
            yield _camel(limit if has_limit else window), f"{_camel(limit)} and {_camel(window)} belong together"
        elif span is not None and span <= 0:
            yield _camel(window), f"{_camel(window)} {span} is too small: write 1 or more milliseconds"
    for name in control.required_checks:
        if name not in KNOWN_CHECKS:
            there_are = ", ".join(sorted(KNOWN_CHECKS))
            yield "requiredChecks", f"requiredChecks: there is no {name}; there are {there_are}"
    for one in control.restrictions:
        if one.side not in (None, "BUY", "SELL"):
            yield "restrictions", f"restrictions: side {one.side} is neither BUY nor SELL; leave it out for both"
        if one.valid_from is not None and one.valid_until is not None and one.valid_until < one.valid_from:
            yield "restrictions", "restrictions: validUntil is before validFrom, so it would hold on no day"


def _level_problems(control: RiskControl) -> Iterator[tuple[str, str]]:
    scope = control.key
    of_account = scope == FIRM or (scope.startswith(("DESK:", "ACCOUNT:")) and "/" not in scope)
    for name, path, level in _named_levels(control):
        if name in ACCOUNT_FIELDS and not of_account:
            yield path, f"{path} is a limit of an account: give it under FIRM, DESK or ACCOUNT"
        if level < 0:
            yield path, f"{path} {_shown(name, level)} is too small: write 0 or more"
        if name in dict(_WINDOWS) and level > TIMES_MAX:
            yield path, f"{path} {level} is too large: at most {TIMES_MAX}"
        if name == "max_total_messages" and scope.startswith("ACCOUNT:"):
            yield path, f"{path} counts over accounts: give it under FIRM, DESK, SYMBOL or SESSION"
        hard = getattr(control, name)
        if not path.startswith("warn.") or hard is None:
            continue
        beyond, other = ("below", "longer") if name in _LONGER_IS_STRICTER else ("above", "lower")
        if level < hard if name in _LONGER_IS_STRICTER else level > hard:
            given, bound = f"{path} {_shown(name, level)}", f"{_camel(name)} {_shown(name, hard)}"
            yield path, f"{given} is {beyond} the hard {bound} and would never warn: write a {other} one"


def _named_levels(control: RiskControl) -> Iterator[tuple[str, str, int]]:
    """Each level that is given: its name in the record, the path to it in a file, and its value."""
    for levels, prefix in ((control, ""), (control.warn, "warn.")):
        for name in Levels.__struct_fields__:
            value = None if levels is None else getattr(levels, name)
            if value is not None:
                yield name, prefix + _camel(name), value


def _shown(name: str, value: int) -> str:
    return f"{value / 1_000_000:.15g}" if name in MONEY else str(value)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _place_of(path: str, node: Node) -> Place:
    """Where the field of a scope stands to which a path leads; the scope's own place where there is none."""
    place = node.place
    for name in path.split("."):
        if isinstance(node, MappingNode):
            place, node = node.place_of(name), node.entries.get(name, node)
    return place


def _limits_in(node: Node, scope: str, reading: File) -> dict[str, Any]:
    found = reading.mapping(node, scope)
    return {} if found is None else reading.values(found, _CONTROL, scope)


def _rows(
    text: str, reading: File, fields: Mapping[str, Field], what: str
) -> Iterator[tuple[Place, str, dict[str, Any]]]:
    """The rows of a list that are whole: where each stands, its name, and its values. Names are given once."""
    seen: dict[str, Place] = {}
    for row in reading.rows(reading.read(text), what):
        before = len(reading.problems)
        values = reading.values(row, fields, _name_of(row, what))
        if len(reading.problems) > before:
            continue
        name, place = values["key"], row.place_of(what)
        if name in seen:
            reading.wrong(place, f"{what} {name} is given twice, first in line {seen[name].line}: leave one out")
        seen[name] = place
        yield place, name, values


def _name_of(row: MappingNode, what: str) -> str:
    named = row.entries.get(what)
    return f"{what} {getattr(named, 'text', '')}".strip()


def _warn(node: Node, what: str, file: File) -> Levels | None:
    found = file.mapping(node, what)
    return None if found is None else Levels(**file.values(found, _LEVELS, what))


def _restrictions(node: Node, what: str, file: File) -> tuple[Restriction, ...] | None:
    if not isinstance(node, SequenceNode):
        file.wrong(node.place, f"{what}: write a list, as in [{{side: BUY, validUntil: 2026-11-30}}]; {{}} is always")
        return None
    return tuple(Restriction(**file.values(row, _RESTRICTION, what)) for row in file.rows(node, what))


_MONEY_FIELDS: Final = dict.fromkeys(MONEY, amount)
_NOT_IN_FILE: Final = frozenset(Event.__struct_fields__) | {"limits_version", "limits_at", "rearmed_at"}
_RESTRICTION: Final = fields_of(Restriction, {"valid_from": day, "valid_until": day}, without=frozenset())
_LEVELS: Final = fields_of(Levels, _MONEY_FIELDS, without=frozenset())
_CONTROL: Final = fields_of(
    RiskControl,
    _MONEY_FIELDS
    | {
        "trading_state": word_of(TradingState),
        "self_trade": word_of(SelfTrade),
        "short_sale_marking": word_of(Severity),
        "locate": word_of(Severity),
        "required_checks": texts,
        "restrictions": _restrictions,
        "warn": _warn,
    },
    without=_NOT_IN_FILE,
)
_LIMITS_FILE: Final = {
    "version": Field("version", text, required=True),
    "scopes": Field("scopes", lambda node, *_: node, required=True),
}
_IN_SYMBOLS_FILE: Final = {"reference_price": "reference", "bid_price": "bid"}
_INSTRUMENT: Final = {
    "symbol": Field("key", text, required=True),
    "tick": Field("tick", amount, required=True),
    "lot": Field("lot", whole, required=True),
    "reference": Field("reference_price", amount),
    "bid": Field("bid_price", amount),
    "easyToBorrow": Field("easy_to_borrow", flag),
}
_ACCOUNT: Final = {
    "account": Field("key", text, required=True),
    "owner": Field("owner", text),
    "stpGroup": Field("stp_group", text),
    "desk": Field("desk", text),
}
_LOCATE: Final = {
    "locate": Field("key", text, required=True),
    "account": Field("account_id", text, required=True),
    "symbol": Field("symbol", text, required=True),
    "quantity": Field("quantity", whole, required=True),
    "validFrom": Field("valid_from", day),
    "validUntil": Field("valid_until", day),
}
