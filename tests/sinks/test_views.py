"""The views as other processes read them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import msgspec
import pytest

from config.errors import StoreError
from config.settings import Settings
from operators.model.positions.positions import Position
from operators.model.views.dashboard import Aggregate
from operators.model.views.milestones import Progress
from operators.model.views.timeline import Entry, Timeline, chunk_suffix
from operators.state.windows import window_key
from sinks.views import View, read_positions, read_timeline, read_windows

encode = msgspec.msgpack.encode


@pytest.fixture
def settings(tmp_path):
    defaults = Settings()
    return replace(defaults, state=replace(defaults.state, dir=tmp_path))


def position(account, symbol, quantity=1):
    return Position(account_id=account, symbol=symbol, quantity=quantity, last_price=1, updated_at=0)


def entry(index):
    return Entry(index=index, occurred_at=index, origin="ENGINE", source="engine", sequence=index + 1, kind="NEW")


def test_keys_are_found_in_whatever_key_group_they_are(settings, owner_of):
    owner = owner_of("positions")
    owner.write(0, {"A|X": b"1"})
    owner.write(7, {"B|X": b"2"})
    with View(settings, "views", "positions") as view:
        assert [view.get(key) for key in ("A|X", "B|X", "C|X")] == [b"1", b"2", None]
        assert dict(view.scan()) == {"A|X": b"1", "B|X": b"2"}
        assert list(view.scan("B|")) == [("B|X", b"2")]


def test_what_the_owner_writes_while_the_view_is_open_is_seen_new_key_groups_included(settings, owner_of):
    owner = owner_of("positions")
    owner.write(0, {"A|X": b"1"})
    with View(settings, "views", "positions") as view:
        owner.write(0, {"A|X": b"2"})
        owner.write(5, {"B|X": b"3"})
        assert view.get("A|X") == b"2"
        assert view.get("B|X") == b"3"
        owner.write(0, {"A|X": None})
        assert view.get("A|X") is None


def test_a_store_that_was_deleted_and_rebuilt_is_followed(settings, owner_of):
    owner = owner_of("positions")
    owner.write(0, {"A|X": b"1"})
    owner.write(1, {"B|X": b"1"})
    with View(settings, "views", "positions") as view:
        assert view.get("A|X") == b"1"
        shutil.rmtree(owner.directory / "000")
        assert view.get("A|X") is None
        owner.write(0, {"A|X": b"2"}, reopen=True)
        assert view.get("A|X") == b"2"


def test_entries_of_the_engine_are_not_shown(settings, owner_of):
    owner_of("positions").write(0, {"\0stream-time": b"1", "A|X": b"1"})
    with View(settings, "views", "positions") as view:
        assert list(view.scan()) == [("A|X", b"1")]


def test_a_flow_that_never_ran_here_is_an_error_that_names_the_folder(settings, tmp_path):
    with pytest.raises(StoreError, match=rf"{tmp_path}/views/positions.*state.dir"):
        View(settings, "views", "positions")


def test_the_prefix_of_the_application_is_part_of_the_place(settings, owner_of):
    owner_of("positions", flow="blue-views").write(0, {"A|X": b"1"})
    settings = replace(settings, application=replace(settings.application, prefix="blue-"))
    with View(settings, "views", "positions") as view:
        assert view.get("A|X") == b"1"


def test_positions_of_an_account_are_those_of_no_other_whose_name_it_begins(settings, owner_of):
    owner = owner_of("positions")
    rows = [position("A1", "Z"), position("A1", "B"), position("A11", "B")]
    for group, row in enumerate(rows):
        owner.write(group, {f"{row.account_id}|{row.symbol}": encode(row)})
    with View(settings, "views", "positions") as view:
        assert [row.symbol for row in read_positions(view, "A1")] == ["B", "Z"]
        assert read_positions(view) == [rows[1], rows[0], rows[2]]
        assert read_positions(view, "A2") == []


def test_a_timeline_is_its_chunks_in_order_and_then_what_is_not_in_a_chunk_yet(settings, owner_of):
    first, second = [entry(n) for n in range(64)], [entry(n) for n in range(64, 128)]
    state = Timeline(progress=Progress(symbol="X"), chunks=2, entries=(entry(128),), last_event_at=128)
    key = "A|O"
    chunks = {key + chunk_suffix(0): encode(first), key + chunk_suffix(1): encode(second)}
    owner_of("timeline").write(3, {key: encode(state), **chunks})
    with View(settings, "views", "timeline") as view:
        found = read_timeline(view, key)
        assert found is not None
        assert [each.index for each in found.entries] == list(range(129))
        assert read_timeline(view, "A|OTHER") is None


def test_windows_are_chosen_by_size_symbol_venue_and_start(settings, owner_of):
    owner = owner_of("dashboard")
    for group, (key, size, start) in enumerate(
        [
            ("X|XNAS", 60_000, 60_000),
            ("X|XNAS", 60_000, 120_000),
            ("X|XNAS", 300_000, 60_000),
            ("X|XNYS", 60_000, 60_000),
            ("XY|XNAS", 60_000, 60_000),
        ]
    ):
        owner.write(group, {window_key(key, size_ms=size, start_ms=start): encode(Aggregate(orders=group))})

    with View(settings, "views", "dashboard") as view:

        def orders(**wanted):
            return [window.aggregate.orders for window in read_windows(view, **wanted)]

        assert orders(size_ms=60_000) == [0, 3, 4, 1]
        assert orders(size_ms=300_000) == [2]
        assert orders(size_ms=60_000, symbol="X") == [0, 3, 1]
        assert orders(size_ms=60_000, symbol="X", venue="XNYS") == [3]
        assert orders(size_ms=60_000, venue="XNAS") == [0, 4, 1]
        assert orders(size_ms=60_000, from_ms=120_000) == [1]
        assert orders(size_ms=60_000, until_ms=120_000) == [0, 3, 4]
