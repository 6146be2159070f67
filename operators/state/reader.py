"""Reading a key group's store from outside: another process, while the owner goes on writing. Committed data only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import lmdb

from config.errors import StoreError
from operators.state.store import HEADER_BYTES

# Address space, not memory: large enough that the owner's growth does not ask for a new map under an open scan.
_MAP_BYTES: Final = 1 << 36


class StoreReader:
    """A read-only view of one key group's values, bodies without the engine's header; a context manager.

    Never holds up the owner, and sees whole epochs only: an epoch is one LMDB transaction per key group. Belongs to
    one thread.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._env = lmdb.open(str(path), readonly=True, max_dbs=4, lock=True, map_size=_MAP_BYTES)
            try:
                self._data = self._env.open_db(b"data", create=False)
                self._meta = self._env.open_db(b"meta", create=False)
            except BaseException:
                self._env.close()
                raise
        except lmdb.Error as error:
            raise StoreError(
                f"{path}: no store to read here: {error}; is the flow running with this state folder?"
            ) from error

    def get(self, key: str) -> bytes | None:
        """The body of one key."""
        with self._begin() as txn:
            value: bytes | None = txn.get(key.encode())
            return None if value is None else value[HEADER_BYTES:]

    def stream_time_ms(self) -> int:
        """The event time that the key group's records had reached at the last flush; -1 before the first."""
        with self._begin() as txn:
            return int(txn.get(b"stream_time", b"-1", db=self._meta))

    def scan(self, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Keys with the prefix in order, and their bodies; what belongs to the engine is left out."""
        start = prefix.encode() or b"\x01"
        with self._begin() as txn, txn.cursor() as cursor:
            found = cursor.set_range(start)
            while found and (key := cursor.key()).startswith(prefix.encode()):
                yield key.decode(), cursor.value()[HEADER_BYTES:]
                found = cursor.next()

    def _begin(self) -> Any:
        while True:
            try:
                return self._env.begin(db=self._data)
            except lmdb.MapResizedError:
                self._env.set_mapsize(0)  # the owner has grown it

    def close(self) -> None:
        """Lets go of the environment."""
        self._env.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
