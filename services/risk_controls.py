"""Changes of risk controls at run time: what is in force, changed for one scope or many, published with a new version.

Operations change one record per scope. Every change gets the scope's next sequence and a limits version of its own,
which decisions quote from then on. Two people who change the same scope at the same moment both succeed; the later
record holds, whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from broker.contract import Log
from config.errors import UsageError
from operators.codec.codec import Codec
from operators.model.risk.limits import (
    CONTROL_EVENT,
    AccountReference,
    RiskControl,
    SymbolReference,
    Tables,
    TradingState,
)
from operators.model.risk.limits_files import parse_controls, scope_problem
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

    `ConfigurationError` names every problem with them.
    """
    document = f"version: {_VERSION!r}\nscopes:\n  {scope!r}: {text}"
    [given] = parse_controls(document, occurred_at=occurred_at, source=reference.SOURCE)
    named = {name: getattr(given, name) for name in _named(given)}
    known = controls.get(scope)
    if given.warn is not None and known is not None and known.warn is not None:
        warn = {name: value for name, value in msgspec.structs.asdict(given.warn).items() if value is not None}
        named["warn"] = replace(known.warn, **warn)
    return _changed(controls, scope, occurred_at, **(named | {"reason": reason}))


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
    if problem := scope_problem(scope):
        raise UsageError(f"{scope!r} is no scope: {problem}")
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
        **fields,
    )


def _next_version(known: RiskControl) -> str:
    """As the one in force, with the number of the change behind it."""
    return f"{known.limits_version.partition(_NUMBER)[0]}{_NUMBER}{known.sequence + 1}"


def _named(given: RiskControl) -> list[str]:
    """The fields that a control says something about, apart from those that every record has."""
    own = RiskControl.__struct_fields__[RiskControl.__struct_fields__.index("trading_state") :]
    return [name for name in own if getattr(given, name) not in (None, ())]
