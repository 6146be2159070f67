"""Risk limits and reference data: the records that operations publish, and the scopes they hold for.

A control is a record of topic risk.controls; its key is the scope it holds for.

| scope | holds for | what is counted against its counts (messages, working orders, executions) |
|---|---|---|
| FIRM | every account | the account |
| DESK:<desk> | accounts that reference.accounts puts there | the account |
| ACCOUNT:<account> | one account | the account |
| SYMBOL:<symbol> | every account, in one symbol | the account in the symbol |
| ACCOUNT:<account>/SYMBOL:<symbol> | one account in one symbol | the account in the symbol |
| SESSION:<session> | requests that come by one client session | the account by the session: messages alone |

Scopes above an account are ceilings for each account, not sums over accounts, but for `maxTotalMessages`: that counts
the messages of all accounts in the scope together. What holds where several scopes apply is in `limits_in_force`, the
files that controls come from in `limits_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from operators.model.events import Event

FIRM: Final = "FIRM"

CONTROL_EVENT: Final = "RISK_CONTROL"
SYMBOL_EVENT: Final = "SYMBOL_REFERENCE"
ACCOUNT_EVENT: Final = "ACCOUNT_REFERENCE"
LOCATE_EVENT: Final = "LOCATE"


class TradingState(StrEnum):
    """What a scope may do: everything; only what lowers a position; nothing but cancels."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class SelfTrade(StrEnum):
    """What becomes of an order that would trade with a resting one of the same account; see `self_trade`."""

    CANCEL_NEWEST = "CANCEL_NEWEST"
    CANCEL_OLDEST = "CANCEL_OLDEST"
    CANCEL_BOTH = "CANCEL_BOTH"
    DECREMENT = "DECREMENT"
    WARN = "WARN"


class Severity(StrEnum):
    """Whether a breach rejects the request, or is only told."""

    HARD = "HARD"
    WARN = "WARN"


SEVERITIES: Final = tuple(Severity)
"""In the order of the levels of a limit."""


class Restriction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A scope that must not be traded, by side (None: both) and UTC day (inclusive; None: without end)."""

    side: str | None = None
    valid_from: int | None = None
    valid_until: int | None = None
    reason: str | None = None


MONEY: Final = frozenset({
    "max_order_notional", "max_exposure", "max_net_exposure", "max_net_long", "max_net_short", "max_credit",
    "max_daily_notional", "max_daily_loss",
})  # fmt: skip
"""The limits that are amounts of money."""


class Levels(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The limits that are numbers. Money in millionths; ages and windows in milliseconds; None says nothing."""

    max_order_quantity: int | None = None
    max_order_notional: int | None = None
    collar_bps: int | None = None
    collar_away_bps: int | None = None
    reference_age_max_ms: int | None = None
    max_messages: int | None = None
    max_total_messages: int | None = None
    max_exposure: int | None = None
    max_position: int | None = None
    max_long: int | None = None
    max_short: int | None = None
    max_net_exposure: int | None = None
    max_net_long: int | None = None
    max_net_short: int | None = None
    max_credit: int | None = None
    max_daily_notional: int | None = None
    max_daily_loss: int | None = None
    max_working_orders: int | None = None
    max_order_to_trade: int | None = None
    max_executions: int | None = None
    duplicate_window_ms: int | None = None
    limits_age_max_ms: int | None = None


class RiskControl(Event, frozen=True, kw_only=True, rename="camel"):
    """Limits and trading state of one scope, which is the key: topic risk.controls.

    The limits are those of `Levels`, there as `warn` for the level from which a request is only warned of.
    `limits_at` is when they were last given as a whole, in microseconds; None is with this record.
    """

    version: int = 3
    limits_version: str
    limits_at: int | None = None
    trading_state: str | None = None
    max_order_quantity: int | None = None
    max_order_notional: int | None = None
    collar_bps: int | None = None
    collar_away_bps: int | None = None
    reference_age_max_ms: int | None = None
    max_messages: int | None = None
    message_window_ms: int | None = None
    max_total_messages: int | None = None
    total_message_window_ms: int | None = None
    max_exposure: int | None = None
    max_position: int | None = None
    max_long: int | None = None
    max_short: int | None = None
    max_net_exposure: int | None = None
    max_net_long: int | None = None
    max_net_short: int | None = None
    max_credit: int | None = None
    max_daily_notional: int | None = None
    max_daily_loss: int | None = None
    max_working_orders: int | None = None
    max_order_to_trade: int | None = None
    order_to_trade_from: int | None = None
    max_executions: int | None = None
    execution_window_ms: int | None = None
    rearmed_at: int | None = None
    duplicate_window_ms: int | None = None
    self_trade: str | None = None
    short_sale_marking: str | None = None
    locate: str | None = None
    required_checks: tuple[str, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    warn: Levels | None = None
    reason: str | None = None
    limits_age_max_ms: int | None = None

    @property
    def given_at(self) -> int | None:
        """When its limits were last given as a whole, in microseconds; None if it gives none, but a state at most."""
        if all(getattr(self, name) in (None, ()) for name in LIMIT_FIELDS):
            return None
        return self.occurred_at if self.limits_at is None else self.limits_at


LIMIT_FIELDS: Final = tuple(
    name
    for name in RiskControl.__struct_fields__
    if name not in (*Event.__struct_fields__, "limits_version", "limits_at", "trading_state", "rearmed_at", "reason")
)
"""What of a control limits trading for longer than a person's word: all but what every record has, state and latch."""


class SymbolReference(Event, frozen=True, kw_only=True, rename="camel"):
    """What is known of one instrument, whose symbol is the key: topic reference.symbols."""

    tick: int
    lot: int
    reference_price: int | None = None
    reference_at: int | None = None
    bid_price: int | None = None
    bid_at: int | None = None
    short_restricted_until: int | None = None
    easy_to_borrow: bool | None = None

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


class Locate(Event, frozen=True, kw_only=True, rename="camel"):
    """Shares located for short sales of one account, under the locate's id: topic reference.locates."""

    version: int = 1
    account_id: str
    symbol: str
    quantity: int
    valid_from: int | None = None
    valid_until: int | None = None


class Tables(NamedTuple):
    """What operations have published, by key, as a decision sees it."""

    controls: Mapping[str, RiskControl]
    symbols: Mapping[str, SymbolReference]
    accounts: Mapping[str, AccountReference] = {}
    locates: Mapping[str, Locate] = {}

    @staticmethod
    def of(broadcast: Mapping[str, Mapping[str, Any]]) -> Tables:
        """From the broadcast tables of the step."""
        return Tables(broadcast["controls"], broadcast["symbols"], broadcast["accounts"], broadcast["locates"])


def account_scope(account_id: str) -> str:
    """The scope of one account."""
    return f"ACCOUNT:{account_id}"


def symbol_scope(symbol: str) -> str:
    """The scope of one instrument."""
    return f"SYMBOL:{symbol}"


def scopes_of(
    *, account_id: str, symbol: str, session: str | None = None, desk: str | None = None
) -> list[tuple[str, str]]:
    """The scopes that apply to a request, widest first, and what their counts count: account, symbol or session."""
    account, instrument = account_scope(account_id), symbol_scope(symbol)
    scopes = [(FIRM, "account")]
    if desk is not None:
        scopes.append((f"DESK:{desk}", "account"))
    scopes += [(account, "account"), (instrument, "symbol"), (f"{account}/{instrument}", "symbol")]
    if session is not None:
        scopes.append((f"SESSION:{session}", "session"))
    return scopes


def is_valid_on(day: int, valid_from: int | None, valid_until: int | None) -> bool:
    """Whether a UTC day (since 1970) lies between two others, both included, None being without end."""
    return (valid_from is None or day >= valid_from) and (valid_until is None or day <= valid_until)
