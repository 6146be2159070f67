"""Which limits hold for one request, out of the controls of all scopes that apply to it.

| limit | read from | measured over |
|---|---|---|
| trading state, restrictions | every scope, each for itself | the request |
| maxOrderQuantity, maxOrderNotional, collarBps, collarAwayBps, referenceAgeMaxMs, duplicateWindowMs | every scope | \
the request |
| limitsAgeMaxMs | every scope | every scope that gives limits, each for itself |
| maxPosition, maxLong, maxShort | every scope | the account in the symbol |
| maxMessages | every scope | what the scope counts, see `limits` |
| maxTotalMessages | every scope | all accounts in the scope |
| maxWorkingOrders, maxExecutions | every scope but SESSION | what the scope counts |
| the others | FIRM, DESK, ACCOUNT | the account |
| selfTrade, shortSaleMarking, locate | every scope | the request |

The strictest value holds, each limit for itself: nobody can be given more than the firm allows by adding a record.
The longest look-alike window is the strictest. Warn levels are found in the same way, apart from hard ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from operators.model.risk.limits import Restriction, RiskControl, SelfTrade, Severity, TradingState, scopes_of

NO_LIMITS: Final = "NONE"
"""The limits version of a decision for which there was no control at all."""

CORE_CHECKS: Final = (
    "MAX_ORDER_QUANTITY",
    "MAX_ORDER_NOTIONAL",
    "PRICE_COLLAR",
    "REFERENCE_AGE",
    "MESSAGE_RATE",
    "MAX_EXPOSURE",
)
"""Limits that must be given for every request."""

_FIELD_OF: Final[Mapping[str, str]] = {
    "MAX_ORDER_QUANTITY": "max_order_quantity",
    "MAX_ORDER_NOTIONAL": "max_order_notional",
    "PRICE_COLLAR": "collar_bps",
    "PRICE_COLLAR_AWAY": "collar_away_bps",
    "REFERENCE_AGE": "reference_age_max_ms",
    "LIMITS_AGE": "limits_age_max_ms",
    "MAX_EXPOSURE": "max_exposure",
    "MAX_LONG": "max_long",
    "MAX_SHORT": "max_short",
    "MAX_NET_LONG": "max_net_long",
    "MAX_NET_SHORT": "max_net_short",
    "MAX_CREDIT": "max_credit",
    "MAX_DAILY_NOTIONAL": "max_daily_notional",
    "MAX_DAILY_LOSS": "max_daily_loss",
    "ORDER_TO_TRADE": "max_order_to_trade",
    "LOOK_ALIKE_ORDER": "duplicate_window_ms",
}
_SPECIAL: Final = ("MESSAGE_RATE", "TOTAL_MESSAGE_RATE", "MAX_WORKING_ORDERS", "EXECUTION_THROTTLE", "SELF_TRADE",
                   "SHORT_SALE_MARKING", "LOCATE", "KNOWN_ACCOUNT")  # fmt: skip
KNOWN_CHECKS: Final = frozenset(_FIELD_OF) | frozenset(_SPECIAL)
"""What `requiredChecks` may name. KNOWN_ACCOUNT asks for a record in reference.accounts."""

ACCOUNT_FIELDS: Final = (
    "max_exposure", "max_net_exposure", "max_net_long", "max_net_short", "max_credit", "max_daily_notional",
    "max_daily_loss", "max_order_to_trade",
)  # fmt: skip
_REQUEST_FIELDS: Final = (
    "max_order_quantity", "max_order_notional", "collar_bps", "collar_away_bps", "reference_age_max_ms",
    "max_position", "max_long", "max_short", "limits_age_max_ms",
)  # fmt: skip
_BOTH_SIDES: Final = {
    "max_long": "max_position",
    "max_short": "max_position",
    "max_net_long": "max_net_exposure",
    "max_net_short": "max_net_exposure",
}
"""Limits of one side, and the symmetric one that holds for both."""


class Limit(NamedTuple):
    """A limit and the scope it comes from."""

    value: int
    scope: str


class Level(NamedTuple):
    """The value that rejects, and the one that warns."""

    hard: Limit | None = None
    warn: Limit | None = None


class Count(NamedTuple):
    """At most so many of something, in a rolling window (0: at one time), measured over what `over` names."""

    over: str
    window_micros: int
    level: Level

    @property
    def kept(self) -> int:
        """So many times have to be remembered to tell whether there are too many."""
        limits = [limit.value for limit in self.level if limit is not None]
        return max(limits) + 1


class Counted(NamedTuple):
    """All counts over the same, and what of its times they look at together: so many, and no older."""

    over: str
    counts: Sequence[Count]
    kept: int
    window_micros: int


class Limits(NamedTuple):
    """The limits that hold for one request."""

    version: str
    states: Sequence[tuple[TradingState, str]] = ()
    levels: Mapping[str, Level] = {}
    """By field of `Levels`; those that no scope gives are left out."""
    rates: Sequence[Counted] = ()
    totals: Sequence[Counted] = ()
    """Over all accounts in a scope, which `over` names."""
    executions: Sequence[Counted] = ()
    working: Sequence[Count] = ()
    order_to_trade_from: int = 0
    rearmed_at: Mapping[str, int] = {}
    """By what is measured: account or symbol."""
    restrictions: Sequence[tuple[Restriction, str]] = ()
    self_trade: tuple[SelfTrade, str] | None = None
    short_sale_marking: tuple[Severity, str] | None = None
    locate: tuple[Severity, str] | None = None
    required: Sequence[tuple[str, str]] = ()
    not_given: Sequence[tuple[str, str]] = ()
    """Those required for which no scope gives anything, if the account is known."""
    not_given_unknown: Sequence[tuple[str, str]] = ()
    """The same, if the account is not known."""
    given_at: Sequence[tuple[int, str]] = ()
    """When each scope's limits were given, in microseconds; only if their age is limited."""
    stopped: Sequence[tuple[TradingState, str]] = ()
    """Those of `states` that are not ACTIVE."""
    look_alike_micros: int = 0
    """The longest window in which look-alikes are asked for; 0 is none."""

    def level(self, field: str) -> Level:
        """The level of a field, empty if no scope gives it."""
        return self.levels.get(field, _NO_LEVEL)

    def missing(self, *, account_known: bool) -> Sequence[tuple[str, str]]:
        """The required checks for which nothing is given, with the scope that asks for them."""
        return self.not_given if account_known else self.not_given_unknown

    def unmet(self, *, account_known: bool) -> list[tuple[str, str]]:
        """The same, worked out."""
        return [(check, scope) for check, scope in self.required if not self._is_given(check, account_known)]

    def _is_given(self, check: str, account_known: bool) -> bool:
        if check in _FIELD_OF:
            return self.level(_FIELD_OF[check]).hard is not None
        of_times = {
            "MESSAGE_RATE": self.rates,
            "TOTAL_MESSAGE_RATE": self.totals,
            "EXECUTION_THROTTLE": self.executions,
        }
        counted = of_times.get(check, ())
        counts = self.working if check == "MAX_WORKING_ORDERS" else [each for of in counted for each in of.counts]
        if any(count.level.hard is not None for count in counts):
            return True
        given = {
            "SELF_TRADE": self.self_trade,
            "SHORT_SALE_MARKING": self.short_sale_marking,
            "LOCATE": self.locate,
            "KNOWN_ACCOUNT": account_known or None,
        }
        return given.get(check) is not None


_NO_LEVEL: Final = Level()

Found = Sequence[tuple[str, str, RiskControl]]
"""Scope, what its counts count, and its control."""


class LimitsInForce:
    """Limits by the controls they come from, so that they are worked out once per change and not per request."""

    def __init__(self, size_max: int = 10_000) -> None:
        self._size_max = size_max
        self._known: dict[tuple[tuple[str, int], ...], tuple[Found, Limits]] = {}
        self._of: dict[tuple[str, str, str | None, str | None], _Applying] = {}

    def applying(
        self,
        controls: Mapping[str, RiskControl],
        *,
        account_id: str,
        symbol: str,
        session: str | None = None,
        desk: str | None = None,
    ) -> Limits:
        """The limits for an account in a symbol, by a session and at a desk."""
        request = account_id, symbol, session, desk
        known = self._of.get(request)
        if known is not None and list(map(controls.get, known.scopes)) == known.controls:
            return known.limits
        scopes = scopes_of(account_id=account_id, symbol=symbol, session=session, desk=desk)
        names = [scope for scope, _ in scopes]
        limits = self.of(controls, scopes)
        if len(self._of) >= self._size_max:
            self._of.clear()
        self._of[request] = _Applying(names, list(map(controls.get, names)), limits)
        return limits

    def of(self, controls: Mapping[str, RiskControl], scopes: Sequence[tuple[str, str]]) -> Limits:
        """The limits of a request to which these scopes apply."""
        found = [(scope, over, controls[scope]) for scope, over in scopes if scope in controls]
        # Records are immutable and, kept here, keep their identity: another record is another one.
        identity = tuple((scope, id(control)) for scope, _, control in found)
        known = self._known.get(identity)
        if known is None:
            if len(self._known) >= self._size_max:
                self._known.clear()
            known = self._known[identity] = found, limits_of(found)
        return known[1]


class _Applying(NamedTuple):
    """What was found for a request: the scopes that may apply, the controls that were there, and their limits."""

    scopes: Sequence[str]
    controls: Sequence[RiskControl | None]
    limits: Limits


def limits_of(found: Found) -> Limits:
    """The strictest limits of the controls that apply to a request, widest scope first."""
    required = dict.fromkeys(CORE_CHECKS, found[0][0] if found else "FIRM")
    for scope, _, control in found:
        required |= {check: scope for check in control.required_checks if check not in required}
    account = [each for each in found if each[1] == "account"]
    no_session = [each for each in found if each[1] != "session"]
    limits = Limits(
        version=",".join(f"{scope}@{control.limits_version}" for scope, _, control in found) or NO_LIMITS,
        states=[(_state(control.trading_state), scope) for scope, _, control in found],
        levels=_levels(found, account),
        rates=_counted(_counts(found, "max_messages", "message_window_ms")),
        totals=_counted(_counts([(s, s, c) for s, _, c in found], "max_total_messages", "total_message_window_ms")),
        executions=_counted(_counts(no_session, "max_executions", "execution_window_ms")),
        working=_counts(no_session, "max_working_orders", None),
        order_to_trade_from=min((c.order_to_trade_from or 0 for _, _, c in account if _has_ratio(c)), default=0),
        rearmed_at=_rearmed(no_session),
        restrictions=[(one, scope) for scope, _, control in found for one in control.restrictions],
        self_trade=_self_trade(found),
        short_sale_marking=_severity((control.short_sale_marking, scope) for scope, _, control in found),
        locate=_severity((control.locate, scope) for scope, _, control in found),
        required=list(required.items()),
    )
    return limits._replace(
        not_given=limits.unmet(account_known=True),
        not_given_unknown=limits.unmet(account_known=False),
        given_at=_given_at(found) if "limits_age_max_ms" in limits.levels else (),
        stopped=[each for each in limits.states if each[0] is not TradingState.ACTIVE],
        look_alike_micros=max([one.value * 1_000 for one in limits.level("duplicate_window_ms") if one], default=0),
    )


def _levels(found: Found, account: Found) -> dict[str, Level]:
    levels: dict[str, Level] = {}
    for fields, controls in ((_REQUEST_FIELDS, found), (ACCOUNT_FIELDS, account)):
        for field in fields:
            levels[field] = Level(
                _strictest((getattr(control, field), scope) for scope, _, control in controls),
                _strictest((_warn(control, field), scope) for scope, _, control in controls),
            )
    windows = [
        (control.duplicate_window_ms, _warn(control, "duplicate_window_ms"), scope) for scope, _, control in found
    ]
    levels["duplicate_window_ms"] = Level(
        max((Limit(hard, scope) for hard, _, scope in windows if hard is not None), default=None),
        max((Limit(warn, scope) for _, warn, scope in windows if warn is not None), default=None),
    )
    for side, both in _BOTH_SIDES.items():
        pairs = zip(levels[side], levels[both], strict=True)
        levels[side] = Level(*(min((each for each in pair if each is not None), default=None) for pair in pairs))
    return {field: level for field, level in levels.items() if level != _NO_LEVEL}


def _counts(found: Found, field: str, window_field: str | None) -> list[Count]:
    counts = []
    for scope, over, control in found:
        hard, warn = getattr(control, field), _warn(control, field)
        window_ms = getattr(control, window_field) if window_field else 0
        if window_ms is not None and (hard is not None or warn is not None):
            level = Level(*(None if value is None else Limit(value, scope) for value in (hard, warn)))
            counts.append(Count(over, window_ms * 1_000, level))
    return counts


def _counted(counts: Sequence[Count]) -> list[Counted]:
    """The counts by what they are measured over."""
    counted = []
    for over in dict.fromkeys(count.over for count in counts):
        of = [count for count in counts if count.over == over]
        counted.append(Counted(over, of, max(one.kept for one in of), max(one.window_micros for one in of)))
    return counted


def _warn(control: RiskControl, field: str) -> int | None:
    value: int | None = None if control.warn is None else getattr(control.warn, field)
    return value


def _has_ratio(control: RiskControl) -> bool:
    return control.max_order_to_trade is not None or _warn(control, "max_order_to_trade") is not None


def _given_at(found: Found) -> list[tuple[int, str]]:
    return [(control.given_at, scope) for scope, _, control in found if control.given_at is not None]


def _rearmed(found: Found) -> dict[str, int]:
    rearmed: dict[str, int] = {}
    for _, over, control in found:
        if control.rearmed_at is not None:
            rearmed[over] = max(rearmed.get(over, 0), control.rearmed_at)
    return rearmed


def _strictest(values: Iterable[tuple[int | None, str]]) -> Limit | None:
    return min((Limit(value, scope) for value, scope in values if value is not None), default=None)


def _state(word: str | None) -> TradingState:
    """A word nobody knows halts: whoever wrote it wanted something stopped."""
    if word is None:
        return TradingState.ACTIVE
    return TradingState(word) if word in _STATES else TradingState.HALTED


def _severity(values: Iterable[tuple[str | None, str]]) -> tuple[Severity, str] | None:
    """HARD before WARN; a word nobody knows is HARD."""
    given = [(Severity.WARN if word == Severity.WARN else Severity.HARD, scope) for word, scope in values if word]
    return min(given, key=lambda each: each[0] != Severity.HARD, default=None)


def _self_trade(found: Found) -> tuple[SelfTrade, str] | None:
    """The mode of the narrowest scope that gives one, but never WARN where a wider one prevents."""
    given = [
        (SelfTrade(control.self_trade) if control.self_trade in _MODES else SelfTrade.CANCEL_NEWEST, scope)
        for scope, _, control in found
        if control.self_trade is not None
    ]
    preventing = [each for each in given if each[0] is not SelfTrade.WARN]
    narrowest = preventing or given
    return narrowest[-1] if narrowest else None


_STATES: Final = frozenset(state.value for state in TradingState)
_MODES: Final = frozenset(mode.value for mode in SelfTrade)
