"""The stores of a step: behind the log always, at the latest by their interval, and never with a position too far."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import BrokerUnavailableError
from operators.state import groups as groups_module
from operators.state.catch_up import Progress
from operators.state.groups import SIZE_EVERY_S, GroupStores, StateSize
from operators.state.store import KeyGroupStore, header

Open = Callable[..., GroupStores]


def value(text: str) -> bytes:
    return header() + text.encode()


def seen_by_readers(tmp_path: Path, group: int) -> dict[str, str]:
    """What a reader in another process sees; LMDB allows a store once per process."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom operators.state.reader import StoreReader\n"
        "with StoreReader(Path(sys.argv[1])) as reader:\n"
        "    for key, body in reader.scan(): print(key, body.decode())\n"
    )
    folder = str(tmp_path / "state" / f"{group:03d}")
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=60, check=True)
    return dict(line.split(" ") for line in done.stdout.splitlines())


def position(tmp_path: Path, group: int, changelog: str) -> int:
    """The position that a closed store holds."""
    store = KeyGroupStore(tmp_path / "state" / f"{group:03d}", changelog=changelog)
    store.close()
    return store.position


def test_what_is_put_can_be_read_at_once_but_is_in_the_store_only_when_the_next_epoch_begins(
    open_stores: Open, tmp_path: Path
) -> None:
    stores = open_stores()
    stores.ensure([0])
    stores.put_many(0, [b"a", b"b"], [value("1"), value("2")])
    assert stores.get_many(0, [b"a", b"b", b"c"]) == {b"a": value("1"), b"b": value("2")}
    assert seen_by_readers(tmp_path, 0) == {}
    stores.epoch_began()
    assert seen_by_readers(tmp_path, 0) == {"a": "1", "b": "2"}
    stores.put_many(0, [b"a"], [None])
    assert stores.get_many(0, [b"a"]) == {}
    assert seen_by_readers(tmp_path, 0) == {"a": "1", "b": "2"}
    stores.epoch_began()
    assert seen_by_readers(tmp_path, 0) == {"b": "2"}


def test_closing_what_is_not_committed_forgets_it_and_what_is_committed_keeps_it(open_stores: Open) -> None:
    for committed, kept in ((False, {}), (True, {b"a": value("1")})):
        stores = open_stores()
        stores.ensure([0])
        stores.put_many(0, [b"a"], [value("1")])
        stores.close(committed=committed)
        stores = open_stores()
        stores.ensure([0])
        assert stores.get_many(0, [b"a"]) == kept
        stores.close(committed=False)


def test_values_stay_in_memory_for_the_flush_interval_and_are_written_in_their_newest_form(
    open_stores: Open, clock: SimpleNamespace
) -> None:
    stores = open_stores(flush_interval_s=10.0)
    stores.ensure([0])
    stores.put_many(0, [b"a"], [value("1")])
    clock.now += 1
    stores.epoch_began()
    stores.put_many(0, [b"a", b"late"], [value("2"), value("3")])
    clock.now += 9
    stores.epoch_began()
    assert stores.size().rows == 0
    clock.now += 1
    stores.epoch_began()
    assert stores.size().rows == 1
    assert stores.get_many(0, [b"a", b"late"]) == {b"a": value("2"), b"late": value("3")}
    clock.now += 10
    stores.epoch_began()
    assert stores.size().rows == 2


def test_too_many_unflushed_values_are_flushed_before_their_time(
    open_stores: Open, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups_module, "UNFLUSHED_MAX", 2)
    stores = open_stores(flush_interval_s=100.0)
    stores.ensure([0, 1])
    stores.put_many(0, [b"a", b"b"], [value("1"), value("2")])
    stores.put_many(1, [b"c"], [value("3")])
    stores.epoch_began()
    assert stores.size().rows == 3


def test_a_size_counts_a_key_in_the_store_once_and_its_new_value_in_memory_beside_it(
    open_stores: Open, clock: SimpleNamespace
) -> None:
    sizes: list[StateSize] = []
    stores = open_stores(flush_interval_s=10.0, on_size=sizes.append)
    stores.ensure([0, 1])
    assert [(size.rows, size.unflushed) for size in sizes] == [(0, 0)]
    assert sizes[0].bytes == stores.size().bytes > 0
    stores.put_many(0, [b"a", b"b"], [value("1"), value("2")])
    stores.put_many(1, [b"c"], [value("3")])
    clock.now += 1
    stores.epoch_began()
    clock.now += 10
    stores.epoch_began()
    stores.put_many(0, [b"a", b"new"], [value("4"), value("5")])
    stores.put_many(1, [b"c"], [None])
    clock.now += SIZE_EVERY_S
    stores.epoch_began()
    assert (sizes[-1].rows, sizes[-1].unflushed) == (3, 3)
    clock.now += 10
    stores.epoch_began()
    assert (sizes[-1].rows, sizes[-1].unflushed) == (3, 0)


def test_sizes_are_not_told_more_often_than_their_interval(open_stores: Open, clock: SimpleNamespace) -> None:
    sizes: list[StateSize] = []
    stores = open_stores(on_size=sizes.append)
    stores.ensure([0])
    for _ in range(10):
        clock.now += SIZE_EVERY_S / 4
        stores.epoch_began()
    assert len(sizes) == 1 + 2


@pytest.mark.parametrize("flush_interval_s", [0.0, 3.0, 5.0, 20.0])
def test_a_position_is_stored_whatever_the_flush_interval(
    open_stores: Open, clock: SimpleNamespace, changelog: Any, tmp_path: Path, flush_interval_s: float
) -> None:
    stores = open_stores(flush_interval_s=flush_interval_s, position_interval_s=5.0)
    stores.ensure([0])
    for epoch in range(1_000):  # 100 s of a flow that is never idle
        changes = {b"key %d" % epoch: value("1")}
        stores.put_many(0, list(changes), list(changes.values()))
        changelog.commit(0, changes)
        clock.now += 0.1
        stores.epoch_began()
    stores.close(committed=False)
    assert 1_000 > position(tmp_path, 0, changelog.name) > 500


def test_a_position_is_not_stored_before_a_later_epoch_of_this_process_is_committed(
    open_stores: Open, clock: SimpleNamespace, changelog: Any, tmp_path: Path
) -> None:
    """A paused process wakes: the ends cover what only its successor, on another machine, has."""
    stores = open_stores()
    stores.ensure([0])
    stores.put_many(0, [b"a"], [value("ours")])
    changelog.commit(0, {b"a": value("ours")})
    stores.epoch_began()
    changelog.commit(0, {b"a": value("the successor's")})
    clock.now += 60
    stores.epoch_began()  # asks for the ends: too far
    stores.put_many(0, [b"a"], [value("a zombie's")])
    stores.close(committed=False)  # fenced at its commit
    stores = open_stores()
    stores.ensure([0])
    assert stores.get_many(0, [b"a"]) == {b"a": value("the successor's")}


def test_an_idle_process_proves_nothing_and_keeps_its_position(
    open_stores: Open, clock: SimpleNamespace, changelog: Any, tmp_path: Path
) -> None:
    stores = open_stores()
    stores.ensure([0])
    changelog.commit(0, {b"a": value("the successor's")})
    for _ in range(10):
        clock.now += 60
        stores.epoch_began()
    stores.close(committed=True)
    assert position(tmp_path, 0, changelog.name) == 0


def test_a_log_that_does_not_answer_only_puts_off_the_position(
    open_stores: Open, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, changelog: Any
) -> None:
    stores = open_stores()
    stores.ensure([0])

    def admin(_self: object) -> Any:
        def ends(_: object) -> None:
            raise BrokerUnavailableError("gone")

        return SimpleNamespace(ends=ends, close=lambda: None)

    monkeypatch.setattr(type(changelog.log), "admin", admin)
    stores.put_many(0, [b"a"], [value("1")])
    clock.now += 60
    stores.epoch_began()
    assert stores.size().rows == 1


def test_event_time_survives_in_the_store_with_the_values_of_its_epoch(open_stores: Open) -> None:
    stores = open_stores()
    stores.ensure([1])
    stores.put_many(1, [b"a"], [value("1")])
    stores.advance_stream_time(1, 77)
    stores.epoch_began()
    stores.advance_stream_time(1, 99)
    stores.close(committed=False)
    stores = open_stores()
    stores.ensure([1])
    assert stores.stream_time_ms(1) == 77


def test_stores_that_cannot_catch_up_are_closed_again(
    open_stores: Open, monkeypatch: pytest.MonkeyPatch, changelog: Any
) -> None:
    changelog.commit(0, {b"a": value("1")})
    with monkeypatch.context() as patch:
        patch.setattr(groups_module, "catch_up", _fail)
        with pytest.raises(BrokerUnavailableError):
            open_stores().ensure([0])
    stores = open_stores()
    assert stores.ensure([0]) == [0]
    assert stores.ensure([0, 1]) == [1]
    assert stores.get_many(0, [b"a"]) == {b"a": value("1")}


def _fail(*_: object) -> Progress:
    raise BrokerUnavailableError("gone")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.text("xyz", max_size=3)),
        st.tuples(st.just("wait"), st.sampled_from([0.05, 0.5, 2.0]), st.none()),
        st.tuples(st.just("epoch"), st.none(), st.none()),
    ),
    max_size=40,
)


def test_reads_equal_the_last_puts_whatever_was_flushed_when(
    open_stores: Open, clock: SimpleNamespace, changelog: Any
) -> None:
    stores = open_stores(flush_interval_s=1.0, position_interval_s=1.5)
    stores.ensure([0])
    model: dict[bytes, bytes] = {}
    keys = [b"a", b"b", b"c", b"d"]

    @given(STEPS)
    def check(steps: list[tuple[str, Any, Any]]) -> None:
        for kind, what, text in steps:
            if kind == "wait":
                clock.now += what
            elif kind == "epoch":
                stores.epoch_began()
            else:
                body = None if text is None else value(text)
                stores.put_many(0, [what], [body])
                changelog.commit(0, {what: body})
                model.pop(what, None)
                if body is not None:
                    model[what] = body
            assert stores.get_many(0, keys) == model

    check()
    stores.close(committed=False)
    again = open_stores()
    again.ensure([0])
    assert again.get_many(0, keys) == model
