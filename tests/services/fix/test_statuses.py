"""What the engine says of its orders: one row a report, nothing twice, nothing after an order's death."""

from __future__ import annotations

from typing import Any

import pytest

from operators.model.events import ExecutionReport, OrderIntent, OrderStatusChanged
from services.fix.chains import Chain
from services.fix.statuses import (
    REPORT_CODES,
    learn_report,
    learn_request,
    shows_lost_replace,
    status_of_report,
    status_of_request,
)


@pytest.fixture
def chain() -> Chain:
    return Chain(key="A|1", account_id="A", order_id="1", venue="XNYS")


def intent(kind: str, cl_ord_id: str = "1", quantity: int = 300) -> OrderIntent:
    return OrderIntent(
        event_type=kind, occurred_at=1, key="A|1", sequence=1, source="s", account_id="A", order_id="1",
        cl_ord_id=cl_ord_id, user_token="U", symbol="IBM", side="BUY", quantity=quantity, order_type="LIMIT",
        limit_price=5,
    )  # fmt: skip


def report(kind: str, status: str = "NEW", **more: Any) -> ExecutionReport:
    values = {
        "event_type": "EXECUTION_REPORTED", "occurred_at": 2, "key": "A|1", "sequence": 1, "source": "s",
        "cl_ord_id": "1", "venue": "XNYS", "trade_date": 1, "exec_id": "E", "exec_type": kind, "ord_status": status,
        "symbol": "IBM", "side": "BUY", "order_quantity": 300, "cum_quantity": 0, "leaves_quantity": 300,
    }  # fmt: skip
    return ExecutionReport(**(values | more))


def ask(chain: Chain, kind: str, cl_ord_id: str = "1", quantity: int = 300) -> str | None:
    request = intent(kind, cl_ord_id, quantity)
    learn_request(chain, request)
    return code(status_of_request(chain, request, "s"))


def answer(chain: Chain, kind: str, status: str = "NEW", **more: Any) -> str | None:
    event = report(kind, status, **more)
    lost = shows_lost_replace(chain, event)
    learn_report(chain, event)
    return code(status_of_report(chain, event, "s", lost_replace=lost))


def code(status: OrderStatusChanged | None) -> str | None:
    return None if status is None else f"{status.status.code} {status.order.quantity} {status.status.leaves_quantity}"


@pytest.mark.parametrize(("kind", "expected"), REPORT_CODES.items())
def test_every_report_that_is_a_state_is_said(chain: Chain, kind: str, expected: str) -> None:
    said = answer(chain, kind)
    assert said is not None
    assert said.split()[0] == expected


@pytest.mark.parametrize(
    ("kind", "status", "more", "expected"),
    [
        ("TRADE", "FILLED", {}, None),
        ("TRADE_CANCEL", "NEW", {}, None),
        ("TRADE_CORRECT", "PARTIALLY_FILLED", {}, None),
        ("ORDER_STATUS", "FILLED", {}, None),
        ("TRADE_IN_CLEARING_HOLD", "FILLED", {}, None),
        ("RESTATED", "PARTIALLY_FILLED", {"order_quantity": 200}, "PARTIALLY_FILLED 200 200"),
        ("REJECTED", "REJECTED", {"leaves_quantity": 0}, "REJECTED 300 0"),
        ("REJECTED", "NEW", {}, None),
        ("REJECTED", "REJECTED", {"reject_reason": "DUPLICATE_ORDER"}, None),
        ("CANCEL_REJECTED", "PARTIALLY_FILLED", {}, "PARTIALLY_FILLED 300 300"),
        ("CANCEL_REJECTED", "REJECTED", {"reject_reason": "UNKNOWN_ORDER"}, None),
        ("DONE_FOR_DAY", "DONE_FOR_DAY", {"leaves_quantity": 0}, "DONE_FOR_DAY 300 0"),
        ("CANCELED", "CANCELED", {}, "CANCELED 300 0"),
    ],
)
def test_other_reports_of_an_accepted_order(
    chain: Chain, kind: str, status: str, more: dict[str, Any], expected: str | None
) -> None:
    assert ask(chain, "ORDER_SUBMITTED") == "PENDING_NEW 300 300"
    assert answer(chain, "NEW") == "NEW 300 300"
    assert answer(chain, kind, status, **more) == expected


@pytest.mark.parametrize("kind", ["TRADE", "TRADE_CANCEL", "ORDER_STATUS", "TRADE_CORRECT"])
def test_the_first_that_is_heard_of_an_order_is_said(chain: Chain, kind: str) -> None:
    assert answer(chain, kind, "PARTIALLY_FILLED", cum_quantity=100) == "PARTIALLY_FILLED 300 200"
    assert answer(chain, kind, "PARTIALLY_FILLED", cum_quantity=100) is None


def test_a_fill_says_that_an_order_was_accepted(chain: Chain) -> None:
    ask(chain, "ORDER_SUBMITTED")
    assert answer(chain, "TRADE", "PARTIALLY_FILLED", cum_quantity=100) == "NEW 300 200"


def test_a_rejected_request_returns_to_what_was_before(chain: Chain) -> None:
    ask(chain, "ORDER_SUBMITTED")
    answer(chain, "NEW")
    assert ask(chain, "REPLACE_REQUESTED", "2", 500) == "PENDING_REPLACE 500 500"
    assert answer(chain, "PENDING_REPLACE", "PENDING_REPLACE", cl_ord_id="2") is None
    assert chain.quantity == 300
    unknown = {"cl_ord_id": "2", "reject_reason": "UNKNOWN_ORDER"}
    assert answer(chain, "CANCEL_REJECTED", "REJECTED", **unknown) == "NEW 300 300"
    assert ask(chain, "CANCEL_REQUESTED", "3") == "PENDING_CANCEL 300 300"
    assert answer(chain, "CANCEL_REJECTED", "FILLED", cl_ord_id="3") == "FILLED 300 300"


def test_terms_change_when_a_replace_is_confirmed(chain: Chain) -> None:
    ask(chain, "ORDER_SUBMITTED")
    answer(chain, "NEW")
    ask(chain, "REPLACE_REQUESTED", "2", 500)
    event = report("REPLACED", "REPLACED", cl_ord_id="2", orig_cl_ord_id="1", order_quantity=500, price=7)
    learn_report(chain, event)
    status = status_of_report(chain, event, "s")
    assert status is not None
    assert (status.order.quantity, status.order.limit_price, status.order.cl_ord_id) == (500, 7, "2")
    assert (status.sequence, chain.settled_code) == (4, "NEW")


def test_nothing_is_said_of_a_dead_order(chain: Chain) -> None:
    ask(chain, "ORDER_SUBMITTED")
    answer(chain, "CANCELED", "CANCELED")
    assert ask(chain, "CANCEL_REQUESTED", "2") is None
    assert answer(chain, "NEW") is None


def test_a_fill_under_other_terms_shows_that_the_replace_is_lost(chain: Chain) -> None:
    ask(chain, "ORDER_SUBMITTED")
    answer(chain, "NEW")
    assert answer(chain, "TRADE", "PARTIALLY_FILLED", cl_ord_id="9", order_quantity=900, cum_quantity=100) == (
        "REPLACED 900 800"
    )
    assert answer(chain, "TRADE", "PENDING_CANCEL", order_quantity=900, cum_quantity=200) is None


def test_a_request_for_an_unknown_order_says_nothing_yet(chain: Chain) -> None:
    assert ask(chain, "CANCEL_REQUESTED", "2") is None
    assert (chain.symbol, chain.side, chain.quantity) == ("IBM", "BUY", None)
