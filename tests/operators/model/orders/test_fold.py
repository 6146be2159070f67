"""The columnar fold is equal to the scalar rules, whatever the history and however it is cut into batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import (
    ExecutionReport,
    MarketState,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    StatusDetail,
)
from operators.model.fees.tables import parse_schedule
from operators.model.orders.fold import fold_executions, fold_statuses
from operators.model.orders.folded import Folded
from operators.model.orders.layout import Column
from operators.model.orders.old_executions import OldExecutions
from operators.model.orders.parents import FamilyChange
from operators.model.orders.row_as_order import read_order
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.schemas import CONSOLIDATED
from operators.model.orders.state import Context, Order, expire_at_ms
from operators.model.orders.table import OrderTable, chunk_count

FEES = """
commission:
  - {from: 2020-01-01, per_share: "0.005", minimum: "1.00", maximum_of_notional: "0.01"}
  - {from: 2020-01-11, per_share: "0.0000035", minimum: "0.35", maximum_of_notional: "0.01"}
taf:
  - {from: 2020-01-01, per_share: "0.000195", cap: "0.01"}
sec:
  - {from: 2020-01-01, per_million: "20.60"}
  - {from: 2020-01-11, per_million: "0"}
cat:
  - {from: 2020-01-01, per_share: "0.0000035"}
venues:
  XNAS: [{from: 2020-01-01, per_share: {ADDED: "-0.0020005", REMOVED: "0.003", ROUTED: "0.001"}}]
  XNYS: [{from: 2020-01-06, per_share: {ADDED: "-0.001", REMOVED: "0.002"}}]
"""
DAY = 18_262  # 2020-01-01
CONTEXT = Context(parse_schedule(FEES), retention_ms=1_000)
PLAIN_CODES = ("NEW", "NEW", "NEW", "PENDING_CANCEL", "FILLED", "DONE_FOR_DAY", "CANCELED", "EXPIRED")
KEYS = ("A1|O1", "A1|O2", "A2|O3", "A2|O4")
PARENTS = {KEYS[2]: "P1", KEYS[3]: "Ä2"}
MARKET = CONSOLIDATED.field("market").type
EXECUTION = pa.schema(
    [
        *((name, pa.string()) for name in ("eventType", "key", "clOrdId", "origClOrdId", "venueOrderId", "venue")),
        *(
            (name, pa.string())
            for name in ("execId", "execRefId", "session", "execType", "ordStatus", "symbol", "side")
        ),
        *((name, pa.string()) for name in ("timeInForce", "liquidity", "text", "restatementReason", "rejectReason")),
        *((name, pa.string()) for name in ("correlationId", "source")),
        *((name, pa.int64()) for name in ("occurredAt", "orderQuantity", "price", "lastQuantity", "lastPrice")),
        *((name, pa.int64()) for name in ("cumQuantity", "leavesQuantity", "avgPrice", "sequence")),
        *((name, pa.int32()) for name in ("version", "tradeDate")),
        ("possResend", pa.bool_()),
        ("market", MARKET),
    ]
)


@dataclass
class Scalar:
    """The reference: one order after the other, by the rules alone."""

    orders: dict[str, Order] = field(default_factory=dict)
    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    anomalies: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def take(self, event: OrderStatusChanged | ExecutionReport) -> None:
        order = self.orders.get(event.key)
        try:
            if isinstance(event, OrderStatusChanged):
                taken = on_status(order, event, CONTEXT)
            else:
                taken = on_execution(order, event, CONTEXT)
        except InvalidRecordError as error:
            self.rejected.append((event.key, str(error)))
            return
        if taken.order is not None:
            self.orders[event.key] = taken.order
        for output in taken.outputs:
            stream = "consolidated"
            if isinstance(output, OrderEnriched | FamilyChange):
                stream = "enriched" if isinstance(output, OrderEnriched) else "family"
            self.outputs.setdefault(f"{stream} {event.key}", []).append(msgspec.to_builtins(output))
        self.anomalies += [msgspec.to_builtins(anomaly) for anomaly in taken.anomalies]


@dataclass
class Columnar:
    """The fold over a table whose rows now and then leave and come back as bytes."""

    beside: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    stored: dict[bytes, bytes] = field(default_factory=dict)
    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    anomalies: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = OrderTable(lambda key, names: [self.beside[key, name] for name in names], capacity=1)

    def rows(self, keys: list[bytes]) -> np.ndarray[Any, np.dtype[np.int64]]:
        for key in dict.fromkeys(keys):
            if key not in self.table.index:
                row = self.table.add(key)
                if key in self.stored:
                    self.table.put(row, self.stored[key])
        return self.table.find(keys)

    def take(self, events: list[OrderStatusChanged] | list[ExecutionReport], *, forget: bool) -> None:
        if not events:
            return
        rows = self.rows([event.key.encode() for event in events])
        records = [msgspec.to_builtins(event) for event in events]
        if isinstance(events[0], OrderStatusChanged):
            folded = fold_statuses(self.table, pa.RecordBatch.from_pylist(records, CONSOLIDATED), rows, CONTEXT)
        else:
            folded = fold_executions(self.table, pa.RecordBatch.from_pylist(records, EXECUTION), rows, CONTEXT)
        self.note(folded, [event.key for event in events])
        assert len(set(folded.rows.tolist())) == len(folded.rows)
        stored_rows = self.table.serialise(folded.rows, np.zeros((len(folded.rows), 0), np.int64)).to_pylist()
        for row, stored in zip(folded.rows.tolist(), stored_rows, strict=True):
            self.stored[self.table.keys[row]] = stored
        if forget:
            self.table.drop(set(rows.tolist()))

    def note(self, folded: Folded, keys: list[str]) -> None:
        self.beside.update({(beside.key, beside.name): beside.value for beside in folded.beside})
        for stream, batch, positions in (
            ("consolidated", folded.consolidated, folded.consolidated_from),
            ("enriched", folded.enriched, folded.enriched_from),
            ("family", folded.family, folded.family_from),
        ):
            batch.validate(full=True)
            for record, position in zip(batch.to_pylist(), positions.tolist(), strict=True):
                assert record["key"] == keys[position]
                self.outputs.setdefault(f"{stream} {record['key']}", []).append(record)
        assert (np.diff(folded.family_from) >= 0).all()
        for position, anomaly in folded.anomalies:
            assert anomaly.key == keys[position]
            self.anomalies.append(msgspec.to_builtins(anomaly))
        self.rejected += [(keys[position], str(error)) for position, error in folded.rejected]

    def after_a_crash(self) -> Columnar:
        """The fold anew from what was stored."""
        return replace(self, beside=dict(self.beside), stored=dict(self.stored))

    def order(self, key: str) -> Order | None:
        return read_order(self.table, int(self.rows([key.encode()])[0]))


class Odd:
    """Draws the values of an event: always the first of those offered, but in an odd event another for one or two."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw, self._calls = draw, 0
        self._odd = draw(st.sets(st.integers(0, 24), min_size=1, max_size=2)) if draw(st.integers(0, 7)) == 0 else set()

    def __call__(self, value: Any, *others: Any) -> Any:
        self._calls += 1
        return self._draw(st.sampled_from(others)) if self._calls - 1 in self._odd else value


def market(draw: st.DrawFn, number: int) -> MarketState | None:
    known = draw(st.sampled_from([True, False]))
    return MarketState(price=99_000_000, volume=100 * number, turnover=9_900_000_000 * number) if known else None


@st.composite
def statuses(draw: st.DrawFn, orders: dict[str, Order]) -> OrderStatusChanged:
    key, odd = draw(st.sampled_from(KEYS)), Odd(draw)
    order = orders.get(key)
    seen = order.statuses_seen if order else None
    dead = order is not None and order.engine.dead
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CHANGED",
        occurred_at=odd(1_000_000, 5, 2_000_000, -1),
        key=odd(key, "A1"),
        sequence=odd(seen.sequence + 1 if seen else 1, 0, 1, 3, 2**40),
        source=odd("engine-1", "engine-2"),
        order=OrderSummary(
            id=key[3:],
            parent_id=draw(st.sampled_from([None, "P1"])) if key == KEYS[1] else odd(PARENTS.get(key), None, "P1", ""),
            symbol=odd("MSFT", "AAPL", "Ä" * 130),
            side=odd("BUY" if key == KEYS[0] else "SELL", "SELL_SHORT", "UP"),
            quantity=odd(draw(st.sampled_from([1_000, 1_000, 1_200])), 0, 20, -1),
            cl_ord_id=draw(st.sampled_from(["C1", "C2", None])),
            limit_price=draw(st.sampled_from([101_000_000, 101_000_000, None, 102_000_000])),
            time_in_force=draw(st.sampled_from([None, "DAY", "GOOD_TILL_CANCEL"])) if odd(True, False) else "T" * 300,
            is_parent=odd(None, True, False),
        ),
        status=StatusDetail(
            code=order.engine.code
            if dead and order and order.engine.code and odd(True, False)
            else draw(st.sampled_from(PLAIN_CODES))
            if odd(True, False)
            else odd("CANCELED", "EXPIRED", "REJECTED", "REPLACED", "ODD"),
            reason=draw(st.sampled_from([None, "why"])),
            filled_quantity=0,
        ),
        venue=odd("XNAS", None, "XNYS"),
        arrival_price=draw(st.sampled_from([100_000_000, None, 0, 7])),
        decision_price=draw(st.sampled_from([None, 98_000_000])) if key == KEYS[2] else odd(None, 98_000_000, 0),
        market=market(draw, 1) if key == KEYS[2] else odd(None, MarketState(volume=1)),
        correlation_id=draw(st.sampled_from([None, "R1"])),
    )


REPORTS = (
    "NEW",
    "CANCELED",
    "REPLACED",
    "DONE_FOR_DAY",
    "RESTATED",
    "ORDER_STATUS",
    "PENDING_CANCEL",
    "CANCEL_REJECTED",
)


@st.composite
def executions(
    draw: st.DrawFn, orders: dict[str, Order], sent: dict[str, list[ExecutionReport]], today: int
) -> ExecutionReport:
    key, odd = draw(st.sampled_from(KEYS)), Odd(draw)
    before = sent.setdefault(key, [])
    if before and draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(before))
    order = orders.get(key)
    seen = order.executions_seen if order else None
    quantity = odd(draw(st.sampled_from([1, 3, 20])), 700, 0, -5, 2**62)
    exec_type = odd("TRADE", "ODD")
    if draw(st.integers(0, 11)) == 0:
        exec_type = draw(st.sampled_from(["TRADE_CANCEL", "TRADE_CORRECT", "TRADE_CANCEL", "TRADE_CORRECT", *REPORTS]))
    filled = order.filled if order else 0
    cumulative = (filled + quantity) % 2**62 if exec_type == "TRADE" else filled
    ordered = order.quantity if order else 1_000
    number = len(before) + 1
    reference = draw(st.sampled_from([*(e.exec_id for e in before[-12:]), f"E{number + 1}"]))
    event = ExecutionReport(
        event_type="EXECUTION_REPORTED",
        occurred_at=odd(1_500_000 + number, 3, -3, (DAY + 1) * 86_400_000_000),
        key=key,
        cl_ord_id=draw(st.sampled_from(["C1", None])),
        orig_cl_ord_id="C1" if exec_type == "REPLACED" else None,
        sequence=odd(seen.sequence + 1 if seen else 1, 1, 500, -1),
        source=odd("gateway-1", "gateway-2"),
        venue=odd(draw(st.sampled_from(["XNAS", "XNAS", "XNYS"])), "DARK", ""),
        session=odd("S1" if key == KEYS[3] else None, "S2", "S" * 300),
        trade_date=odd(today, DAY + 20, DAY - 1, DAY + 2, today - 1, today + 1, 0, 84_006, 2**31 - 1),
        exec_id=odd(f"E{number}", "E1", "E" * 300, ""),
        exec_ref_id=reference if exec_type in ("TRADE_CANCEL", "TRADE_CORRECT") else None,
        exec_type=exec_type,
        ord_status=draw(st.sampled_from(["NEW", "PENDING_CANCEL", "SUSPENDED"])) if exec_type != "TRADE" else "NEW",
        symbol=odd("MSFT", ""),
        side=odd("BUY" if key == KEYS[0] else "SELL", "SELL_SHORT", "UP"),
        order_quantity=odd(ordered, 400, 2_000, -1),
        price=draw(st.sampled_from([None, 101_000_000])),
        time_in_force=draw(st.sampled_from([None, "DAY", "GOOD_TILL_DATE"])),
        last_quantity=quantity,
        last_price=odd(draw(st.sampled_from([100_010_000, 99_990_000, 250_000])), 1, 0, None, 2**61),
        liquidity=odd(draw(st.sampled_from(["ADDED", "REMOVED", None])), "ROUTED", "DARK"),
        cum_quantity=odd(cumulative, 7, 0),
        leaves_quantity=odd(max(0, ordered - cumulative), 0, 3),
        text=odd(None, "so"),
        restatement_reason=draw(st.sampled_from([None, "GT_CORPORATE_ACTION"])) if exec_type == "RESTATED" else None,
        reject_reason=odd(None, "UNKNOWN_ORDER"),
        poss_resend=odd(None, True, False),
        market=market(draw, number + 1) if key == KEYS[2] else None,
        correlation_id=draw(st.sampled_from([None, "R1"])),
    )
    before.append(event)
    return event


class Batch(NamedTuple):
    """Statuses and executions; whether a crash loses them the first time, and whether their rows are forgotten."""

    statuses: list[OrderStatusChanged]
    executions: list[ExecutionReport]
    crash: bool
    forget: bool


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Batch], Scalar]:
    """Batches of events over some trading days, and what the rules make of them.

    Each event fits the state before it, unless it is odd: so most are plain, and odd ones come amid them.
    """
    scalar, sent, today = Scalar(), dict[str, list[ExecutionReport]](), DAY + 7
    batches = []
    for _ in range(draw(st.integers(1, 5))):
        some_statuses, some_executions = [], []
        for _ in range(draw(st.integers(0, 6))):
            some_statuses.append(draw(statuses(scalar.orders)))
            scalar.take(some_statuses[-1])
        for _ in range(draw(st.integers(0, 30))):
            today += draw(st.sampled_from((0,) * 15 + (1,)))
            some_executions.append(draw(executions(scalar.orders, sent, today)))
            scalar.take(some_executions[-1])
        batches.append(Batch(some_statuses, some_executions, draw(st.booleans()), draw(st.booleans())))
    return batches, scalar


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.booleans())
def test_the_fold_equals_the_scalar_rules(history: tuple[list[Batch], Scalar], as_of_many: bool) -> None:
    """However many events there are: the whole-array tools take few values another way than many."""
    batches, scalar = history
    with pytest.MonkeyPatch.context() as patch:
        if as_of_many:
            patch.setattr("operators.model.arrays._FEW", -1)
        columnar = folded(batches)
    assert_equal(columnar, scalar)


def folded(batches: list[Batch]) -> Columnar:
    """What the fold makes of batches."""
    columnar = Columnar()
    for some_statuses, some_executions, crash, forget in batches:
        if crash:
            lost = replace(columnar.after_a_crash(), outputs={}, anomalies=[], rejected=[])
            lost.take(some_statuses, forget=False)
            lost.take(some_executions, forget=False)
            columnar = columnar.after_a_crash()
        columnar.take(some_statuses, forget=forget)
        columnar.take(some_executions, forget=forget)
    return columnar


def assert_equal(columnar: Columnar, scalar: Scalar) -> None:
    """The fold and the rules put out the same and know the same of every order."""
    assert columnar.outputs == scalar.outputs
    for key in {anomaly["key"] for anomaly in (*columnar.anomalies, *scalar.anomalies)}:
        found = [anomaly for anomaly in columnar.anomalies if anomaly["key"] == key]
        assert sorted(found, key=lambda a: a["sequence"]) == [a for a in scalar.anomalies if a["key"] == key]
    assert sorted(columnar.rejected) == sorted(scalar.rejected)
    for key in KEYS:
        expected = scalar.orders.get(key)
        order = columnar.order(key)
        if expected is None or order is None:
            assert order is expected
            continue
        stored = columnar.stored[key.encode()]
        moved = len(expected.executions) - len(order.executions)
        assert order == msgspec.structs.replace(expected, executions=expected.executions[moved:])
        assert moved == 8 * chunk_count(stored)
        assert int.from_bytes(stored[:8], "little") == expire_at_ms(expected, CONTEXT)


@st.composite
def plain_histories(draw: st.DrawFn) -> tuple[list[Batch], Scalar]:
    """Batches of which every event is plain, of children and others, over days; an order may be done for the day."""
    scalar, numbers, today = Scalar(), dict.fromkeys(KEYS, 0), DAY
    said: dict[str, list[OrderStatusChanged]] = {key: [] for key in KEYS}
    batches = []
    for _ in range(draw(st.integers(2, 6))):
        some_statuses, some_executions = [], []
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=4)):
            code = draw(st.sampled_from(["NEW", "PENDING_REPLACE", "DONE_FOR_DAY", "SUSPENDED", "REPLACED"]))
            status = plain_status(key, len(said[key]) + 1, code, draw(st.integers(10**6, 10**6 + 1)))
            status = msgspec.structs.replace(status, venue=draw(st.sampled_from(["XNAS", "XNYS", None])))
            some_statuses.append(status)
            said[key].append(some_statuses[-1])
            scalar.take(some_statuses[-1])
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=25)):
            numbers[key] += 1
            today += draw(st.sampled_from((0, 0, 0, 0, 1)))
            order = scalar.orders.get(key)
            fill = plain_fill(numbers[key], key=key, ordered=order.quantity if order else 10**6)
            fill = msgspec.structs.replace(
                fill, trade_date=today, time_in_force="GOOD_TILL_CANCEL", price=101_000_000, market=market(draw, 2)
            )
            some_executions.append(fill)
            scalar.take(fill)
        batches.append(Batch(some_statuses, some_executions, draw(st.booleans()), draw(st.booleans())))
    return batches, scalar


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plain_histories())
def test_children_and_later_days_need_no_scalar_rules(history: tuple[list[Batch], Scalar]) -> None:
    batches, scalar = history

    def refuse(*_: object) -> None:
        raise AssertionError("an event went through the scalar rules")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("operators.model.orders.fold.fold_by_rules", refuse)
        columnar = folded(batches)
    assert_equal(columnar, scalar)
    assert columnar.anomalies == []


def plain_status(key: str, sequence: int, code: str, quantity: int) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CHANGED", occurred_at=sequence, key=key, sequence=sequence, source="engine-1",
        order=OrderSummary(
            id=key[3:], parent_id=PARENTS.get(key), symbol="MSFT", side="BUY", quantity=quantity,
            limit_price=101_000_000, time_in_force="GOOD_TILL_CANCEL",
        ),
        status=StatusDetail(code=code, filled_quantity=0), venue="XNAS", market=MarketState(volume=1, turnover=2),
    )  # fmt: skip


def plain_fill(number: int, *, key: str = KEYS[0], quantity: int = 1, ordered: int = 10**9) -> ExecutionReport:
    return ExecutionReport(
        event_type="EXECUTION_REPORTED", occurred_at=number, key=key, sequence=number, source="gateway-1", venue="XNAS",
        trade_date=DAY, exec_id=f"E{number}", exec_type="TRADE", ord_status="NEW", symbol="MSFT", side="BUY",
        order_quantity=ordered, last_quantity=quantity, last_price=100_000_000, liquidity="ADDED",
        cum_quantity=number * quantity, leaves_quantity=ordered - number * quantity,
    )  # fmt: skip


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("parents", list(product([None, "", "P1"], repeat=2)), ids=str)
def test_parents_are_taken_as_the_rules_do_whichever_event_names_them(
    parents: tuple[str | None, ...], together: bool
) -> None:
    events = [
        OrderStatusChanged(
            event_type="ORDER_STATUS_CHANGED", occurred_at=number, key=KEYS[0], sequence=number, source="engine-1",
            order=OrderSummary(id="O1", parent_id=parent_id, symbol="MSFT", side="BUY", quantity=1_000),
            status=StatusDetail(code="NEW", filled_quantity=0), venue="XNAS",
        )
        for number, parent_id in enumerate(parents, 1)
    ]  # fmt: skip
    scalar, columnar = Scalar(), Columnar()
    for event in events:
        scalar.take(event)
    for batch in [events] if together else [[event] for event in events]:
        columnar.take(batch, forget=False)
    assert columnar.outputs == scalar.outputs
    assert columnar.order(KEYS[0]) == scalar.orders[KEYS[0]]


def test_the_price_at_the_end_is_kept_in_a_row() -> None:
    """Of an order that a status ends, whose fill is busted, and which then gets a late one."""
    new = msgspec.structs.replace(opening(), arrival_price=100_000_000, decision_price=99_000_000)
    end = msgspec.structs.replace(
        new, sequence=2, status=StatusDetail(code="CANCELED", filled_quantity=0), market=MarketState(price=102_000_000)
    )
    first = plain_fill(1, ordered=10)
    bust = msgspec.structs.replace(
        first, sequence=2, exec_id="B1", exec_ref_id="E1", exec_type="TRADE_CANCEL", cum_quantity=0, leaves_quantity=0
    )
    scalar, columnar = Scalar(), Columnar()
    for event in (new, first, end, bust, plain_fill(3, ordered=10)):
        scalar.take(event)
        columnar.take([event], forget=True)
    assert columnar.outputs == scalar.outputs
    last = columnar.outputs[f"enriched {KEYS[0]}"][-1]
    assert last["shortfall"]["opportunity"] == (10**9 - 1) * 3_000_000
    order = columnar.order(KEYS[0])
    assert order is not None
    assert order.end_price == 102_000_000


def test_what_a_row_stores_does_not_grow_with_its_fills_and_old_fills_are_still_known() -> None:
    columnar = Columnar()
    fills = [plain_fill(number) for number in range(1, 2_001)]
    columnar.take(fills[:1_000], forget=True)
    size = len(columnar.stored[KEYS[0].encode()])
    columnar.take(fills[1_000:], forget=True)
    assert len(columnar.stored[KEYS[0].encode()]) <= size + 16
    columnar.take([fills[0], fills[1_234], fills[-1]], forget=False)
    assert [anomaly["kind"] for anomaly in columnar.anomalies] == ["DUPLICATE"] * 3
    order = columnar.order(KEYS[0])
    assert order is not None
    assert order.filled == 2_000


def opening(parent_id: str | None = None) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CHANGED", occurred_at=1, key=KEYS[0], sequence=1, source="engine-1",
        order=OrderSummary(id="O1", parent_id=parent_id, symbol="MSFT", side="BUY", quantity=10**9),
        status=StatusDetail(code="NEW", filled_quantity=0),
    )  # fmt: skip


def test_a_fill_never_reads_the_executions_that_left_the_row_and_a_bust_finds_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also through the scalar rules, where the order of a parent goes."""
    columnar, read = Columnar(), list[int]()
    whole = OldExecutions.everything

    def noted(old: OldExecutions) -> list[bytes]:
        read.append(1)
        return whole(old)

    monkeypatch.setattr(OldExecutions, "everything", noted)
    columnar.take([opening("P1")], forget=True)
    columnar.take([plain_fill(number) for number in range(1, 401)], forget=True)
    columnar.take([plain_fill(number) for number in range(401, 601)], forget=True)
    assert read == []
    bust = msgspec.structs.replace(plain_fill(601), exec_type="TRADE_CANCEL", exec_ref_id="E1", cum_quantity=599)
    columnar.take([bust, plain_fill(5)], forget=True)
    assert len(read) == 1
    order = columnar.order(KEYS[0])
    assert order is not None
    assert (order.filled, order.anomalies) == (599, 2)  # leavesQuantity as if not busted, and a repeat


def test_an_order_that_comes_back_with_thousands_of_fills_reads_as_little_as_one_with_hundreds() -> None:
    read = list[list[bytes]]()

    def reading(columnar: Columnar, fill: ExecutionReport) -> list[list[bytes]]:
        load = columnar.table._load_beside
        columnar.table._load_beside = lambda key, names: read.append([*names]) or load(key, names)  # type: ignore[func-returns-value]
        columnar.take([fill], forget=True)
        columnar.table._load_beside = load
        noted, read[:] = [*read], []
        return noted

    columnar = Columnar()
    for start in range(1, 6_001, 1_500):
        columnar.take([plain_fill(number) for number in range(start, start + 1_500)], forget=True)
    [names] = reading(columnar, plain_fill(6_001))
    assert [name[:5] for name in names] == [b"index"] * 3  # a window and two levels
    _, chunks = reading(columnar, plain_fill(1_234))
    assert chunks == [b"chunk" + (1_233 // 8).to_bytes(4, "big")]
    assert [anomaly["kind"] for anomaly in columnar.anomalies] == ["DUPLICATE"]


def without(schema: pa.Schema, later: set[str]) -> pa.Schema:
    """A schema without the fields that a later version brought, nested ones included."""
    fields = []
    for column in schema:
        kind = column.type
        if pa.types.is_struct(kind):
            kind = pa.struct([nested for nested in kind if nested.name not in later])
        fields += [pa.field(column.name, kind, column.nullable)] if column.name not in later else []
    return pa.schema(fields)


def test_batches_of_the_first_versions_of_the_contracts_fold_as_if_all_that_came_later_was_null() -> None:
    later = {"limitPrice", "timeInForce", "isParent", "day", "decisionPrice", "market", "correlationId", "session"}
    later |= {"price", "avgPrice", "restatementReason", "rejectReason", "possResend"}
    fills = [plain_fill(1), plain_fill(2), plain_fill(1), msgspec.structs.replace(plain_fill(2), exec_type="CANCELED")]
    newer, older = Columnar(), Columnar()
    newer.take([opening()], forget=False)
    newer.take(fills, forget=False)
    for events, schema, fold in (
        ([opening()], without(CONSOLIDATED, {*later, "clOrdId"}), fold_statuses),
        (fills, without(EXECUTION, later), fold_executions),
    ):
        batch = pa.RecordBatch.from_pylist([msgspec.to_builtins(event) for event in events], schema)
        rows = older.rows([event.key.encode() for event in events])
        older.note(fold(older.table, batch, rows, CONTEXT), [event.key for event in events])
    assert (older.outputs, older.anomalies) == (newer.outputs, newer.anomalies)
    assert older.order(KEYS[0]) == newer.order(KEYS[0])


def test_a_dropped_row_is_given_to_the_next_key_without_a_trace() -> None:
    columnar = Columnar()
    columnar.take([plain_fill(1)], forget=True)
    columnar.take([plain_fill(1, key=KEYS[1])], forget=False)
    assert columnar.table.index == {KEYS[1].encode(): 0}
    assert columnar.anomalies == []


def test_an_untouched_batch_folds_to_nothing() -> None:
    table = OrderTable(lambda *_: [])
    rows = np.zeros(0, np.int64)
    assert fold_statuses(table, pa.RecordBatch.from_pylist([], CONSOLIDATED), rows, CONTEXT).consolidated.num_rows == 0
    assert fold_executions(table, pa.RecordBatch.from_pylist([], EXECUTION), rows, CONTEXT).enriched.num_rows == 0


def test_executions_with_equal_hashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.model.orders.fills.crc32", lambda _: 7)
    monkeypatch.setattr("operators.model.orders.stored_executions.crc32", lambda _: 7)
    columnar = Columnar()
    fills = [plain_fill(number) for number in range(1, 30)]
    columnar.take(fills[:20], forget=True)
    columnar.take(fills[20:], forget=True)
    columnar.take(fills, forget=False)
    order = columnar.order(KEYS[0])
    assert order is not None
    assert order.filled == 29
    assert [anomaly["kind"] for anomaly in columnar.anomalies] == ["DUPLICATE"] * 29


def test_stored_columns_keep_their_places() -> None:
    """A row stored by an older version must be readable: append columns behind, and only with a migration."""
    assert [column.name for column in Column][:19] == [
        "EXPIRE_AT_MS", "LAST_EVENT_AT", "QUANTITY", "FILLED", "NOTIONAL", "COMMISSION", "TOTAL_FEES", "SEQUENCE",
        "ARRIVAL_PRICE", "LIMIT_PRICE", "STATUS_SOURCE", "STATUS_SEQUENCE", "EXECUTION_SOURCE", "EXECUTION_SEQUENCE",
        "CUM_REPORTED", "ANOMALIES", "CHUNKS", "EXTRA_BYTES", "PACKED",
    ]  # fmt: skip


@pytest.mark.parametrize("price", [10**6, 10**12, 10**14, 3 * 10**15])
def test_amounts_near_64_bits_are_as_exact_as_small_ones(price: int) -> None:
    scalar, columnar = Scalar(), Columnar()
    fills = [
        msgspec.structs.replace(plain_fill(number, quantity=999), last_price=price, side="SELL") for number in (1, 2)
    ]
    for event in fills:
        scalar.take(event)
    columnar.take(fills, forget=False)
    assert (columnar.outputs, columnar.rejected) == (scalar.outputs, scalar.rejected)
    assert columnar.order(KEYS[0]) == scalar.orders[KEYS[0]]
