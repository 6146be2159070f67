"""The engine under FlowTester: state, exchange, dead letters, crashes."""

from __future__ import annotations

from typing import Any

import pytest

from flows.tester import FlowTester


@pytest.fixture
def flow(chain: Any) -> Any:
    with FlowTester(chain.topology, operators=chain.operators) as tester:
        yield tester


def counts(events: list[Any]) -> list[tuple[str, int, int]]:
    return sorted((e.key, e.sequence, e.filled_quantity) for e in events)


def test_state_is_kept_per_key_and_outputs_follow_the_order_of_a_key(flow: FlowTester, execution: Any) -> None:
    flow.send("orders.executions", execution("A1|O1", 10), execution("A1|O2", 5), execution("A1|O1", 7))
    flow.run()
    assert counts(flow.read("orders.enrichment")) == [("A1|O1", 1, 10), ("A1|O1", 2, 17), ("A1|O2", 1, 5)]


def test_a_second_step_sees_what_the_first_emits_under_its_own_key(flow: FlowTester, execution: Any) -> None:
    flow.send("orders.executions", execution("A1|O1", 10), execution("A1|O2", 5), execution("A2|O3", 1))
    flow.run()
    assert sorted((e.key, e.sequence) for e in flow.read("orders.status")) == [("A1", 1), ("A1", 2), ("A2", 1)]


def test_stores_hold_what_the_changelog_says(flow: FlowTester, execution: Any, chain: Any) -> None:
    flow.send("orders.executions", execution("A1|O1", 10), execution("A1|O2", 5))
    flow.run()
    stored = flow.store("orders")
    assert set(stored) == {"A1|O1", "A1|O2"}
    assert {k: v[16:] for k, v in flow.changelog("orders").items() if not k.startswith(b"\0")} == {
        k.encode(): v for k, v in stored.items()
    }


def test_an_uncommitted_epoch_leaves_no_trace_after_a_crash(flow: FlowTester, execution: Any) -> None:
    flow.send("orders.executions", execution("A1|O1", 10))
    flow.run()
    flow.send("orders.executions", execution("A1|O1", 7))
    flow.process_uncommitted()
    assert counts(flow.read("orders.enrichment")) == [("A1|O1", 1, 10)]
    flow.crash()
    flow.run()
    assert counts(flow.read("orders.enrichment")) == [("A1|O1", 2, 17)]


@pytest.mark.parametrize("lose_state", [False, True])
def test_a_restart_goes_on_from_the_last_commit_with_or_without_local_stores(
    flow: FlowTester, execution: Any, lose_state: bool
) -> None:
    flow.send("orders.executions", *[execution("A1|O1", 1) for _ in range(5)])
    flow.run()
    flow.crash(lose_state=lose_state)
    flow.send("orders.executions", execution("A1|O1", 1))
    flow.run()
    assert counts(flow.read("orders.enrichment"))[-1] == ("A1|O1", 6, 6)


def test_a_record_that_logic_refuses_becomes_a_dead_letter_and_changes_nothing_else(
    flow: FlowTester, execution: Any
) -> None:
    flow.send("orders.executions", execution("A1|O1", 1), execution("A1|O1", -1), execution("A1|O1", 666))
    flow.send("orders.executions", execution("A1|O1", 2))
    flow.run()
    assert counts(flow.read("orders.enrichment")) == [("A1|O1", 1, 1), ("A1|O1", 2, 3)]
    letters = flow.dead_letters()
    assert [letter.headers["__streams.errors.exception"] for letter in letters] == [
        "InvalidRecordError",
        "ZeroDivisionError",
    ]
    assert letters[0].headers["__streams.errors.topic"] == "orders.executions"
    assert letters[0].headers["orderflow.step"] == "orders"
    assert letters[0].key == b"A1|O1"


@pytest.mark.parametrize("value", [None, b"", b"\x01garbage", b"\x00\x00\x00\x00\x63abc", b"\x00\x00\x00\x00\x02\x01"])
def test_a_value_that_cannot_be_read_becomes_a_dead_letter_with_its_bytes(
    flow: FlowTester, execution: Any, value: Any
) -> None:
    flow.send("orders.executions", execution("A1|O1", 1))
    flow.send_bytes("orders.executions", b"A1|O1", value)
    flow.run()
    [letter] = flow.dead_letters()
    assert letter.value == value
    assert letter.headers["orderflow.step"] == "decode"
    assert len(flow.read("orders.enrichment")) == 1


def test_a_record_without_a_key_becomes_a_dead_letter(flow: FlowTester, execution: Any) -> None:
    flow.send_bytes("orders.executions", None, b"")
    flow.send("orders.executions", execution("A1|O1", 1), key="K" * 500)
    flow.run()
    assert len(flow.dead_letters()) == 2


def test_a_forgotten_key_leaves_a_tombstone_in_the_changelog_and_nothing_in_the_store(
    flow: FlowTester, execution: Any
) -> None:
    flow.send("orders.executions", execution("A1|O1", 1), execution("A1|O2", 1))
    flow.run()
    flow.send("orders.executions", execution("A1|O1", 777))
    flow.run()
    assert set(flow.store("orders")) == {"A1|O2"}
    assert b"A1|O1" not in flow.changelog("orders")


def test_a_record_too_large_to_be_worked_on_becomes_a_dead_letter_with_its_bytes(
    flow: FlowTester, execution: Any
) -> None:
    giant = b"\x00\x00\x00\x00\x02" + b"x" * 20_000
    flow.send_bytes("orders.executions", b"A1|O1", giant)
    flow.send("orders.executions", execution("A1|O1", 1))
    flow.run()
    [letter] = flow.dead_letters()
    assert letter.value == giant
    assert "engine.record_bytes_max" in letter.headers["__streams.errors.message"]
    assert len(flow.read("orders.enrichment")) == 1
