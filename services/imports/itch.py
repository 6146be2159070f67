"""Reads a NASDAQ TotalView-ITCH 5.0 file into engine statuses and execution reports.

Framing: a two-byte big-endian length before each message, as NASDAQ distributes files, or two zero bytes before each,
lengths following from the type. Layouts are those of "Nasdaq TotalView-ITCH 5.0", section 1. What a message becomes:

    A F  add order                  status NEW
    E    executed                   execution report TRADE at the order's price
    C    executed with price        execution report TRADE at its own price; not printable means part of a cross
    X    partial cancel             status NEW or PARTIALLY_FILLED with the reduced total quantity
    D    delete                     status CANCELED
    U    replace                    status NEW or PARTIALLY_FILLED of the same order with its new total quantity
    P    trade of a hidden order    names no order: an order of its own, NEW and at once filled
    B    broken trade               counted as anomaly: finding its order would need every execution of the day
    others                          counted, nothing written

A replaced order keeps its identity, the reference of its first version, as FIX chains do: quantity and fills are
cumulative over versions. E, C, X, D and U on an order that the file never added are anomalies, counted and not passed
on: they have neither side nor symbol nor quantity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date as Date  # noqa: N812  # the parameter is called date, as on the command line
from pathlib import Path
from struct import Struct

from config.errors import UsageError
from services.imports.common import ACCOUNTS, BATCH_MESSAGES, Batch, InputFile, LiveOrder, Malformed, Recorder

READ_BYTES = 1 << 20
PRICE_TO_MICROS = 100

_LENGTHS_BY_KIND = """
    S12 R39 H25 Y20 L26 V35 W12 K28 J35 h21 A36 F40 E31 C36 X23 D19 U35 P44 Q40 B19 I50 N20 O48
"""
LENGTHS = {ord(entry[0]): int(entry[1:]) for entry in _LENGTHS_BY_KIND.split()}
"""Bytes of a message, its type included, by type."""

# Each begins with type, stock locate and tracking number, then a 48-bit time, here as its upper 16 and lower 32 bits.
_ADD = Struct(">5xHIQcI8sI")
_EXECUTED = Struct(">5xHIQIQ")
_EXECUTED_WITH_PRICE = Struct(">5xHIQIQcI")
_CANCEL = Struct(">5xHIQI")
_DELETE = Struct(">5xHIQ")
_REPLACE = Struct(">5xHIQQII")
_TRADE = Struct(">5xHIQcI8sIQ")

_DATE_DIGITS = re.compile(r"\d{8}")


def read(
    path: Path,
    date: Date | None = None,
    *,
    accounts: int = ACCOUNTS,
    venue: str = "XNAS",
    batch_messages: int = BATCH_MESSAGES,
) -> Iterator[Batch]:
    """The file's messages, in batches; plain or .gz. Memory grows with live orders only.

    ITCH has no date: it comes from the file name (01302019.NASDAQ_ITCH50, or year first) unless given. A damaged or
    cut file ends with a `Malformed` that names the byte; what came before it is delivered.

    `UsageError` if the date is neither given nor in the name.
    """
    date = date or date_of_name(path.name)
    if date is None:
        raise UsageError(f"{path.name}: the file name has no date; give it as an option")
    return _batches(path, _Messages(date, accounts, venue), batch_messages)


def date_of_name(name: str) -> Date | None:
    """The date in a file name, written MMDDYYYY or YYYYMMDD, if there is one."""
    for digits in _DATE_DIGITS.findall(name):
        for year, month, day in (
            (digits[:4], digits[4:6], digits[6:]),
            (digits[4:], digits[:2], digits[2:4]),
        ):
            try:
                found = Date(int(year), int(month), int(day))
            except ValueError:
                continue
            if 1990 <= found.year < 2100:
                return found
    return None


def _batches(path: Path, messages: _Messages, batch_messages: int) -> Iterator[Batch]:
    """Feeds the file through in chunks; what a chunk cuts off waits for the next."""
    recorder, handlers = messages.recorder, messages.handlers()
    waiting = offset = 0
    rest = b""
    prefixed: bool | None = None
    with InputFile(path) as file:
        while chunk := file.read(READ_BYTES):
            buffer = rest + chunk
            if prefixed is None and len(buffer) >= 2:
                prefixed = buffer[:2] != b"\0\0"
            position, done = 0, False
            while not done:
                position, count, broken = _run(
                    buffer, position, prefixed is not False, handlers, recorder, batch_messages - waiting
                )
                waiting += count
                if broken is not None:
                    recorder.batch.malformed.append(Malformed(offset + position, broken))
                    yield _measured(recorder.take_batch(), file)
                    return
                done = waiting < batch_messages
                if not done:
                    yield _measured(recorder.take_batch(), file)
                    waiting = 0
            offset += position
            rest = buffer[position:]
        if file.error is not None or rest.strip(b"\0"):
            recorder.batch.malformed.append(Malformed(offset, file.error or "the last message is cut off"))
        yield _measured(recorder.take_batch(), file)


def _measured(batch: Batch, file: InputFile) -> Batch:
    batch.bytes_done, batch.bytes_total = file.bytes_done, file.bytes_total
    return batch


Handler = Callable[[bytes, int], None]


def _run(
    buffer: bytes, position: int, prefixed: bool, handlers: dict[int, Handler], recorder: Recorder, limit: int
) -> tuple[int, int, str | None]:
    """Handles up to `limit` whole messages; where it stopped, how many there were, and what is broken there, if so."""
    end = len(buffer)
    counts = [0] * 256
    count = 0
    broken = None
    lengths, known = LENGTHS, LENGTHS.get
    while count < limit and position + 3 <= end:
        kind = buffer[position + 2]
        length = known(kind, 0)
        if prefixed:
            told = buffer[position] << 8 | buffer[position + 1]
            if told == 0:
                # NASDAQ's files end with an empty message.
                position += 2
                continue
            if told < length or (told < 11 and kind not in lengths):
                broken = f"message {chr(kind)!r} has {told} bytes instead of {length}"
                break
            length = told
        elif not length or buffer[position] or buffer[position + 1]:
            broken = f"no message begins here: {buffer[position : position + 3].hex()}"
            break
        if position + 2 + length > end:
            break
        handler = handlers.get(kind)
        if handler is not None:
            handler(buffer, position + 2)
        counts[kind] += 1
        count += 1
        position += 2 + length
    messages = recorder.batch.messages
    for kind, seen in enumerate(counts):
        if seen:
            messages[chr(kind)] += seen
    return position, count, broken


class _Messages:
    """The meaning of each message, on the orders that are live."""

    def __init__(self, date: Date, accounts: int, venue: str) -> None:
        self.recorder = Recorder(
            trade_date=date, order_prefix=f"ITCH{date:%Y%m%d}-", source="import-itch", venue=venue, accounts=accounts
        )
        self._live: dict[int, LiveOrder] = {}
        self._symbols: dict[bytes, str] = {}

    def handlers(self) -> dict[int, Handler]:
        """What to call with (buffer, position) by message type."""
        by_kind: dict[str, Handler] = {
            "A": self._add,
            "F": self._add,
            "E": self._executed,
            "C": self._executed_with_price,
            "X": self._cancel,
            "D": self._delete,
            "U": self._replace,
            "P": self._trade,
            "B": self._broken_trade,
        }
        return {ord(kind): handler for kind, handler in by_kind.items()}

    def _add(self, buffer: bytes, position: int) -> None:
        high, low, reference, side, shares, stock, price = _ADD.unpack_from(buffer, position)
        if reference in self._live:
            self.recorder.batch.anomalies["add_of_live_order"] += 1
            return
        if not shares or not price or side not in (b"B", b"S"):
            self.recorder.batch.anomalies["add_without_terms"] += 1
            return
        side_name = "BUY" if side == b"B" else "SELL"
        order = self.recorder.order(reference, self._symbol(stock), side_name, shares, price * PRICE_TO_MICROS)
        self._live[reference] = order
        self.recorder.status(order, "NEW", self._time(high, low))

    def _executed(self, buffer: bytes, position: int) -> None:
        high, low, reference, shares, match = _EXECUTED.unpack_from(buffer, position)
        self._execute("E", reference, shares, None, match, self._time(high, low), "ADDED", None)

    def _executed_with_price(self, buffer: bytes, position: int) -> None:
        high, low, reference, shares, match, printable, price = _EXECUTED_WITH_PRICE.unpack_from(buffer, position)
        printed = printable != b"N"
        liquidity, text = ("ADDED", None) if printed else ("AUCTION", "non-printable")
        self._execute("C", reference, shares, price * PRICE_TO_MICROS, match, self._time(high, low), liquidity, text)

    def _execute(
        self,
        kind: str,
        reference: int,
        shares: int,
        price: int | None,
        match: int,
        at: int,
        liquidity: str,
        text: str | None,
    ) -> None:
        order = self._known(kind, reference)
        if order is None:
            return
        if not shares:
            self.recorder.batch.anomalies["execution_of_nothing"] += 1
            return
        if shares > order.leaves:
            self.recorder.batch.anomalies["execution_beyond_quantity"] += 1
        at_price = order.price if price is None else price
        self.recorder.trade(order, shares, at_price, at, exec_id=str(match), liquidity=liquidity, text=text)
        if order.leaves <= 0:
            del self._live[reference]

    def _cancel(self, buffer: bytes, position: int) -> None:
        high, low, reference, shares = _CANCEL.unpack_from(buffer, position)
        order = self._known("X", reference)
        if order is None:
            return
        at = self._time(high, low)
        if shares >= order.leaves:
            self.recorder.status(order, "CANCELED", at)
            del self._live[reference]
        elif shares:
            order.quantity -= shares
            self.recorder.open_status(order, at, "PARTIALLY_CANCELED")

    def _delete(self, buffer: bytes, position: int) -> None:
        high, low, reference = _DELETE.unpack_from(buffer, position)
        order = self._known("D", reference)
        if order is not None:
            self.recorder.status(order, "CANCELED", self._time(high, low))
            del self._live[reference]

    def _replace(self, buffer: bytes, position: int) -> None:
        high, low, reference, new_reference, shares, price = _REPLACE.unpack_from(buffer, position)
        order = self._known("U", reference)
        if order is None:
            return
        if not shares or not price:
            self.recorder.batch.anomalies["replace_without_terms"] += 1
            return
        order.quantity = order.filled + shares
        order.price = price * PRICE_TO_MICROS
        del self._live[reference]
        self._live[new_reference] = order
        self.recorder.open_status(order, self._time(high, low), "REPLACED")

    def _trade(self, buffer: bytes, position: int) -> None:
        high, low, _, side, shares, stock, price, match = _TRADE.unpack_from(buffer, position)
        if not shares or not price:
            self.recorder.batch.anomalies["execution_of_nothing"] += 1
            return
        side_name = "SELL" if side == b"S" else "BUY"
        self.recorder.hidden_trade(
            f"H{match}",
            self._symbol(stock),
            side_name,
            shares,
            price * PRICE_TO_MICROS,
            self._time(high, low),
            str(match),
        )

    def _broken_trade(self, _buffer: bytes, _position: int) -> None:
        self.recorder.batch.anomalies["broken_trade"] += 1

    def _known(self, kind: str, reference: int) -> LiveOrder | None:
        order = self._live.get(reference)
        if order is None:
            self.recorder.batch.anomalies[f"unknown_order_{kind}"] += 1
        return order

    def _symbol(self, stock: bytes) -> str:
        symbol = self._symbols.get(stock)
        if symbol is None:
            symbol = self._symbols[stock] = stock.decode("latin-1").rstrip()
        return symbol

    def _time(self, high: int, low: int) -> int:
        return self.recorder.midnight_micros + ((high << 32) | low) // 1_000
