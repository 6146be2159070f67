"""The flow `risk_check` under kills: every decision must be the one that the rules make, at one place in the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from chaos_log import (
    PARTITIONS,
    Input,
    Place,
    differences,
    encoded,
    letter_problems,
    store_values,
    with_records,
)
from chaos_risk_walk import Walk, Way, kept

from broker.murmur2 import partition_of
from config.errors import InvalidRecordError
from operators.model.events import (
    EventType,
    OrderIntent,
    OrderStatusChanged,
    OrderSummary,
    RiskOutcome,
    StatusDetail,
    account_of,
)
from operators.model.risk.book import memory_book
from operators.model.risk.decision import on_intent
from operators.model.risk.exposure import on_status
from operators.model.risk.limits import AccountReference, Levels, RiskControl, SymbolReference, Tables
from operators.model.risk.limits_in_force import LimitsInForce

DOLLAR = 1_000_000
MS = 1_000
AT = 1_781_186_400_000_000
"""2026-06-11 14:00 UTC."""
SYMBOLS = {"MSFT": 400 * DOLLAR, "AAPL": 200 * DOLLAR, "GE": 100 * DOLLAR}
CHANGES = 8
"""So often the controls change."""
SHARE_RESENT = 0.1
SHARE_BAD = 0.03
STEP_MICROS = 40 * MS

_WARN = Levels(
    max_position=1, max_exposure=1, max_net_exposure=1, max_credit=1, max_daily_notional=1, max_working_orders=1,
    max_messages=1,
)  # fmt: skip


@dataclass(kw_only=True)
class RiskCheckJob:
    """What all jobs of the flow have in common."""

    command: Sequence[str] = ("run", "risk_check")
    flow: str = "risk_check"
    steps: Mapping[str, int] = field(default_factory=lambda: {"self_trade": 32, "totals": 32, "risk": 32})
    sources: Sequence[str] = ("orders.input", "orders.status", "risk.releases")
    progress_topic: str = "risk.outcome"
    environment: Mapping[str, str] = field(default_factory=dict)
    records: Sequence[Input] = ()
    closing: int = 0


@dataclass
class RiskJob(RiskCheckJob):
    """Requests and consolidated statuses of accounts, while limits and trading states change."""

    orders: int
    seed: int
    name: str = "risk_check"

    def __post_init__(self) -> None:
        events = [event for number in range(self.orders) for event in _Story(number, self.orders, self.seed).told]
        changes = _changes(self.orders, Random(f"{self.seed}|controls"))
        told = sorted([*events, *((at, "risk.controls", control) for at, control in changes)], key=lambda each: each[0])
        references = [*_references(), ("risk.controls", firm(1))]
        rows = [*references, *((topic, event) for _, topic, event in told)]
        self.records = encoded((topic, msgspec.to_builtins(event)) for topic, event in rows)
        self._tables = list(_versions([control for _, control in changes]))
        self._told = [(topic, event) for _, topic, event in told]

    def decisions(self) -> Iterator[RiskOutcome]:
        """What the rules decide if everything is taken in exactly as it is told."""
        ways: dict[str, Way] = {}
        version = 0
        for topic, event in self._told:
            version += topic == "risk.controls"
            if topic == "risk.controls" or event.event_type == EventType.ORDER_STATUS_CHANGED:
                continue
            way = ways.get(account_of(event.key), Way(0, None, {}))
            tables, limits = self._tables[version]
            book = memory_book(way.account, way.parts)
            if isinstance(event, OrderStatusChanged):
                on_status(book, event, tables, limits=limits)
            elif _can_be_decided(event):
                yield on_intent(book, event, tables, limits=limits)
            ways[account_of(event.key)] = kept(version, book.account, way.parts, book.changes())

    def problems(self, place: Place) -> list[str]:
        requests, statuses, decisions = _by_account(place)
        refused = {where for of in requests.values() for where, intent in of if not _can_be_decided(intent)}
        found = letter_problems(place, refused)
        ends: dict[str, list[dict[str, bytes]]] = {}
        for account in requests.keys() | decisions.keys():
            decidable = [intent for _, intent in requests[account] if _can_be_decided(intent)]
            walk = Walk(self._tables, account, decidable, statuses[account], decisions[account])
            found += walk.problems()
            ends[account] = walk.ends()
        return [*found[:20], *_state_problems(place, ends)]


class _Story:
    """One order: its requests and, as if nobody had rejected them, what became of it. All keys in one partition."""

    def __init__(self, number: int, orders: int, seed: int) -> None:
        self._random = random = Random(f"{seed}|risk|{number}")
        account = f"ACC{random.randrange(max(4, orders // 8)):04d}"
        self._key = next(
            key
            for key in (f"{account}|ORD{number}-{n}" for n in range(1_000))
            if partition_of(key.encode(), PARTITIONS) == partition_of(account.encode(), PARTITIONS)
        )
        self._at, self._number, self._requests, self._statuses = AT + number * STEP_MICROS, number, 0, 0
        self._symbol = random.choice(list(SYMBOLS))
        self._side = random.choices(("BUY", "SELL", "SELL_SHORT"), (5, 4, 1))[0]
        self._quantity, self._filled = random.randint(1, 90) * 10, 0
        self._price = SYMBOLS[self._symbol] + random.randint(-400, 400) * 10_000
        self.told: list[tuple[int, str, Any]] = []
        self._tell()

    def _tell(self) -> None:
        random = self._random
        self._request(EventType.ORDER_SUBMITTED)
        if random.random() < SHARE_RESENT:
            self._request(EventType.ORDER_SUBMITTED, resent=True)
        self._status("NEW")
        if random.random() < 0.3:
            self._fill(self._quantity // 2)
        if random.random() < 0.3:
            self._quantity += random.choice((-5, 50, 200))
            self._request(EventType.REPLACE_REQUESTED)
            self._status(random.choice(("REPLACED", "PARTIALLY_FILLED" if self._filled else "NEW")))
        end = random.choice(("FILLED", "CANCELED", "OPEN"))
        if end == "FILLED":
            self._fill(self._quantity - self._filled)
        elif end == "CANCELED":
            self._request(EventType.CANCEL_REQUESTED)
            self._status("CANCELED")

    def _pass(self) -> None:
        self._at += self._random.randint(20, 400) * MS

    def _request(self, kind: EventType, *, resent: bool = False) -> None:
        self._pass()
        random, (account, order_id) = self._random, self._key.split("|")
        self._requests += 0 if resent else 1
        cl_ord_id = f"C{self._number}.{self._requests}"
        if random.random() < SHARE_RESENT:
            cl_ord_id = f"C{max(0, self._number - random.randrange(40))}.1"  # perhaps used already
        intent = OrderIntent(
            event_type=kind, occurred_at=self._at, key=self._key, sequence=self._requests, source="entry",
            account_id=account if random.random() > SHARE_BAD else "ANOTHER", order_id=order_id, cl_ord_id=cl_ord_id,
            user_token="U", symbol=self._symbol, side=self._side, quantity=self._quantity, order_type="LIMIT",
            limit_price=self._price, session=f"S{random.randrange(3)}", poss_resend=resent or None,
        )  # fmt: skip
        self.told.append((self._at, "orders.input", intent))

    def _fill(self, quantity: int) -> None:
        if quantity > 0:
            self._filled += quantity
            self._status("FILLED" if self._filled >= self._quantity else "PARTIALLY_FILLED")

    def _status(self, code: str) -> None:
        self._pass()
        self._statuses += 1
        ended = code in ("FILLED", "CANCELED")
        status = OrderStatusChanged(
            event_type=EventType.ORDER_STATUS_CONSOLIDATED, occurred_at=self._at, key=self._key,
            order=OrderSummary(
                id=self._key.partition("|")[2], symbol=self._symbol, side=self._side, quantity=self._quantity,
                limit_price=self._price,
            ),
            status=StatusDetail(
                code=code, filled_quantity=self._filled, avg_price=self._price if self._filled else None,
                leaves_quantity=0 if ended else max(0, self._quantity - self._filled),
            ),
            sequence=self._statuses, source="order-status", venue="XNAS",
        )  # fmt: skip
        again = 2 if self._random.random() < SHARE_RESENT else 1
        # The engine's own words lie on the same topic and are none of the flow's business.
        engine = msgspec.structs.replace(status, event_type=EventType.ORDER_STATUS_CHANGED, source="engine")
        self.told += [(self._at, "orders.status", status)] * again + [(self._at, "orders.status", engine)]


def symbol_references() -> list[tuple[str, Any]]:
    """What is known of the symbols."""
    symbols = [
        SymbolReference(
            event_type="SYMBOL_REFERENCE", occurred_at=AT, key=symbol, sequence=1, source="operations", tick=10_000,
            lot=1, reference_price=price,
        )
        for symbol, price in SYMBOLS.items()
    ]  # fmt: skip
    return [("reference.symbols", each) for each in symbols]


def _references() -> list[tuple[str, Any]]:
    accounts = [
        AccountReference(
            event_type="ACCOUNT_REFERENCE", occurred_at=AT, key=f"ACC{number:04d}", sequence=1, source="operations",
            desk="D1",
        )
        for number in range(0, 1_000, 3)
    ]  # fmt: skip
    return [*symbol_references(), *(("reference.accounts", each) for each in accounts)]


def control(scope: str, version: int, **fields: Any) -> RiskControl:
    """The limits of one scope."""
    return RiskControl(
        event_type="RISK_CONTROL", occurred_at=AT, key=scope, sequence=version, source="operations",
        limits_version=str(version), **fields,
    )  # fmt: skip


def firm(version: int, **fields: Any) -> RiskControl:
    """Those of the firm, of which all that must be given is."""
    values: dict[str, Any] = {
        "max_order_quantity": 900, "max_order_notional": 10**12, "collar_bps": 1_000, "collar_away_bps": 5_000,
        "reference_age_max_ms": 86_400_000, "max_messages": 6, "message_window_ms": 1_000, "max_exposure": 10**12,
        "max_working_orders": 100, "max_position": 10**6, "self_trade": "WARN", "warn": _WARN,
    }  # fmt: skip
    return control("FIRM", version, **(values | fields))


def _changes(orders: int, random: Random) -> list[tuple[int, RiskControl]]:
    """What operations publish while the flow works."""
    made = [
        firm(2, max_exposure=2 * 10**11),
        control("DESK:D1", 3, max_order_quantity=500),
        control("SYMBOL:GE", 4, trading_state="HALTED"),
        firm(5, max_executions=12, execution_window_ms=60_000, self_trade="CANCEL_NEWEST"),
        control("SYMBOL:GE", 6, trading_state="ACTIVE"),
        control("DESK:D1", 7, trading_state="REDUCING"),
        firm(8, max_order_quantity=600, self_trade="DECREMENT"),
        control("DESK:D1", 9, max_order_quantity=800),
    ]
    assert len(made) == CHANGES
    times = sorted(random.randrange(orders * STEP_MICROS) for _ in made)
    return [(AT + at, control) for at, control in zip(times, made, strict=True)]


def _versions(changes: Sequence[RiskControl]) -> Iterator[tuple[Tables, LimitsInForce]]:
    """The tables at first and after each change; a control replaces what its scope had."""
    references: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for topic, event in _references():
        references[topic][event.key] = event
    controls = {"FIRM": firm(1)}
    for change in (None, *changes):
        controls = controls if change is None else {**controls, change.key: change}
        yield Tables(controls, references["reference.symbols"], references["reference.accounts"]), LimitsInForce()


def _can_be_decided(intent: OrderIntent) -> bool:
    try:
        on_intent(memory_book(None, {}), intent, Tables({}, {}), limits=LimitsInForce())
    except InvalidRecordError:
        return False
    return True


def _by_account(place: Place) -> tuple[defaultdict[str, Any], defaultdict[str, Any], defaultdict[str, Any]]:
    """Requests with their places, consolidated statuses, and decisions, by account, each in the order of the log."""
    requests: defaultdict[str, Any] = defaultdict(list)
    statuses: defaultdict[str, Any] = defaultdict(list)
    decisions: defaultdict[str, Any] = defaultdict(list)
    for record, row in with_records(place.log, "orders.input"):
        where = (record.topic(), record.partition(), record.offset())
        requests[_account(row)].append((where, msgspec.convert(row, OrderIntent)))
    for _, row in with_records(place.log, "orders.status"):
        if row["eventType"] == EventType.ORDER_STATUS_CONSOLIDATED:
            statuses[_account(row)].append(msgspec.convert(row, OrderStatusChanged))
    for _, row in with_records(place.log, "risk.outcome"):
        decisions[_account(row)].append(msgspec.convert(row, RiskOutcome))
    return requests, statuses, decisions


def _account(row: Mapping[str, Any]) -> str:
    return str(row["key"].partition("|")[0])


def _state_problems(place: Place, ends: Mapping[str, Sequence[Mapping[str, bytes]]]) -> list[str]:
    """What is stored of each account is one of its possible ends."""
    stored: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for key, body in store_values(place.state / "risk_check" / "risk").items():
        account, separator, rest = key.partition("|")
        stored[account][separator + rest] = body
    possible = {account: of for account, of in ends.items() if of}
    shown = {account: stored[account] if stored[account] in of else None for account, of in possible.items()}
    expected = {account: stored[account] for account in possible}
    return [
        *differences("state of account", shown, expected),
        *(f"state of account {account}: it has none" for account in possible if not stored[account]),
        *(f"state of account {account}: nothing is known of it" for account in stored.keys() - ends.keys()),
    ]
