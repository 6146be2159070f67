"""One event's view of the parts of an account: what is asked for is read, what is different afterwards is kept.

Account, orders and symbols are working copies, which the event changes in place; other parts are put anew. Nothing
that was read is changed: an event that fails half-way leaves nothing behind, and whoever runs the rules writes back
exactly what `changes` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from hashlib import blake2b
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec
from msgspec.structs import replace

from operators.model.risk.state import IDS_PER_BUCKET, AccountRisk, Closed, OrderRisk, Resting, SymbolRisk

_T = TypeVar("_T")
_Copied = TypeVar("_Copied", bound=msgspec.Struct)

_BUCKETS: Final = 64
_DIGEST_BYTES: Final = 8

Read = Callable[[str, msgspec.msgpack.Decoder[Any]], Any]
"""The stored part under a suffix, decoded; None if there is none."""


class Book:
    """The parts of one account during one event."""

    def __init__(self, account: AccountRisk | None, read: Read) -> None:
        self._read = read
        self._parts: dict[str, Any] = {}
        self._copied_from: dict[str, Any] = {}
        self._put: dict[str, None] = {}
        self.account = AccountRisk() if account is None else replace(account)

    def changes(self) -> dict[str, Any]:
        """The parts to write back, by suffix; None forgets one."""
        parts = self._parts
        changed = {suffix: parts[suffix] for suffix in self._put}
        for suffix, stored in self._copied_from.items():
            part = parts[suffix]
            if part != stored:
                changed[suffix] = None if part == _EMPTY_SYMBOL else part
        return changed

    def order(self, order_id: str) -> OrderRisk | None:
        """An order, to be changed in place; None if nothing is known of it.

        What a change does to the account is worked out by `exposure.settle`.
        """
        return self._copied(f"|order|{order_id}", _ORDER)

    def put_order(self, order_id: str, order: OrderRisk | None) -> None:
        """Keeps an order that was not known, or forgets one."""
        self._keep(f"|order|{order_id}", order)

    def symbol(self, symbol: str) -> SymbolRisk:
        """The account in a symbol, to be changed in place. It is forgotten when it says nothing any more."""
        suffix = f"|symbol|{symbol}"
        part = self._copied(suffix, _SYMBOL)
        if part is None:
            part = self._parts[suffix] = SymbolRisk()
            self._copied_from[suffix] = _EMPTY_SYMBOL
        return part

    def resting(self, symbol: str, order_id: str) -> dict[str, Resting]:
        """Those resting orders outside the symbol's part that are kept with this one."""
        return self._get(_resting_part(symbol, order_id), _RESTING) or {}

    def put_resting(self, symbol: str, order_id: str, resting: dict[str, Resting]) -> None:
        """Keeps the resting orders that are kept with this one."""
        self._keep(_resting_part(symbol, order_id), resting or None)

    def all_resting(self, symbol: str) -> dict[str, Resting]:
        """Every resting order of the account in a symbol."""
        part = self.symbol(symbol)
        found = dict(part.resting)
        if part.elsewhere:
            for bucket in range(_BUCKETS):
                others: dict[str, Resting] | None = self._get(f"|resting|{symbol}|{bucket:02x}", _RESTING)
                found |= others or {}
        return found

    def times(self, of: str) -> tuple[int, ...]:
        """The remembered times of something, as `times` has them."""
        return self._get(f"|times|{of}", _TIMES) or ()

    def put_times(self, of: str, times: tuple[int, ...]) -> None:
        """Keeps the times of something."""
        self._keep(f"|times|{of}", times or None)

    def located(self, locate_id: str) -> int:
        """How much of a locate is used up."""
        return self._get(f"|locate|{locate_id}", _COUNT) or 0

    def put_located(self, locate_id: str, quantity: int) -> None:
        """Keeps how much of a locate is used up."""
        self._keep(f"|locate|{locate_id}", quantity or None)

    def closed(self, slot: int) -> Closed | None:
        """Which order closed into this slot of the ring of closed orders."""
        return self._get(f"|closed|{slot}", _CLOSED)

    def put_closed(self, slot: int, closed: Closed) -> None:
        """Keeps which order closed into the slot."""
        self._keep(f"|closed|{slot}", closed)

    def knows_id(self, cl_ord_id: str) -> bool:
        """Whether the account used this ClOrdID among its latest."""
        digest, part = _digest(cl_ord_id)
        return _has(self._get(part, _BYTES) or b"", digest)

    def add_id(self, cl_ord_id: str) -> None:
        """Remembers a ClOrdID, and forgets the oldest of its bucket."""
        digest, part = _digest(cl_ord_id)
        known = self._get(part, _BYTES) or b""
        if not _has(known, digest):
            self._keep(part, (known + digest)[-IDS_PER_BUCKET * _DIGEST_BYTES :])

    def _get(self, suffix: str, decoder: msgspec.msgpack.Decoder[_T]) -> _T | None:
        if suffix not in self._parts:
            self._parts[suffix] = self._read(suffix, decoder)
        part: _T | None = self._parts[suffix]
        return part

    def _copied(self, suffix: str, decoder: msgspec.msgpack.Decoder[_Copied]) -> _Copied | None:
        part: _Copied | None
        if suffix in self._parts:
            part = self._parts[suffix]
            return part
        stored: _Copied | None = self._read(suffix, decoder)
        part = self._parts[suffix] = None if stored is None else replace(stored)
        if stored is not None:
            self._copied_from[suffix] = stored
        return part

    def _keep(self, suffix: str, part: Any) -> None:
        self._parts[suffix] = part
        self._put[suffix] = None


def symbol_part(symbol: str) -> str:
    """The suffix under which the account's part in a symbol is kept."""
    return f"|symbol|{symbol}"


def memory_book(account: AccountRisk | None, parts: Mapping[str, bytes]) -> Book:
    """A book over parts in memory."""

    def read(suffix: str, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
        return decoder.decode(parts[suffix]) if suffix in parts else None

    return Book(account, read)


def keep(parts: MutableMapping[str, bytes], changes: Mapping[str, Any]) -> None:
    """Writes a book's changes back to parts in memory."""
    for suffix, part in changes.items():
        if part is None:
            parts.pop(suffix, None)
        else:
            parts[suffix] = msgspec.msgpack.encode(part)


def _resting_part(symbol: str, order_id: str) -> str:
    return f"|resting|{symbol}|{crc32(order_id.encode()) % _BUCKETS:02x}"


def _digest(cl_ord_id: str) -> tuple[bytes, str]:
    """What is kept of a ClOrdID, 8 bytes, so that two are taken for one once in 10^16 times; and the part it is in."""
    digest = blake2b(cl_ord_id.encode(), digest_size=_DIGEST_BYTES).digest()
    return digest, f"|ids|{digest[0] % _BUCKETS:02x}"


def _has(known: bytes, digest: bytes) -> bool:
    """Whether a digest is one of those known, which stand one behind the other."""
    at = known.find(digest)
    while at >= 0 and at % _DIGEST_BYTES:
        at = known.find(digest, at + 1)
    return at >= 0


_EMPTY_SYMBOL: Final = SymbolRisk()
_ORDER: Final = msgspec.msgpack.Decoder(OrderRisk)
_SYMBOL: Final = msgspec.msgpack.Decoder(SymbolRisk)
_TIMES: Final = msgspec.msgpack.Decoder(tuple[int, ...])
_RESTING: Final = msgspec.msgpack.Decoder(dict[str, Resting])
_COUNT: Final = msgspec.msgpack.Decoder(int)
_CLOSED: Final = msgspec.msgpack.Decoder(Closed)
_BYTES: Final = msgspec.msgpack.Decoder(bytes)
