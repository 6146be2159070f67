"""Self-trade prevention across the accounts of a group: what is met, what is done, what is held how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from operators.model.events import EventType, RiskOutcome
from operators.model.risk.limits import AccountReference

World = Any
MakeWorld = Callable[..., World]

DOLLAR = 1_000_000
APPROVED, REJECTED = EventType.RISK_APPROVED, EventType.RISK_REJECTED


def checks(outcome: RiskOutcome) -> list[str]:
    return [breach.check for breach in outcome.breaches]


def actions(outcome: RiskOutcome) -> list[tuple[str, str, int]]:
    return [(action.action, action.key, action.quantity) for action in outcome.actions]


@pytest.mark.parametrize(
    ("mode", "event_type", "severity", "approved", "to_do"),
    [
        ("CANCEL_NEWEST", REJECTED, "HARD", None, []),
        ("CANCEL_OLDEST", APPROVED, "WARN", None, [("CANCEL", "A|1", 60), ("CANCEL", "B|1", 30)]),
        ("CANCEL_BOTH", REJECTED, "HARD", None, [("CANCEL", "A|1", 60), ("CANCEL", "B|1", 30)]),
        ("DECREMENT", APPROVED, "WARN", 10, [("CANCEL", "A|1", 60), ("CANCEL", "B|1", 30)]),
        ("WARN", APPROVED, "WARN", None, []),
    ],
)
def test_every_mode_looks_at_the_orders_of_all_accounts_best_price_first(
    world: MakeWorld, mode: str, event_type: str, severity: str, approved: int | None, to_do: list[Any]
) -> None:
    group = world(mode)
    group.submit("B|1", "SELL", 30, 101)
    group.submit("A|1", "SELL", 60, 100)
    group.submit("A|2", "SELL", 10, 102)
    outcome = group.submit("B|2", "BUY", 100, 101)
    assert (outcome.event_type, outcome.approved_quantity, actions(outcome)) == (event_type, approved, to_do)
    [breach] = outcome.breaches
    assert (breach.check, breach.scope, breach.severity) == ("SELF_TRADE", "FIRM", severity)
    assert (breach.limit, breach.attempted) == (100.0, 101.0)


def test_a_decrement_takes_the_older_of_two_orders_at_one_price_and_part_of_what_is_larger(world: MakeWorld) -> None:
    group = world("DECREMENT")
    group.submit("B|1", "SELL", 30, 100)
    group.submit("A|1", "SELL", 60, 100)
    outcome = group.submit("A|2", "BUY", 40, 100)
    assert (outcome.event_type, checks(outcome)) == (REJECTED, ["SELF_TRADE"])
    assert actions(outcome) == [("CANCEL", "B|1", 30), ("REDUCE", "A|1", 10)]


@pytest.mark.parametrize(
    ("key", "side", "price", "met"),
    [
        ("B|2", "BUY", 100, True),
        ("B|2", "BUY", 99, False),
        ("B|2", "BUY", None, True),
        ("B|2", "SELL", 90, False),
        ("A|2", "BUY", 100, True),
        ("C|2", "BUY", 100, False),
    ],
)
def test_only_orders_of_the_group_that_would_trade_are_met(
    world: MakeWorld, key: str, side: str, price: int | None, met: bool
) -> None:
    group = world()
    group.submit("A|1", "SELL", 60, 100)
    assert ("SELF_TRADE" in checks(group.submit(key, side, 50, price))) == met


def test_without_a_mode_orders_are_held_all_the_same_for_when_there_is_one(world: MakeWorld) -> None:
    group = world(None)
    group.submit("A|1", "SELL", 60, 100)
    assert checks(group.submit("B|1", "BUY", 60, 100)) == []
    group.tables = world("CANCEL_NEWEST").tables
    assert checks(group.submit("A|2", "BUY", 60, 100)) == ["SELF_TRADE"]


def test_a_request_with_other_breaches_reports_all_of_them_and_asks_for_no_actions(world: MakeWorld) -> None:
    group = world("CANCEL_OLDEST", max_order_quantity=60)
    group.submit("A|1", "SELL", 60, 100)
    outcome = group.submit("B|1", "BUY", 70, 100)
    assert (outcome.event_type, checks(outcome)) == (REJECTED, ["MAX_ORDER_QUANTITY", "SELF_TRADE"])
    assert outcome.actions == []
    assert group.reserved("B") == 0


def test_what_its_account_rejects_is_met_until_the_release_arrives(world: MakeWorld) -> None:
    group = world("CANCEL_NEWEST", max_order_quantity=60)
    assert checks(group.submit("A|1", "SELL", 70, 100)) == ["MAX_ORDER_QUANTITY"]
    assert checks(group.submit("B|1", "BUY", 10, 100)) == ["SELF_TRADE"]
    group.release()
    assert checks(group.submit("B|2", "BUY", 10, 100)) == []
    assert group.releases == [], "what prevention itself rejected was never held"


def test_a_release_never_takes_a_later_request_for_the_same_order(world: MakeWorld) -> None:
    group = world("CANCEL_NEWEST", max_order_quantity=60)
    group.submit("A|1", "SELL", 70, 100)
    assert group.submit("A|1", "SELL", 50, 100).event_type == APPROVED
    group.release()
    assert checks(group.submit("B|1", "BUY", 10, 100)) == ["SELF_TRADE"]
    group.tell(group.status("NEW", "A|1", "SELL", 50, 100))
    assert checks(group.submit("B|2", "BUY", 10, 100)) == ["SELF_TRADE"]
    group.tell(group.status("CANCELED", "A|1", "SELL", 50, 100))
    assert checks(group.submit("B|3", "BUY", 10, 100)) == []


def test_a_duplicate_of_a_live_order_is_released_without_touching_it(world: MakeWorld) -> None:
    group = world()
    group.submit("A|1", "SELL", 50, 100)
    assert checks(group.submit("A|1", "SELL", 50, 98)) == ["DUPLICATE_ORDER"]
    group.release()
    assert checks(group.submit("B|1", "BUY", 10, 98)) == []
    assert checks(group.submit("B|2", "BUY", 10, 100)) == ["SELF_TRADE"]


@pytest.mark.parametrize("code", ["FILLED", "CANCELED", "REJECTED", "EXPIRED"])
def test_an_order_that_ended_is_met_no_more_and_the_state_is_gone(world: MakeWorld, code: str) -> None:
    group = world()
    group.submit("A|1", "SELL", 50, 100)
    group.tell(group.status("NEW", "A|1", "SELL", 50, 100))
    assert checks(group.submit("B|1", "BUY", 10, 100)) == ["SELF_TRADE"]
    group.tell(group.status(code, "A|1", "SELL", 50, 100, filled=50 if code == "FILLED" else 0))
    assert (group.group, group.group_parts) == (None, {})
    assert checks(group.submit("B|2", "BUY", 10, 100)) == []


def test_a_canceled_request_frees_nothing_before_a_status_says_so(world: MakeWorld) -> None:
    group = world()
    group.submit("A|1", "SELL", 50, 100)
    group.submit("A|1", "SELL", 50, 100, event_type=EventType.CANCEL_REQUESTED)
    assert checks(group.submit("B|1", "BUY", 10, 100)) == ["SELF_TRADE"]


@pytest.mark.parametrize(
    ("code", "price", "met_at"), [("REPLACED", 95, [95, 100]), ("NEW", 100, [100]), ("REPLACED", 105, [105])]
)
def test_both_versions_of_a_replace_are_met_until_it_is_answered(
    world: MakeWorld, code: str, price: int, met_at: list[int]
) -> None:
    group = world("WARN")
    group.submit("A|1", "SELL", 50, 100)
    group.tell(group.status("NEW", "A|1", "SELL", 50, 100))
    wanted = 95 if code == "NEW" else price
    group.replace("A|1", "SELL", 50, wanted)
    lowest = min(100, wanted)
    assert checks(group.submit("B|1", "BUY", 10, lowest)) == ["SELF_TRADE"]
    assert checks(group.submit("B|2", "BUY", 10, lowest - 1)) == []
    group.tell(group.status("PENDING_REPLACE", "A|1", "SELL", 50, 100))
    group.tell(group.status(code, "A|1", "SELL", 50, price))
    found = [at for at in (95, 100, 105) if checks(group.submit(f"B|{at}", "BUY", 10, at)) == ["SELF_TRADE"]]
    assert found[0] == met_at[0]


def test_a_second_replace_outlives_the_reject_of_the_first(world: MakeWorld) -> None:
    group = world("WARN")
    group.submit("A|1", "SELL", 50, 100)
    group.tell(group.status("NEW", "A|1", "SELL", 50, 100))
    group.replace("A|1", "SELL", 50, 99)
    group.tell(group.status("PENDING_REPLACE", "A|1", "SELL", 50, 100))
    group.replace("A|1", "SELL", 50, 98)
    group.tell(group.status("NEW", "A|1", "SELL", 50, 100))
    assert checks(group.submit("B|1", "BUY", 10, 98)) == ["SELF_TRADE"]


def test_a_replace_that_its_account_rejects_leaves_the_terms_in_force(world: MakeWorld) -> None:
    group = world("WARN", max_order_quantity=60)
    group.submit("A|1", "SELL", 50, 100)
    assert group.replace("A|1", "SELL", 70, 95).event_type == REJECTED
    group.release()
    assert checks(group.submit("B|1", "BUY", 10, 95)) == []
    assert checks(group.submit("B|2", "BUY", 10, 100)) == ["SELF_TRADE"]


def test_an_order_first_heard_of_by_a_replace_is_held_from_then_on(world: MakeWorld) -> None:
    group = world("WARN")
    alone, together = (
        group.tables,
        {name: msgspec.structs.replace(each) for name, each in group.tables.accounts.items()},
    )
    group.tables = alone._replace(accounts=together | {"A": without_group(together["A"])})
    group.submit("A|1", "SELL", 50, 100)
    group.tables = alone
    assert checks(group.submit("B|1", "BUY", 10, 100)) == []
    group.replace("A|1", "SELL", 60, 100)
    assert checks(group.submit("B|2", "BUY", 10, 100)) == ["SELF_TRADE"]
    group.tell(group.status("NEW", "A|1", "SELL", 50, 100))
    assert checks(group.submit("B|3", "BUY", 10, 100)) == ["SELF_TRADE"]
    assert checks(group.submit("A|2", "BUY", 10, 100)) == ["SELF_TRADE"]


def test_orders_of_an_account_that_left_the_group_are_not_met(world: MakeWorld) -> None:
    group = world()
    group.submit("A|1", "SELL", 50, 100)
    accounts = dict(group.tables.accounts)
    group.tables = group.tables._replace(accounts=accounts | {"A": without_group(accounts["A"])})
    assert checks(group.submit("B|1", "BUY", 10, 100)) == []


def without_group(account: AccountReference) -> AccountReference:
    return msgspec.structs.replace(account, stp_group=None)


def test_a_parent_rests_nowhere_and_its_children_do(world: MakeWorld) -> None:
    group = world("CANCEL_NEWEST", max_order_quantity=60)
    group.submit("A|P", "SELL", 50, 100)
    assert group.submit("A|C1", "SELL", 70, 105, parent_id="P").event_type == REJECTED
    group.release()
    assert checks(group.submit("B|1", "BUY", 10, 100)) == ["SELF_TRADE"], "its only child never came to be"
    group.submit("A|C2", "SELL", 20, 105, parent_id="P")
    assert checks(group.submit("B|2", "BUY", 10, 100)) == []
    assert checks(group.submit("B|3", "BUY", 10, 105)) == ["SELF_TRADE"]


def test_a_status_counts_once_and_one_of_an_order_that_is_not_held_changes_nothing(world: MakeWorld) -> None:
    group = world()
    group.submit("A|1", "SELL", 50, 100)
    told = group.status("NEW", "A|1", "SELL", 50, 100)
    assert (group.tell(told), group.tell(told)) == ((), ("DUPLICATE",))
    before = group.group, dict(group.group_parts)
    assert group.tell(group.status("NEW", "B|9", "SELL", 50, 100)) == ()
    assert (group.group, group.group_parts) == before


@pytest.mark.parametrize(
    "fields",
    [{"key": "A|9"}, {"side": "HOLD"}, {"quantity": 0}, {"limit_price": 0}, {"event_type": "ORDER_FORGOTTEN"}],
)
def test_what_no_account_can_take_is_not_held(world: MakeWorld, fields: dict[str, Any]) -> None:
    group = world()
    request = msgspec.structs.replace(group.request("A|1", "SELL", 50, 100), **fields)
    assert group.hold_only(request).number == 0
    assert group.group is None


def test_many_orders_cost_a_request_away_from_them_no_look_at_them(world: MakeWorld) -> None:
    group = world(max_working_orders=1_000, max_exposure=10**18)
    for number in range(200):
        group.submit(f"A|{number}", "SELL", 1, 100 + number % 7)
    group.reads.clear()
    group.submit("B|1", "BUY", 1, 99)
    assert len([suffix for suffix in group.reads if "resting" in suffix]) == 1, "the part that its own line goes to"
    group.reads.clear()
    outcome = group.submit("B|2", "BUY", 1, 100)
    assert checks(outcome) == ["SELF_TRADE"]
    assert len([suffix for suffix in group.reads if "resting" in suffix]) > 30
