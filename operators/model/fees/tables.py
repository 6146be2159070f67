"""Fee schedules as files have them: YAML, sections with periods, each with its first trade date and its source.

| section | a period has |
|---|---|
| `commission` | one of `per_share`, `bps`, `flat`, `tiers`; of the order: `minimum`, `maximum`, `maximum_of_notional` |
| `taf` | `per_share`, `cap` |
| `sec` | `per_million` |
| `cat` | `per_share` |
| `venues`, by name or `"*"` | `per_share` by liquidity flag, or such by name in `tiers`, and which `tier` is ours |

Every period has `from`, and may have `to`, the last trade date: after it nothing holds until the next period begins.
`source` says where the rate is published, `note` what to know of it, and `verified: false` that it was not read there.
A document that `extends` another one has its sections, except those it has itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any, Final, TypeVar

import msgspec
import yaml

from config.errors import ConfigurationError, Problem
from operators.model.events import Liquidity
from operators.model.fees.fees import Commission, Dated, FeeSchedule, Period, Taf, Tier
from operators.model.money import INT64_MAX, Rate, to_micros

T = TypeVar("T")
Number = str | int | float

_EPOCH: Final = date(1970, 1, 1)
_AMOUNT_MAX: Final = INT64_MAX // 16


class _Period(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    since: date = msgspec.field(name="from")
    to: date | None = None
    source: str = ""
    note: str = ""
    verified: bool = True


class _Tier(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    up_to: int | None = None
    per_share: Number


class _CommissionPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: Number | None = None
    bps: Number | None = None
    flat: Number | None = None
    tiers: list[_Tier] | None = None
    minimum: Number = 0
    maximum: Number | None = None
    maximum_of_notional: Number | None = None


class _TafPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: Number
    cap: Number


class _SecPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_million: Number


class _CatPeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: Number


class _VenuePeriod(_Period, kw_only=True, forbid_unknown_fields=True):
    per_share: dict[Liquidity, Number] | None = None
    tiers: dict[str, dict[Liquidity, Number]] | None = None
    tier: str | None = None


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    commission: list[_CommissionPeriod] = []
    taf: list[_TafPeriod] = []
    sec: list[_SecPeriod] = []
    cat: list[_CatPeriod] = []
    venues: dict[str, list[_VenuePeriod]] = {}


P = TypeVar("P", bound=_Period)


def parse_schedule(text: str, file: str | None = None, *, extended: Callable[[str], str] | None = None) -> FeeSchedule:
    """A schedule from the YAML of a file under config/fees; `ConfigurationError` that names the file otherwise.

    `extended` gives the text of a document that this one extends, by its name.
    """
    try:
        document = msgspec.convert(_sections(text, extended), _Document)
        return FeeSchedule(
            commission=_dated("commission", document.commission, _commission),
            taf=_dated("TAF", document.taf, lambda p: Taf(Rate.per_unit(p.per_share), _amount(p.cap))),
            sec=_dated("SEC", document.sec, lambda p: Rate.share(Fraction(str(p.per_million)) / 1_000_000)),
            cat=_dated("CAT", document.cat, lambda p: Rate.per_unit(p.per_share)),
            venues={name: _of_venue(name, periods) for name, periods in document.venues.items()} or None,
        )
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError([Problem(f"fee schedule: {error}", file)]) from error


def _sections(text: str, extended: Callable[[str], str] | None) -> Any:
    sections = yaml.safe_load(text)
    if not isinstance(sections, dict) or "extends" not in sections:
        return sections
    if extended is None:
        raise ValueError(f"a document that extends {sections['extends']!r} cannot stand alone")
    base = _sections(extended(str(sections.pop("extends"))), extended)
    return {**base, **sections} if isinstance(base, dict) else sections


def _commission(period: _CommissionPeriod) -> Commission:
    bases = [name for name in ("per_share", "bps", "flat", "tiers") if getattr(period, name) is not None]
    if len(bases) != 1:
        raise ValueError(
            f"commission from {period.since} has {' and '.join(bases) or 'none'} of per_share, bps, flat, tiers"
        )
    tiers = _tiers(period)
    return Commission(
        per_share=tiers[0].per_share if tiers else Rate.per_unit(period.per_share or 0),
        minimum=_amount(period.minimum),
        maximum_of_notional=_maybe(period.maximum_of_notional, lambda part: Rate.share(Fraction(str(part)))),
        of_notional=Rate.share(Fraction(str(period.bps or 0)) / 10_000),
        flat=_amount(period.flat or 0),
        maximum=_maybe(period.maximum, _amount),
        tiers=tiers,
    )


def _tiers(period: _CommissionPeriod) -> tuple[Tier, ...]:
    tiers = period.tiers
    if tiers is None:
        return ()
    bounds = [tier.up_to for tier in tiers]
    rising = [bound for bound in bounds[:-1] if bound is not None]
    if not tiers or bounds[-1] is not None or len(rising) != len(tiers) - 1 or rising != sorted(set(rising)):
        raise ValueError(f"the tiers of the commission from {period.since} need rising up_to, and a last one without")
    return tuple(Tier(tier.up_to, Rate.per_unit(tier.per_share)) for tier in tiers)


def _of_venue(name: str, periods: Sequence[_VenuePeriod]) -> Dated[Mapping[str, Rate]]:
    def flags(period: _VenuePeriod) -> Mapping[str, Rate]:
        rates = period.per_share if period.tiers is None else period.tiers.get(period.tier or "")
        if rates is None or (period.per_share is not None and period.tiers is not None):
            raise ValueError(f"venue {name} from {period.since} needs per_share, or tiers and which tier is ours")
        return {flag.value: Rate.per_unit(rate) for flag, rate in rates.items()}

    dated = _dated(f"venue {name}", periods, flags)
    if dated is None:
        raise ValueError(f"venue {name} has no period")
    return dated


def _dated(name: str, periods: Sequence[P], read: Callable[[P], T]) -> Dated[T] | None:
    starts = [period.since for period in periods]
    if sorted(set(starts)) != starts:
        raise ValueError(f"the periods of {name} do not follow one another in time")
    if not periods:
        return None
    found: list[Period[T]] = []
    for period, following in zip(periods, [*starts[1:], date.max], strict=True):
        found.append(Period((period.since - _EPOCH).days, read(period), period.verified))
        if period.to is not None:
            if not period.since <= period.to < following:
                raise ValueError(f"the period of {name} from {period.since} cannot end on {period.to}")
            found.append(Period((period.to - _EPOCH).days + 1, None))
    return Dated(name, found)


def _amount(amount: Number) -> int:
    micros = to_micros(amount)
    if abs(micros) > _AMOUNT_MAX:
        raise ValueError(f"{amount} is too large")
    return micros


def _maybe(value: Number | None, read: Callable[[Number], T]) -> T | None:
    return None if value is None else read(value)
