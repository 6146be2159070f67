"""The fills of a position in the order in which they came, in chunks, and the sums that follow from them.

The newest fills are part of the position's state; when there are `CHUNK` of them they leave it as one chunk, an entry
beside the state that is written once. A chunk begins with the sums before its first fill:

    state   start | 32 33 34                      chunk 0   start | 0 … 15      chunk 1   start | 16 … 31

A fill reads no chunk, except that FIFO reads those between a lot that is used up and the next. So the hundred
thousandth costs what the third did. A bust or correction looks for its fill from the newest chunk back, and derives
everything from the start of that chunk anew: the result is what it would be, had the fill never been, or been right at
once.

A fill's number is its place in the list. FIFO needs no queue of its own: the open lots of a long position are its buys
from the head on, those of a short one its sells, and the head only moves forward. A split writes the open lots down
anew behind it, each with its part of the new quantity and its old basis. It is a ratio, so what is derived anew without
a fill of before it is scaled as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.money import INT64_MAX
from operators.model.positions.holdings import Holding, Sums, traded

CHUNK: Final = 16
"""Fills of a chunk, part of stored state: the fewer, the less is rewritten with a fill; the more, the fewer entries."""

FILL: Final = 0
LOT: Final = 2
SPLIT: Final = 3
"""Kinds of items: a fill; an open lot as the split before it left it; a split, of which `quantity` and `notional` are
the new units and the old ones that they stand for."""

_ITEM: Final = Struct("<BiqqQQ")
_START: Final = Struct("<9q")
_FULL: Final = CHUNK * _ITEM.size

ReadEntry = Callable[[str], bytes | None]
"""Reads what was stored beside the position, by its suffix."""


class Item(NamedTuple):
    """One item of the list: signed quantity (buy positive), notional in millionths, and hashes that tell it apart."""

    kind: int
    trade_date: int
    quantity: int
    notional: int
    order: int = 0
    exec_id: int = 0


class FillList(msgspec.Struct, frozen=True, array_like=True):
    """What of the list is in the position's state: the newest items and the sums before them.

    `chunks` lie or lay beside the state, those below `first` are gone: too old to be busted.
    """

    start: Sums
    recent: bytes = b""
    chunks: int = 0
    first: int = 0


def chunk_suffix(number: int) -> str:
    """The suffix under which a chunk lies beside its position."""
    return f"\0fills{number:08d}"


def hash_of(*words: str | None) -> int:
    """A number that tells identifiers apart."""
    return int.from_bytes(blake2b("\0".join(word or "" for word in words).encode(), digest_size=8).digest(), "big")


class Fills:
    """The list and its sums during one change of a position. `written` has the chunks to be stored, by number."""

    def __init__(self, stored: FillList, sums: Sums, read: ReadEntry) -> None:
        self.sums = sums
        self.written: dict[int, bytes | None] = {}
        self._start, self._recent = stored.start, stored.recent
        self._chunks, self._first = stored.chunks, stored.first
        self._read = read
        self._at_hand: tuple[int, bytes] = (-1, b"")

    def stored(self) -> FillList:
        """The list as the state has it."""
        return FillList(self._start, self._recent, self._chunks, self._first)

    def __len__(self) -> int:
        return self._chunks * CHUNK + len(self._recent) // _ITEM.size

    def fill(self, item: Item) -> None:
        """Adds a fill."""
        before, number = self.sums, self._next_number()
        holding, realised = traded(
            Holding(before.quantity, before.cost_basis), signed_quantity=item.quantity, notional=item.notional
        )
        direction = 1 if item.quantity > 0 else -1
        if before.quantity * direction >= 0:
            lot = (before.head, before.head_quantity, before.head_basis)
            if before.quantity == 0:
                lot = (number, abs(item.quantity), item.notional)
            fifo = Holding(holding.quantity, before.fifo_cost_basis + direction * item.notional)
            fifo_realised = 0
        else:
            closed = min(abs(item.quantity), abs(before.quantity))
            proceeds = item.notional * closed // abs(item.quantity)
            lot, given_up = self._use_up(closed)
            fifo_realised = -direction * (proceeds - given_up)
            fifo = Holding(holding.quantity, before.fifo_cost_basis + direction * given_up)
            if closed < abs(item.quantity):
                lot = (number, abs(item.quantity) - closed, item.notional - proceeds)
                fifo = Holding(holding.quantity, direction * (item.notional - proceeds))
        self.sums = Sums(
            *holding,
            before.realised + realised,
            fifo.cost_basis,
            before.fifo_realised + fifo_realised,
            *lot,
            item.notional // abs(item.quantity),
        )
        self._append(item)
        self._check()

    def split(self, item: Item) -> None:
        """Scales what is held, at the same cost; what is too little for one new unit is as if traded for nothing."""
        before, number = self.sums, self._next_number()
        held = abs(before.quantity) * item.quantity // item.notional
        direction = before.direction
        lots = _spread(list(self._open_lots()), abs(before.quantity), held) if held else []
        realised, fifo_realised = (0, 0) if held else (-before.cost_basis, -before.fifo_cost_basis)
        basis, fifo_basis = (before.cost_basis, before.fifo_cost_basis) if held else (0, 0)
        self.sums = Sums(
            direction * held,
            basis,
            before.realised + realised,
            fifo_basis,
            before.fifo_realised + fifo_realised,
            number + 1,
            *(lots[0] if lots else (0, 0)),
            before.last_price * item.notional // item.quantity,
        )
        self._append(item)
        for quantity, notional in lots:
            self._make_room()
            self._append(Item(LOT, item.trade_date, direction * quantity, notional))
        self._check()

    def split_once(self, item: Item, *, known: bool) -> None:
        """Books a split in front of the fills of its date and later; `known` says that one of the date may be booked.

        Each restated order tells the ratio by quantities that were rounded down, so the largest tells it best: a split
        is never booked twice, but one that was read from less is derived anew.
        """
        number = self._split_of(item.trade_date) if known else None
        if number is not None:
            if item.notional > self.item(number).notional and self.derivable(number):
                self.rederive(number, item)
            return
        number = len(self)
        while number > self._first * CHUNK:
            before = self.item(number - 1)
            if before.kind != FILL or before.trade_date < item.trade_date:
                break
            number -= 1
        if number < len(self) and self.derivable(number):
            self.rederive(number, item, self.item(number))
        else:
            self.split(item)

    def carry_over(self, trade_date: int) -> None:
        """Begins a list with what is held, as one lot; nothing before it can be derived anew."""
        self._start = self.sums
        if self.sums.quantity:
            self._append(Item(LOT, trade_date, self.sums.quantity, abs(self.sums.cost_basis)))

    def find(self, *, order: int, exec_id: int, quantity: int, notional: int) -> int | None:
        """The number of an order's fill, None if it is not in the list any more.

        The newest one of that id and size; if none has the size (a split changed what it counts as), of that id.
        """
        same_id: int | None = None
        for chunk in range(self._chunks, self._first - 1, -1):
            for number, item in reversed(list(enumerate(self._items(chunk), chunk * CHUNK))):
                if (item.kind, item.order, item.exec_id) == (FILL, order, exec_id):
                    if (abs(item.quantity), item.notional) == (quantity, notional):
                        return number
                    same_id = number if same_id is None else same_id
        return same_id

    def item(self, number: int) -> Item:
        """The item of that number."""
        at = number % CHUNK * _ITEM.size
        return Item._make(_ITEM.unpack_from(self._bytes(number // CHUNK), at))

    def derivable(self, number: int) -> bool:
        """Whether all that follows from the start of a fill's chunk can be derived: its open lots are still there."""
        start = self._start_of(number // CHUNK)
        return start.quantity == 0 or start.head // CHUNK >= self._first

    def rederive(self, number: int, *instead: Item) -> None:
        """Puts other items, or none, in place of a fill or split, and derives what follows anew."""
        first, chunks = number // CHUNK, self._chunks
        items = [item for chunk in range(first, chunks + 1) for item in self._items(chunk)]
        at = number - first * CHUNK
        items[at : at + 1] = instead
        self.sums = self._start = self._start_of(first)
        self._chunks, self._recent = first, b""
        behind_start = True
        for item in items:
            if item.kind == LOT:
                if behind_start:  # of a split in the chunk before; the lots of the others are made anew
                    self._make_room()
                    self._append(item)
                continue
            behind_start = False
            (self.fill if item.kind == FILL else self.split)(item)
        for gone in range(self._chunks, chunks):
            self.written[gone] = None

    def forget_before(self, trade_date: int) -> None:
        """Lets go of up to two chunks whose fills are all older than a trade date and no open lot under FIFO.

        Looks only when a chunk is written: otherwise every fill would read the oldest.
        """
        if not self.written:
            return
        kept = self.sums.head // CHUNK if self.sums.quantity else self._chunks
        for _ in range(2):
            if self._first >= min(kept, self._chunks):
                return
            if any(item.trade_date >= trade_date for item in self._items(self._first)):
                return
            self.written[self._first] = None
            self._first += 1

    def _split_of(self, trade_date: int) -> int | None:
        for chunk in range(self._chunks, self._first - 1, -1):
            for number, item in reversed(list(enumerate(self._items(chunk), chunk * CHUNK))):
                if (item.kind, item.trade_date) == (SPLIT, trade_date):
                    return number
        return None

    def _use_up(self, quantity: int) -> tuple[tuple[int, int, int], int]:
        """Takes a quantity from the oldest lots: the head after it, and the basis that was given up."""
        head, left, basis = self.sums.head, self.sums.head_quantity, self.sums.head_basis
        given_up, open_after = 0, abs(self.sums.quantity) - quantity
        while True:
            taken = min(quantity, left)
            share = basis * taken // left
            given_up, left, basis, quantity = given_up + share, left - taken, basis - share, quantity - taken
            if left or not (quantity or open_after):
                return (head, left, basis), given_up
            head, left, basis = self._lot_behind(head)

    def _lot_behind(self, head: int) -> tuple[int, int, int]:
        direction = self.sums.direction
        for number in range(head + 1, len(self)):
            item = self.item(number)
            if item.kind != SPLIT and item.quantity * direction > 0:
                return number, abs(item.quantity), item.notional
        raise AssertionError("the open lots add up to the quantity")

    def _open_lots(self) -> Iterator[tuple[int, int]]:
        left = abs(self.sums.quantity)
        head, quantity, basis = self.sums.head, self.sums.head_quantity, self.sums.head_basis
        while True:
            yield quantity, basis
            left -= quantity
            if left == 0:
                return
            head, quantity, basis = self._lot_behind(head)

    def _next_number(self) -> int:
        self._make_room()
        return len(self)

    def _append(self, item: Item) -> None:
        """Room must have been made, before the sums changed."""
        if max(abs(item.quantity), abs(item.notional)) > INT64_MAX:
            raise InvalidRecordError(f"a fill of {item.quantity} for {item.notional} does not fit 64 bits")
        self._recent += _ITEM.pack(*item)

    def _check(self) -> None:
        if max(self.sums) > INT64_MAX or min(self.sums) < -INT64_MAX:
            raise InvalidRecordError(f"the position after this fill does not fit 64 bits: {self.sums}")

    def _make_room(self) -> None:
        """Before an item comes: full chunks leave, and the sums before a chunk's first item are noted."""
        if len(self._recent) == _FULL:
            self.written[self._chunks] = _START.pack(*self._start) + self._recent
            self._chunks, self._recent = self._chunks + 1, b""
        if not self._recent:
            self._start = self.sums

    def _start_of(self, chunk: int) -> Sums:
        return self._start if chunk == self._chunks else Sums._make(_START.unpack_from(self._chunk(chunk)))

    def _items(self, chunk: int) -> Iterator[Item]:
        return map(Item._make, _ITEM.iter_unpack(self._bytes(chunk)))

    def _bytes(self, chunk: int) -> bytes:
        return self._recent if chunk == self._chunks else self._chunk(chunk)[_START.size :]

    def _chunk(self, number: int) -> bytes:
        value = self.written.get(number)
        if value is None and self._at_hand[0] == number:
            value = self._at_hand[1]
        if value is None:
            value = self._read(chunk_suffix(number))
            assert value is not None, "chunks are deleted with their numbers"
            self._at_hand = (number, value)
        return value


def _spread(lots: list[tuple[int, int]], before: int, after: int) -> list[tuple[int, int]]:
    """Lots in the proportion of a split: their quantities add up to `after`, the basis of one that vanishes goes on."""
    result: list[tuple[int, int]] = []
    old = new = basis = 0
    for quantity, its_basis in lots:
        old += quantity
        basis += its_basis
        scaled = old * after // before - new
        if scaled:
            result.append((scaled, basis))
            new, basis = new + scaled, 0
    return result
