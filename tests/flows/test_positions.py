"""Positions through the flow `views`: fills in chunks beside the state, old busts, crashes and eviction."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from config.settings import Settings
from flows.tester import FlowTester
from operators.model.events import Fee, OrderEnriched
from operators.model.positions.fill_list import CHUNK
from operators.model.positions.positions import Position

AT = 1_790_000_000_000_000


def fill(number: int, *, account: str = "ACC1", **fields: Any) -> OrderEnriched:
    """A fill of either side. One key, so that all come in one order; the sums depend on it."""
    chance = random.Random(number)
    quantity = chance.randint(1, 100)
    values: dict[str, Any] = {
        "event_type": "ORDER_ENRICHED", "occurred_at": AT + number, "key": f"{account}|ORD1", "symbol": "MSFT",
        "venue": "XNAS", "side": chance.choice(["BUY", "SELL"]), "filled_quantity": quantity, "last_quantity": quantity,
        "last_price": chance.randint(1, 10**8), "last_exec_id": f"E{number}", "trade_date": 20_717,
        "fees": [Fee("COMMISSION", 1_000)], "sequence": number + 1, "source": "order-enrichment",
    }  # fmt: skip
    return OrderEnriched(**(values | fields))


def bust(event: OrderEnriched) -> OrderEnriched:
    return msgspec.structs.replace(
        event, exec_type="TRADE_CANCEL", exec_ref_id=event.last_exec_id, last_exec_id="B",
        fees=[Fee("COMMISSION", -1_000)], last_quantity=-event.last_quantity,
        replaced_quantity=event.last_quantity, replaced_price=event.last_price,
    )  # fmt: skip


def positions(flow: FlowTester) -> dict[str, dict[str, Any]]:
    """What people see of every position, but the time."""
    shown = set(Position.__struct_fields__) - {"fills", "updated_at", "head", "head_quantity", "head_basis"}
    states = {key: state for key, state in flow.store("positions", Position).items() if "\0" not in key}
    return {key: {name: getattr(state, name) for name in shown} for key, state in states.items()}


def expected(events: list[OrderEnriched]) -> dict[str, dict[str, Any]]:
    with FlowTester("views") as flow:
        flow.send("orders.enrichment", *events)
        flow.run()
        return positions(flow)


@pytest.mark.parametrize("lose_state", [False, True])
def test_a_bust_in_an_old_chunk_is_as_if_the_fill_had_never_been(lose_state: bool) -> None:
    """Chunks written in this epoch, in one before, and in a process that was killed, with and without its disk."""
    events = [fill(number) for number in range(4 * CHUNK)]
    settings = Settings()
    settings = replace(settings, state=replace(settings.state, cache_rows=1))
    with FlowTester("views", settings=settings) as flow:
        flow.send("orders.enrichment", *events[:40])
        flow.run()
        flow.send("orders.enrichment", *events[40:], fill(1, account="ACC2"))
        flow.process_uncommitted()
        flow.crash(lose_state=lose_state)
        flow.run()
        flow.send("orders.enrichment", bust(events[3]))
        flow.process_uncommitted()
        flow.crash(lose_state=lose_state)
        flow.run()
        flow.send("orders.enrichment", bust(events[50]))
        flow.run()
        assert flow.dead_letters() == []
        found = positions(flow)
        chunks = [key for key in flow.store("positions") if key.startswith("ACC1|MSFT\0")]
    kept = [event for number, event in enumerate(events) if number not in (3, 50)]
    assert found == expected([*kept, fill(1, account="ACC2")])
    assert len(chunks) == (len(kept) - 1) // CHUNK


def test_a_fill_and_its_bust_in_one_batch_leave_nothing_behind() -> None:
    events = [fill(number) for number in range(2 * CHUNK)]
    with FlowTester("views") as flow:
        flow.send("orders.enrichment", *events, *map(bust, events))
        flow.run()
        [position] = positions(flow).values()
        assert (position["quantity"], position["realised"], position["fees"], position["fifo_realised"]) == (0, 0, 0, 0)
        assert {key for key in flow.changelog("positions") if not key.startswith(b"\0")} == {b"ACC1|MSFT"}


def test_a_fill_no_rule_can_work_with_is_a_dead_letter_and_the_position_goes_on() -> None:
    with FlowTester("views") as flow:
        flow.send("orders.enrichment", fill(1), fill(2, last_price=None), fill(3, last_price=2**62), fill(4))
        flow.run()
        found = positions(flow)
        letters = ["|".join(letter.headers.values()) for letter in flow.dead_letters()]
        reasons = [letter for letter in letters if letter.endswith("|positions")]
        assert len(reasons) == 2
        assert any("price None" in reason for reason in reasons)
        assert any("64 bits" in reason for reason in reasons)
    assert found == expected([fill(1), fill(4)])
