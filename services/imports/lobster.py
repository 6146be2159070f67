"""Reads a LOBSTER message file (lobsterdata.com) into engine statuses and execution reports.

A line is: time (seconds after midnight in New York), type, order id, size, price × 10,000, direction (1 buy, -1 sell
of the resting order). What a type becomes:

    1  submission              status NEW: LOBSTER shows an order when the exchange acknowledged it
    2  partial cancellation    status NEW or PARTIALLY_FILLED with the reduced total quantity
    3  deletion                status CANCELED
    4  execution, visible      execution report TRADE
    5  execution, hidden       its order id is 0: an order of its own, NEW and at once filled
    6  cross trade             names no order: counted, nothing written
    7  trading halt            counted, nothing written

A file of a part of the day executes and deletes orders submitted before it. Each such event is counted as an anomaly
and still passed on: the order is adopted with the quantity that the event proves. A partial cancellation proves none
and is only counted. LOBSTER has no execution numbers: an execId is the number of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date as Date  # noqa: N812  # the parameter is called date, as on the command line
from pathlib import Path

from config.errors import UsageError
from services.imports.common import ACCOUNTS, BATCH_MESSAGES, Batch, InputFile, LiveOrder, Malformed, Recorder

READ_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 12
PRICE_TO_MICROS = 100
NUMBER_MAX = 1 << 32
"""What exchanges have for size and price: larger numbers are damage, and would not fit our amounts."""

KINDS = {1: "submit", 2: "partial_cancel", 3: "delete", 4: "execute", 5: "execute_hidden", 6: "cross", 7: "halt"}

_FILE_NAME = re.compile(r"^(?P<symbol>[A-Za-z.\-]+)_(?P<date>\d{4}-\d{2}-\d{2})_\d+_\d+_message")


def read(
    path: Path,
    date: Date | None = None,
    symbol: str | None = None,
    *,
    accounts: int = ACCOUNTS,
    venue: str = "XNAS",
    batch_messages: int = BATCH_MESSAGES,
) -> Iterator[Batch]:
    """The file's messages, in batches; plain or .gz. Memory grows with live orders only.

    Symbol and date come from the name LOBSTER gives its files (AAPL_2012-06-21_34200000_57600000_message_10.csv)
    unless given. A line that cannot be read is a `Malformed` of its batch.

    `UsageError` if symbol or date is neither given nor in the name.
    """
    named = _FILE_NAME.match(path.name)
    if named is not None:
        date = date or Date.fromisoformat(named["date"])
        symbol = symbol or named["symbol"]
    if date is None or symbol is None:
        raise UsageError(f"{path.name}: the file name has no symbol and date; give them as options")
    return _batches(path, _Messages(date, symbol, accounts, venue), batch_messages)


def _batches(path: Path, messages: _Messages, batch_messages: int) -> Iterator[Batch]:
    recorder = messages.recorder
    waiting = 0
    with InputFile(path) as file:
        for number, (offset, line) in enumerate(_lines(file), start=1):
            reason = messages.handle(number, line)
            if reason is not None:
                recorder.batch.malformed.append(Malformed(offset, f"line {number}: {reason}"))
            waiting += 1
            if waiting >= batch_messages:
                yield _measured(recorder.take_batch(), file)
                waiting = 0
        if file.error is not None:
            recorder.batch.malformed.append(Malformed(file.bytes_done, file.error))
        yield _measured(recorder.take_batch(), file)


def _measured(batch: Batch, file: InputFile) -> Batch:
    batch.bytes_done, batch.bytes_total = file.bytes_done, file.bytes_total
    return batch


def _lines(file: InputFile) -> Iterator[tuple[int, bytes]]:
    """Lines with their byte offsets; a giant line comes in pieces, so that a binary file cannot fill memory."""
    offset, rest = 0, b""
    while chunk := file.read(READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield offset, line
            offset += len(line) + 1
        if len(rest) > LINE_BYTES_MAX:
            yield offset, rest
            offset, rest = offset + len(rest), b""
    if rest:
        yield offset, rest


class _Messages:
    """The meaning of each line, on the orders that are live."""

    def __init__(self, date: Date, symbol: str, accounts: int, venue: str) -> None:
        prefix = f"LOB{date:%Y%m%d}-{symbol}-"
        self.recorder = Recorder(
            trade_date=date, order_prefix=prefix, source="import-lobster", venue=venue, accounts=accounts
        )
        self._symbol = symbol
        self._live: dict[int, LiveOrder] = {}

    def handle(self, number: int, line: bytes) -> str | None:
        """Records what a line says; why it cannot be read, if it cannot."""
        if not line.strip():
            return None
        fields = line.split(b",")
        try:
            at = self.recorder.midnight_micros + _micros(fields[0])
            kind, order, size, price, direction = (int(field) for field in fields[1:6])
        except ValueError as error:
            return str(error)
        if kind not in KINDS:
            return f"unknown type {kind}"
        if kind <= 5 and not (0 < size < NUMBER_MAX and 0 < price < NUMBER_MAX and direction in (1, -1)):
            return f"size and price must be positive and below {NUMBER_MAX}, direction 1 or -1"
        self.recorder.batch.messages[KINDS[kind]] += 1
        side = "BUY" if direction == 1 else "SELL"
        if kind == 1:
            self._submit(order, side, size, price * PRICE_TO_MICROS, at)
        elif kind == 2:
            self._partial_cancel(order, size, at)
        elif kind == 3:
            self._delete(order, side, size, price * PRICE_TO_MICROS, at)
        elif kind == 4:
            self._execute(order, side, size, price * PRICE_TO_MICROS, at, str(number))
        elif kind == 5:
            price_micros = price * PRICE_TO_MICROS
            self.recorder.hidden_trade(f"H{number}", self._symbol, side, size, price_micros, at, str(number))
        return None

    def _submit(self, reference: int, side: str, size: int, price: int, at: int) -> None:
        if reference in self._live:
            self.recorder.batch.anomalies["submit_of_live_order"] += 1
            return
        order = self.recorder.order(reference, self._symbol, side, size, price)
        self._live[reference] = order
        self.recorder.status(order, "NEW", at)

    def _partial_cancel(self, reference: int, size: int, at: int) -> None:
        order = self._live.get(reference)
        if order is None or order.adopted:
            self.recorder.batch.anomalies["partial_cancel_of_unknown_order"] += 1
        elif size >= order.leaves:
            self._end(reference, order, at)
        else:
            order.quantity -= size
            self.recorder.open_status(order, at, "PARTIALLY_CANCELED")

    def _delete(self, reference: int, side: str, size: int, price: int, at: int) -> None:
        order = self._live.get(reference)
        if order is None or order.adopted:
            self.recorder.batch.anomalies["delete_of_unknown_order"] += 1
            order = order or self._adopt(reference, side, price)
            order.quantity += size
        elif size != order.leaves:
            self.recorder.batch.anomalies["delete_of_other_size"] += 1
        self._end(reference, order, at)

    def _execute(self, reference: int, side: str, size: int, price: int, at: int, exec_id: str) -> None:
        order = self._live.get(reference)
        if order is None or order.adopted:
            self.recorder.batch.anomalies["execution_of_unknown_order"] += 1
            order = order or self._adopt(reference, side, price)
            order.quantity += size
        elif size > order.leaves:
            self.recorder.batch.anomalies["execution_beyond_quantity"] += 1
        self.recorder.trade(order, size, price, at, exec_id=exec_id)
        if order.leaves <= 0 and not order.adopted:
            del self._live[reference]

    def _adopt(self, reference: int, side: str, price: int) -> LiveOrder:
        order = self.recorder.order(reference, self._symbol, side, 0, price)
        order.adopted = True
        self._live[reference] = order
        return order

    def _end(self, reference: int, order: LiveOrder, at: int) -> None:
        self.recorder.status(order, "CANCELED", at)
        del self._live[reference]


def _micros(seconds: bytes) -> int:
    """Decimal seconds to microseconds, cut off, without a float between."""
    whole, _, fraction = seconds.partition(b".")
    micros = int(whole) * 1_000_000 + int((fraction + b"000000")[:6])
    if not 0 <= micros < 86_400_000_000:
        raise ValueError(f"time {seconds.decode(errors='replace')} is not within a day")
    return micros
