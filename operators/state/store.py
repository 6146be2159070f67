"""The state of one key group of one step: an LMDB environment that never runs ahead of the log.

Layout of the environment, one named database each:

    data   state key -> value; a value opens with the event time (int64, big-endian, ms) at which it is due
    due    due time + state key -> nothing; the index that finds what event time has reached
    wall   the same for wall-clock time
    meta   owner and when it started, changelog position and its age, stream time, boot id, clean

A value is `due (8 bytes) | wall due (8 bytes) | body`. Keys starting with a zero byte belong to the engine.
LMDB runs without fsync: a killed process loses nothing, a killed machine may; so a store last written under another
boot id, and not closed cleanly, is not trusted and is rebuilt from the changelog.
"""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lmdb

from config.crash_points import CrashPoint, reach
from config.disk import require_space, says_full, space_at
from config.errors import LogFullError, StoreError, StoreFencedError

NEVER: Final = (1 << 63) - 1
HEADER_BYTES: Final = 16
STATE_KEY_BYTES_MAX: Final = 503  # LMDB holds 511; the due index puts eight more in front
KEY_BYTES_MAX: Final = 440
"""Longest key of a record: what a step appends to it (a window, a chunk's number) must fit as well."""
_NEVER_BYTES: Final = NEVER.to_bytes(8, "big")
_NOT_DUE: Final = _NEVER_BYTES * 2
_MAP_BYTES_FIRST: Final = 1 << 26
_GROWTH: Final = 2
STARTED: Final = b"started"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NO_BOOT_ID: Final = "unknown"


def header(due_ms: int = NEVER, wall_due_ms: int = NEVER) -> bytes:
    """The first bytes of a value: when event time, and when the wall clock, must look at it again."""
    if due_ms == wall_due_ms == NEVER:
        return _NOT_DUE
    return due_ms.to_bytes(8, "big") + wall_due_ms.to_bytes(8, "big")


def boot_id() -> str:
    """Identifies the running kernel: it changes when the machine restarts and unsynced pages may be lost."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return NO_BOOT_ID


def since_boot_ns() -> int:
    """Nanoseconds since the machine started, sleep included: a clock that nobody sets, the same for all processes."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic_ns()


class KeyGroupStore:
    """One key group's values on local disk, owned by one process at a time.

    Opening takes ownership; whoever owned the store before gets `StoreFencedError` at its next write, so that a
    paused process that wakes cannot overwrite what its successor wrote. Nor can it take a store that a process owns
    which started after it (`started_ns`, see `since_boot_ns`; by default now): it is refused as well.
    """

    def __init__(self, path: Path, *, changelog: str, started_ns: int | None = None) -> None:
        self.path = path
        self._owner = uuid.uuid4().bytes
        self._started_ns = since_boot_ns() if started_ns is None else started_ns
        try:
            self._open(changelog)
        except _UNUSABLE as error:
            self.rebuilt_because: str | None = str(error) or type(error).__name__
            self._wipe()
            self._open(changelog)
        else:
            self.rebuilt_because = None

    def _open(self, changelog: str) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            require_space(self.path)
            env = lmdb.open(
                str(self.path), map_size=_MAP_BYTES_FIRST, max_dbs=4, sync=False, metasync=False, writemap=False
            )
        except _UNUSABLE:
            raise
        except (lmdb.Error, OSError) as error:
            raise self._broken("opened", error, hint="; check permissions") from error
        self._env = env
        try:
            self._take_over(changelog)
        except BaseException as error:
            env.close()
            if isinstance(error, lmdb.Error) and not isinstance(error, _UNUSABLE):
                raise self._broken("taken over", error) from error
            raise

    def _take_over(self, changelog: str) -> None:
        env = self._env
        if (self.path / "data.mdb").stat().st_size < self.size_bytes():
            raise UnusableError("its file is cut short")
        env.reader_check()  # a killed reader leaves its slot behind, which would keep old pages from being reused
        self._data, self._due, self._wall, self._meta = (
            env.open_db(name) for name in (b"data", b"due", b"wall", b"meta")
        )
        with env.begin(write=True) as txn:
            self._check_successor(txn)
            was_clean = txn.delete(b"clean", db=self._meta)
            if not was_clean and txn.get(b"boot", db=self._meta) not in (None, boot_id().encode()):
                raise UnusableError("written before the machine restarted and not closed cleanly")
            if txn.get(b"changelog", changelog.encode(), db=self._meta) != changelog.encode():
                raise UnusableError("it belongs to another changelog")
            txn.put(b"owner", self._owner, db=self._meta)
            txn.put(STARTED, b"%d" % self._started_ns, db=self._meta)
            txn.put(b"boot", boot_id().encode(), db=self._meta)
            txn.put(b"changelog", changelog.encode(), db=self._meta)
            self.position = int(txn.get(b"position", b"0", db=self._meta))
            self.position_at_s = float(txn.get(b"position_at", b"0", db=self._meta))
            self.stream_time_ms = int(txn.get(b"stream_time", b"-1", db=self._meta))
        if was_clean:
            # Or a machine that stops might show the clean mark of before, over pages that were used again since.
            env.sync(True)

    def _check_successor(self, txn: Any) -> None:
        """Owners of another boot are gone, whatever their clock said; where boots are not told apart, nothing is."""
        boot = boot_id()
        if boot == NO_BOOT_ID or txn.get(b"boot", db=self._meta) != boot.encode():
            return
        if int(txn.get(STARTED, b"0", db=self._meta)) > self._started_ns:
            raise StoreFencedError(
                f"{self.path}: a process that started after this one has opened this store; this one must end"
            )

    def _wipe(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def reset(self) -> None:
        """Drops everything and starts empty at changelog position 0. The file stays, so that readers follow."""
        self._write({}, position=0, stream_time_ms=-1, empty_first=True)
        self.position, self.position_at_s, self.stream_time_ms = 0, time.time(), -1

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that have one."""
        with self._env.begin(db=self._data) as txn, txn.cursor() as cursor:
            return dict(cursor.getmulti(keys))

    def get(self, key: bytes) -> bytes | None:
        """The value of one key."""
        with self._env.begin(db=self._data) as txn:
            value: bytes | None = txn.get(key)
            return value

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All keys with the prefix, in order, and their values."""
        with self._env.begin(db=self._data) as txn, txn.cursor() as cursor:
            found = cursor.set_range(prefix) if prefix else cursor.first()
            while found and (key := cursor.key()).startswith(prefix):
                yield key, cursor.value()
                found = cursor.next()

    def due(self, until_ms: int, limit: int, *, wall: bool = False, after: bytes = b"") -> list[tuple[int, bytes]]:
        """Keys whose due time is at or before `until_ms`, earliest first, with that time; those `after` an entry.

        Writing never looks for a key's earlier entries in the index; the ones that no longer hold go when they are met.
        """
        if until_ms < 0:
            return []
        stop, index, at = until_ms.to_bytes(8, "big"), *((self._wall, 8) if wall else (self._due, 0))
        found: list[tuple[int, bytes]] = []
        stale: list[bytes] = []
        with self._env.begin() as txn, txn.cursor(index) as cursor:
            more = cursor.set_range(after + b"\0") if after else cursor.first()
            while more and (entry := cursor.key())[:8] <= stop and len(found) + len(stale) < limit:
                value = txn.get(entry[8:], db=self._data)
                if value is not None and value[at : at + 8] == entry[:8]:
                    found.append((int.from_bytes(entry[:8], "big"), entry[8:]))
                else:
                    stale.append(entry)
                more = cursor.next()
        if stale:
            self._write({}, position=None, stream_time_ms=None, stale=(index, stale))
        return found

    def write(
        self,
        changes: Mapping[bytes, bytes | None],
        *,
        position: int | None = None,
        stream_time_ms: int | None = None,
    ) -> None:
        """Applies values (None deletes) and, with them, how far into the changelog this store now reaches.

        Raises:
            StoreFencedError: another process has opened this store since.
            LogFullError: the disk is full; nothing of this call was written.

        """
        reach(CrashPoint.STORE_FLUSHING)  # a crash here or within costs nothing: the changelog has the values
        self._write(changes, position=position, stream_time_ms=stream_time_ms)
        if position is not None:
            self.position, self.position_at_s = position, time.time()
        if stream_time_ms is not None:
            self.stream_time_ms = stream_time_ms
        reach(CrashPoint.STORE_FLUSHED)  # a crash here makes the changelog apply the same values again: harmless

    def _write(
        self,
        changes: Mapping[bytes, bytes | None],
        *,
        position: int | None,
        stream_time_ms: int | None,
        empty_first: bool = False,
        stale: tuple[Any, Sequence[bytes]] | None = None,
    ) -> None:
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    self._check_owner(txn)
                    if empty_first:
                        for table in (self._data, self._due, self._wall):
                            txn.drop(table, delete=False)
                    if stale is not None:
                        for entry in stale[1]:
                            txn.delete(entry, db=stale[0])
                    self._apply(txn, changes)
                    self._note(txn, position, stream_time_ms)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * _GROWTH)
            except lmdb.Error as error:
                raise self._broken("written", error) from error

    def _check_owner(self, txn: Any) -> None:
        if txn.get(b"owner", db=self._meta) != self._owner:
            raise StoreFencedError(f"{self.path}: another process owns this store now; this one must end")

    def _note(self, txn: Any, position: int | None, stream_time_ms: int | None) -> None:
        if position is not None:
            txn.put(b"position", b"%d" % position, db=self._meta)
            txn.put(b"position_at", b"%f" % time.time(), db=self._meta)
        if stream_time_ms is not None:
            txn.put(b"stream_time", b"%d" % stream_time_ms, db=self._meta)

    def _apply(self, txn: Any, changes: Mapping[bytes, bytes | None]) -> None:
        if not changes:
            return
        puts: list[tuple[bytes, bytes]] = []
        due: list[tuple[bytes, bytes]] = []
        wall: list[tuple[bytes, bytes]] = []
        for key in sorted(changes):
            value = changes[key]
            if value is None:
                txn.delete(key, db=self._data)
                continue
            puts.append((key, value))
            if value[:HEADER_BYTES] != _NOT_DUE:
                if value[:8] != _NEVER_BYTES:
                    due.append((value[:8] + key, b""))
                if value[8:HEADER_BYTES] != _NEVER_BYTES:
                    wall.append((value[8:HEADER_BYTES] + key, b""))
        for table, entries in ((self._data, puts), (self._due, sorted(due)), (self._wall, sorted(wall))):
            if entries:
                with txn.cursor(table) as cursor:
                    cursor.putmulti(entries)

    def entries(self) -> int:
        """How many values there are."""
        with self._env.begin() as txn:
            count: int = txn.stat(self._data)["entries"]
            return count

    def size_bytes(self) -> int:
        """Bytes of the environment in use."""
        info, page = self._env.info(), self._env.stat()["psize"]
        return int((info["last_pgno"] + 1) * page)

    def close(self) -> None:
        """Synchronises to disk and marks the store clean, so that a restarted machine may trust it."""
        try:
            self._env.sync(True)
            with self._env.begin(write=True) as txn:
                if txn.get(b"owner", db=self._meta) == self._owner:
                    txn.put(b"clean", b"1", db=self._meta)
            self._env.sync(True)
        except lmdb.Error as error:
            raise self._broken("closed cleanly", error) from error
        finally:
            self._env.close()

    def abandon(self) -> None:
        """Lets go of it as it is, as if the process was killed: the next owner takes it over just as well."""
        self._env.close()

    def _broken(self, done: str, error: Exception, hint: str = "") -> StoreError | LogFullError:
        """What to raise when the store cannot be opened, written, closed."""
        if isinstance(error, lmdb.DiskError) or says_full(error):
            return LogFullError(
                f"{self.path}: cannot be {done}: {error}. The disk may be full: {space_at(self.path)}. Free some, or "
                "set state.dir to a larger disk; the flow resumes exactly, and rebuilds stores that are not there"
            )
        return StoreError(f"{self.path}: cannot be {done}: {error}{hint}")


class UnusableError(StoreError):
    """The store on disk cannot be trusted or is not ours; it is dropped and rebuilt."""


_UNUSABLE: Final = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError, UnusableError)
