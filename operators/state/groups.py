"""The key groups of one step that this process works on: opened on demand, flushed one epoch late, closed together."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from broker.contract import Admin, Log, TopicPartition
from config.errors import BrokerUnavailableError
from operators.state.catch_up import STREAM_TIME_KEY, Progress, catch_up
from operators.state.store import KeyGroupStore

UNFLUSHED_MAX: Final = 400_000
FLUSH_EVERY_S: Final = 0.1
"""How often a store is written at most where values may stay in memory for longer: each time costs something."""
SIZE_EVERY_S: Final = 1.0


class StateSize(NamedTuple):
    """How much state of a step a process holds."""

    rows: int
    """Values in the local stores, as of the last flush."""
    unflushed: int
    """Changed keys whose values wait in memory to be written; most of them have an older value in the stores."""
    bytes: int
    """Of the local stores on disk."""


class GroupStores:
    """Stores of one step by key group, with the write-behind that keeps them from running ahead of the log.

    Values put during epoch N stay in memory until `epoch_began` is called for a newer one: by then N is committed
    everywhere. They may stay longer (`flush_interval_s`), so that a key that changes often is written once; the
    changelog has them, and the stored position says from where to read it.

    A position is stored in two steps. After a flush the changelog's ends are asked for; they are stored once a later
    epoch with changes of this process was committed. That commit proves that no successor had begun to write when the
    ends were asked for: a paused process that wakes must not note an end that covers what only its successor has.
    """

    def __init__(
        self,
        log: Log,
        *,
        client_id: str,
        directory: Path,
        changelog: str,
        flush_interval_s: float,
        position_interval_s: float,
        started_ns: int | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        on_size: Callable[[StateSize], None] = lambda _: None,
    ) -> None:
        """`started_ns`: when the process began to be one of the flow, by `since_boot_ns`; for its stores' ownership."""
        self.changelog = changelog
        self._log, self._client_id, self._directory = log, client_id, directory
        self._started_ns = started_ns
        self._flush_interval_s, self._position_interval_s = flush_interval_s, position_interval_s
        self._on_progress, self._on_size = on_progress, on_size
        self._stores: dict[int, KeyGroupStore] = {}
        self._queues: dict[int, _WriteBehind] = {}
        self._stream_time_ms: dict[int, int] = {}
        self._flushed_at_s = self._asked_at_s = self._sized_at_s = time.monotonic()
        self._asked_ends: Mapping[int, int] = {}
        self._proven_ends: dict[int, int] = {}
        self._due_after: dict[tuple[int, bool], bytes] = {}
        self._due_from_start_at_s = 0.0
        self._changed_since_asked = self._unpositioned = False
        self._admin: Admin | None = None

    def ensure(self, groups: Iterable[int]) -> list[int]:
        """Opens the groups not open yet and brings them up to their changelogs, all at once; which ones these were."""
        missing = [group for group in groups if group not in self._stores]
        if missing:
            with ExitStack() as undo:
                opened: dict[TopicPartition, KeyGroupStore] = {}
                for group in missing:
                    path = self._directory / f"{group:03d}"
                    store = KeyGroupStore(path, changelog=self.changelog, started_ns=self._started_ns)
                    undo.callback(store.abandon)
                    opened[TopicPartition(self.changelog, group)] = store
                catch_up(self._log, self._client_id, opened, self._on_progress)
                undo.pop_all()
            for tp, store in opened.items():
                self._stores[tp.partition] = store
                self._queues[tp.partition] = _WriteBehind()
                self._stream_time_ms[tp.partition] = store.stream_time_ms
            self._on_size(self.size())
        return missing

    @property
    def open_groups(self) -> list[int]:
        """The groups open now."""
        return list(self._stores)

    def get_many(self, group: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Values of those keys that have one, as of the last put."""
        unflushed = self._queues[group].values
        if not unflushed:
            return self._stores[group].get_many(keys)
        found = self._stores[group].get_many([key for key in keys if key not in unflushed])
        for key in keys:
            if (value := unflushed.get(key)) is not None:
                found[key] = value
        return found

    def put_many(self, group: int, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Values of the present epoch; None forgets a key."""
        self._queues[group].values.update(zip(keys, values, strict=True))
        self._changed_since_asked = self._unpositioned = True

    def due(self, group: int, until_ms: int, limit: int, *, wall: bool = False) -> list[tuple[int, bytes]]:
        """Keys whose due time has come, as of the last flush.

        What was returned is not returned again before its new value can be expected to be flushed.
        """
        found = self._stores[group].due(until_ms, limit, wall=wall, after=self._due_after.get((group, wall), b""))
        if found:
            time_ms, key = found[-1]
            self._due_after[group, wall] = time_ms.to_bytes(8, "big") + key
        return found

    def stream_time_ms(self, group: int) -> int:
        """The event time that the group's records have reached; -1 before the first."""
        return self._stream_time_ms[group]

    def advance_stream_time(self, group: int, time_ms: int) -> None:
        """Moves the group's event time forward and puts it among the state, so that a restart goes on from it."""
        self._stream_time_ms[group] = time_ms

    def stream_time_change(self, group: int) -> tuple[bytes, bytes]:
        """The changelog entry that says how far the group's event time is."""
        return STREAM_TIME_KEY, b"%d" % self._stream_time_ms[group]

    def epoch_began(self) -> None:
        """To be called at the first sight of a newer epoch, before anything of it is put; flushes what is old."""
        self._prove()
        now = time.monotonic()
        over = self._unflushed_count() > UNFLUSHED_MAX
        if now - self._flushed_at_s >= min(self._flush_interval_s, FLUSH_EVERY_S) or over:
            self._flushed_at_s = now
            for queue in self._queues.values():
                queue.mark(now)
            self._flush(math.inf if over else now - self._flush_interval_s)
        if now - self._sized_at_s >= SIZE_EVERY_S:
            self._sized_at_s = now
            self._on_size(self.size())
        if now - self._due_from_start_at_s >= 2 * self._flush_interval_s:
            self._due_after.clear()
            self._due_from_start_at_s = now
        # Not while the last ones wait for what was dirty then: asking anew would make them wait for ever.
        waits = self._proven_ends or not self._unpositioned
        if now - self._asked_at_s >= self._position_interval_s and not waits:
            self._asked_ends, self._asked_at_s = self._ends(), now
            self._changed_since_asked = False
            self._unpositioned = not self._asked_ends
            for queue in self._queues.values():
                queue.remember()

    def proof(self) -> tuple[int, bytes, bytes] | None:
        """A harmless change that an idle step commits once, so that the position it asked for counts; None if needless.

        Group, changelog key and value. Without it a flow that falls silent would keep the position of its busy time,
        and its restart would go through all that came since.
        """
        if not self._asked_ends or self._changed_since_asked:
            return None
        self._changed_since_asked = True
        group = next(iter(self._stores))
        return group, *self.stream_time_change(group)

    def _prove(self) -> None:
        """Takes the ends asked for as positions if everything put since is committed and there was something."""
        if self._asked_ends and self._changed_since_asked:
            self._proven_ends, self._asked_ends = dict(self._asked_ends), {}

    def _flush(self, until_s: float) -> None:
        """Writes what became dirty until then; a position, once all that was dirty when it was asked for is written."""
        for group, queue in self._queues.items():
            changes = queue.take(until_s)
            end = self._proven_ends.pop(group, None) if queue.remembered_are_taken() else None
            if changes or end is not None:
                self._stores[group].write(changes, position=end, stream_time_ms=self._stream_time_ms[group])

    def _unflushed_count(self) -> int:
        return sum(len(queue.values) for queue in self._queues.values())

    def _ends(self) -> Mapping[int, int]:
        """The committed end of each group's changelog; nothing if the log does not answer: it is asked again later."""
        if self._admin is None:
            self._admin = self._log.admin()
        try:
            ends = self._admin.ends([TopicPartition(self.changelog, group) for group in self._stores])
        except BrokerUnavailableError:
            return {}
        return {tp.partition: end for tp, end in ends.items()}

    def size(self) -> StateSize:
        """How much there is now. Only for the thread that writes: a store's map may move while another one looks."""
        stores = self._stores.values()
        rows, size_bytes = sum(store.entries() for store in stores), sum(store.size_bytes() for store in stores)
        return StateSize(rows, self._unflushed_count(), size_bytes)

    def close(self, *, committed: bool) -> None:
        """Closes every store; `committed` says that all that was put is committed and may be flushed first."""
        with ExitStack() as stack:
            stack.callback(self._stores.clear)
            if self._admin is not None:
                stack.callback(self._admin.close)
            for store in self._stores.values():
                stack.callback(store.close)
            if committed:
                self._prove()
                self._flush(math.inf)


class _WriteBehind:
    """Values of one key group on their way to disk, in the order in which their keys became dirty.

    A key that changes again keeps its place, so that it is written with its newest value when its time has come.
    """

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self._marks: deque[tuple[float, int]] = deque()
        self._marked = 0
        self._remembered = 0

    def mark(self, now_s: float) -> None:
        """Notes that the keys that became dirty since the last mark did so until now."""
        if fresh := len(self.values) - self._marked:
            self._marks.append((now_s, fresh))
            self._marked += fresh

    def remember(self) -> None:
        """Notes which keys are dirty now."""
        self._remembered = len(self.values)

    def remembered_are_taken(self) -> bool:
        """True if every key that was dirty at the last `remember` has been taken since."""
        return self._remembered <= 0

    def take(self, until_s: float) -> dict[bytes, bytes | None]:
        """Removes and returns what became dirty until then."""
        count = 0
        while self._marks and self._marks[0][0] <= until_s:
            count += self._marks.popleft()[1]
        if until_s == math.inf or count >= len(self.values):
            taken, self.values = self.values, {}
            self._marks.clear()
        else:
            taken = {key: self.values.pop(key) for key in list(islice(self.values, count))}
        self._marked = sum(count for _, count in self._marks)
        self._remembered -= len(taken)
        return taken
