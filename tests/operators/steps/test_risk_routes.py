"""Which way requests take through pre-trade risk, and that it is settled for an epoch."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from operators.model.events import EventType, OrderIntent, OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.risk.limits import AccountReference, Levels, RiskControl
from operators.model.risk.shared import GroupStatus, SharedRequest, SharedScopes
from operators.steps.risk_routes import RouteKernel
from operators.stream.broadcast import Table
from operators.stream.kernel import StepOutcome
from operators.stream.records import Columns, Origin, RecordCopy
from operators.stream.rows import records_of


def account(name: str, group: str | None) -> AccountReference:
    return AccountReference(
        event_type="ACCOUNT_REFERENCE", occurred_at=1, key=name, sequence=1, source="t", stp_group=group
    )


def control(scope: str, **fields: Any) -> RiskControl:
    return RiskControl(
        event_type="RISK_CONTROL", occurred_at=1, key=scope, sequence=1, source="t", limits_version="1", **fields
    )


def put(table: Table, *records: AccountReference | RiskControl) -> None:
    table.update({each.key: each for each in records})
    table.changes += 1


def intents(*given: tuple[str, str]) -> Columns:
    """Requests by key and symbol."""
    return columns(
        [
            OrderIntent(
                event_type=EventType.ORDER_SUBMITTED, occurred_at=7_000, key=key, sequence=1, source="t",
                account_id=key.partition("|")[0], order_id="O", cl_ord_id="C", user_token="U", symbol=symbol,
                side="BUY", quantity=1, order_type="MARKET",
            )
            for key, symbol in given
        ]
    )  # fmt: skip


def statuses(*keys: str) -> Columns:
    return columns(
        [
            OrderStatusChanged(
                event_type=EventType.ORDER_STATUS_CONSOLIDATED, occurred_at=7_000, key=key, sequence=1, source="t",
                venue="X", order=OrderSummary(id="O", symbol="MSFT", side="BUY", quantity=1),
                status=StatusDetail(code="NEW", filled_quantity=0),
            )
            for key in keys
        ]
    )  # fmt: skip


def columns(records: list[Any]) -> Columns:
    batch = pa.RecordBatch.from_pylist([msgspec.to_builtins(each) for each in records])
    keys = [each.key.encode() for each in records]
    origin = Origin([RecordCopy(("t", 0, at, key, b"", None, (0, 0))) for at, key in enumerate(keys)])
    zeros = np.zeros(len(keys), np.int64)
    return Columns("t", batch, keys, keys, zeros, zeros + 7, origin)


def keys_of(outcome: StepOutcome) -> dict[str, list[bytes]]:
    return {stream: list(batch.keys) for stream, [batch] in outcome.streams.items()}


def route(kernel: RouteKernel, **inputs: Columns) -> StepOutcome:
    return kernel.process(inputs, now_ms=0)


def test_without_groups_and_totals_a_batch_goes_through_untouched() -> None:
    kernel = RouteKernel(Table(), Table())
    kernel.epoch_began()
    given = intents(("A|1", "MSFT"), ("B|1", "GOOG"))
    outcome = route(kernel, intents=given, statuses=statuses("A|1"))
    assert keys_of(outcome) == {"plain": [b"A|1", b"B|1"]}
    assert outcome.streams["plain"][0].batch is given.batch
    assert outcome.records_in == 3


def test_requests_of_a_group_and_those_of_a_symbol_with_a_total_take_their_ways() -> None:
    controls, accounts = Table(), Table()
    put(accounts, account("A", "G"), account("B", None))
    put(controls, control("FIRM"), control("SYMBOL:GOOG", max_total_messages=5))
    kernel = RouteKernel(controls, accounts)
    kernel.epoch_began()
    given = intents(("A|1", "MSFT"), ("A|2", "GOOG"), ("B|1", "GOOG"), ("B|2", "MSFT"), ("C|1", "MSFT"))
    outcome = route(kernel, intents=given, statuses=statuses("B|1", "A|1"))
    assert keys_of(outcome) == {
        "plain": [b"B|2", b"C|1"], "grouped": [b"A|1", b"A|2"], "counted": [b"B|1"], "statuses": [b"A|1"],
    }  # fmt: skip
    [batch] = outcome.streams["grouped"]
    grouped: list[SharedRequest] = records_of(batch.batch, SharedRequest)
    assert [(each.key, each.symbol, each.stp_group, each.counted) for each in grouped] == [
        ("A|1", "MSFT", "G", False), ("A|2", "GOOG", "G", True),
    ]  # fmt: skip
    assert grouped[0].intent == records_of(given.batch, OrderIntent)[0]
    assert [record.offset() for record in outcome.streams["counted"][0].origin.records] == [2]
    [told] = records_of(outcome.streams["statuses"][0].batch, GroupStatus)
    assert (told.stp_group, told.order.symbol) == ("G", "MSFT")


def test_a_total_that_is_no_symbols_own_counts_every_message_whatever_its_session() -> None:
    controls = Table()
    put(controls, control("SESSION:S1", warn=Levels(max_total_messages=5)))
    kernel = RouteKernel(controls, Table())
    kernel.epoch_began()
    assert keys_of(route(kernel, intents=intents(("A|1", "MSFT"), ("B|1", "GOOG")))) == {"counted": [b"A|1", b"B|1"]}


def test_a_change_of_the_tables_shortens_no_way_before_the_next_epoch() -> None:
    accounts = Table()
    put(accounts, account("A", "G"))
    kernel = RouteKernel(Table(), accounts)
    kernel.epoch_began()
    assert keys_of(route(kernel, intents=intents(("A|1", "MSFT")))) == {"grouped": [b"A|1"]}
    put(accounts, account("A", None))
    assert keys_of(route(kernel, intents=intents(("A|1", "MSFT")))) == {"grouped": [b"A|1"]}
    kernel.epoch_began()
    assert keys_of(route(kernel, intents=intents(("A|1", "MSFT")))) == {"plain": [b"A|1"]}


def test_what_concerns_others_is_worked_out_once_per_change(monkeypatch: Any) -> None:
    calls = []
    monkeypatch.setattr(SharedScopes, "of", lambda *given: calls.append(given) or SharedScopes({}))
    controls = Table()
    kernel = RouteKernel(controls, Table())
    for _ in range(3):
        kernel.epoch_began()
    put(controls, control("FIRM"))
    kernel.epoch_began()
    assert len(calls) == 2
