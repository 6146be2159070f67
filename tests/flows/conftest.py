"""A small flow of two keyed steps with an exchange between them, for tests of the engine rather than of the domain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.errors import InvalidRecordError
from config.topology import OperatorSpec, Topology, load_topology
from operators.model.events import (
    EventType,
    ExecutionReport,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    StatusDetail,
)
from operators.registry import Build, Operator, scalar
from operators.stream.step import Context, Output, Result

TOPOLOGY = """
flow: chain
key_groups: 8
sources:
  executions: {topic: orders.executions}
steps:
  - {id: orders, operator: count_orders, from: [executions], key: order}
  - {id: accounts, operator: count_accounts, from: [orders.counted], key: account}
outputs:
  - {from: orders.counted, topic: orders.enrichment}
  - {from: accounts.totals, topic: orders.status}
on_error: {decode: dead_letter, process: dead_letter, topic: orders.dlq}
"""


class Count(msgspec.Struct, frozen=True):
    """Records and quantity seen for a key."""

    records: int = 0
    quantity: int = 0


class CountOrders:
    """Counts executions per order; refuses a negative quantity, fails on 666, forgets the order on 777."""

    state_type = Count

    def on_record(
        self, state: Count | None, key: str, role: str, record: ExecutionReport, context: Context
    ) -> Result[Count]:
        if record.last_quantity < 0:
            raise InvalidRecordError("negative quantity")
        if record.last_quantity == 666:
            raise ZeroDivisionError("logic fails on this one")
        state = state or Count()
        state = Count(state.records + 1, state.quantity + record.last_quantity)
        event = enriched(key, state.records, state.quantity, occurred_at=record.occurred_at)
        return Result(None if record.last_quantity == 777 else state, [Output("counted", event)])

    def on_due(self, state: Count, key: str, context: Context) -> Result[Count]:
        raise AssertionError("nothing is due here")

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None


class CountAccounts(CountOrders):
    """Counts what the first step emits, per account."""

    def on_record(
        self, state: Count | None, key: str, role: str, record: OrderEnriched, context: Context
    ) -> Result[Count]:  # type: ignore[override]
        state = state or Count()
        state = Count(state.records + 1, state.quantity + record.filled_quantity)
        return Result(state, [Output("totals", total(key, state, record), key=key)])


def enriched(key: str, sequence: int, quantity: int, *, occurred_at: int) -> OrderEnriched:
    return OrderEnriched(
        event_type=EventType.ORDER_ENRICHED, version=1, occurred_at=occurred_at, key=key, symbol="MSFT", venue="XNAS",
        side="BUY", filled_quantity=quantity, sequence=sequence, source="test",
    )  # fmt: skip


def total(key: str, count: Count, record: OrderEnriched) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED, version=1, occurred_at=record.occurred_at, key=key,
        order=OrderSummary(id=record.key, symbol="MSFT", side="BUY", quantity=count.quantity),
        status=StatusDetail(code="NEW", filled_quantity=0), sequence=count.records, source="test",
    )  # fmt: skip


def _operator(name: str, logic: type[Any], *, key: str, reads: str, stream: str, carries: str) -> Operator:
    def build(_: Build) -> Any:
        return logic()

    return scalar(OperatorSpec(name, frozenset({key}), {"records": reads}, {stream: carries}), build)


OPERATORS = {
    operator.spec.name: operator
    for operator in (
        _operator(
            "count_orders", CountOrders, key="order", reads="ExecutionReport", stream="counted", carries="OrderEnriched"
        ),
        _operator(
            "count_accounts",
            CountAccounts,
            key="account",
            reads="OrderEnriched",
            stream="totals",
            carries="OrderStatusChanged",
        ),
    )
}


@dataclass(frozen=True)
class Chain:
    """The flow's topology and operators."""

    topology: Topology
    operators: dict[str, Operator]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    file = tmp_path / "chain.yaml"
    file.write_text(TOPOLOGY)
    return Chain(load_topology(file), OPERATORS)


def execution(key: str, quantity: int, *, occurred_at: int = 1_790_000_000_000_000) -> ExecutionReport:
    """One fill of an order."""
    return ExecutionReport(
        event_type=EventType.EXECUTION_REPORTED, version=1, occurred_at=occurred_at, key=key, venue="XNAS",
        trade_date=20_700,
        exec_id="E1", exec_type="TRADE", ord_status="NEW", symbol="MSFT", side="BUY", order_quantity=100,
        last_quantity=quantity, last_price=1_000_000, cum_quantity=0, leaves_quantity=0, sequence=1, source="gateway",
    )  # fmt: skip


@pytest.fixture(name="execution")
def execution_fixture() -> Any:
    return execution
