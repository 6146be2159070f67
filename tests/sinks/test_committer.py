"""The committer: what it asks of its transaction, in which order, and what becomes of what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from broker.byte_columns import as_list
from broker.contract import TopicPartition
from broker.record_size import check_record
from config.errors import FencedError
from operators.stream.records import Changes, DeadLetter, Encoded, Outcome
from sinks.committer import PART, CommitObserver, Committer, CommitterSink

INPUT = TopicPartition("orders.executions", 0)


class RecordingTransaction:
    """A transaction that writes down what is asked of it."""

    def __init__(self, *, bytes_max: int = 1_000, fenced: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._bytes_max, self._fenced = bytes_max, fenced

    def begin(self) -> None:
        self.calls.append(("begin",))

    def send_batch(self, topic: str, keys: Any, values: Any, *, partition: int | None = None) -> None:
        self.calls.append(("batch", topic, as_list(keys), as_list(values), partition))

    def send(self, topic: str, key: Any, value: Any, **more: Any) -> None:
        check_record(topic, key, value, more["headers"], record_bytes_max=self._bytes_max)
        self.calls.append(("send", topic, key, value, more["headers"]))

    def commit(self, offsets: Any) -> None:
        if self._fenced:
            raise FencedError("a successor has started")
        self.calls.append(("commit", dict(offsets)))

    def abort(self) -> None:
        self.calls.append(("abort",))

    def close(self) -> None:
        self.calls.append(("close",))


class Listener(CommitObserver):
    """Keeps what the committer tells."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def committed(self, outcome: Outcome, *, send_s: float, commit_s: float) -> None:
        self.outcomes.append(outcome)


def committer(transaction: RecordingTransaction, observer: CommitObserver | None = None) -> Committer:
    return Committer(transaction, flow="views", dead_letter_topic="orders.dlq", observer=observer)


def letter(value: bytes) -> DeadLetter:
    return DeadLetter(INPUT.topic, 0, 7, b"A|1", value, [("trace", b"own")], "join", "DecodeError", "no\nstack")


def test_epochs_with_nothing_to_say_open_no_transaction() -> None:
    transaction = RecordingTransaction()
    part = committer(transaction)
    part.write_batch([])
    part.snapshot()
    part.write_batch([Outcome(0), Outcome(0)])
    part.snapshot()
    assert transaction.calls == []


def test_an_epoch_is_one_transaction_and_the_next_epoch_another() -> None:
    transaction = RecordingTransaction()
    part = committer(transaction)
    part.write_batch([Outcome(0, progress={INPUT: 5})])
    part.write_batch([Outcome(0, outputs=[Encoded("out", [b"k"], [b"v"])])])
    part.snapshot()
    part.snapshot()
    part.write_batch([Outcome(1, progress={INPUT: 9})])
    part.snapshot()
    assert transaction.calls == [
        ("begin",), ("batch", "out", [b"k"], [b"v"], None), ("commit", {INPUT: 5}),
        ("begin",), ("commit", {INPUT: 9}),
    ]  # fmt: skip


def test_outputs_dead_letters_and_changes_go_into_the_transaction_of_their_progress() -> None:
    transaction = RecordingTransaction()
    part = committer(transaction)
    outputs = [Encoded("out", pa.array([b"k"], pa.binary()), pa.array([b"v"], pa.binary()))]
    changes = [Changes("changelog", 3, [b"k", b"gone"], [b"state", None])]
    part.write_batch([Outcome(0, {INPUT: 5}, outputs, changes, [letter(b"bad")])])
    part.snapshot()
    begin, output, dead, change, commit = transaction.calls
    assert (begin, commit) == (("begin",), ("commit", {INPUT: 5}))
    assert output == ("batch", "out", [b"k"], [b"v"], None)
    assert change == ("batch", "changelog", [b"k", b"gone"], [b"state", None], 3)
    assert dead[:4] == ("send", "orders.dlq", b"A|1", b"bad")
    assert dict(dead[4]) == {
        "trace": b"own",
        "__streams.errors.exception": b"DecodeError",
        "__streams.errors.message": b"no",
        "__streams.errors.stacktrace": b"stack",
        "__streams.errors.topic": b"orders.executions",
        "__streams.errors.partition": b"0",
        "__streams.errors.offset": b"7",
        "orderflow.flow": b"views",
        "orderflow.step": b"join",
    }


def test_the_cut_is_the_furthest_offset_of_each_partition_whatever_the_order_of_arrival() -> None:
    transaction, other = RecordingTransaction(), TopicPartition("orders.status", 1)
    part = committer(transaction)
    part.write_batch([Outcome(0, {INPUT: 9}), Outcome(0, {INPUT: 4, other: 2}), Outcome(0, {other: 3})])
    part.snapshot()
    assert transaction.calls[-1] == ("commit", {INPUT: 9, other: 3})


@pytest.mark.parametrize(
    ("key_bytes", "value_bytes", "header_bytes", "omitted"),
    [
        (3, 100, 3, []),
        (3, 2_000, 3, ["value"]),
        (3, 2_000, 2_000, ["value", "headers"]),
        (3, 3, 2_000, ["value", "headers"]),
        (2_000, 2_000, 3, ["value", "headers", "key"]),
        (2_000, 2_000, 2_000, ["value", "headers", "key"]),
    ],
)
def test_of_a_dead_letter_too_large_for_its_topic_goes_what_fits_and_it_says_what_is_missing(
    key_bytes: int, value_bytes: int, header_bytes: int, omitted: list[str]
) -> None:
    transaction = RecordingTransaction(bytes_max=1_500)
    part = committer(transaction)
    failed = replace(letter(b"v" * value_bytes), key=b"k" * key_bytes, headers=[("own", b"h" * header_bytes)])
    part.write_batch([Outcome(0, {INPUT: 1}, dead_letters=[failed, letter(b"y")])])
    part.snapshot()
    _, large, small, _ = transaction.calls
    headers = dict(large[4])
    whole = {"key": failed.key, "value": failed.value, "headers": b"h" * header_bytes}
    sent = {"key": large[2], "value": large[3], "headers": headers.get("own")}
    assert sent == {part: None if part in omitted else content for part, content in whole.items()}
    assert headers["__streams.errors.offset"] == b"7"
    assert [part for part in ("value", "headers", "key") if f"orderflow.{part}-omitted" in headers] == omitted
    assert all(b"more than 1500" in headers[f"orderflow.{part}-omitted"] for part in omitted)
    assert small[3] == b"y"


def test_a_message_too_long_for_a_header_is_cut_between_two_characters() -> None:
    transaction = RecordingTransaction(bytes_max=100_000)
    part = committer(transaction)
    part.write_batch([Outcome(0, {INPUT: 1}, dead_letters=[replace(letter(b"y"), message="x" + "é" * 8_000)])])
    message = dict(transaction.calls[1][4])["__streams.errors.message"]
    assert message.decode() == "x" + "é" * 3_999


def test_a_zombie_fails_at_its_commit_and_tells_nobody_that_it_committed() -> None:
    transaction, listener = RecordingTransaction(fenced=True), Listener()
    part = committer(transaction, listener)
    part.write_batch([Outcome(0, {INPUT: 1})])
    with pytest.raises(FencedError):
        part.snapshot()
    assert listener.outcomes == []
    assert transaction.calls == [("begin",)]


def test_the_observer_hears_of_the_whole_epoch_once() -> None:
    listener = Listener()
    part = committer(RecordingTransaction(), listener)
    part.write_batch([Outcome(0, {INPUT: 1}, anomalies={"GAP": 1}), Outcome(0, {INPUT: 2}, anomalies={"GAP": 2})])
    part.snapshot()
    part.snapshot()
    [outcome] = listener.outcomes
    assert (outcome.progress, outcome.anomalies) == ({INPUT: 2}, {"GAP": 3})


def test_only_the_process_with_the_fence_has_a_part() -> None:
    part = committer(RecordingTransaction())
    assert CommitterSink(part).list_parts() == [PART]
    assert CommitterSink(part).build_part("commit", PART, None) is part
    assert CommitterSink(None).list_parts() == []
