"""The LMDB environment under an embedded log: opened once per process, grown when full, its errors made ours."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from config.disk import require_space, says_full, space_at
from config.errors import BrokerUnavailableError, LogFullError

Result = TypeVar("Result")

TABLES = ("topics", "partitions", "records", "keys", "offsets", "epochs", "counters")
_READERS_MAX = 1024


class Environment:
    """One LMDB environment, shared by everything in this process that uses the same path.

    LMDB forbids opening a path twice in one process, and resizing the map while a transaction is open. So `acquire`
    counts users of one instance, and a gate lets either transactions or a resize in. Other processes may open the
    same path at the same time; LMDB serializes writers among them and frees the lock of a killed one.
    """

    _open: dict[str, Environment] = {}  # noqa: RUF012 - process-wide on purpose: LMDB's own rule is per process
    _open_lock = threading.Lock()

    def __init__(self, path: str, *, map_bytes: int, durable: bool) -> None:
        self.path = path
        self._users = 0
        self._gate = _Gate()
        with _our_errors(path):
            Path(path).mkdir(parents=True, exist_ok=True)
            require_space(path)
            self._environment = lmdb.open(
                path,
                map_size=map_bytes,
                sync=durable,
                max_dbs=len(TABLES),
                max_readers=_READERS_MAX,
                readahead=False,
                meminit=False,
            )
            # A killed process leaves its reader slot behind, which would keep old pages from being reused.
            self._environment.reader_check()
            try:
                self.tables: dict[str, Any] = self._open_tables()
            except BaseException:
                self._environment.close()
                raise

    @classmethod
    def acquire(cls, path: str, *, map_bytes: int, durable: bool) -> Environment:
        """The environment at `path`, opened on first use; the first user's options hold. Pair with `release`."""
        real_path = os.path.realpath(path)
        with cls._open_lock:
            environment = cls._open.get(real_path)
            if environment is None:
                environment = cls(real_path, map_bytes=map_bytes, durable=durable)
                cls._open[real_path] = environment
            environment._users += 1
            return environment

    def release(self) -> None:
        """Ends one use; the last one closes the environment."""
        with self._open_lock:
            self._users -= 1
            if self._users == 0:
                del self._open[self.path]
                self._environment.close()

    def last_change(self) -> int:
        """Number of the last committed write, by any process: the cheap answer to "is there anything new"."""
        with self._gate.shared():
            return int(self._environment.info()["last_txnid"])

    @contextmanager
    def read(self) -> Iterator[Any]:
        """A read transaction: one consistent view of everything committed before it began."""
        with _our_errors(self.path):
            transaction = self._begin(write=False)
            try:
                yield transaction
            finally:
                transaction.abort()
                self._gate.leave()

    def write(self, change: Callable[[Any], Result]) -> Result:
        """Runs `change` in one write transaction, all or nothing.

        `change` is run again after the map has grown, so it must have no effect outside the transaction. Raises
        `LogFullError` if the disk is full; the environment stays usable.
        """
        with _our_errors(self.path):
            while True:
                try:
                    return self._write_once(change)
                except lmdb.MapFullError:
                    self._grow()

    def _write_once(self, change: Callable[[Any], Result]) -> Result:
        transaction = self._begin(write=True)
        try:
            result = change(transaction)
            transaction.commit()
        except BaseException:
            transaction.abort()
            raise
        finally:
            self._gate.leave()
        return result

    def _begin(self, *, write: bool) -> Any:
        """A transaction inside the gate. Another process may have grown the map: then this one follows first."""
        while True:
            self._gate.enter()
            try:
                return self._environment.begin(write=write)
            except lmdb.MapResizedError:
                self._gate.leave()
                with self._gate.exclusive():
                    self._environment.set_mapsize(0)
            except BaseException:
                self._gate.leave()
                raise

    def _grow(self) -> None:
        with self._gate.exclusive():
            self._environment.reader_check()
            self._environment.set_mapsize(self._environment.info()["map_size"] * 2)

    def _open_tables(self) -> dict[str, Any]:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    return {name: self._environment.open_db(name.encode(), txn=transaction) for name in TABLES}
            except lmdb.MapResizedError:
                self._environment.set_mapsize(0)


class _Gate:
    """Lets many transactions in, or one resize, never both."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    def enter(self) -> None:
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._inside += 1

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            if self._inside == 0:
                self._changed.notify_all()

    @contextmanager
    def shared(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._closed = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


@contextmanager
def _our_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (lmdb.MapFullError, lmdb.MapResizedError):
        raise
    except (lmdb.Error, OSError) as error:
        if isinstance(error, lmdb.DiskError) or says_full(error):
            raise LogFullError(
                f"the disk under the embedded log {path} is full ({error}; {space_at(path)}): nothing of this "
                "transaction was written. Free space on that disk and start again; it resumes exactly."
            ) from error
        raise BrokerUnavailableError(f"the embedded log {path} cannot be used: {error}") from error
