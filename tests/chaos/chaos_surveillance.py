"""The flow `surveillance` under kills: the alerts must be those that its rules make, run through each partition.

Orders, accounts and owners are named so that all that one key group of any step ever sees lies in one partition. Then
the event time of every key group, on which alerts depend, follows from the order of the log alone, whatever dies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import msgspec
from chaos_log import (
    CONFIG,
    PARTITIONS,
    Input,
    Place,
    decoded,
    differences,
    encoded,
    letter_problems,
    store_values,
    with_records,
)

from broker.murmur2 import partition_of
from operators.model.events import account_of
from operators.model.risk.limits import AccountReference
from operators.model.surveillance import orders, ratios, wash_trades
from operators.model.surveillance.alerts import AlertEpisode, OrderAlert, episode_key, with_alert
from operators.model.views.milestones import Milestone

S = 1_000_000
AT = 1_781_186_400_000_000
"""2026-06-11 14:00 UTC."""
KEY_GROUPS = 32
ACCOUNTS = 12
SYMBOLS = [f"SYM{number}" for number in range(16)]
STEP_MICROS = 4 * S
"""From one order's placement to the next one's."""
PRICE = 100_000_000

_SHIPPED = {
    "options: {acknowledgement: 5s, pending: 30s, open: 8h, grace: 2s, collar_bps: 500}": None,
    "options: {every: 1m, panes: 5, grace: 30s, orders_min: 50, cancel_ratio: 0.95, order_to_trade_ratio: 100}":
        "options: {every: 1m, panes: 5, grace: 30s, orders_min: 4, cancel_ratio: 0.3, order_to_trade_ratio: 2}",
    "options: {window: 1m, quiet: 10m, grace: 30s}": "options: {window: 1m, quiet: 2m, grace: 30s}",
    "epoch: 50ms": "epoch: 10ms",
}  # fmt: skip
"""Lines of the topology that the limits below repeat, and what stands in their place: one file has to be enough."""
_STATES: Mapping[str, type[Any]] = {
    "orders": orders.OrderWatch,
    "account_ratios": ratios.RatioWatch,
    "symbol_ratios": ratios.RatioWatch,
    "wash_trades": wash_trades.WashWatch,
}
ORDERS = orders.OrderLimits(5_000, 30_000, 8 * 3_600_000, 2_000, 500)
RATIOS = ratios.RatioLimits(60_000, 5, 30_000, 4, 0.3, 2.0)
WASH = wash_trades.WashLimits(60_000, 120_000, 30_000)
END_MICROS = 10 * 3_600 * S
"""After the last order something happens once more everywhere: every deadline and window is over by then."""


@dataclass
class SurveillanceJob:
    """Milestones of orders of which many are stuck, late, far from the market, canceled, or wash trades."""

    orders: int
    seed: int
    folder: Path
    name: str = "surveillance"
    command: Sequence[str] = ()
    flow: str = "surveillance"
    steps: Mapping[str, int] = field(
        default_factory=lambda: {
            "orders": PARTITIONS,
            "account_ratios": KEY_GROUPS,
            "symbol_ratios": KEY_GROUPS,
            "wash_trades": KEY_GROUPS,
            "alerts": KEY_GROUPS,
        }
    )
    sources: Sequence[str] = ("orders.milestones",)
    progress_topic: str = "orders.alerts"
    environment: Mapping[str, str] = field(default_factory=dict)
    records: Sequence[Input] = ()
    closing: int = 0

    def __post_init__(self) -> None:
        text = (CONFIG / "topologies" / "surveillance.yaml").read_text()
        for shipped, instead in _SHIPPED.items():
            assert shipped in text
            text = text.replace(shipped, instead or shipped)
        topology = self.folder / "surveillance.yaml"
        topology.write_text(text)
        self.command = ("run", str(topology))
        traders = _traders()
        told = sorted(
            (each for number in range(self.orders) for each in _story(number, traders, self.seed)),
            key=lambda milestone: milestone.occurred_at,
        )
        # Some are told out of order, as by venues that are slow.
        random = Random(f"{self.seed}|late")
        places = [number + (random.randrange(12) if random.random() < 0.05 else 0) for number in range(len(told))]
        told = [told[number] for number in sorted(range(len(told)), key=lambda number: (places[number], number))]
        last = list(_last(traders, AT + self.orders * STEP_MICROS + END_MICROS))
        rows = [("reference.accounts", account) for account in _references(traders)]
        rows += [("orders.milestones", milestone) for milestone in (*told, *last)]
        self.closing = len(last)
        self.records = encoded((topic, msgspec.to_builtins(event)) for topic, event in rows)

    def problems(self, place: Place) -> list[str]:
        model = self.expected(place)
        told: defaultdict[tuple[str, str, str | None], list[OrderAlert]] = defaultdict(list)
        for row in decoded(place.log, "orders.alerts"):
            _note(told, msgspec.convert(row, OrderAlert))
        expected: defaultdict[tuple[str, str, str | None], list[OrderAlert]] = defaultdict(list)
        for alert in model.alerts:
            _note(expected, alert)
        return [
            *letter_problems(place, ()),
            *differences("alerts by source, key and symbol", told, expected),
            *self._view_problems(place, model.alerts),
            *self._state_problems(place, model),
        ]

    def expected(self, place: Place) -> Model:
        """The rules after all that is in the log."""
        model = Model({trader.account: trader.owner for trader in _traders()})
        for record, row in with_records(place.log, "orders.milestones"):
            model.take(msgspec.convert(row, Milestone), record.partition())
        model.end()
        return model

    def _view_problems(self, place: Place, alerts: Iterable[OrderAlert]) -> list[str]:
        episodes: dict[str, AlertEpisode] = {}
        for alert in alerts:
            episodes[episode_key(alert)] = with_alert(episodes.get(episode_key(alert)), alert)
        held = {
            key: msgspec.msgpack.decode(body, type=AlertEpisode)
            for key, body in store_values(place.state / self.flow / "alerts").items()
        }
        return differences("view of alerts", held, episodes)

    def _state_problems(self, place: Place, model: Model) -> list[str]:
        found = []
        for step, states in model.states.items():
            stored = store_values(place.state / self.flow / step)
            held = {key: msgspec.msgpack.decode(body, type=_STATES[step]) for key, body in stored.items()}
            found += differences(f"state of {step}", held, states)
        return found


@dataclass(frozen=True, slots=True)
class _Trader:
    """An account, its owner, and the symbols that it may trade; everything of it lies in one partition."""

    account: str
    owner: str
    symbols: Sequence[str]

    @property
    def partition(self) -> int:
        return _home(self.account)


def _home(key: str) -> int:
    """The partition in which all lies that the key group of this key sees."""
    return crc32(key.encode()) % KEY_GROUPS % PARTITIONS


def _traders() -> list[_Trader]:
    """Accounts in pairs of one owner, as many pairs in each partition."""
    found: list[_Trader] = []
    for number in range(ACCOUNTS // 2):
        home, drawn = number % PARTITIONS, _names(Random(f"traders {number}"))
        found += next(filter(None, (_pair(*names, home) for names in drawn)))
    return found


def _names(random: Random) -> Iterator[tuple[str, str, str]]:
    """Two accounts and an owner at random: checksums of names that differ in the same letters differ by the same."""
    while True:
        first, second, third = (f"{random.randrange(10**5):05d}" for _ in range(3))
        yield f"ACC{first}", f"ACC{second}", f"OWN{third}"


def _pair(account: str, other: str, owner: str, home: int) -> list[_Trader]:
    """Two accounts of an owner with the symbols that keep all of them in this partition; empty if there are none."""
    symbols = [s for s in SYMBOLS if {_home(f"{key}|{s}") for key in (account, other, owner)} == {home}]
    if not symbols or {_home(account), _home(other)} != {home}:
        return []
    return [_Trader(name, owner, symbols) for name in (account, other)]


def _references(traders: Iterable[_Trader]) -> list[AccountReference]:
    return [
        AccountReference(
            event_type="ACCOUNT_REFERENCE", occurred_at=AT, key=trader.account, owner=trader.owner, sequence=1,
            source="operations",
        )
        for trader in traders
    ]  # fmt: skip


def _order_key(trader: _Trader, name: str) -> str:
    return next(
        key
        for key in (f"{trader.account}|{name}-{n}" for n in range(1_000))
        if partition_of(key.encode(), PARTITIONS) == trader.partition
    )


def _story(number: int, traders: Sequence[_Trader], seed: int) -> Iterator[Milestone]:
    """One order's milestones."""
    random = Random(f"{seed}|surveillance|{number}")
    trader = random.choice(traders)
    key, symbol = _order_key(trader, f"ORD{number}"), random.choice(trader.symbols)
    at, side = AT + number * STEP_MICROS, random.choice(("BUY", "SELL"))

    def happened(kind: str, after_s: float, **fields: Any) -> Milestone:
        nonlocal at
        at += int(after_s * S)
        return Milestone(kind=kind, occurred_at=at, key=key, symbol=symbol, venue="XNAS", **fields)

    yield happened("PLACED", 0, quantity=100, time_in_force=random.choice(("DAY", "DAY", "GOOD_TILL_CANCEL")))
    yield happened("ACKNOWLEDGED", random.choice((0.01, 0.2, 3, 6, 9)))
    fills = random.randrange(4)
    for fill in range(fills):
        far = random.random() < 0.25
        yield happened(
            "TRADED", random.uniform(0.1, 5), quantity=10, side=side,
            price=PRICE * (110 if far else random.choice((99, 100))) // 100,
            exec_id=f"E{number}.{fill}", reference_price=PRICE, notional=10 * PRICE,
        )  # fmt: skip
    if fills and random.random() < 0.15:
        yield happened("BUSTED", 1, quantity=-10, side=side, exec_ref_id=f"E{number}.{fills - 1}", notional=-10 * PRICE)
    if random.random() < 0.4:
        yield happened("PENDING", 1, code="PENDING_CANCEL")
        wait_s = random.choice((0.1, 20, 40))
        if random.random() < 0.5:
            yield happened("ANSWERED", wait_s, code="NEW")
        else:
            yield happened("CANCELED", wait_s)
            return
    if random.random() < 0.7:
        yield happened(random.choice(("FILLED", "CANCELED", "EXPIRED")), random.uniform(0.1, 30))


def _last(traders: Iterable[_Trader], at: int) -> Iterator[Milestone]:
    """A fill of every account in every symbol of it, at prices that nobody else trades at."""
    for number, trader in enumerate(traders):
        for symbol in trader.symbols:
            key = _order_key(trader, f"LAST{symbol}")
            yield Milestone(
                kind="TRADED", occurred_at=at, key=key, symbol=symbol, venue="XNAS", quantity=1, side="BUY",
                price=PRICE + number + 1, exec_id="LAST",
            )  # fmt: skip


class Model:
    """The rules, record by record; nothing of the engine."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = owners
        self._reached_ms: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.states: dict[str, dict[str, Any]] = {step: {} for step in _STATES}
        self.alerts: list[OrderAlert] = []

    def take(self, milestone: Milestone, partition: int) -> None:
        """One milestone of the partition, through every step."""
        assert partition == _home(account_of(milestone.key))
        key, states = milestone.key, self.states["orders"]
        watched = orders.on_milestone(
            states.get(key), milestone, limits=ORDERS, event_time_ms=self._reach("orders", partition, milestone),
            source="surveillance-orders",
        )  # fmt: skip
        states[key] = watched.state
        self.alerts += watched.alerts
        account = account_of(key)
        self._count("account_ratios", account, milestone)
        self._count("symbol_ratios", f"{account}|{milestone.symbol}", milestone)
        if milestone.kind in ("TRADED", "BUSTED", "CORRECTED"):
            owner = self._owners[account]
            self._match(f"{owner}|{milestone.symbol}", msgspec.structs.replace(milestone, owner_id=owner))

    def end(self) -> None:
        """What event time has made due of what nothing was heard of since."""
        for key, state in self.states["orders"].items():
            home = partition_of(key.encode(), PARTITIONS)
            reached = self._reached_ms["orders", home]
            watched = orders.on_time(state, key, limits=ORDERS, event_time_ms=reached, source="surveillance-orders")
            self._keep("orders", key, watched.state, watched.alerts)
        for step in ("account_ratios", "symbol_ratios"):
            for key, state in list(self.states[step].items()):
                reached = self._reached_ms[step, _group(key)]
                judged = ratios.on_time(state, key, limits=RATIOS, event_time_ms=reached, source=f"surveillance-{step}")
                self._keep(step, key, None if ratios.is_empty(judged.state) else judged.state, judged.alerts)
        for key, state in list(self.states["wash_trades"].items()):
            quiet = wash_trades.on_time(state, limits=WASH, event_time_ms=self._reached_ms["wash_trades", _group(key)])
            self._keep("wash_trades", key, None if wash_trades.is_empty(quiet.state) else quiet.state, quiet.alerts)

    def _count(self, step: str, key: str, milestone: Milestone) -> None:
        reached, source = self._reach(step, _group(key), milestone), f"surveillance-{step}"
        state = self.states[step].get(key)
        if ratios.is_counted(milestone):
            judged = ratios.on_milestone(
                state, key, milestone, limits=RATIOS, event_time_ms=reached, source=source
            )  # fmt: skip
        else:
            judged = ratios.on_time(
                state or ratios.RatioWatch(), key, limits=RATIOS, event_time_ms=reached, source=source
            )
        self._keep(step, key, None if ratios.is_empty(judged.state) else judged.state, judged.alerts)

    def _match(self, key: str, milestone: Milestone) -> None:
        judged = wash_trades.on_fill(
            self.states["wash_trades"].get(key), milestone, limits=WASH,
            event_time_ms=self._reach("wash_trades", _group(key), milestone), source="surveillance-wash_trades",
        )  # fmt: skip
        self._keep("wash_trades", key, None if wash_trades.is_empty(judged.state) else judged.state, judged.alerts)

    def _keep(self, step: str, key: str, state: Any, alerts: Iterable[OrderAlert]) -> None:
        if state is None:
            self.states[step].pop(key, None)
        else:
            self.states[step][key] = state
        self.alerts += alerts

    def _reach(self, step: str, group: int, milestone: Milestone) -> int:
        reached = max(self._reached_ms[step, group], milestone.occurred_at // 1_000)
        self._reached_ms[step, group] = reached
        return reached


def _group(key: str) -> int:
    return crc32(key.encode()) % KEY_GROUPS


def _note(alerts: defaultdict[tuple[str, str, str | None], list[OrderAlert]], alert: OrderAlert) -> None:
    alerts[alert.source, alert.key, alert.symbol].append(alert)
