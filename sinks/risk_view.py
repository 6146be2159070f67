"""What accounts have at risk and how much of their limits they use, read from the store of the risk step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from operators.model.money import MICROS
from operators.model.risk.book import symbol_part
from operators.model.risk.limits import Tables, scopes_of
from operators.model.risk.limits_in_force import Level, Limits, LimitsInForce
from operators.model.risk.state import AccountRisk, SymbolRisk
from sinks.views import View

FLOW: Final = "risk_check"
STEP: Final = "risk"


class Used(NamedTuple):
    """How much of one limit is used. Money and quantities in units a person reads; `limit` None is not limited."""

    symbol: str | None
    check: str
    used: float
    limit: float | None
    warn: float | None
    scope: str | None

    @property
    def share(self) -> float | None:
        """The part of the limit that is used."""
        return self.used / self.limit if self.limit else None


class AccountInView(NamedTuple):
    """An account's totals, and what it has in each symbol."""

    account_id: str
    risk: AccountRisk
    symbols: dict[str, SymbolRisk]


def read_accounts(view: View) -> Iterator[tuple[str, AccountRisk]]:
    """The totals of every account that risk has seen on this host; `view` is of step `risk`."""
    for key, value in view.scan():
        if "|" not in key:
            yield key, _ACCOUNT.decode(value)


def read_account(view: View, account_id: str) -> AccountInView | None:
    """One account; None if risk has not seen it. `view` is of step `risk`."""
    value = view.get(account_id)
    if value is None:
        return None
    prefix = account_id + symbol_part("")
    symbols = {key.removeprefix(prefix): _SYMBOL.decode(part) for key, part in view.scan(prefix)}
    return AccountInView(account_id, _ACCOUNT.decode(value), dict(sorted(symbols.items())))


def limits_used(account: AccountInView, tables: Tables) -> list[Used]:
    """What the account uses of each limit in force for it, and of those in each symbol where it has something."""
    reference = tables.accounts.get(account.account_id)
    desk = reference.desk if reference else None
    in_force = LimitsInForce()

    def limits(symbol: str) -> Limits:
        return in_force.of(tables.controls, scopes_of(account_id=account.account_id, symbol=symbol, desk=desk))

    used = list(_of_account(account.risk, limits("")))
    for symbol, part in account.symbols.items():
        used += _of_symbol(symbol, part, limits(symbol))
    return used


def _of_account(risk: AccountRisk, limits: Limits) -> Iterator[Used]:
    for check, field, used in (
        ("MAX_EXPOSURE", "max_exposure", risk.reserved + risk.open_notional),
        ("MAX_NET_LONG", "max_net_long", risk.net_notional + risk.reserved_buys),
        ("MAX_NET_SHORT", "max_net_short", risk.reserved_sells - risk.net_notional),
        ("MAX_CREDIT", "max_credit", risk.reserved_buys - risk.cash),
        ("MAX_DAILY_NOTIONAL", "max_daily_notional", risk.traded + risk.reserved),
        ("MAX_DAILY_LOSS", "max_daily_loss", -risk.day_result),
    ):
        yield _used(None, check, used / MICROS, limits.level(field), MICROS)
    ratio = risk.requests / max(1, risk.executions)
    yield _used(None, "ORDER_TO_TRADE", ratio, limits.level("max_order_to_trade"), 1)
    working = [count.level for count in limits.working if count.over == "account"]
    for level in working or [Level()]:
        yield _used(None, "MAX_WORKING_ORDERS", risk.working, level, 1)


def _of_symbol(symbol: str, part: SymbolRisk, limits: Limits) -> Iterator[Used]:
    yield _used(symbol, "MAX_LONG", part.quantity + part.buying, limits.level("max_long"), 1)
    yield _used(symbol, "MAX_SHORT", part.selling - part.quantity, limits.level("max_short"), 1)
    for count in limits.working:
        if count.over == "symbol":
            yield _used(symbol, "MAX_WORKING_ORDERS", part.working, count.level, 1)


def _used(symbol: str | None, check: str, used: float, level: Level, unit: int) -> Used:
    hard, warn = level
    scope = hard.scope if hard else warn.scope if warn else None
    return Used(symbol, check, used, hard.value / unit if hard else None, warn.value / unit if warn else None, scope)


_ACCOUNT: Final = msgspec.msgpack.Decoder(AccountRisk)
_SYMBOL: Final = msgspec.msgpack.Decoder(SymbolRisk)
