"""Parts beside a state: read decoded, kept in the bounded cache, encoded once; exact whatever leaves it and when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import InvalidRecordError, ProcessingError, StoreError
from operators.stream.step import Context, Output, PureLogic, Result

SUMS = msgspec.msgpack.Decoder(dict[str, int])
REFUSED, FORGOTTEN, UNFIT, AS_ENTRY = -1, 777, 1 << 62, 888


@pytest.fixture
def adding(engine: Any) -> Any:
    """Logic whose sums are parts, one for odd and one for even quantities; it outputs the sum of both.

    REFUSED raises after the parts were read, FORGOTTEN removes the part, AS_ENTRY writes the part as an entry. A timer,
    5 s of event time after a record, puts both sums into the state.
    """

    def read(context: Context, suffix: str) -> int:
        return int((context.part(suffix, SUMS) or {}).get("sum", 0))

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        quantity, suffix = record.last_quantity, f"|{record.last_quantity % 2}"
        after = read(context, suffix) + quantity
        total = after + read(context, f"|{1 - quantity % 2}")
        if quantity == REFUSED:
            raise InvalidRecordError("refused after the parts were read")
        outputs = [Output("enriched", engine.enriched(record, total))]
        state, due_ms = engine.Tally(state.records + 1), context.event_time_ms + 5_000
        if quantity == AS_ENTRY:
            return Result(state, outputs, due_ms, entries={suffix: msgspec.msgpack.encode({"sum": after})})
        return Result(state, outputs, due_ms, parts={suffix: None if quantity == FORGOTTEN else {"sum": after}})

    def due(state: Any, context: Context) -> Result[Any]:
        return Result(engine.Tally(state.records, read(context, "|0") + read(context, "|1"), state.fired + 1))

    return engine.RuleLogic(rule, due)


def quantities(outcome: Any) -> list[int]:
    return [row["filledQuantity"] for batch in outcome.streams.get("enriched", []) for row in batch.batch.to_pylist()]


@pytest.mark.parametrize("cache_rows", [1_000, 1])
def test_logic_reads_back_the_parts_of_its_key(drive: Any, engine: Any, adding: Any, cache_rows: int) -> None:
    """Those of the same call, of earlier epochs and of an earlier process, whether or not they left the cache."""
    driver, fill = drive(PureLogic(adding), cache_rows=cache_rows), engine.Fill
    assert quantities(driver.epoch(fill("A|1", 1), fill("A|2", 70), fill("A|1", 2), fill("A|1", 4))) == [1, 70, 3, 7]
    assert quantities(driver.epoch(fill("A|1", 8), fill("A|2", 0))) == [15, 70]
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 16), fill("A|1", 1))) == [31, 32]


def test_a_part_is_encoded_once_per_call_under_its_key_and_suffix(drive: Any, engine: Any, adding: Any) -> None:
    driver, fill = drive(adding), engine.Fill
    outcome = driver.epoch(fill("A|1", 1), fill("A|1", 3), fill("A|1", 2))
    [change] = outcome.changes
    written = dict(zip(change.keys, change.values, strict=True))
    assert len(written) == len(change.keys)
    assert {key: SUMS.decode(value[16:]) for key, value in written.items() if b"|1|" in key} == {
        b"A|1|1": {"sum": 4}, b"A|1|0": {"sum": 2},
    }  # fmt: skip


def test_a_part_that_was_not_committed_is_not_read_back_after_a_crash(drive: Any, engine: Any, adding: Any) -> None:
    driver, fill = drive(adding), engine.Fill
    driver.epoch(fill("A|1", 1))
    driver.process(fill("A|1", 101))
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 3))) == [4]


def test_a_removed_part_is_gone_and_leaves_a_tombstone(drive: Any, engine: Any, adding: Any) -> None:
    driver, fill = drive(adding), engine.Fill
    assert quantities(driver.epoch(fill("A|1", 5), fill("A|1", FORGOTTEN), fill("A|1", 1))) == [5, 782, 1]
    driver.epoch(fill("A|1", FORGOTTEN))
    assert b"A|1|1" not in driver.changelog()
    assert quantities(driver.epoch(fill("A|1", 7))) == [7]
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 1))) == [8]


def test_a_record_that_is_refused_changes_no_part(drive: Any, engine: Any, adding: Any) -> None:
    driver, fill = drive(adding), engine.Fill
    outcome = driver.epoch(fill("A|1", 1), fill("A|1", REFUSED), fill("A|1", 3))
    assert quantities(outcome) == [1, 4]
    assert [letter.offset for letter in outcome.dead_letters] == [1]


def test_a_call_that_is_undone_leaves_nothing_in_the_cache(drive: Any, engine: Any, adding: Any) -> None:
    """The second run of the call, record by record, must begin with the parts as the first found them."""
    driver, fill = drive(adding), engine.Fill
    driver.epoch(fill("A|1", UNFIT), fill("A|1", 1))
    outcome = driver.epoch(fill("A|1", 3), fill("A|1", UNFIT), fill("A|1", 5), fill("A|1", AS_ENTRY), fill("A|1", 2))
    assert quantities(outcome) == [UNFIT + each for each in (4, 9, 9 + AS_ENTRY, 11 + AS_ENTRY)]
    assert [letter.offset for letter in outcome.dead_letters] == [3]
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 0))) == [UNFIT + 11 + AS_ENTRY]


def test_a_part_larger_than_the_log_takes_refuses_its_record(drive: Any, engine: Any) -> None:
    names = msgspec.msgpack.Decoder(str)

    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        name = (context.part("|name", names) or "") + "x" * record.last_quantity
        return Result(engine.Tally(len(name)), [Output("enriched", engine.enriched(record, len(name)))],
                      parts={"|name": name})  # fmt: skip

    driver, fill = drive(engine.RuleLogic(rule), record_bytes_max=60), engine.Fill
    outcome = driver.epoch(fill("A|1", 5), fill("A|1", 60), fill("A|1", 6))
    assert quantities(outcome) == [5, 11]
    assert [letter.error for letter in outcome.dead_letters] == ["RecordTooLargeError"]


def test_what_was_written_as_an_entry_is_read_as_a_part_and_the_other_way_round(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        raw, part = context.entry("|x"), context.part("|x", SUMS)
        assert part == (None if raw is None else SUMS.decode(raw))
        after = {"sum": (part or {"sum": 0})["sum"] + record.last_quantity}
        output = Output("enriched", engine.enriched(record, after["sum"]))
        if record.last_quantity % 2:
            return Result(engine.Tally(1), [output], entries={"|x": msgspec.msgpack.encode(after)})
        return Result(engine.Tally(1), [output], parts={"|x": after})

    driver, fill = drive(engine.RuleLogic(rule), stop_on_error=True), engine.Fill
    epoch = fill("A|1", 1), fill("A|1", 2), fill("A|1", 5), fill("A|1", 2)
    assert quantities(driver.epoch(*epoch)) == [1, 3, 8, 10]
    assert quantities(driver.epoch(*epoch)) == [11, 13, 18, 20]
    driver.crash()
    assert quantities(driver.epoch(fill("A|1", 0))) == [20]


def test_a_timer_reads_parts_too(drive: Any, engine: Any, adding: Any) -> None:
    driver, fill = drive(adding), engine.Fill
    driver.epoch(fill("A|1", 5), fill("A|1", 6))
    driver.epoch(fill("A|2", 1, at_ms=6_000))
    driver.epoch()
    assert msgspec.msgpack.decode(driver.changelog()[b"A|1"][16:], type=engine.Tally) == engine.Tally(2, 11, 1)


def test_watched_logic_may_not_change_a_part_it_is_given(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        part = context.part("|x", SUMS)
        if part is None:
            return Result(engine.Tally(1), parts={"|x": {"sum": 1}})
        part["sum"] += 1
        return Result(engine.Tally(1), parts={"|x": part})

    driver = drive(PureLogic(engine.RuleLogic(rule)))
    with pytest.raises(ProcessingError, match="must return a new one"):
        driver.process(engine.Fill("A|1"), engine.Fill("A|1"))


def test_a_part_with_too_long_a_key_refuses_the_record(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        suffix = "|" + "é" * record.last_quantity
        if record.last_quantity == 300:
            context.part(suffix, SUMS)
        return Result(engine.Tally(1), parts={suffix: {"sum": 1}})

    driver, fill = drive(engine.RuleLogic(rule)), engine.Fill
    outcome = driver.epoch(fill("A|1", 300), fill("A|1", 250), fill("A|1", 249))
    assert [letter.error for letter in outcome.dead_letters] == ["InvalidRecordError"] * 2
    assert {len(key) for key in driver.changelog() if not key.startswith(b"\0")} == {3, 4 + 2 * 249}


def test_a_part_that_cannot_be_read_stops_the_flow_and_is_no_dead_letter(
    drive: Any, engine: Any, adding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = drive(adding)
    driver.epoch(engine.Fill("A|1", 1))
    driver.crash()
    read = driver.kernel._stores.get_many

    def broken(group: int, keys: Any) -> Any:
        if keys == [b"A|1"]:
            return read(group, keys)
        raise StoreError("disk gone")

    monkeypatch.setattr(driver.kernel._stores, "get_many", broken)
    with pytest.raises(ProcessingError, match="disk gone"):
        driver.process(engine.Fill("A|1", 2))


def test_a_part_that_its_logic_cannot_decode_stops_the_flow(drive: Any, engine: Any) -> None:
    def rule(state: Any, record: Any, context: Context) -> Result[Any]:
        context.part("|x", SUMS)
        return Result(engine.Tally(1), parts={"|x": ["no", "sums"]})

    driver = drive(engine.RuleLogic(rule))
    driver.epoch(engine.Fill("A|1"))
    driver.crash()
    with pytest.raises(ProcessingError, match=r"under b'A\|1\|x' is not what its logic reads"):
        driver.process(engine.Fill("A|1"))


HISTORIES = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1, 2, 3, 4, REFUSED, FORGOTTEN, AS_ENTRY, UNFIT])),
             max_size=6),
    min_size=1, max_size=8,
)  # fmt: skip


@given(HISTORIES, st.sets(st.integers(0, 7)), st.integers(1, 8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_a_small_cache_nor_crashes_nor_undone_calls_change_anything(
    drive: Any, engine: Any, adding: Any, history: list[list[tuple[int, int]]], crashes: set[int], cache_rows: int
) -> None:
    """Compared with records one by one in calls of their own, which are never undone for the sake of another one."""
    single, small = drive(adding, cache_rows=1_000), drive(PureLogic(adding), cache_rows=cache_rows)
    for number, epoch in enumerate(history):
        fills = [engine.Fill(f"A|{key}", quantity, partition=0) for key, quantity in epoch]
        one_by_one = [single.epoch(fill) for fill in fills]
        together = small.epoch(*fills)
        assert quantities(together) == [each for outcome in one_by_one for each in quantities(outcome)]
        assert len(together.dead_letters) == sum(len(outcome.dead_letters) for outcome in one_by_one)
        if number in crashes:
            small.crash()
    stored = [
        {key: value[16:] for key, value in driver.changelog().items() if not key.startswith(b"\0")}
        for driver in (single, small)
    ]
    assert stored[0] == stored[1]
