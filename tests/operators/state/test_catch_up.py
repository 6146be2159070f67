"""Catching up: wherever a store stands, afterwards it holds what its changelog says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.contract import TopicPartition
from operators.state import store as store_module
from operators.state.catch_up import POSITION_AGE_MAX_S, STREAM_TIME_KEY, catch_up
from operators.state.store import KeyGroupStore, header


def value(text: str) -> bytes:
    return header() + text.encode()


def open_store(changelog: Any, path: Path, group: int = 0) -> KeyGroupStore:
    return KeyGroupStore(path / f"{group:03d}", changelog=changelog.name)


def caught_up(changelog: Any, path: Path, group: int = 0) -> dict[bytes, bytes]:
    """The store's values after it was opened, caught up and closed."""
    store = open_store(changelog, path, group)
    catch_up(changelog.log, "test", {TopicPartition(changelog.name, group): store})
    values = dict(store.scan())
    store.close()
    return values


def test_an_empty_store_gets_the_last_value_of_each_key_and_no_deleted_one(changelog: Any, tmp_path: Path) -> None:
    changelog.commit(0, {b"a": value("1"), b"b": value("1")})
    changelog.commit(0, {b"a": value("2"), b"b": None, b"c": None})
    assert caught_up(changelog, tmp_path) == {b"a": value("2")}


def test_only_what_lies_beyond_the_position_is_read(changelog: Any, tmp_path: Path) -> None:
    changelog.commit(0, {b"a": value("1")})
    caught_up(changelog, tmp_path)
    changelog.commit(0, {b"b": value("1"), b"a": None})
    store = open_store(changelog, tmp_path)
    seen: list[int] = []
    progress = catch_up(
        changelog.log, "test", {TopicPartition(changelog.name, 0): store}, lambda p: seen.append(p.remaining)
    )
    assert progress.applied == 2
    assert (seen[0] > 0, seen[-1]) == (True, 0)
    assert dict(store.scan()) == {b"b": value("1")}
    assert catch_up(changelog.log, "test", {TopicPartition(changelog.name, 0): store}).applied == 0
    store.close()


def test_several_key_groups_catch_up_together_from_different_positions(changelog: Any, tmp_path: Path) -> None:
    changelog.commit(0, {b"a": value("1")})
    caught_up(changelog, tmp_path, 0)
    changelog.commit(0, {b"a": value("2")})
    changelog.commit(2, {b"c": value("3"), STREAM_TIME_KEY: b"55"})
    stores = {TopicPartition(changelog.name, group): open_store(changelog, tmp_path, group) for group in range(3)}
    assert catch_up(changelog.log, "test", stores).applied == 2
    assert [dict(store.scan()) for store in stores.values()] == [{b"a": value("2")}, {}, {b"c": value("3")}]
    assert [store.stream_time_ms for store in stores.values()] == [-1, -1, 55]
    for store in stores.values():
        store.close()


def test_event_time_comes_back_from_the_changelog(changelog: Any, tmp_path: Path) -> None:
    changelog.commit(0, {STREAM_TIME_KEY: b"55"})
    changelog.commit(0, {b"a": value("1"), STREAM_TIME_KEY: b"77"})
    assert caught_up(changelog, tmp_path) == {b"a": value("1")}
    store = open_store(changelog, tmp_path)
    assert store.stream_time_ms == 77
    store.close()


def test_a_store_beyond_the_end_of_a_replaced_changelog_is_emptied(changelog: Any, tmp_path: Path) -> None:
    for _ in range(5):
        changelog.commit(0, {b"a": value("1"), b"old": value("1")})
    caught_up(changelog, tmp_path)
    changelog.recreate()
    changelog.commit(0, {b"a": value("2")})
    assert caught_up(changelog, tmp_path) == {b"a": value("2")}


@pytest.mark.parametrize("behind", [False, True])
def test_an_old_position_is_not_trusted_if_a_tombstone_may_have_been_compacted_away(
    changelog: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    changelog.commit(0, {b"a": value("1")})
    store = open_store(changelog, tmp_path)
    catch_up(changelog.log, "test", {TopicPartition(changelog.name, 0): store})
    with monkeypatch.context() as patch:
        long_ago = time.time() - POSITION_AGE_MAX_S - 1
        patch.setattr(store_module.time, "time", lambda: long_ago)
        store.write({b"its tombstone is gone": value("1")}, position=store.position)
    store.close()
    expected = {b"a": value("1"), b"its tombstone is gone": value("1")}
    if behind:
        changelog.commit(0, {b"b": value("2")})
        expected = {b"a": value("1"), b"b": value("2")}
    assert caught_up(changelog, tmp_path) == expected


def test_a_store_that_was_rebuilt_says_why(changelog: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changelog.commit(0, {b"a": value("1")})
    caught_up(changelog, tmp_path)
    (tmp_path / "000" / "data.mdb").write_bytes(b"\xa5" * 100_000)
    assert caught_up(changelog, tmp_path) == {b"a": value("1")}
    captured = capsys.readouterr()
    assert "rebuilt" in captured.out + captured.err


EPOCHS = st.lists(
    st.dictionaries(
        st.sampled_from([b"a", b"b", b"c"]), st.none() | st.text("xyz", max_size=2), min_size=1, max_size=3
    ),
    min_size=1,
    max_size=8,
)


@given(epochs=EPOCHS, stops=st.sets(st.integers(0, 7)), lost=st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_history_and_any_stops_the_store_equals_the_changelog(
    changelog: Any, tmp_path_factory: pytest.TempPathFactory, epochs: list[dict[bytes, str | None]], stops: set[int],
    lost: bool,
) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("history")
    changelog.recreate()
    model: dict[bytes, bytes] = {}
    for number, epoch in enumerate(epochs):
        changes: Mapping[bytes, bytes | None] = {k: None if v is None else value(v) for k, v in epoch.items()}
        changelog.commit(0, changes)
        model |= {key: body for key, body in changes.items() if body is not None}
        for key in [key for key, body in changes.items() if body is None]:
            model.pop(key, None)
        if number in stops:
            assert caught_up(changelog, path) == model
    assert caught_up(changelog, path / "elsewhere" if lost else path) == model
