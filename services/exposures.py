"""What accounts have at risk by symbol, and how much of their limits that uses, from the risk check's own store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from operators.model.risk.book import symbol_part
from operators.model.risk.limits import AccountReference, RiskControl, scopes_of
from operators.model.risk.limits_in_force import Limits, LimitsInForce
from operators.model.risk.state import AccountRisk, SymbolRisk
from sinks.views import View

FLOW: Final = "risk_check"
STEP: Final = "risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One account in one symbol. Amounts in millionths; the account's figures are those of all its symbols.

    `open_buy` and `open_sell` are what open orders may still execute, `working` their number. `used` is the part of
    the account's exposure limit that is used, `position_used` that of the position limit in the symbol if all open
    orders of the worse side were executed; None where no control gives a limit.
    """

    account_id: str
    symbol: str
    open_buy: int
    open_sell: int
    working: int
    account_reserved: int
    account_exposure: int
    exposure_limit: int | None
    used: float | None
    position_used: float | None
    trading_state: str


@dataclass(slots=True)
class _Account:
    totals: AccountRisk
    symbols: dict[str, SymbolRisk]


def read_exposures(
    view: View,
    controls: Mapping[str, RiskControl],
    accounts: Mapping[str, AccountReference],
    account_id: str | None = None,
) -> list[Exposure]:
    """The exposures of an account, by default of all, by account and symbol; `view` is of the step that checks risk."""
    in_force = LimitsInForce()
    found = []
    for name, account in _accounts(view, account_id).items():
        reference = accounts.get(name)
        for symbol, part in account.symbols.items():
            scopes = scopes_of(account_id=name, symbol=symbol, desk=reference.desk if reference else None)
            found.append(exposure_of(name, symbol, account.totals, part, in_force.of(controls, scopes)))
    return sorted(found, key=lambda each: (each.account_id, each.symbol))


def exposure_of(account_id: str, symbol: str, totals: AccountRisk, part: SymbolRisk, limits: Limits) -> Exposure:
    """One account in one symbol, under the limits in force there."""
    exposure = totals.reserved + totals.open_notional
    limit = limits.level("max_exposure").hard
    long, short = limits.level("max_long").hard, limits.level("max_short").hard
    worst = [
        amount / bound.value
        for amount, bound in ((part.quantity + part.buying, long), (part.selling - part.quantity, short))
        if bound is not None and bound.value > 0
    ]
    states = [state.value for state, _ in limits.states]
    return Exposure(
        account_id=account_id,
        symbol=symbol,
        open_buy=part.buying,
        open_sell=part.selling,
        working=part.working,
        account_reserved=totals.reserved,
        account_exposure=exposure,
        exposure_limit=None if limit is None else limit.value,
        used=exposure / limit.value if limit is not None and limit.value > 0 else None,
        position_used=max(0.0, *worst) if worst else None,
        trading_state=max(states, key=_STRICTNESS.index, default="-"),
    )


def _accounts(view: View, account_id: str | None) -> dict[str, _Account]:
    """The parts of each account that exposure follows from. A part's key is the account's, and then its suffix."""
    totals: dict[str, AccountRisk] = {}
    symbols: dict[str, dict[str, SymbolRisk]] = {}
    for key, value in view.scan(account_id or ""):
        name, _, _ = key.partition("|")
        if account_id not in (None, name):
            continue
        if key == name:
            totals[name] = msgspec.msgpack.decode(value, type=AccountRisk)
        elif key.startswith(name + symbol_part("")):
            symbol = key.removeprefix(name + symbol_part(""))
            symbols.setdefault(name, {})[symbol] = msgspec.msgpack.decode(value, type=SymbolRisk)
    return {name: _Account(total, symbols.get(name, {})) for name, total in totals.items()}


_STRICTNESS: Final = ("ACTIVE", "REDUCING", "HALTED")
