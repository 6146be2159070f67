"""One event's view of the parts of an account: what is asked for is read, what is changed is kept.

Whoever runs the rules writes back exactly what was changed. Nothing that was read or put is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec

from operators.model.risk.state import IDS_PER_BUCKET, AccountRisk, Closed, OrderRisk, Resting, SymbolRisk

_T = TypeVar("_T")

_BUCKETS: Final = 64
_DIGEST_BYTES: Final = 8

Read = Callable[[str, msgspec.msgpack.Decoder[Any]], Any]
"""The stored part under a suffix, decoded; None if there is none."""


class Book:
    """The parts of one account during one event."""

    def __init__(self, account: AccountRisk | None, read: Read) -> None:
        self._read = read
        self._parts: dict[str, Any] = {}
        self._changed: dict[str, None] = {}
        self._times: dict[str, tuple[int, ...]] = {}
        self.account = account or AccountRisk()

    def changes(self) -> dict[str, Any]:
        """The parts to write back, by suffix; None forgets one."""
        return {suffix: self._parts[suffix] for suffix in self._changed}

    def order(self, order_id: str) -> OrderRisk | None:
        """An order; None if nothing is known of it."""
        return self._get(order_part(order_id), _ORDER)

    def put_order(self, order_id: str, order: OrderRisk | None) -> None:
        """Keeps the order as it is now. For its effects on the account see `exposure.with_order`."""
        self._put(order_part(order_id), order)

    def symbol(self, symbol: str) -> SymbolRisk:
        """The account in a symbol."""
        return self._get(symbol_part(symbol), _SYMBOL) or SymbolRisk()

    def put_symbol(self, symbol: str, part: SymbolRisk) -> None:
        """Keeps the account's part in a symbol; forgets it when it says nothing any more."""
        self._put(symbol_part(symbol), None if part == _EMPTY_SYMBOL else part)

    def resting(self, symbol: str, order_id: str) -> dict[str, Resting]:
        """Those resting orders outside the symbol's part that are kept with this one."""
        return self._get(_resting_part(symbol, order_id), _RESTING) or {}

    def put_resting(self, symbol: str, order_id: str, resting: dict[str, Resting]) -> None:
        """Keeps the resting orders that are kept with this one."""
        self._put(_resting_part(symbol, order_id), resting or None)

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
        """The remembered times of something, in microseconds, ascending."""
        times = self._times.get(of)
        if times is None:
            steps: tuple[int, ...] | None = self._get(f"|times|{of}", _TIMES)
            times = self._times[of] = tuple(accumulate(steps or ()))
        return times

    def put_times(self, of: str, times: tuple[int, ...]) -> None:
        """Keeps the times of something, as the first and the steps from each to the next."""
        self._times[of] = times
        steps = (*times[:1], *(after - before for before, after in pairwise(times)))
        self._put(f"|times|{of}", steps or None)

    def located(self, locate_id: str) -> int:
        """How much of a locate is used up."""
        return self._get(f"|locate|{locate_id}", _COUNT) or 0

    def put_located(self, locate_id: str, quantity: int) -> None:
        """Keeps how much of a locate is used up."""
        self._put(f"|locate|{locate_id}", quantity or None)

    def closed(self, slot: int) -> Closed | None:
        """Which order closed into this slot of the ring of closed orders."""
        return self._get(f"|closed|{slot}", _CLOSED)

    def put_closed(self, slot: int, closed: Closed) -> None:
        """Keeps which order closed into the slot."""
        self._put(f"|closed|{slot}", closed)

    def knows_id(self, cl_ord_id: str) -> bool:
        """Whether the account used this ClOrdID among its latest."""
        digest, part = _digest(cl_ord_id)
        known = self._get(part, _BYTES) or b""
        return any(known.startswith(digest, at) for at in range(0, len(known), _DIGEST_BYTES))

    def add_id(self, cl_ord_id: str) -> None:
        """Remembers a ClOrdID, and forgets the oldest of its bucket."""
        if not self.knows_id(cl_ord_id):
            digest, part = _digest(cl_ord_id)
            self._put(part, ((self._get(part, _BYTES) or b"") + digest)[-IDS_PER_BUCKET * _DIGEST_BYTES :])

    def _get(self, suffix: str, decoder: msgspec.msgpack.Decoder[_T]) -> _T | None:
        if suffix not in self._parts:
            self._parts[suffix] = self._read(suffix, decoder)
        part: _T | None = self._parts[suffix]
        return part

    def _put(self, suffix: str, part: Any) -> None:
        self._parts[suffix] = part
        self._changed[suffix] = None


def order_part(order_id: str) -> str:
    """The suffix under which an order is kept."""
    return f"|order|{order_id}"


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


_EMPTY_SYMBOL: Final = SymbolRisk()
_ORDER: Final = msgspec.msgpack.Decoder(OrderRisk)
_SYMBOL: Final = msgspec.msgpack.Decoder(SymbolRisk)
_TIMES: Final = msgspec.msgpack.Decoder(tuple[int, ...])
_RESTING: Final = msgspec.msgpack.Decoder(dict[str, Resting])
_COUNT: Final = msgspec.msgpack.Decoder(int)
_CLOSED: Final = msgspec.msgpack.Decoder(Closed)
_BYTES: Final = msgspec.msgpack.Decoder(bytes)
