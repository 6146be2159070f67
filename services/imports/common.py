"""What the importers share: the input file, live orders as records of our topics, batches, and writing them to the log.

An import is repeatable: the same file and options give the same records, with the same order ids, sequences and
execIds. Running an interrupted import again is therefore safe, because order_status ignores what it has seen.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

from broker.contract import Log, Transaction
from config.topics import DEAD_LETTER_TOPIC
from operators.codec.codec import Codec
from operators.model.events import VERSION
from operators.stream.records import DeadLetter
from services.records import encode_rows
from sinks.dead_letters import send_dead_letter

INTENT_TOPIC = "orders.input"
STATUS_TOPIC = "orders.status"
EXECUTIONS_TOPIC = "orders.executions"
ACCOUNTS = 500
BATCH_MESSAGES = 20_000
DEAD_LETTER_FLOW = "import"
"""What dead letters of an import have in place of the flow that gave up."""
STANDARD_INPUT = Path("-")
OTHER_TEXT = "other_text"
"""How lines of a log that are no messages are counted."""
OTHER_SESSION = "other_session"
"""How messages of sessions that were not asked for are counted."""
MALFORMED_KEPT = 100

Progress = Callable[[int, int], None]
"""Called after each batch with the bytes of the file done and in total."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A place in the file that cannot be read, as a value: the import goes on behind it if it can."""

    byte_offset: int
    reason: str


@dataclass(slots=True)
class Batch:
    """What some thousand messages of a file became, in their order, with the progress after them."""

    intents: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    executions: list[dict[str, Any]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)
    anomalies: Counter[str] = field(default_factory=Counter)
    malformed: list[Malformed] = field(default_factory=list)
    bytes_done: int = 0
    bytes_total: int = 0


@dataclass(slots=True)
class ImportSummary:
    """Counts of a whole import. `messages` and `anomalies` are by kind; only the first malformed places are kept."""

    messages: Counter[str] = field(default_factory=Counter)
    intents: int = 0
    statuses: int = 0
    executions: int = 0
    dead_letters: int = 0
    anomalies: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    malformed_first: list[Malformed] = field(default_factory=list)

    @property
    def recognised(self) -> int:
        """Messages of the format that the file was said to have, whatever became of them."""
        return sum(self.messages.values()) - self.messages[OTHER_TEXT]

    def add(self, batch: Batch) -> None:
        """Counts one batch."""
        self.messages.update(batch.messages)
        self.intents += len(batch.intents)
        self.statuses += len(batch.statuses)
        self.executions += len(batch.executions)
        self.dead_letters += len(batch.letters)
        self.anomalies.update(batch.anomalies)
        self.malformed += len(batch.malformed)
        self.malformed_first.extend(batch.malformed[: MALFORMED_KEPT - len(self.malformed_first)])


def write(
    log: Log, codec: Codec, batches: Iterable[Batch], progress: Progress | None = None, *, name: str = "import"
) -> ImportSummary:
    """Writes batches to the topics of their records and to the dead letters, one transaction each; constant memory.

    `name` is the transactional id: a second import under the same name fences the first. A crash leaves whole
    batches only; repeating the import repeats records that the flows recognise.

    A `BrokenWorldError` says that the log failed or another import of this name started, an `EncodeError` that a record
    does not fit its schema.
    """
    summary = ImportSummary()
    transaction = log.transaction(name, name)
    try:
        for batch in batches:
            _write_batch(transaction, codec, batch)
            summary.add(batch)
            if progress is not None:
                progress(batch.bytes_done, batch.bytes_total)
    finally:
        transaction.close()
    return summary


def _write_batch(transaction: Transaction, codec: Codec, batch: Batch) -> None:
    topics = ((INTENT_TOPIC, batch.intents), (STATUS_TOPIC, batch.statuses), (EXECUTIONS_TOPIC, batch.executions))
    if not batch.letters and not any(records for _, records in topics):
        return
    transaction.begin()
    for topic, records in topics:
        if records:
            keys = [record["key"].encode() for record in records]
            transaction.send_batch(topic, keys, encode_rows(codec, topic, records))
    for letter in batch.letters:
        send_dead_letter(transaction, DEAD_LETTER_TOPIC, letter, DEAD_LETTER_FLOW)
    transaction.commit({})


class InputFile:
    """A plain or gzip file, or standard input (`-`), read front to back; knows how many of its bytes are done."""

    def __init__(self, path: Path) -> None:
        self._standard_input = path == STANDARD_INPUT
        self._size = 0 if self._standard_input else path.stat().st_size
        self._raw: IO[bytes] = sys.stdin.buffer if self._standard_input else path.open("rb")
        self._given = 0
        self._content: IO[bytes] | gzip.GzipFile = self._raw
        if self._standard_input:
            # Shell pipes have no name that says what is in them: a gzip stream begins with these two bytes.
            buffered = io.BufferedReader(self._raw)  # type: ignore[type-var]  # any readable stream will do
            self._content = gzip.GzipFile(fileobj=buffered) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered
        elif path.suffix == ".gz":
            self._content = gzip.GzipFile(fileobj=self._raw)
        self.error: str | None = None

    @property
    def bytes_done(self) -> int:
        """Bytes read from disk so far, of `bytes_total`; of standard input the bytes of content."""
        return self._given if self._standard_input else self._raw.tell()

    @property
    def bytes_total(self) -> int:
        """The file's size; of standard input what has come so far."""
        return self._given if self._standard_input else self._size

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of content; empty at the end. A broken gzip stream ends, with the cause in `error`."""
        try:
            content = self._content.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.error = f"compressed data ends or is damaged: {error}"
            return b""
        self._given += len(content)
        return content

    def __enter__(self) -> InputFile:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._standard_input:
            self._content.close()
            self._raw.close()


@dataclass(slots=True)
class LiveOrder:
    """An order that the file may still change; leaves memory when it is done.

    Prices are in millionths; `arrival_price` is that of the first acceptance and stays. `adopted` marks an order that
    the file never submitted and that an event of its own made known.
    """

    key: str
    order_id: str
    symbol: str
    side: str
    quantity: int
    price: int
    arrival_price: int
    filled: int = 0
    notional: int = 0
    statuses: int = 0
    executions: int = 0
    adopted: bool = False

    @property
    def leaves(self) -> int:
        """Quantity still open."""
        return self.quantity - self.filled


class Recorder:
    """Turns what happens to live orders into records, numbered without gaps per order and topic.

    `order_prefix` makes order ids unique over files: reference numbers of an exchange start anew each day.
    """

    def __init__(self, *, trade_date: date, order_prefix: str, source: str, venue: str, accounts: int) -> None:
        self.midnight_micros = midnight_micros(trade_date)
        self.batch = Batch()
        self._trade_date_days = (trade_date - date(1970, 1, 1)).days
        self._order_prefix = order_prefix
        self._source = source
        self._venue = venue
        self._accounts = accounts

    def take_batch(self) -> Batch:
        """The batch so far; a new one begins."""
        done, self.batch = self.batch, Batch()
        return done

    def order(self, reference: object, symbol: str, side: str, quantity: int, price: int) -> LiveOrder:
        """An order under the reference of the file; its account follows from a hash of its id. Price in millionths."""
        order_id = f"{self._order_prefix}{reference}"
        account = zlib.crc32(order_id.encode()) % self._accounts + 1
        return LiveOrder(f"ACC{account:05d}|{order_id}", order_id, symbol, side, quantity, price, price)

    def status(self, order: LiveOrder, code: str, occurred_at: int, reason: str | None = None) -> None:
        """An engine status of the order as it stands now; `occurred_at` in microseconds UTC."""
        order.statuses += 1
        ended = code in ("CANCELED", "EXPIRED", "REJECTED")
        self.batch.statuses.append(
            {
                "eventType": "ORDER_STATUS_CHANGED",
                "version": VERSION,
                "occurredAt": occurred_at,
                "key": order.key,
                "order": {
                    "id": order.order_id,
                    "parentId": None,
                    "symbol": order.symbol,
                    "side": order.side,
                    "quantity": order.quantity,
                },
                "status": {
                    "code": code,
                    "reason": reason,
                    "filledQuantity": order.filled,
                    "leavesQuantity": 0 if ended else order.leaves,
                    "avgPrice": order.notional // order.filled if order.filled else None,
                },
                "sequence": order.statuses,
                "source": self._source,
                "venue": self._venue,
                "arrivalPrice": order.arrival_price,
            }
        )

    def open_status(self, order: LiveOrder, occurred_at: int, reason: str | None = None) -> None:
        """The status of an open order whose terms changed: NEW, or PARTIALLY_FILLED once it traded."""
        self.status(order, "PARTIALLY_FILLED" if order.filled else "NEW", occurred_at, reason)

    def trade(
        self,
        order: LiveOrder,
        quantity: int,
        price: int,
        occurred_at: int,
        *,
        exec_id: str,
        liquidity: str | None = "ADDED",
        text: str | None = None,
    ) -> None:
        """A TRADE execution report, after which the order's running totals stand. Price in millionths."""
        order.filled += quantity
        order.notional += quantity * price
        order.executions += 1
        leaves = max(order.leaves, 0)
        self.batch.executions.append(
            {
                "eventType": "EXECUTION_REPORTED",
                "version": VERSION,
                "occurredAt": occurred_at,
                "key": order.key,
                "clOrdId": None,
                "origClOrdId": None,
                "venueOrderId": order.order_id,
                "venue": self._venue,
                "tradeDate": self._trade_date_days,
                "execId": exec_id,
                "execRefId": None,
                "execType": "TRADE",
                "ordStatus": "PARTIALLY_FILLED" if leaves else "FILLED",
                "symbol": order.symbol,
                "side": order.side,
                "orderQuantity": order.quantity,
                "lastQuantity": quantity,
                "lastPrice": price,
                "liquidity": liquidity,
                "cumQuantity": order.filled,
                "leavesQuantity": leaves,
                "text": text,
                "sequence": order.executions,
                "source": self._source,
            }
        )

    def hidden_trade(
        self, reference: object, symbol: str, side: str, quantity: int, price: int, at: int, exec_id: str
    ) -> None:
        """A trade against an order the exchange never showed: an order of its own, accepted and filled at once."""
        order = self.order(reference, symbol, side, quantity, price)
        self.status(order, "NEW", at)
        self.trade(order, quantity, price, at, exec_id=exec_id, text="hidden order")


def midnight_micros(trade_date: date) -> int:
    """Midnight of the day in New York, where these exchanges count their time, in microseconds UTC."""
    midnight = datetime(trade_date.year, trade_date.month, trade_date.day, tzinfo=ZoneInfo("America/New_York"))
    return (midnight - datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))) // timedelta(microseconds=1)
