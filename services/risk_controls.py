"""Changes of risk controls at run time: what is in force, changed for one scope or many, published with a new version.

Operations change one record per scope. Every change gets the scope's next sequence and a limits version of its own,
which decisions quote from then on. Two people who change the same scope at the same moment both succeed; the later
record holds, whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from broker.contract import Log
from config.errors import ConfigurationError, Problem, UsageError
from operators.codec.codec import Codec
from operators.model.risk.limits import (
    CONTROL_EVENT,
    AccountReference,
    RiskControl,
    SymbolReference,
    Tables,
    TradingState,
)
from operators.model.risk.limits_files import parse_limits, problems_of, scope_problem
from services import reference

_NUMBER: Final = "#"
_VERSION: Final = "run-time"


def tables_in_force(log: Log, codec: Codec) -> Tables:
    """Everything that operations have published, as a decision would see it now."""

    def of(topic: str, kind: type[Any]) -> dict[str, Any]:
        return {key: msgspec.convert(row, kind) for key, row in reference.read(log, codec, topic).items()}

    return Tables(
        controls=of(reference.CONTROLS_TOPIC, RiskControl),
        symbols=of(reference.SYMBOLS_TOPIC, SymbolReference),
        accounts=of(reference.ACCOUNTS_TOPIC, AccountReference),
    )


def resumed(controls: Mapping[str, RiskControl], scope: str, *, occurred_at: int, reason: str | None) -> RiskControl:
    """The control of a scope that is ACTIVE from now on. `UsageError` where there is none, so nothing to resume."""
    if scope not in controls:
        check_scope(scope)
        stopped = [name for name, one in sorted(controls.items()) if one.trading_state not in (None, "ACTIVE")]
        hint = f"stopped are: {', '.join(stopped)}" if stopped else "no scope is stopped"
        raise UsageError(f"{scope} has no control, so there is nothing to resume; {hint}")
    return with_state(controls, scope, TradingState.ACTIVE, occurred_at=occurred_at, reason=reason)


def unknown_names(tables: Tables, scope: str) -> list[str]:
    """What the names in a scope are not known by, for a person to read; sessions are known to nobody."""
    check_scope(scope)
    known: dict[str, tuple[Collection[str | None], str]] = {
        "DESK": ({account.desk for account in tables.accounts.values()}, "no account is of desk"),
        "ACCOUNT": (tables.accounts.keys(), f"{reference.ACCOUNTS_TOPIC} has no account"),
        "SYMBOL": (tables.symbols.keys(), f"{reference.SYMBOLS_TOPIC} has no symbol"),
    }
    unknown = []
    for part in scope.split("/"):
        kind, _, name = part.partition(":")
        names, message = known.get(kind, ((name,), ""))
        if name not in names:
            unknown.append(f"{message} {name}")
    return unknown


def check_scope(scope: str) -> None:
    """`UsageError` for what is no scope."""
    if problem := scope_problem(scope):
        raise UsageError(f"{scope!r} is no scope: {problem}")


def with_state(
    controls: Mapping[str, RiskControl], scope: str, state: TradingState, *, occurred_at: int, reason: str | None
) -> RiskControl:
    """The control of a scope that is ACTIVE, REDUCING or HALTED from now on; its limits stay."""
    return _changed(controls, scope, occurred_at, trading_state=state.value, reason=reason)


def rearmed(controls: Mapping[str, RiskControl], scope: str, *, occurred_at: int, reason: str | None) -> RiskControl:
    """The control of a scope whose execution throttle a person opens again: latches until now are gone."""
    return _changed(controls, scope, occurred_at, rearmed_at=occurred_at, reason=reason)


def with_limits(
    controls: Mapping[str, RiskControl], scope: str, text: str, *, occurred_at: int, reason: str | None
) -> RiskControl:
    """The control of a scope with the limits of a YAML mapping in place of those it names; the others stay.

    Those that stay are no younger for it: only who gives all limits of a scope vouches for all of them.
    `ConfigurationError` names every problem, also of what does not go together with the limits that stay.
    """
    named = parse_limits(text, scope)
    known = controls.get(scope)
    if "warn" in named and known is not None and known.warn is not None:
        warn = {name: value for name, value in msgspec.structs.asdict(named["warn"]).items() if value is not None}
        named["warn"] = replace(known.warn, **warn)
    changed = _changed(controls, scope, occurred_at, **(named | {"reason": reason}))
    problems = [Problem(f"{scope}: {message}") for _, message in problems_of(changed)]
    if problems:
        raise ConfigurationError(problems)
    return changed


def from_file(
    controls: Mapping[str, RiskControl], given: Iterable[RiskControl], *, occurred_at: int
) -> list[RiskControl]:
    """The controls of a limits file as they are to be published over those in force.

    A scope that is in force keeps its trading state and when it was re-armed: publishing limits resumes nothing.
    """
    published = []
    for one in given:
        known = controls.get(one.key)
        if known is not None:
            same = known.limits_version.partition(_NUMBER)[0] == one.limits_version
            version = _next_version(known) if same else one.limits_version
            one = replace(
                one,
                sequence=known.sequence + 1,
                limits_version=version,
                trading_state=known.trading_state,
                rearmed_at=known.rearmed_at,
            )
        published.append(replace(one, occurred_at=occurred_at))
    return published


def publish(log: Log, codec: Codec, controls: Iterable[RiskControl], *, client_id: str) -> None:
    """Publishes controls; running flows follow within an epoch."""
    reference.send(log, codec, {reference.CONTROLS_TOPIC: list(controls)}, client_id=client_id)


def _changed(controls: Mapping[str, RiskControl], scope: str, occurred_at: int, **fields: Any) -> RiskControl:
    check_scope(scope)
    known = controls.get(scope)
    if known is None:
        return RiskControl(
            event_type=CONTROL_EVENT,
            occurred_at=occurred_at,
            key=scope,
            sequence=1,
            source=reference.SOURCE,
            limits_version=f"{_VERSION}{_NUMBER}1",
            **fields,
        )
    return replace(
        known,
        occurred_at=occurred_at,
        sequence=known.sequence + 1,
        source=reference.SOURCE,
        limits_version=_next_version(known),
        limits_at=known.given_at,
        **fields,
    )


def _next_version(known: RiskControl) -> str:
    """As the one in force, with the number of the change behind it."""
    return f"{known.limits_version.partition(_NUMBER)[0]}{_NUMBER}{known.sequence + 1}"
