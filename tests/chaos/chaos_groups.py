"""The flow `risk_check` with STP groups and totals under kills: decisions that depend on other accounts, each once.

Requests of one group in one symbol lie in one partition and take one way, so what the group and the totals make of
them does not depend on how the flow reads anything else, and a model of a few lines can say it:

    MSFT, AAPL   some accounts of a group buy, the others sell, and no order ever ends: who crosses an approved order of
                 the other side is rejected
    GE           accounts buy in bursts in a session of their group, which has a total: of each burst so many pass

A total of the firm counts everything, so all requests meet in one process. Orders in GE are canceled at last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from chaos_log import PARTITIONS, Place, decoded, differences, encoded, letter_problems, store_values
from chaos_risk import AT, DOLLAR, MS, SYMBOLS, RiskCheckJob, control, firm, symbol_references

from broker.murmur2 import partition_of
from operators.model.events import EventType, OrderIntent, OrderStatusChanged, OrderSummary, RiskOutcome, StatusDetail
from operators.model.risk.limits import AccountReference
from operators.model.risk.total_rates import Totals

GROUPS = 6
ACCOUNTS = 4
"""Of each group."""
BULK = "GE"
TOTAL = 5
WINDOW_MS = 2_000
BURST = 8
SPACING_MICROS = 10_000 * MS
"""From burst to burst, far more than the window, in which a burst lies as a whole."""
_SIDES = ("BUY", "SELL")

Decision = tuple[str, tuple[str, ...]]


@dataclass
class GroupRiskJob(RiskCheckJob):
    """Requests of accounts in groups."""

    bursts: int
    seed: int
    name: str = "risk_groups"
    intents: Mapping[str, OrderIntent] = field(default_factory=dict)
    """By ClOrdID, of which each has one of its own."""

    def __post_init__(self) -> None:
        intents = list(_intents(self.bursts, self.seed))
        self.intents = {intent.cl_ord_id: intent for intent in intents}
        self._expected = dict(_decisions(intents))
        ends = [_canceled(intent) for intent in intents if intent.symbol == BULK]
        self._ended = {end.key for end in ends}
        self.closing = len(ends)
        rows = [*_references(), *(("orders.input", intent) for intent in intents)]
        self.records = encoded(
            (topic, msgspec.to_builtins(event)) for topic, event in [*rows, *(("orders.status", end) for end in ends)]
        )

    def expected(self) -> Mapping[str, Decision]:
        """What must be decided, by ClOrdID: approved or rejected, and the breached checks."""
        return self._expected

    def problems(self, place: Place) -> list[str]:
        decided: defaultdict[str, list[Decision]] = defaultdict(list)
        for row in decoded(place.log, "risk.outcome"):
            outcome = msgspec.convert(row, RiskOutcome)
            checks = tuple(sorted(breach.check for breach in outcome.breaches))
            decided[outcome.intent.cl_ord_id].append((str(outcome.event_type), checks))
        wanted = {request: [decision] for request, decision in self._expected.items()}
        return [
            *letter_problems(place, ()),
            *differences("decisions on", decided, wanted),
            *self._state_problems(place),
        ]

    def _state_problems(self, place: Place) -> list[str]:
        """Each request that is over no total was counted once; nobody holds an order that has ended."""
        passed = sum("TOTAL_MESSAGE_RATE" not in checks for _, checks in self._expected.values())
        totals = store_values(place.state / "risk_check" / "totals")
        counts = [msgspec.msgpack.decode(body, type=Totals).requests for key, body in totals.items() if "|" not in key]
        held = store_values(place.state / "risk_check" / "self_trade")
        left = [
            order for order in self._ended if any(order.encode() in body or order in key for key, body in held.items())
        ]
        return [
            *differences("requests counted by", dict(enumerate(counts)), {0: passed}),
            *(f"the group of {order} still holds it" for order in left[:5]),
        ]


def _intents(bursts: int, seed: int) -> Iterator[OrderIntent]:
    """Requests in the order of their times; the bursts of all groups and symbols go at once."""
    random, number = Random(f"{seed}|groups"), 0
    for burst in range(bursts):
        told = [
            (AT + burst * SPACING_MICROS + random.randrange(WINDOW_MS * MS // 2), group, symbol)
            for group in range(GROUPS)
            for symbol in SYMBOLS
            for _ in range(BURST if symbol == BULK else BURST // 2)
        ]
        for at, group, symbol in sorted(told):
            number += 1
            yield _intent(number, at, group, symbol, random)


def _intent(number: int, at: int, group: int, symbol: str, random: Random) -> OrderIntent:
    member = random.randrange(ACCOUNTS)
    partition = (group + list(SYMBOLS).index(symbol)) % PARTITIONS
    account, order = next(
        (f"G{group}A{member}", f"O{number}-{n}")
        for n in range(1_000)
        if partition_of(f"G{group}A{member}|O{number}-{n}".encode(), PARTITIONS) == partition
    )
    # More of them away from the other side than into it, so that there is always somebody who meets nobody.
    side = "BUY" if symbol == BULK else _SIDES[member % 2]
    away = random.randint(-6, 20) * (1 if side == "SELL" else -1)
    return OrderIntent(
        event_type=EventType.ORDER_SUBMITTED, occurred_at=at, key=f"{account}|{order}", sequence=1, source="entry",
        account_id=account, order_id=order, cl_ord_id=f"C{number}", user_token="U", symbol=symbol, side=side,
        quantity=10, order_type="LIMIT", limit_price=SYMBOLS[symbol] + away * DOLLAR // 10,
        session=f"B{group}" if symbol == BULK else "S",
    )  # fmt: skip


def _decisions(intents: Sequence[OrderIntent]) -> Iterator[tuple[str, Decision]]:
    """What must come of them, by ClOrdID."""
    best: dict[tuple[str, str, str], int] = {}
    counted: Counter[tuple[str, int]] = Counter()
    for intent in intents:
        price, burst = intent.limit_price or 0, (intent.occurred_at - AT) // SPACING_MICROS
        checks: tuple[str, ...] = ()
        if intent.symbol == BULK:
            counted[str(intent.session), burst] += 1
            if counted[str(intent.session), burst] > TOTAL:
                checks = ("TOTAL_MESSAGE_RATE",)
        else:
            buys, book = intent.side == "BUY", (intent.account_id[:2], intent.symbol)
            resting = best.get((*book, "SELL" if buys else "BUY"))
            if resting is not None and (price >= resting if buys else price <= resting):
                checks = ("SELF_TRADE",)
            else:
                own = best.get((*book, intent.side), price)
                best[(*book, intent.side)] = max(own, price) if buys else min(own, price)
        kind = EventType.RISK_REJECTED if checks else EventType.RISK_APPROVED
        yield intent.cl_ord_id, (str(kind), checks)


def _canceled(intent: OrderIntent) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED, occurred_at=intent.occurred_at + 1, key=intent.key,
        order=OrderSummary(
            id=intent.order_id, symbol=intent.symbol, side=intent.side, quantity=intent.quantity,
            limit_price=intent.limit_price,
        ),
        status=StatusDetail(code="CANCELED", filled_quantity=0, leaves_quantity=0), sequence=1, source="order-status",
        venue="XNAS",
    )  # fmt: skip


def _references() -> list[tuple[str, Any]]:
    accounts = [
        AccountReference(
            event_type="ACCOUNT_REFERENCE", occurred_at=AT, key=f"G{group}A{member}", sequence=1, source="operations",
            stp_group=f"GROUP{group}",
        )
        for group in range(GROUPS)
        for member in range(ACCOUNTS)
    ]  # fmt: skip
    wide = {
        "max_messages": 10**6, "max_exposure": 10**15, "max_working_orders": 10**5, "max_position": 10**7,
        "self_trade": "CANCEL_NEWEST", "warn": None, "max_total_messages": 10**6,
    }  # fmt: skip
    totals = {"total_message_window_ms": WINDOW_MS}
    controls = [
        firm(1, **wide, **totals),
        *(control(f"SESSION:B{group}", 1, max_total_messages=TOTAL, **totals) for group in range(GROUPS)),
    ]
    return [
        *symbol_references(),
        *(("reference.accounts", each) for each in accounts),
        *(("risk.controls", each) for each in controls),
    ]
