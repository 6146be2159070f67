"""What accounts have at risk by symbol, and how much of their limits that uses, from the risk check's own store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from operators.model.exposure import AccountRisk
from operators.model.limits import RiskControl, limits_of
from operators.model.positions import side_sign
from sinks.views import View

FLOW: Final = "risk_check"
STEP: Final = "risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One account in one symbol. Amounts in millionths; the account's figures are those of all its symbols.

    `open_buy` and `open_sell` are the quantities of open orders, `reserved` what they hold. `limit` is the account's
    exposure limit in force and `used` the part of it that is used; both None where no control gives one.
    """

    account_id: str
    symbol: str
    open_buy: int
    open_sell: int
    reserved: int
    account_exposure: int
    limit: int | None
    used: float | None
    trading_state: str


def read_exposures(view: View, controls: Mapping[str, RiskControl], account_id: str | None = None) -> list[Exposure]:
    """The exposures of an account, by default of all, by account and symbol; `view` is of the step that checks risk."""
    if account_id is None:
        accounts: Iterable[tuple[str, bytes]] = view.scan()
    else:
        value = view.get(account_id)
        accounts = [] if value is None else [(account_id, value)]
    found = [
        exposure
        for key, value in accounts
        for exposure in exposures_of(key, msgspec.msgpack.decode(value, type=AccountRisk), controls)
    ]
    return sorted(found, key=lambda each: (each.account_id, each.symbol))


def exposures_of(account_id: str, risk: AccountRisk, controls: Mapping[str, RiskControl]) -> list[Exposure]:
    """The exposures of one account in every symbol that it holds or has orders in."""
    buys, sells, reserved = defaultdict[str, int](int), defaultdict[str, int](int), defaultdict[str, int](int)
    for order in risk.orders.values():
        if order.closed:
            continue
        of_side = buys if side_sign(order.side) > 0 else sells
        of_side[order.symbol] += order.open_quantity
        reserved[order.symbol] += order.reserved
    exposure = risk.reserved + risk.open_notional
    found = []
    for symbol in {*reserved, *risk.holdings}:
        limits = limits_of(controls, account_id=account_id, symbol=symbol)
        limit = None if limits.exposure is None else limits.exposure.value
        states = [state.value for state, _ in limits.states]
        found.append(
            Exposure(
                account_id=account_id,
                symbol=symbol,
                open_buy=buys[symbol],
                open_sell=sells[symbol],
                reserved=reserved[symbol],
                account_exposure=exposure,
                limit=limit,
                used=exposure / limit if limit else None,
                trading_state=max(states, key=_STRICTNESS.index, default="-"),
            )
        )
    return found


_STRICTNESS: Final = ("ACTIVE", "REDUCING", "HALTED")
