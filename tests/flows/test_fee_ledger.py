"""The fee ledger through the flow `views`: crashes, months that are let go, refusals as dead letters."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from flows.tester import FlowTester
from operators.model.events import Fee, OrderEnriched
from operators.model.fees.ledger import AccountMonth

EPOCH = date(1970, 1, 1)


def enriched(
    day: date, quantity: int = 100, *, account: str = "ACC1", taf: int = 19_500, **fields: Any
) -> OrderEnriched:
    days = (day - EPOCH).days
    values: dict[str, Any] = {
        "event_type": "ORDER_ENRICHED", "occurred_at": days * 86_400_000_000, "key": f"{account}|ORD1", "sequence": 1,
        "source": "order-enrichment", "symbol": "MSFT", "venue": "XNAS", "side": "SELL", "filled_quantity": quantity,
        "notional": quantity * 1_000_000, "last_quantity": quantity, "last_price": 1_000_000, "trade_date": days,
        "last_exec_id": "E1", "fees": [Fee("TAF", taf)],
    }  # fmt: skip
    return OrderEnriched(**(values | fields))


def months(flow: FlowTester) -> dict[str, int]:
    return {key: month.shares for key, month in flow.store("fee_ledger", AccountMonth).items()}


def refusals(flow: FlowTester) -> list[str]:
    letters = ["|".join(letter.headers.values()) for letter in flow.dead_letters()]
    return [letter for letter in letters if letter.endswith("|fee_ledger")]


@pytest.mark.parametrize("lose_state", [False, True])
def test_a_month_adds_up_over_crashes_and_takes_in_a_bust_of_an_earlier_day(lose_state: bool) -> None:
    with FlowTester("views") as flow:
        flow.send("orders.enrichment", enriched(date(2026, 9, 1)), enriched(date(2026, 9, 2)))
        flow.run()
        flow.crash(lose_state=lose_state)
        bust = enriched(
            date(2026, 9, 1), -100, taf=-19_500, exec_type="TRADE_CANCEL", exec_ref_id="E1", filled_quantity=100,
            notional=100_000_000, replaced_quantity=100, replaced_price=1_000_000,
        )  # fmt: skip
        flow.send("orders.enrichment", bust)
        flow.process_uncommitted()
        flow.crash(lose_state=lose_state)
        flow.run()
        [month] = flow.store("fee_ledger", AccountMonth).values()
        assert (month.month, month.shares, month.totals()["TAF"]) == ("2026-09", 100, (19_500, 20_000))
        assert {day: of_day.shares for day, of_day in month.days.items()} == {
            (date(2026, 9, 1) - EPOCH).days: 0,
            (date(2026, 9, 2) - EPOCH).days: 100,
        }
        assert refusals(flow) == []


def test_months_are_let_go_and_what_comes_for_them_later_is_a_dead_letter() -> None:
    with FlowTester("views") as flow:
        flow.send("orders.enrichment", enriched(date(2024, 9, 30)), enriched(date(2025, 10, 2)))
        flow.run()
        assert set(months(flow)) == {"ACC1@2024-09", "ACC1@2025-10"}
        flow.send("orders.enrichment", enriched(date(2025, 11, 3)))
        flow.run()
        assert set(months(flow)) == {"ACC1@2025-10", "ACC1@2025-11"}
        assert b"ACC1@2024-09" not in flow.changelog("fee_ledger")
        flow.send("orders.enrichment", enriched(date(2024, 9, 30)))
        flow.run()
        [refusal] = refusals(flow)
        assert "ACC1 in 2024-09 are closed: 13 months are kept" in refusal


def test_a_trade_date_that_no_table_covers_is_a_dead_letter_and_costs_the_others_nothing() -> None:
    with FlowTester("views") as flow:
        early = enriched(date(2026, 9, 1), trade_date=(date(2019, 12, 31) - EPOCH).days)
        ended = enriched(date(2026, 9, 2), 0, fees=[], exec_type="CANCELED")
        flow.send("orders.enrichment", enriched(date(2026, 9, 1)), early, ended)
        flow.run()
        assert months(flow) == {"ACC1@2026-09": 100}
        assert len(refusals(flow)) == 1
