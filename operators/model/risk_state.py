"""What risk keeps of an account, in parts, so that an event rewrites what it changes and not the whole account.

| part | under | holds | written by |
|---|---|---|---|
| account | the account id | totals over all orders and positions | nearly every event |
| order | `|order|<order id>` | one order and what it reserves | events of the order |
| symbol | `|symbol|<symbol>` | position, open quantities, resting orders in one symbol | events in the symbol |
| ClOrdIDs | `|ids|<00..3f>` | digests of the ClOrdIDs used, by a part of the digest | requests |
| times | `|times|<of what>` | of recent messages or executions, as far as limits ask for them | requests, executions |
| locate | `|locate|<locate id>` | how much of a locate is used up | events of its orders |
| resting | `|resting|<symbol>|<00..3f>` | resting orders that found no room in the symbol's part | their events |
| closed | `|closed|<slot>` | which order closed when, so that the oldest can be forgotten | closing orders |

A `Book` is one event's view of these parts: it reads what is asked for and keeps what is changed, so that whoever runs
the rules writes back exactly that. Nothing that was read is changed in place.

The sizes are bounded: `CLOSED_KEPT` closed orders, 64 × `IDS_PER_BUCKET` ClOrdIDs, at most as many times as the limits
count. What grows is one part per open order, and a line per resting order: up to `RESTING_TOGETHER` of them in the
symbol's part, the others spread over 64 parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec
from msgspec.structs import replace

_T = TypeVar("_T")

NEVER: Final = -(2**63)
"""A time before any other."""

CLOSED_KEPT: Final = 1_024
"""So many closed orders of an account stay known, for the numbering of outcomes, late fills, busts and corrections."""
IDS_PER_BUCKET: Final = 64
"""The account's last so many ClOrdIDs of each of 64 buckets stay known: some 4,000 in all."""
RESTING_TOGETHER: Final = 16
"""So many resting orders of an account in a symbol are kept in the symbol's part."""
_BUCKETS: Final = 64
_DIGEST_BYTES: Final = 8


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """Quantity in total and reserve price of one version of an order; whether the price is its limit price."""

    quantity: int
    price: int
    limited: bool = True


class OrderRisk(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What risk knows of one order.

    `outcomes` counts decisions, `sequences` has the last consolidated status by source. `pending` are approved replaces
    without an answer, oldest first; `replacing` that PENDING_REPLACE was seen since. `parent` is the order that holds
    the reservation for this one; `children` what orders of which this one is the parent may still execute.
    """

    symbol: str
    side: str
    terms: Terms
    leaves: int = 0
    filled: int = 0
    filled_notional: int = 0
    outcomes: int = 0
    sequences: dict[str, int] = {}
    closed: bool = False
    closed_number: int = -1
    pending: tuple[Terms, ...] = ()
    replacing: bool = False
    rests: bool = False
    """Whether it stands in a book at its price once accepted: a LIMIT order."""
    parent: str | None = None
    is_parent: bool = False
    children: int = 0
    locate: str | None = None

    @property
    def open_quantity(self) -> int:
        """The most that may still be executed."""
        if self.closed:
            return 0
        return max([self.leaves, *(terms.quantity - self.filled for terms in self.pending)])

    @property
    def reserved(self) -> int:
        """Millionths held for it."""
        if self.closed or self.parent is not None:
            return 0
        wanted = [max(0, terms.quantity - self.filled) * terms.price for terms in self.pending]
        return max([self.leaves * self.terms.price, *wanted])

    @property
    def approved(self) -> bool:
        """Whether risk ever let it pass: approved terms have a price above zero."""
        return self.terms.price > 0


class Resting(msgspec.Struct, frozen=True, array_like=True):
    """An open limit order as others of the account may meet it: +1 for a buy, -1 for a sale; price; open quantity."""

    sign: int
    price: int
    quantity: int


class Recent(msgspec.Struct, frozen=True, array_like=True):
    """An approved new order as look-alikes are told by: when, and its terms."""

    at: int
    side: str
    quantity: int
    price: int | None


class SymbolRisk(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An account in one symbol. Signed position and its cost in millionths, with the same sign; `mark` values a unit.

    `buying` and `selling` are what open orders may still execute, `elsewhere` counts resting orders in other parts.
    `latched_at` is when the execution throttle of the symbol closed, in microseconds.
    """

    quantity: int = 0
    cost_basis: int = 0
    mark: int = 0
    buying: int = 0
    selling: int = 0
    working: int = 0
    resting: dict[str, Resting] = {}
    elsewhere: int = 0
    recent: tuple[Recent, ...] = ()
    latched_at: int = NEVER

    @property
    def unrealised(self) -> int:
        """What closing at the mark would realise."""
        return self.quantity * self.mark - self.cost_basis if self.mark else 0


class AccountRisk(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Totals of one account, in millionths where they are money.

    `reserved_buys` and `reserved_sells` are sums over orders, `open_notional` that of |cost| over positions,
    `net_notional` that of signed cost, `cash` what was received minus what was paid. `day` is a UTC day since 1970;
    `traded`, `requests` and `executions` count on it, and `result_before` is the result as the day began.
    """

    reserved_buys: int = 0
    reserved_sells: int = 0
    open_notional: int = 0
    net_notional: int = 0
    cash: int = 0
    realised: int = 0
    unrealised: int = 0
    working: int = 0
    closed_count: int = 0
    latched_at: int = NEVER
    day: int = 0
    traded: int = 0
    requests: int = 0
    executions: int = 0
    result_before: int = 0

    @property
    def reserved(self) -> int:
        """Millionths held for all open orders."""
        return self.reserved_buys + self.reserved_sells

    @property
    def day_result(self) -> int:
        """Won (lost, where negative) since the day began, realised and unrealised."""
        return self.realised + self.unrealised - self.result_before

    def on_day(self, day: int) -> AccountRisk:
        """The account on this day: a later one begins with nothing traded, an earlier one changes nothing."""
        if day <= self.day:
            return self
        result = self.realised + self.unrealised
        return replace(self, day=day, traded=0, requests=0, executions=0, result_before=result)


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """An order that closed, as the so many-th of its account."""

    order_id: str
    number: int


Read = Callable[[str], bytes | None]
"""The stored part under a suffix; None if there is none."""


class Book:
    """The parts of one account during one event."""

    def __init__(self, account: AccountRisk | None, read: Read) -> None:
        self._read = read
        self._parts: dict[str, Any] = {}
        self._changed: set[str] = set()
        self.account = account or AccountRisk()

    def changes(self) -> dict[str, bytes | None]:
        """The parts to write back, by suffix; None forgets one."""
        parts = {suffix: self._parts[suffix] for suffix in sorted(self._changed)}
        return {suffix: None if part is None else msgspec.msgpack.encode(part) for suffix, part in parts.items()}

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
        steps: tuple[int, ...] | None = self._get(f"|times|{of}", _TIMES)
        return tuple(accumulate(steps or ()))

    def put_times(self, of: str, times: tuple[int, ...]) -> None:
        """Keeps the times of something, as the first and the steps from each to the next."""
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
            raw = self._read(suffix)
            self._parts[suffix] = None if raw is None else decoder.decode(raw)
        part: _T | None = self._parts[suffix]
        return part

    def _put(self, suffix: str, part: Any) -> None:
        self._parts[suffix] = part
        self._changed.add(suffix)


def order_part(order_id: str) -> str:
    """The suffix under which an order is kept."""
    return f"|order|{order_id}"


def symbol_part(symbol: str) -> str:
    """The suffix under which the account's part in a symbol is kept."""
    return f"|symbol|{symbol}"


def memory_book(account: AccountRisk | None, parts: Mapping[str, bytes]) -> Book:
    """A book over parts in memory."""
    return Book(account, parts.get)


def keep(parts: MutableMapping[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    """Writes a book's changes back to parts in memory."""
    for suffix, part in changes.items():
        if part is None:
            parts.pop(suffix, None)
        else:
            parts[suffix] = part


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
