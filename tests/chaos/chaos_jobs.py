"""The flows that are killed: what goes into each, and what must come of it, by models that share nothing with them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from chaos_log import (
    CONFIG,
    PARTITIONS,
    Input,
    Place,
    codec,
    decoded,
    differences,
    encoded,
    letter_problems,
    read_all,
    store_values,
    with_records,
)
from chaos_processes import CHAIN_MODULE, load_module

from operators.model.events import ExecutionReport, OrderEnriched, OrderStatusChanged
from operators.model.fees.tables import parse_schedule
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import Context, Order
from operators.model.positions.positions import Position
from operators.model.views.dashboard import Aggregate
from operators.model.views.timeline import Timeline
from operators.state.windows import parse_window_key
from services.day import generate_events
from services.histories import histories
from services.truth_fees import FeeTable
from services.verdict import verify

FEES = CONFIG / "fees" / "us_equities.yaml"
TUMBLING_MS = 60_000

_PRICED = ("traded_notional",)
_FILLS = {"TRADED": 1, "BUSTED": -1, "CORRECTED": 0}


@dataclass
class OrderStatusJob:
    """The flow `order_status`, on a generated day."""

    orders: int
    seed: int
    name: str = "order_status"
    command: Sequence[str] = ("run", "order_status")
    flow: str = "order_status"
    steps: Mapping[str, int] = field(default_factory=lambda: {"join": PARTITIONS, "parents": 32})
    sources: Sequence[str] = ("orders.status", "orders.executions")
    progress_topic: str = "orders.enrichment"
    environment: Mapping[str, str] = field(default_factory=dict)
    records: Sequence[Input] = ()
    closing: int = 0

    def __post_init__(self) -> None:
        self.records = encoded(self._events())

    def _events(self) -> Iterable[tuple[str, dict[str, Any]]]:
        return generate_events(self.orders, self.seed)

    def problems(self, place: Place) -> list[str]:
        verdict = verify(place.log, codec(), FeeTable.load(FEES))
        return [*letter_problems(place, {}), *([] if verdict.exact else list(verdict.as_json()["differences"]))]


@dataclass
class LifecycleJob(OrderStatusJob):
    """The flow `order_status`, on histories with busts, corrections, replaces, several days, parents and children."""

    name: str = "lifecycle"

    def _events(self) -> Iterable[tuple[str, dict[str, Any]]]:
        return histories(self.orders, self.seed)


@dataclass
class ViewsJob:
    """The flow `views`, on a generated day and what `order_status` makes of it.

    Windows wait a day for late records: how far partitions are read apart depends on the kills, and a record that is
    late is left out of the dashboard on purpose.
    """

    orders: int
    seed: int
    folder: Path
    name: str = "views"
    command: Sequence[str] = ()
    flow: str = "views"
    steps: Mapping[str, int] = field(
        default_factory=lambda: {
            "positions": 32,
            "fee_ledger": 32,
            "timeline": PARTITIONS,
            "children": 32,
            "dashboard": 32,
        }
    )
    sources: Sequence[str] = ("orders.status", "orders.executions", "orders.enrichment")
    progress_topic: str = "orders.milestones"
    environment: Mapping[str, str] = field(default_factory=dict)
    records: Sequence[Input] = ()
    closing: int = 0

    def __post_init__(self) -> None:
        shipped = (CONFIG / "topologies" / "views.yaml").read_text()
        assert "grace: 30s" in shipped
        topology = self.folder / "views.yaml"
        topology.write_text(shipped.replace("grace: 30s", "grace: 1d").replace("epoch: 50ms", "epoch: 10ms"))
        self.command = ("run", str(topology))
        self.records = encoded(with_outputs(generate_events(self.orders, self.seed)))

    def problems(self, place: Place) -> list[str]:
        positions = {
            key: msgspec.to_builtins(msgspec.msgpack.decode(body, type=Position))
            for key, body in store_values(place.state / "views" / "positions").items()
            if "\0" not in key  # chunks of fills lie beside the position
        }
        verdict = verify(place.log, codec(), FeeTable.load(FEES), positions=positions, dashboard=self._dashboard(place))
        found = [*letter_problems(place, {}), *([] if verdict.exact else list(verdict.as_json()["differences"]))]
        return [*found, *self._timeline_problems(place), *self._milestone_problems(place)]

    def _dashboard(self, place: Place) -> dict[str, Counter[str]]:
        """Sums over the tumbling windows by symbol|venue."""
        rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for window, body in store_values(place.state / "views" / "dashboard").items():
            key, size_ms, _ = parse_window_key(window)
            if size_ms == TUMBLING_MS:
                columns = msgspec.to_builtins(msgspec.msgpack.decode(body, type=Aggregate))
                rows[key].update({name: value for name, value in columns.items() if isinstance(value, int)})
        return dict(rows)

    def _timeline_problems(self, place: Place) -> list[str]:
        """Every timeline has as many events as the log has records of its order."""
        events = Counter(
            (record.key() or b"").decode() for topic in self.sources for record in read_all(place.log, topic)
        )
        counts = {
            key: msgspec.msgpack.decode(body, type=Timeline).count
            for key, body in store_values(place.state / "views" / "timeline").items()
            if "\0" not in key
        }
        return differences("events in timeline", counts, events)

    def _milestone_problems(self, place: Place) -> list[str]:
        """The milestones on their topic, counted, are the dashboard."""
        counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record in decoded(place.log, "orders.milestones"):
            key, kind = f"{record['symbol']}|{record['venue'] or ''}", record["kind"]
            if kind == "PLACED":
                counted[key].update(orders=1, orderedQuantity=record["quantity"])
            elif kind in _FILLS:
                counted[key].update(fills=_FILLS[kind], tradedQuantity=record["quantity"])
            elif kind not in ("ACKNOWLEDGED", "PENDING", "ANSWERED"):
                counted[key][kind.lower()] += 1
        columns = [f.encode_name for f in msgspec.structs.fields(Aggregate) if f.type is int and f.name not in _PRICED]
        shown = {key: {c: row[c] for c in columns} for key, row in self._dashboard(place).items()}
        told = {key: {c: row[c] for c in columns} for key, row in counted.items() if any(row.values())}
        return differences("dashboard against milestones", {k: r for k, r in shown.items() if any(r.values())}, told)


@dataclass
class ChainJob:
    """Two keyed steps with an exchange between them, on executions of which some must become dead letters."""

    executions: int
    seed: int
    folder: Path
    name: str = "chain"
    command: Sequence[str] = ("chain",)
    flow: str = "chain"
    steps: Mapping[str, int] = field(default_factory=lambda: {"orders": PARTITIONS, "accounts": 8})
    sources: Sequence[str] = ("orders.executions",)
    progress_topic: str = "orders.enrichment"
    environment: Mapping[str, str] = field(default_factory=dict)
    records: Sequence[Input] = ()
    closing: int = 0

    def __post_init__(self) -> None:
        chain, random = load_module(CHAIN_MODULE, "chain"), Random(self.seed)
        topology = self.folder / "chain.yaml"
        topology.write_text(chain.TOPOLOGY)
        self.environment = {"CHAIN_TOPOLOGY": str(topology)}
        quantities = random.choices((1, 7, 100, -1, 666), (60, 30, 8, 1, 1), k=self.executions)
        keys = [f"ACC{random.randrange(40):03d}|ORD{random.randrange(25)}" for _ in quantities]
        rows = [
            msgspec.to_builtins(chain.execution(key, quantity)) for key, quantity in zip(keys, quantities, strict=True)
        ]
        self.records = encoded(("orders.executions", row) for row in rows)

    def problems(self, place: Place) -> list[str]:
        orders: dict[str, list[tuple[int, int]]] = {}
        accounts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        failed: set[tuple[str, int, int]] = set()
        for record, row in with_records(place.log, "orders.executions"):
            key, quantity = row["key"], row["lastQuantity"]
            if quantity in (-1, 666):
                failed.add((record.topic(), record.partition(), record.offset()))
                continue
            seen = orders.setdefault(key, [])
            seen.append((len(seen) + 1, quantity + (seen[-1][1] if seen else 0)))
            accounts[key.partition("|")[0]].update(records=1, quantity=seen[-1][1])
        return [
            *self._order_problems(place, orders),
            *self._account_problems(place, accounts),
            *letter_problems(place, failed),
        ]

    def _order_problems(self, place: Place, orders: Mapping[str, list[tuple[int, int]]]) -> list[str]:
        sent: dict[str, list[tuple[int, int]]] = {}
        for row in decoded(place.log, "orders.enrichment"):
            sent.setdefault(row["key"], []).append((row["sequence"], row["filledQuantity"]))
        kept = {key: _count(body) for key, body in store_values(place.state / "chain" / "orders").items()}
        last = {key: seen[-1] for key, seen in orders.items()}
        return [*differences("outputs of order", sent, orders), *differences("state of order", kept, last)]

    def _account_problems(self, place: Place, accounts: Mapping[str, Counter[str]]) -> list[str]:
        sequences: dict[str, list[int]] = {}
        totals: dict[str, tuple[int, int]] = {}
        for row in decoded(place.log, "orders.status"):
            sequences.setdefault(row["key"], []).append(row["sequence"])
            totals[row["key"]] = (row["sequence"], row["order"]["quantity"])
        expected = {key: (counts["records"], counts["quantity"]) for key, counts in accounts.items()}
        kept = {key: _count(body) for key, body in store_values(place.state / "chain" / "accounts").items()}
        return [
            *differences(
                "sequences of account", sequences, {key: list(range(1, n + 1)) for key, (n, _) in expected.items()}
            ),
            *differences("total of account", totals, expected),
            *differences("state of account", kept, expected),
        ]


_OUTPUT_TOPICS = {OrderStatusChanged: "orders.status", OrderEnriched: "orders.enrichment"}


def with_outputs(events: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each event, followed by what the rules of `order_status` send for it."""
    context, orders = Context(parse_schedule(FEES.read_text())), dict[str, Order | None]()
    for topic, row in events:
        order = orders.get(row["key"])
        if topic == "orders.status":
            step = on_status(order, msgspec.convert(row, OrderStatusChanged), context)
        else:
            step = on_execution(order, msgspec.convert(row, ExecutionReport), context)
        orders[row["key"]] = step.order
        yield topic, row
        for output in step.outputs:
            topic = _OUTPUT_TOPICS.get(type(output))
            if topic is not None:
                yield topic, msgspec.to_builtins(output)


def _count(body: bytes) -> tuple[int, int]:
    values = msgspec.msgpack.decode(body)
    return values["records"], values["quantity"]
