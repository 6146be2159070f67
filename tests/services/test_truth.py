"""Two independent implementations, the truth and the domain rules, agree on histories nobody would write by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from config.topics import DEAD_LETTER_TOPIC
from operators.model.events import OrdStatus
from operators.model.fees.fees import Charged, FeeSchedule, fees_of_fill
from services.truth import Outputs, Truth
from services.truth_fees import FeeTable
from services.verdict import judge

Event = tuple[str, dict[str, Any]]

VENUES = ("XNAS", "XNYS")
WEEK_BEFORE = (20_570 - 7) * 86_400_000_000
"""A time from which the first day of the histories can just be named, and the second cannot."""
REPORTS = (
    "NEW", "PENDING_NEW", "CANCELED", "EXPIRED", "REJECTED", "DONE_FOR_DAY", "PENDING_CANCEL", "PENDING_REPLACE",
    "REPLACED", "CANCEL_REJECTED", "RESTATED", "SUSPENDED", "STOPPED", "CALCULATED", "ORDER_STATUS",
)  # fmt: skip
FILLS = ("TRADE", "TRADE_CANCEL", "TRADE_CORRECT")


def status(
    *, code: str, sequence: int, quantity: int, source: str, at: int, request: str | None, time_in_force: str | None
) -> Event:
    return "orders.status", {
        "eventType": "ORDER_STATUS_CHANGED",
        "version": 2,
        "occurredAt": at,
        "key": "ACC00001|O1",
        "order": {
            "id": "O1",
            "parentId": None,
            "symbol": "ABC",
            "side": "SELL",
            "quantity": quantity,
            "clOrdId": request,
            "timeInForce": time_in_force,
        },
        "status": {"code": code, "reason": None, "filledQuantity": 0, "leavesQuantity": None, "avgPrice": None},
        "sequence": sequence,
        "source": source,
        "venue": None,
        "arrivalPrice": 100_000_000,
    }


def execution(
    *,
    kind: str,
    order_status: str,
    number: int,
    refers_to: int,
    sequence: int,
    quantity: int,
    venue: str,
    liquidity: str | None,
    at: int,
    day: int,
    original: str | None,
) -> Event:
    return "orders.executions", {
        "eventType": "EXECUTION_REPORTED",
        "version": 2,
        "occurredAt": at,
        "key": "ACC00001|O1",
        "origClOrdId": original,
        "venue": venue,
        "tradeDate": 20_570 + day,
        "execId": str(number),
        "execRefId": str(refers_to) if kind in FILLS[1:] else None,
        "execType": kind,
        "ordStatus": order_status,
        "symbol": "ABC",
        "side": "SELL",
        "orderQuantity": 100,
        "lastQuantity": quantity if kind in FILLS else 0,
        "lastPrice": 99_990_000 + number if kind in FILLS else None,
        "liquidity": liquidity,
        "cumQuantity": 0,
        "leavesQuantity": 0,
        "sequence": sequence,
        "source": "gateway-1",
    }


STATUSES = st.builds(
    status,
    code=st.sampled_from([code.value for code in OrdStatus]),
    sequence=st.integers(1, 15),
    quantity=st.sampled_from([80, 100, 120]),
    source=st.sampled_from(["engine-1", "engine-2"]),
    at=st.integers(1, 5),
    request=st.sampled_from([None, "C1", "C2"]),
    time_in_force=st.sampled_from([None, "DAY", "GOOD_TILL_CANCEL"]),
)
EXECUTIONS = st.builds(
    execution,
    kind=st.sampled_from(["TRADE"] * 9 + ["TRADE_CANCEL"] * 3 + ["TRADE_CORRECT"] * 3 + list(REPORTS)),
    order_status=st.sampled_from(["NEW", "REJECTED", "PENDING_CANCEL", "PENDING_REPLACE", "SUSPENDED", "FILLED"]),
    number=st.integers(1, 8),
    refers_to=st.integers(1, 8),
    sequence=st.integers(0, 15),
    quantity=st.integers(1, 60),
    venue=st.sampled_from(VENUES),
    liquidity=st.sampled_from([None, "ADDED", "REMOVED", "ROUTED", "AUCTION"]),
    at=st.sampled_from([1, 2, 3, 4, 5, WEEK_BEFORE]),
    day=st.sampled_from([0] * 12 + [1] * 4 + [100_000]),
    original=st.sampled_from([None, "C1"]),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.one_of(STATUSES, EXECUTIONS), max_size=14))
def test_the_domain_rules_are_exact_on_any_history(
    events: list[Event], order_status: Callable[[Iterable[Event]], list[Event]], fee_table: FeeTable
) -> None:
    truth, outputs = Truth(fee_table), Outputs()
    truth.add_statuses(record for topic, record in events if topic == "orders.status")
    truth.add_executions(record for topic, record in events if topic == "orders.executions")
    sent = order_status(events)
    outputs.add_statuses(record for topic, record in sent if topic == "orders.status")
    outputs.add_enriched(record for topic, record in sent if topic == "orders.enrichment")
    assert truth.expected.refused.total() == sum(topic == DEAD_LETTER_TOPIC for topic, _ in sent)
    verdict = judge(truth.expected, outputs)
    assert verdict.exact, verdict.as_json()["differences"]


@given(
    day=st.integers(10_000, 25_000),
    venue=st.sampled_from(VENUES),
    side=st.sampled_from(["BUY", "SELL", "SELL_SHORT"]),
    liquidity=st.sampled_from([None, "ADDED", "REMOVED", "ROUTED", "AUCTION"]),
    quantity=st.integers(1, 200_000),
    price=st.integers(1, 10**9),
)
def test_fees_agree_with_the_product_on_every_trade(
    day: int,
    venue: str,
    side: str,
    liquidity: str | None,
    quantity: int,
    price: int,
    fee_table: FeeTable,
    fee_schedule: FeeSchedule,
) -> None:
    try:
        fees = fees_of_fill(
            fee_schedule,
            trade_date=day,
            venue=venue,
            side=side,
            liquidity=liquidity,
            quantity=quantity,
            price=price,
            before=Charged(),
        )
    except InvalidRecordError:
        assert not fee_table.covers(day, venue, liquidity)
        return
    assert fee_table.covers(day, venue, liquidity)
    ours = fee_table.commission(day, quantity, quantity * price)
    ours += fee_table.of_trade(day, venue, side, liquidity, quantity, price)
    assert ours == sum(fee.amount for fee in fees)
