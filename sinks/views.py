"""The views of keyed steps, read from their local stores by any process of the host while the flow goes on writing.

Readers see committed data only, whole epochs at a time, and never hold up the flow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from config.errors import StoreError
from config.settings import Settings
from operators.model.fees.ledger import AccountMonth
from operators.model.positions.positions import Position
from operators.model.surveillance.alerts import AlertEpisode
from operators.model.views.children import Child, Children, child_suffix, read_child
from operators.model.views.dashboard import TOTAL_SIZE_MS, Aggregate
from operators.model.views.timeline import Entry, Timeline, all_entries, chunk_suffix
from operators.state.reader import StoreReader
from operators.state.windows import parse_window_key

FLOW: Final = "views"
POSITIONS: Final = "positions"
FEE_LEDGER: Final = "fee_ledger"
TIMELINE: Final = "timeline"
CHILDREN: Final = "children"
DASHBOARD: Final = "dashboard"
"""The steps of that flow which the typed readers know."""
SURVEILLANCE: Final = "surveillance"
ALERTS: Final = "alerts"
"""The flow that tells alerts, and its step which keeps them."""


class View:
    """The state of one step over all of its key groups on this host, as bytes by state key; a context manager.

    Key groups that appear, or are rebuilt, while it is open are seen. A key is looked for in every key group: a host
    holds few, and so nobody needs to know how keys are spread. Belongs to one thread; LMDB allows one per step and
    process at a time.

    `StoreError` where the flow has never run with this state folder.
    """

    def __init__(self, settings: Settings, flow: str, step: str) -> None:
        self._directory = settings.state.dir / settings.application.group_of(flow) / step
        self._description = f"step {step} of flow {flow}"
        self._readers: dict[Path, tuple[int, StoreReader]] = {}
        self._refresh()

    def get(self, key: str) -> bytes | None:
        """The value of one key."""
        for reader in self._refresh():
            if (value := reader.get(key)) is not None:
                return value
        return None

    def scan(self, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Keys with the prefix and their values: in order within a key group, one key group after the other."""
        for reader in self._refresh():
            yield from reader.scan(prefix)

    def as_of_ms(self) -> int | None:
        """The newest event time that any key group had processed when its store was last written; None before that.

        What happened later is not in the view yet. Event time of a flow that has nothing to do stands still.
        """
        newest = max(reader.stream_time_ms() for reader in self._refresh())
        return newest if newest >= 0 else None

    def written_at_s(self) -> float:
        """When any key group's store was last written, in seconds since 1970: a running flow writes every epoch."""
        self._refresh()
        return max((folder / "data.mdb").stat().st_mtime for folder in self._readers)

    def _refresh(self) -> Sequence[StoreReader]:
        """Readers of the key groups that are there now. A rebuilt store is another file under the same name."""
        found: dict[Path, int] = {}
        for data_file in self._directory.glob("[0-9]*/data.mdb"):
            try:
                found[data_file.parent] = data_file.stat().st_ino
            except FileNotFoundError:
                continue  # it is being rebuilt
        for folder, (inode, reader) in list(self._readers.items()):
            if found.get(folder) != inode:
                reader.close()
                del self._readers[folder]
        unreadable: StoreError | None = None
        for folder in sorted(found.keys() - self._readers.keys()):
            try:
                self._readers[folder] = (found[folder], StoreReader(folder))
            except StoreError as error:
                unreadable = error  # its owner may be about to set it up; the next call looks again
        if not self._readers:
            raise unreadable or StoreError(
                f"{self._directory}: no store of {self._description} here: has the flow run with this state folder "
                "(state.dir) and application.prefix?"
            )
        return [reader for _, reader in self._readers.values()]

    def close(self) -> None:
        """Lets go of the stores."""
        for _, reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Window(NamedTuple):
    """One window of the dashboard; `start_ms` is inclusive, its end, `size_ms` later, exclusive."""

    symbol: str
    venue: str
    size_ms: int
    start_ms: int
    aggregate: Aggregate


class OrderTimeline(NamedTuple):
    """All that was said about an order: the state of its timeline and every entry from the first."""

    state: Timeline
    entries: Sequence[Entry]


def read_positions(view: View, account_id: str | None = None) -> list[Position]:
    """The positions of an account, by default of all, ordered by account and symbol; `view` is of step `positions`."""
    prefix = f"{account_id}|" if account_id is not None else ""
    found = [_POSITION.decode(value) for key, value in view.scan(prefix) if "\0" not in key]
    return sorted(found, key=lambda position: (position.account_id, position.symbol))


def read_fees(view: View, account_id: str | None = None) -> list[AccountMonth]:
    """The months of an account's fees, by default of all, ordered by account and month; `view` is of `fee_ledger`."""
    prefix = f"{account_id}@" if account_id is not None else ""
    found = [_MONTH.decode(value) for _, value in view.scan(prefix)]
    chosen = [month for month in found if account_id in (None, month.account_id)]
    return sorted(chosen, key=lambda month: (month.account_id, month.month))


def read_timeline(view: View, order_key: str) -> OrderTimeline | None:
    """The timeline of an order, accountId|orderId; None if nothing is known of it. `view` is of step `timeline`."""
    value = view.get(order_key)
    if value is None:
        return None
    state = _TIMELINE.decode(value)
    chunks = [view.get(order_key + chunk_suffix(number)) for number in range(state.chunks)]
    written = [chunk for chunk in chunks if chunk is not None]
    # Chunks are written with the state that counts them and deleted with it: one that is missing was forgotten since.
    return OrderTimeline(state, list(all_entries(state, written))) if len(written) == len(chunks) else None


def read_children(view: View, parent_key: str) -> list[Child]:
    """The children of a parent, accountId|orderId, in the order in which they became known; step `children`."""
    value = view.get(parent_key)
    if value is None:
        return []
    count = _CHILDREN.decode(value).count
    written = [view.get(parent_key + child_suffix(number)) for number in range(count)]
    # A child whose timeline was forgotten and begun anew, by an event after its retention, was told of twice.
    return list({child.key: child for child in (read_child(one) for one in written if one is not None)}.values())


def read_alerts(view: View, account_id: str | None = None, *, open_only: bool = False) -> list[AlertEpisode]:
    """The episodes of an account, by default of all, by time; those that are not over if so wished; step `alerts`."""
    found = [_EPISODE.decode(value) for _, value in view.scan(account_id or "")]
    wanted = [
        episode
        for episode in found
        if account_id in (None, episode.alert.key.partition("|")[0]) and not (open_only and episode.cleared)
    ]
    return sorted(wanted, key=lambda each: (each.alert.raised_at, each.alert.key, each.alert.kind))


def read_totals(view: View) -> dict[tuple[str, str], Aggregate]:
    """The figures since the beginning by symbol and venue, for the open orders; `view` is of step `dashboard`."""
    totals = {}
    for state_key, value in view.scan():
        key, size, _ = parse_window_key(state_key)
        if size == TOTAL_SIZE_MS:
            symbol, _, venue = key.partition("|")
            totals[symbol, venue] = _AGGREGATE.decode(value)
    return totals


def read_windows(
    view: View,
    *,
    size_ms: int,
    symbol: str | None = None,
    venue: str | None = None,
    from_ms: int = 0,
    until_ms: int | None = None,
) -> list[Window]:
    """The windows of one size that start in [from, until), ordered by start, symbol and venue; step `dashboard`."""
    prefix = "" if symbol is None else f"{symbol}|" if venue is None else f"{symbol}|{venue}@{size_ms}@"
    found = []
    for state_key, value in view.scan(prefix):
        key, size, start = parse_window_key(state_key)
        its_symbol, _, its_venue = key.partition("|")
        wanted = size == size_ms and venue in (None, its_venue) and start >= from_ms
        if wanted and (until_ms is None or start < until_ms):
            found.append(Window(its_symbol, its_venue, size, start, _AGGREGATE.decode(value)))
    return sorted(found, key=lambda window: (window.start_ms, window.symbol, window.venue))


_POSITION: Final = msgspec.msgpack.Decoder(Position)
_MONTH: Final = msgspec.msgpack.Decoder(AccountMonth)
_TIMELINE: Final = msgspec.msgpack.Decoder(Timeline)
_CHILDREN: Final = msgspec.msgpack.Decoder(Children)
_EPISODE: Final = msgspec.msgpack.Decoder(AlertEpisode)
_AGGREGATE: Final = msgspec.msgpack.Decoder(Aggregate)
