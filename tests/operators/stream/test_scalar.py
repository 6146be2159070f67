"""The scalar kernel: state, timers, windows, errors and its bounded cache."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.errors import InvalidRecordError, ProcessingError, StoreError
from operators.model.events import Fee
from operators.state.windows import Windows
from operators.stream.step import FOREVER, Context, Output, PureLogic, Result


@pytest.fixture
def count(engine: Any) -> Any:
    """Logic that counts; refuses a negative quantity, fails on 666, forgets the key on 777."""

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        if record.last_quantity < 0:
            raise InvalidRecordError("negative quantity")
        if record.last_quantity == 666:
            raise ZeroDivisionError("logic fails on this one")
        after = engine.Tally(state.records + 1, state.quantity + record.last_quantity)
        outputs = [Output("enriched", engine.enriched(record, after.quantity))]
        return Result(None if record.last_quantity == 777 else after, outputs)

    return engine.RuleLogic(rule)


@pytest.fixture
def timed(engine: Any) -> Any:
    """Logic that asks to be called back 5 s of event time, or of the wall clock for odd quantities, after a record."""

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        after = engine.Tally(state.records + 1, state.quantity, state.fired)
        if record.last_quantity % 2:
            return Result(after, wall_due_ms=context.now_ms + 5_000)
        return Result(after, due_ms=context.event_time_ms + 5_000)

    def due(state: Any, context: Context) -> Result[Any]:
        return Result(engine.Tally(state.records, state.quantity, state.fired + 1))

    return engine.RuleLogic(rule, due)


def quantities(outcome: Any) -> list[tuple[str, int]]:
    return [
        (row["key"], row["filledQuantity"])
        for batch in outcome.streams.get("enriched", [])
        for row in batch.batch.to_pylist()
    ]


def test_state_goes_on_from_record_to_record_epoch_to_epoch_and_process_to_process(
    drive: Any, engine: Any, count: Any
) -> None:
    driver, fill = drive(count), engine.Fill
    assert quantities(driver.epoch(fill("A|1", 1), fill("A|2", 10), fill("A|1", 2))) == [
        ("A|1", 1), ("A|2", 10), ("A|1", 3),
    ]  # fmt: skip
    assert quantities(driver.epoch(fill("A|1", 3))) == [("A|1", 6)]
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 4))) == [("A|1", 10)]


def test_what_was_not_committed_is_gone_after_a_crash(drive: Any, engine: Any, count: Any) -> None:
    driver = drive(count)
    driver.epoch(engine.Fill("A|1", 1))
    driver.process(engine.Fill("A|1", 100))
    driver.crash()
    assert quantities(driver.epoch(engine.Fill("A|1", 1))) == [("A|1", 2)]


def test_records_of_a_batch_are_taken_in_event_time_without_swapping_two_of_a_partition(
    drive: Any, engine: Any, count: Any
) -> None:
    driver, fill = drive(count), engine.Fill
    outcome = driver.epoch(
        fill("A|1", 1, at_ms=30), fill("A|2", 2, at_ms=10), fill("B|1", 3, at_ms=20, partition=1),
        fill("B|2", 4, at_ms=40, partition=1),
    )  # fmt: skip
    assert [key for key, _ in quantities(outcome)] == ["B|1", "A|1", "A|2", "B|2"]


def test_a_record_on_which_logic_raises_is_a_dead_letter_and_changes_nothing(
    drive: Any, engine: Any, count: Any
) -> None:
    driver, fill = drive(count), engine.Fill
    outcome = driver.epoch(fill("A|1", 1), fill("A|1", -1), fill("A|1", 666), fill("A|1", 2))
    assert quantities(outcome) == [("A|1", 1), ("A|1", 3)]
    assert driver.states() == {"A|1": engine.Tally(2, 3)}
    refused, failed = outcome.dead_letters
    assert (refused.topic, refused.partition, refused.offset, refused.step) == (engine.topic, 0, 1, "step")
    assert (refused.error, refused.message, refused.value, refused.headers) == (
        "InvalidRecordError", "negative quantity", b"as read", [("h", b"1")],
    )  # fmt: skip
    assert failed.error == "ZeroDivisionError"
    assert "Traceback" in failed.message or "File" in failed.message


def test_with_stop_on_error_the_flow_stops_and_names_the_record(drive: Any, engine: Any, count: Any) -> None:
    driver = drive(count, stop_on_error=True)
    with pytest.raises(
        ProcessingError, match=r"step step: InvalidRecordError: negative quantity on orders.executions-1@1"
    ):
        driver.process(engine.Fill("A|1", 1), engine.Fill("B|1", -1, partition=1))


@pytest.mark.parametrize("large", [1 << 62, (1 << 63) - 1])
def test_a_result_beyond_64_bits_refuses_its_record_and_not_the_batch(
    drive: Any, engine: Any, count: Any, large: int
) -> None:
    driver, fill = drive(count), engine.Fill
    outcome = driver.epoch(fill("A|1", large), fill("A|2", 5), fill("A|1", large), fill("A|1", 0, at_ms=7))
    assert quantities(outcome) == [("A|1", large), ("A|2", 5), ("A|1", large)]
    assert [letter.offset for letter in outcome.dead_letters] == [2]
    assert driver.states() == {"A|1": engine.Tally(2, large), "A|2": engine.Tally(1, 5)}
    assert outcome.records_in == 4


@pytest.mark.parametrize("entry", [False, True])
def test_a_state_larger_than_the_log_takes_refuses_its_record_and_leaves_no_trace(
    drive: Any, engine: Any, entry: bool
) -> None:
    """The changelog would refuse it at every restart; so do timers, windows and what lies beside a state."""

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        after = engine.Tally(state.records + 1, 0 if entry else state.quantity + record.last_quantity)
        beside = {f"|{state.records}": b"x" * record.last_quantity} if entry else {}
        return Result(after, [Output("enriched", engine.enriched(record, after.records))], entries=beside)

    large = 60 if entry else 1 << 60
    driver, fill = drive(engine.RuleLogic(rule), record_bytes_max=50), engine.Fill
    outcome = driver.epoch(fill("A|1", 5), fill("A|2", 5), fill("A|1", large), fill("A|1", 6))
    assert quantities(outcome) == [("A|1", 1), ("A|2", 1), ("A|1", 2)]
    [letter] = outcome.dead_letters
    assert (letter.topic, letter.partition, letter.offset, letter.error) == (
        engine.topic, 0, 2, "RecordTooLargeError",
    )  # fmt: skip
    assert "more than 50" in letter.message
    sizes = [
        len(key) + len(value or b"")
        for change in outcome.changes
        for key, value in zip(change.keys, change.values, strict=True)
    ]
    assert max(sizes) <= 50
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 1))) == [("A|1", 3)]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"notional": 2**63}, "EncodeError", "notional 9223372036854775808 of an output for orders.enrichment"),
        ({"fees": [Fee("SEC", -(2**63) - 1)]}, "EncodeError", "fees[].amount -9223372036854775809"),
        ({"trade_date": 2**31}, "EncodeError", "does not fit its schema"),
        ({"venue": "V" * 5_000}, "RecordTooLargeError", "for topic orders.enrichment has"),
    ],
)
def test_an_output_that_does_not_fit_refuses_its_record_and_leaves_no_trace(
    drive: Any, engine: Any, changes: dict[str, Any], error: str, says: str
) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        after = engine.Tally(state.records + 1, 0)
        output = engine.enriched(record, after.records)
        return Result(
            after, [Output("enriched", replace(output, **changes) if record.last_quantity == 666 else output)]
        )

    driver, fill = drive(engine.RuleLogic(rule), output_bytes_max=5_000), engine.Fill
    outcome = driver.epoch(fill("A|1"), fill("A|2", 666), fill("A|1", 666), fill("A|1"), fill("A|2"))
    assert quantities(outcome) == [("A|1", 1), ("A|1", 2), ("A|2", 1)]
    assert [(letter.offset, letter.error) for letter in outcome.dead_letters] == [(1, error), (2, error)]
    assert says in outcome.dead_letters[0].message
    driver.crash()
    assert quantities(driver.epoch(fill("A|1"))) == [("A|1", 3)]


def test_a_forgotten_key_leaves_a_tombstone_and_starts_anew(drive: Any, engine: Any, count: Any) -> None:
    driver, fill = drive(count), engine.Fill
    driver.epoch(fill("A|1", 5))
    driver.epoch(fill("A|1", 777))
    assert driver.states() == {}
    assert quantities(driver.epoch(fill("A|1", 1))) == [("A|1", 1)]


@pytest.mark.parametrize("restart", [False, True])
def test_an_event_time_timer_fires_once_when_event_time_reaches_it(
    drive: Any, engine: Any, timed: Any, restart: bool
) -> None:
    driver, fill = drive(timed), engine.Fill
    driver.epoch(fill("A|1", 2))
    driver.epoch(fill("A|2", 2, at_ms=4_999))
    driver.epoch()
    assert driver.states()["A|1"].fired == 0
    driver.epoch(fill("A|2", 2, at_ms=5_000))
    if restart:
        driver.crash()
    driver.epoch()
    driver.epoch()
    driver.epoch(fill("A|2", 2, at_ms=9_000))
    assert {key: state.fired for key, state in driver.states().items()} == {"A|1": 1, "A|2": 0}


@pytest.mark.parametrize("restart", [False, True])
def test_a_wall_clock_timer_fires_once_without_any_record(drive: Any, engine: Any, timed: Any, restart: bool) -> None:
    driver = drive(timed)
    driver.epoch(engine.Fill("A|1", 1))
    for _ in range(4):
        driver.epoch()
    assert driver.states()["A|1"].fired == 0
    if restart:
        driver.crash()
    for _ in range(4):
        driver.epoch()
    assert driver.states()["A|1"].fired == 1


def test_a_timer_that_was_put_off_does_not_fire_at_its_first_time(drive: Any, engine: Any, timed: Any) -> None:
    driver, fill = drive(timed), engine.Fill
    driver.epoch(fill("A|1", 2))
    driver.epoch(fill("A|1", 2, at_ms=3_000))
    driver.epoch(fill("A|2", 2, at_ms=6_000))
    driver.epoch()
    assert driver.states()["A|1"].fired == 0
    driver.epoch(fill("A|2", 2, at_ms=8_000))
    driver.epoch()
    assert driver.states()["A|1"].fired == 1


def test_a_timer_on_which_logic_raises_is_a_dead_letter_and_keeps_the_other_timer(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        after = engine.Tally(1)
        return Result(after, due_ms=context.event_time_ms, wall_due_ms=context.now_ms + 3_000)

    def due(state: Any, context: Context) -> Result[Any]:
        if context.now_ms < engine.now_ms + 3_000:
            raise ZeroDivisionError("too early")
        return Result(engine.Tally(state.records, 0, state.fired + 1))

    driver = drive(engine.RuleLogic(rule, due))
    driver.epoch(engine.Fill("A|1"))
    [letter] = driver.epoch().dead_letters
    assert (letter.key, letter.value, letter.offset) == (b"A|1", None, -1)
    assert [driver.epoch().dead_letters for _ in range(3)] == [[], [], []]
    assert driver.states()["A|1"].fired == 1


def test_a_clock_jump_is_counted_and_does_not_move_event_time(drive: Any, engine: Any, timed: Any) -> None:
    driver, fill = drive(timed), engine.Fill
    driver.epoch(fill("A|1", 2))
    outcome = driver.epoch(fill("A|2", 2, at_ms=10**9))
    assert outcome.anomalies == {"CLOCK_JUMP": 1}
    driver.epoch()
    assert driver.states()["A|1"].fired == 0


def test_absurd_due_times_are_kept_within_what_a_store_can_hold(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        return Result(engine.Tally(1), due_ms=-(10**15), wall_due_ms=FOREVER)

    driver = drive(engine.RuleLogic(rule, lambda *_: Result(None)))
    driver.epoch(engine.Fill("A|1"))
    driver.epoch()
    assert driver.states() == {}


def test_windows_take_late_records_until_their_grace_is_over(drive: Any, engine: Any) -> None:
    windows = Windows.tumbling(size_ms=1_000, grace_ms=500)

    def keys(key: str, record: Any, context: Context) -> list[str]:
        time_ms = record.occurred_at // 1_000
        return list(windows.open_keys(key, time_ms=time_ms, event_time_ms=context.event_time_ms))

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        return Result(engine.Tally(state.records + 1))

    driver, fill = drive(engine.RuleLogic(rule, windows=keys)), engine.Fill
    driver.epoch(fill("A|1", at_ms=0), fill("A|1", at_ms=1_499), fill("A|1", at_ms=999))
    outcome = driver.epoch(fill("A|1", at_ms=1_500), fill("A|1", at_ms=998))
    assert outcome.anomalies == {"LATE": 1}
    assert [state.records for _, state in sorted(driver.states().items())] == [2, 2]


def test_a_state_key_longer_than_a_store_can_hold_refuses_the_record(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        return Result(engine.Tally(1), entries={"/" + "x" * record.last_quantity: b"entry"})

    def keys(key: str, record: Any, context: Context) -> list[str]:
        return [key + "@" * (600 if record.last_quantity == 7 else 1)]

    driver, fill = drive(engine.RuleLogic(rule, windows=keys)), engine.Fill
    outcome = driver.epoch(fill("A|1", 1), fill("A|1", 600), fill("A|1", 7))
    assert [letter.error for letter in outcome.dead_letters] == ["InvalidRecordError"] * 2
    assert {key for key in driver.changelog() if not key.startswith(b"\0")} == {b"A|1@", b"A|1@/x"}


def test_entries_are_kept_beside_the_state_until_they_are_deleted(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        number = record.last_quantity
        return Result(engine.Tally(1), entries={f"/{abs(number)}": b"%d" % number if number > 0 else None})

    driver, fill = drive(engine.RuleLogic(rule)), engine.Fill
    driver.epoch(fill("A|1", 1), fill("A|1", 2))
    driver.epoch(fill("A|1", -1))
    assert {key: value[16:] for key, value in driver.changelog().items() if b"/" in key} == {b"A|1/2": b"2"}


def test_a_stored_state_that_its_logic_cannot_read_stops_the_flow_and_dead_letters_nothing(
    drive: Any, engine: Any, count: Any
) -> None:
    class Other(msgspec.Struct, frozen=True):
        records: str

    driver = drive(count)
    driver.epoch(engine.Fill("A|1", 1))
    driver.logic = engine.RuleLogic(count.rule, state_type=Other)
    driver.crash()
    with pytest.raises(StoreError, match=r"under 'A\|1' is not what its logic reads"):
        driver.process(engine.Fill("A|1", 1))


def test_watched_logic_may_not_change_the_state_it_is_given(drive: Any, engine: Any) -> None:
    class Mutable(msgspec.Struct):
        records: int = 0

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        state.records += 1
        return Result(state)

    class Logic(engine.RuleLogic):  # type: ignore[misc, name-defined]
        def on_record(self, state: Any, *rest: Any) -> Result[Any]:
            return Result(Mutable()) if state is None else rule(state, None, rest[-1])

    driver = drive(PureLogic(Logic(rule, state_type=Mutable)))
    with pytest.raises(ProcessingError, match="must return a new one"):
        driver.process(engine.Fill("A|1"), engine.Fill("A|1"))


HISTORIES = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 3, -1, 777])), max_size=6), min_size=1, max_size=8
)


@given(HISTORIES, st.sets(st.integers(0, 7)))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cache_smaller_than_the_working_set_changes_nothing_nor_do_crashes(
    drive: Any, engine: Any, count: Any, history: list[list[tuple[int, int]]], crashes: set[int]
) -> None:
    large, small = drive(count, cache_rows=1_000), drive(count, cache_rows=1)
    for number, epoch in enumerate(history):
        fills = [engine.Fill(f"A|{key}", quantity, partition=key % 2) for key, quantity in epoch]
        one, other = large.epoch(*fills), small.epoch(*fills)
        assert quantities(one) == quantities(other)
        assert len(one.dead_letters) == len(other.dead_letters)
        if number in crashes:
            small.crash()
    assert large.states() == small.states()


@pytest.fixture
def remembering(engine: Any) -> Any:
    """Logic that keeps each quantity as an entry under its number, and outputs the sum of all it can read back.

    999 deletes the last one, and so does a timer, which is due 5 s of event time after a record.
    """

    def total(state: Any, context: Context) -> int:
        return sum(int(context.entry(f"/{number}") or 0) for number in range(state.records))

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        entries: dict[str, bytes | None] = {f"/{state.records}": b"%d" % record.last_quantity}
        after = engine.Tally(state.records + 1)
        if record.last_quantity == 999:
            entries, after = {f"/{state.records - 1}": None}, state
        output = Output("enriched", engine.enriched(record, total(state, context)))
        return Result(after, [output], due_ms=context.event_time_ms + 5_000, entries=entries)

    def due(state: Any, context: Context) -> Result[Any]:
        return Result(engine.Tally(state.records, total(state, context), state.fired + 1))

    return engine.RuleLogic(rule, due)


@pytest.mark.parametrize("cache_rows", [1_000, 1])
def test_logic_reads_back_the_entries_of_its_key(drive: Any, engine: Any, remembering: Any, cache_rows: int) -> None:
    """Those of the same call, of earlier epochs and of an earlier process, whether or not the state left the cache."""
    driver, fill = drive(PureLogic(remembering), cache_rows=cache_rows), engine.Fill
    assert quantities(driver.epoch(fill("A|1", 1), fill("A|2", 70), fill("A|1", 2), fill("A|1", 4))) == [
        ("A|1", 0), ("A|2", 0), ("A|1", 1), ("A|1", 3),
    ]  # fmt: skip
    assert quantities(driver.epoch(fill("A|1", 8), fill("A|2", 0))) == [("A|1", 7), ("A|2", 70)]
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 16), fill("A|1", 0))) == [("A|1", 15), ("A|1", 31)]


def test_an_entry_that_was_deleted_is_not_read_back(drive: Any, engine: Any, remembering: Any) -> None:
    driver, fill = drive(remembering), engine.Fill
    assert quantities(driver.epoch(fill("A|1", 1), fill("A|1", 2), fill("A|1", 999), fill("A|1", 4))) == [
        ("A|1", 0), ("A|1", 1), ("A|1", 3), ("A|1", 1),
    ]  # fmt: skip
    driver.epoch(fill("A|1", 999))
    assert quantities(driver.epoch(fill("A|1", 999))) == [("A|1", 1)]


def test_an_entry_that_was_not_committed_is_not_read_back_after_a_crash(
    drive: Any, engine: Any, remembering: Any
) -> None:
    driver, fill = drive(remembering), engine.Fill
    driver.epoch(fill("A|1", 1))
    driver.process(fill("A|1", 100))
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 2), fill("A|1", 0))) == [("A|1", 1), ("A|1", 3)]


def test_a_timer_reads_entries_too(drive: Any, engine: Any, remembering: Any) -> None:
    driver, fill = drive(remembering), engine.Fill
    driver.epoch(fill("A|1", 5), fill("A|1", 6))
    driver.epoch(fill("A|2", 1, at_ms=6_000))
    driver.epoch()
    assert msgspec.msgpack.decode(driver.changelog()[b"A|1"][16:], type=engine.Tally) == engine.Tally(2, 11, 1)


def test_each_window_of_a_record_reads_its_own_entries(drive: Any, engine: Any, remembering: Any) -> None:
    remembering.windows = lambda key, record, _: [f"{key}@a", f"{key}@{record.last_quantity}"]
    driver, fill = drive(remembering), engine.Fill
    assert quantities(driver.epoch(fill("A|1", 1), fill("A|1", 2), fill("A|1", 2))) == [
        ("A|1", 0), ("A|1", 0), ("A|1", 1), ("A|1", 0), ("A|1", 3), ("A|1", 2),
    ]  # fmt: skip


def test_an_entry_that_cannot_be_read_stops_the_flow_and_is_no_dead_letter(
    drive: Any, engine: Any, remembering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = drive(remembering)
    driver.epoch(engine.Fill("A|1", 1))

    def broken(group: int, keys: Any) -> Any:
        raise StoreError("disk gone")

    monkeypatch.setattr(driver.kernel._stores, "get_many", broken)
    with pytest.raises(ProcessingError, match="disk gone"):
        driver.process(engine.Fill("A|1", 2))
