"""One key group's store against a model, and what it does when its world breaks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import StoreError, StoreFencedError
from operators.state import store as store_module
from operators.state.store import HEADER_BYTES, NEVER, NO_BOOT_ID, STATE_KEY_BYTES_MAX, KeyGroupStore, header

KEYS = st.sampled_from([b"a", b"ab", b"b", b"b|1", b"c\xff"])
TIMES = st.sampled_from([0, 1, 255, 256, 10_000, NEVER])
VALUES = st.none() | st.tuples(TIMES, TIMES, st.binary(max_size=5))
WRITES = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=12)


def open_store(path: Path, changelog: str = "changelog") -> KeyGroupStore:
    return KeyGroupStore(path, changelog=changelog)


def test_data_and_both_due_indexes_equal_a_model_under_random_writes(tmp_path_factory: pytest.TempPathFactory) -> None:
    @given(WRITES)
    def check(writes: list[dict[bytes, tuple[int, int, bytes] | None]]) -> None:
        model: dict[bytes, tuple[int, int, bytes]] = {}
        store = open_store(tmp_path_factory.mktemp("store"))
        for changes in writes:
            encoded = {key: value and header(*value[:2]) + value[2] for key, value in changes.items()}
            store.write(encoded)
            for key, value in changes.items():
                if value is None:
                    model.pop(key, None)
                else:
                    model[key] = value
        held = {key: header(*value[:2]) + value[2] for key, value in model.items()}
        assert dict(store.scan()) == store.get_many([b"a", b"ab", b"b", b"b|1", b"c\xff"]) == held
        assert dict(store.scan(b"b")) == {key: value for key, value in held.items() if key.startswith(b"b")}
        assert store.entries() == len(model)
        for wall, place in ((False, 0), (True, 1)):
            for until in (-1, 0, 255, 10_000):
                expected = sorted((value[place], key) for key, value in model.items() if value[place] <= until)
                assert store.due(until, 100, wall=wall) == expected
                assert store.due(until, 2, wall=wall) == expected[:2]
        store.close()

    check()


def test_values_position_and_stream_time_survive_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert (store.position, store.stream_time_ms) == (0, -1)
    store.write({b"k": header() + b"v"}, position=7, stream_time_ms=99)
    store.close()
    store = open_store(tmp_path)
    assert (store.get(b"k"), store.position, store.stream_time_ms) == (header() + b"v", 7, 99)
    assert store.rebuilt_because is None
    store.close()


def test_a_successor_fences_the_owner_whose_next_write_changes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write({b"k": header() + b"old"})
    python(f"KeyGroupStore(Path({str(tmp_path)!r}), changelog='changelog').write({{b'k': header() + b'new'}})")
    with pytest.raises(StoreFencedError):
        store.write({b"k": header() + b"zombie"}, position=5)
    with pytest.raises(StoreFencedError):
        store.reset()
    assert store.get(b"k") == header() + b"new"
    store.close()
    successor = open_store(tmp_path)
    assert successor.position == 0
    successor.close()


def test_who_started_earlier_cannot_take_a_store_from_who_started_later(tmp_path: Path) -> None:
    """A process that paused while it was opening its stores goes on with that when it wakes."""
    successor = KeyGroupStore(tmp_path, changelog="changelog", started_ns=200)
    successor.write({b"k": header() + b"new"}, position=7)
    python(f"""
        from config.errors import StoreFencedError
        try:
            KeyGroupStore(Path({str(tmp_path)!r}), changelog="changelog", started_ns=100)
        except StoreFencedError:
            os._exit(0)
        os._exit(1)
    """)
    successor.write({b"k": header() + b"newer"}, position=8)
    successor.close()
    with pytest.raises(StoreFencedError, match="started after this one"):
        KeyGroupStore(tmp_path, changelog="changelog", started_ns=199)
    next_one = KeyGroupStore(tmp_path, changelog="changelog", started_ns=201)
    assert (next_one.rebuilt_because, next_one.position, next_one.get(b"k")) == (None, 8, header() + b"newer")
    next_one.close()


@pytest.mark.parametrize("boots", [("first", "second"), (NO_BOOT_ID, NO_BOOT_ID)], ids=["another boot", "no boot id"])
def test_times_since_boot_are_compared_within_one_known_boot_only(
    tmp_path: Path, monkeypatch: Any, boots: tuple[str, str]
) -> None:
    monkeypatch.setattr(store_module, "boot_id", lambda: boots[0])
    KeyGroupStore(tmp_path, changelog="changelog", started_ns=200).close()
    monkeypatch.setattr(store_module, "boot_id", lambda: boots[1])
    store = KeyGroupStore(tmp_path, changelog="changelog", started_ns=100)
    assert store.rebuilt_because is None
    store.close()


def test_a_store_of_a_version_that_noted_no_start_is_taken(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(store_module, "STARTED", b"what that version did not know")
    open_store(tmp_path).close()
    monkeypatch.undo()
    store = KeyGroupStore(tmp_path, changelog="changelog", started_ns=1)
    assert store.rebuilt_because is None
    store.close()


def test_closing_as_a_zombie_does_not_vouch_for_the_successors_writes(tmp_path: Path, monkeypatch: Any) -> None:
    store = open_store(tmp_path)
    python(f"KeyGroupStore(Path({str(tmp_path)!r}), changelog='changelog').write({{b'k': header() + b'new'}})")
    store.close()
    monkeypatch.setattr(store_module, "boot_id", lambda: "after the restart")
    successor = open_store(tmp_path)
    assert successor.rebuilt_because is not None
    successor.close()


def test_a_store_of_another_boot_is_trusted_only_if_it_was_closed_cleanly(tmp_path: Path, monkeypatch: Any) -> None:
    python(f"KeyGroupStore(Path({str(tmp_path)!r}), changelog='changelog').write({{b'k': header()}}, position=3)")
    monkeypatch.setattr(store_module, "boot_id", lambda: "second boot")
    store = open_store(tmp_path)
    assert "machine restarted" in str(store.rebuilt_because)
    assert (store.get(b"k"), store.position) == (None, 0)
    store.write({b"k": header()}, position=4)
    store.close()
    monkeypatch.setattr(store_module, "boot_id", lambda: "third boot")
    store = open_store(tmp_path)
    assert (store.rebuilt_because, store.get(b"k"), store.position) == (None, header(), 4)
    store.close()


def test_a_store_of_another_changelog_starts_empty(tmp_path: Path) -> None:
    store = open_store(tmp_path, "one")
    store.write({b"k": header()}, position=3)
    store.close()
    store = open_store(tmp_path, "two")
    assert (store.get(b"k"), store.position, store.rebuilt_because) == (None, 0, "it belongs to another changelog")
    store.close()


@pytest.mark.parametrize("damage", ["garbage", "cut short", "empty"])
def test_a_damaged_file_is_dropped_and_the_store_starts_empty(tmp_path: Path, damage: str) -> None:
    store = open_store(tmp_path)
    store.write({b"%d" % i: header() + bytes(1_000) for i in range(100)}, position=3)
    store.close()
    file = tmp_path / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(
        {"garbage": b"\xa5" * len(content), "cut short": content[: len(content) // 2], "empty": b""}[damage]
    )
    store = open_store(tmp_path)
    assert (store.entries(), store.position) == (0, 0)
    store.write({b"k": header()})
    store.close()


def test_the_map_grows_with_what_is_written(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(store_module, "_MAP_BYTES_FIRST", 1 << 17)
    store = open_store(tmp_path)
    values = {b"%05d" % i: header() + bytes(2_000) for i in range(1_000)}
    store.write(values)
    assert dict(store.scan()) == values
    assert store.size_bytes() > 2_000_000
    store.close()


def test_reset_empties_data_indexes_and_marks(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write({b"k": header(1, 2)}, position=9, stream_time_ms=5)
    store.reset()
    assert (dict(store.scan()), store.due(10, 10), store.due(10, 10, wall=True)) == ({}, [], [])
    store.close()
    store = open_store(tmp_path)
    assert (store.position, store.stream_time_ms) == (0, -1)
    store.close()


def test_the_longest_key_fits_into_the_due_index_and_a_longer_one_is_our_error(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    longest = b"k" * STATE_KEY_BYTES_MAX
    store.write({longest: header(1, 1)})
    assert store.due(1, 10) == [(1, longest)]
    with pytest.raises(StoreError):
        store.write({longest + b"k": header(1, 1)})
    store.close()


def test_a_full_disk_is_a_log_full_error_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    python(
        f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = KeyGroupStore(Path({str(tmp_path)!r}), changelog="changelog")
        store.write({{b"k": header() + b"v"}}, position=1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            store.write({{b"%d" % i: header() + bytes(4_000) for i in range(1_000)}}, position=2)
        except LogFullError as error:
            assert {str(tmp_path)!r} in str(error) and "MB are free. Free some" in str(error), error
            assert dict(store.scan()) == {{b"k": header() + b"v"}}
            assert store.position == 1
            store.write({{b"k": header() + b"w"}})
        else:
            raise AssertionError("the write went through")
        """
    )
    store = open_store(tmp_path)
    assert store.get(b"k") == header() + b"w"
    store.close()


def test_a_disk_that_is_full_when_a_store_is_opened_or_closed_is_told_as_full(tmp_path: Path) -> None:
    python(
        f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = Path({str(tmp_path)!r})
        store = KeyGroupStore(path / "a", changelog="changelog")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, resource.RLIM_INFINITY))
        for call in (lambda: KeyGroupStore(path / "b", changelog="changelog"), store.close):
            try:
                call()
            except LogFullError as error:
                assert str(path) in str(error) and "MB are free. Free some" in str(error), error
            else:
                raise AssertionError("it went through")
        """
    )


def test_a_store_that_was_abandoned_is_taken_over_as_it_was(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write({b"k": header() + b"v"}, position=7)
    store.abandon()
    again = open_store(tmp_path)
    assert (again.position, again.rebuilt_because, again.get(b"k")) == (7, None, header() + b"v")
    again.close()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path / "file" / "store")


def test_a_header_is_as_long_as_it_says() -> None:
    assert len(header(0, NEVER)) == HEADER_BYTES


def python(code: str) -> None:
    """Runs code in a process of its own, which ends without closing anything."""
    opening = (
        "from pathlib import Path\nimport os\nfrom config.errors import LogFullError\n"
        "from operators.state.store import KeyGroupStore, header\n"
    )
    body = opening + textwrap.dedent(code) + "\nos._exit(0)"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
