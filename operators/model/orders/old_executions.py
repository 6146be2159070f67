"""The executions of an order that left its row: chunks stored once beside it, and the index that finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from operators.model.orders.hash_index import CHUNK, HashIndex, Load, page_names
from operators.model.orders.stored_executions import HASH_FLAG, hash_identity, hash_of, identity_of, split

_HASH: Final = HASH_FLAG - 1


class Beside(NamedTuple):
    """What is to be stored beside a row, under the order's key and this name."""

    key: bytes
    name: bytes
    value: bytes


class OldExecutions:
    """Those of one order, in chunks of `CHUNK`; what it wrote and did not hand out yet included."""

    def __init__(self, chunks: int, load: Load) -> None:
        self._count, self._load = chunks, load
        self._written: dict[bytes, bytes] = {}
        self._index = HashIndex(chunks, self._read)

    def add(self, entries: Sequence[bytes]) -> None:
        """Takes in a whole chunk."""
        assert len(entries) == CHUNK, "chunks are full, so that the place of an entry tells its chunk"
        self._written[_chunk_name(self._count)] = b"".join(entries)
        self._index.add([hash_of(entry) & _HASH for entry in entries])
        self._count += 1

    def take(self) -> dict[bytes, bytes]:
        """What was written since the last call, by name."""
        written, self._written = self._written, {}
        return written | self._index.take()

    def suspected(self, hashes: Sequence[int]) -> list[bool]:
        """Whether executions of the same hash are among them: most probably of the same identity."""
        return self._index.has([value & _HASH for value in hashes])

    def named(self, identity: bytes) -> list[bytes]:
        """The entries of an identity, by the identity part of entries."""
        chunks = self._index.chunks(hash_identity(identity) & _HASH)
        return [entry for entry in self._in_chunks(chunks) if identity_of(entry) == identity]

    def everything(self) -> list[bytes]:
        """All entries, oldest first."""
        return self._in_chunks(range(self._count))

    def _in_chunks(self, chunks: Sequence[int]) -> list[bytes]:
        found = self._read([_chunk_name(chunk) for chunk in chunks]) if chunks else ()
        return [entry for chunk in found for entry in split(chunk)]

    def _read(self, names: Sequence[bytes]) -> list[bytes]:
        stored = [name for name in names if name not in self._written]
        loaded = dict(zip(stored, self._load(stored), strict=True)) if stored else {}
        return [self._written[name] if name in self._written else loaded[name] for name in names]


def names_beside(chunks: int) -> Iterator[bytes]:
    """The names of all that may lie beside a row with so many chunks."""
    yield from map(_chunk_name, range(chunks))
    yield from page_names(chunks)


def _chunk_name(number: int) -> bytes:
    return b"chunk" + number.to_bytes(4, "big")
