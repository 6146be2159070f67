"""What the steps of pre-trade risk tell each other about requests that concern more than one account.

A request of an account with an STP group, or one that counts against a total over accounts, passes the steps that see
other accounts before it reaches its own, where it is decided. It carries what was found with it: a `SharedRequest`.
What a step held for a request that was rejected in the end is given back by a `SelfTradeRelease`, a record of topic
risk.releases, since a step further up can only be told through the log.

Which way the messages of an order take depends on its account, its symbol and what `SharedScopes` says, and on nothing
else, so that none of them overtakes another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from operators.model.events import Breach, Event, OrderIntent, OrderStatusChanged, RiskAction
from operators.model.risk.limits import AccountReference, RiskControl, Severity

RELEASE_EVENT: Final = "SELF_TRADE_RELEASE"
_SYMBOL: Final = "SYMBOL:"


class SharedRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request on its way to its account, with what the steps before it found.

    `stp_group` is the group of its account. `counted` says that it counts against totals over accounts. `number` is
    what self-trade prevention holds it under, 0 if it holds nothing. `breaches`, `actions` and `approved_quantity` are
    meant as in the outcome, `actions` and quantity for the case that nothing else rejects the request.
    """

    occurred_at: int
    key: str
    symbol: str
    intent: OrderIntent
    stp_group: str | None = None
    counted: bool = False
    number: int = 0
    breaches: list[Breach] = []
    actions: list[RiskAction] = []
    approved_quantity: int | None = None


class GroupStatus(OrderStatusChanged, frozen=True, kw_only=True, rename="camel"):
    """A consolidated status of an order whose account is in an STP group."""

    stp_group: str


class SelfTradeRelease(Event, frozen=True, kw_only=True, rename="camel"):
    """A request that self-trade prevention holds as if it were approved, and that was rejected: topic risk.releases.

    `number` is that of the `SharedRequest`.
    """

    stp_group: str
    symbol: str
    number: int


class SharedScopes(NamedTuple):
    """Which requests concern more than one account.

    `groups` has the STP group by account, as bytes of the record key. `counts_all` says that a total over accounts
    holds for more than single symbols: a request's session, say, is not that of its order, and every message must take
    the same way; `symbols` are those with a total of their own.
    """

    groups: Mapping[bytes, str]
    counts_all: bool = False
    symbols: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether no request does."""
        return not (self.groups or self.counts_all or self.symbols)

    @staticmethod
    def of(controls: Mapping[str, RiskControl], accounts: Mapping[str, AccountReference]) -> SharedScopes:
        """From what operations have published."""
        totals = [scope for scope, control in controls.items() if has_total(control)]
        return SharedScopes(
            groups={name.encode(): one.stp_group for name, one in accounts.items() if one.stp_group},
            counts_all=any(not scope.startswith(_SYMBOL) for scope in totals),
            symbols=frozenset(scope.removeprefix(_SYMBOL) for scope in totals if scope.startswith(_SYMBOL)),
        )


def has_total(control: RiskControl) -> bool:
    """Whether a control limits the messages of all accounts together."""
    warn = control.warn.max_total_messages if control.warn is not None else None
    return control.max_total_messages is not None or warn is not None


def release_of(shared: SharedRequest, *, source: str) -> SelfTradeRelease:
    """Gives back what self-trade prevention holds for the request."""
    assert shared.stp_group is not None, "only requests of a group are held"
    return SelfTradeRelease(
        event_type=RELEASE_EVENT,
        version=1,
        occurred_at=shared.occurred_at,
        key=shared.key,
        sequence=shared.number,
        source=source,
        stp_group=shared.stp_group,
        symbol=shared.symbol,
        number=shared.number,
    )


def rejects(breaches: Sequence[Breach]) -> bool:
    """Whether one of them rejects the request."""
    return any(breach.severity != Severity.WARN for breach in breaches)
