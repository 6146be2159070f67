"""An order as its engine and its venue speak of it: where it stands, and the messages that say so.

Each voice keeps its own order; the engine speaks some time later than the venue, some messages come late or twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from operators.model.events import VERSION
from services.day import Event
from services.life import MS, TICK_MICROS, VENUES

FIRST_DAY: Final = 20_615
"""2026-06-11: a trade date that every fee table of the product covers."""
ENGINE, GATEWAY = "order-engine-1", "gateway-1"
SHARE_GOOD_TILL_CANCEL: Final = 0.3
SHARE_RESENT: Final = 0.04


@dataclass(slots=True)
class StoryFill:
    """A fill as its venue has it in its books."""

    venue: str
    exec_id: str
    trade_date: int
    quantity: int
    price: int
    late: bool


@dataclass
class ToldOrder:
    """One order as its venue sees it: the venue's truth, and what was said of it so far."""

    account: str
    order_id: str
    random: Random
    at: int
    parent_id: str | None = None
    is_parent: bool | None = None
    symbol: str = ""
    side: str = ""
    venue: str | None = ""
    quantity: int = 0
    price: int = 0
    time_in_force: str = "DAY"
    day: int = FIRST_DAY
    filled: int = 0
    state: str = "NEW"
    requests: int = 1
    fills: list[StoryFill] = field(default_factory=list)
    _messages: list[tuple[int, Event]] = field(default_factory=list)
    _exec_ids: int = 0
    _statuses: int = 0
    _reports: int = 0
    _engine_until: int = 0

    def __post_init__(self) -> None:
        random = self.random
        self.symbol = random.choice(("MSFT", "AAPL", "IBM"))
        self.side = random.choice(("BUY", "SELL", "SELL_SHORT"))
        self.venue = random.choice(VENUES)
        self.quantity = self.first_quantity = random.randrange(1, 40) * 100
        self.price = random.randrange(5_000, 40_000) * TICK_MICROS
        if random.random() < SHARE_GOOD_TILL_CANCEL:
            self.time_in_force = "GOOD_TILL_CANCEL"

    @property
    def leaves(self) -> int:
        """Open quantity."""
        return 0 if self.state in ("CANCELED", "EXPIRED", "REJECTED") else max(self.quantity - self.filled, 0)

    @property
    def shown(self) -> str:
        """OrdStatus as the venue reports it."""
        if self.state != "NEW":
            return self.state
        if self.filled >= self.quantity:
            return "FILLED"
        return "PARTIALLY_FILLED" if self.filled else "NEW"

    def resend(self) -> None:
        """Says something again, much later."""
        if self._messages:
            self._messages.append((self.at + 2_000 * MS, self.random.choice(self._messages)[1]))

    def next_id(self) -> str:
        """An ExecID that was not used before."""
        self._exec_ids += 1
        return f"{self.order_id}-{self._exec_ids}"

    def status(self, code: str) -> None:
        """The engine says it, some time later; what it says stays in order."""
        self._statuses += 1
        delay = self.random.randrange(40) if self.random.random() < 0.9 else self.random.randrange(1_500)
        self._engine_until = max(self._engine_until + 1, self.at + delay * MS)
        record = {
            "eventType": "ORDER_STATUS_CHANGED",
            "version": VERSION,
            "occurredAt": self.at,
            "key": f"{self.account}|{self.order_id}",
            "order": {
                "id": self.order_id,
                "parentId": self.parent_id,
                "symbol": self.symbol,
                "side": self.side,
                "quantity": self.quantity,
                "clOrdId": f"C{self.requests}",
                "limitPrice": self.price,
                "timeInForce": self.time_in_force,
                "isParent": self.is_parent,
            },
            "status": {
                "code": code,
                "reason": None,
                "filledQuantity": self.filled,
                "leavesQuantity": self.leaves,
                "avgPrice": None,
            },
            "sequence": self._statuses,
            "source": ENGINE,
            "venue": self.venue,
            "arrivalPrice": self.price,
        }
        self._messages.append((self._engine_until, ("orders.status", record)))

    def report(self, kind: str, **more: Any) -> None:
        """The venue reports what is no fill."""
        self.execution(kind, None, **more)

    def execution(
        self, kind: str, fill: StoryFill | None, *, refers: str | None = None, late: bool = False, **more: Any
    ) -> None:
        self._reports += 1
        record = {
            "eventType": "EXECUTION_REPORTED",
            "version": VERSION,
            "occurredAt": self.at,
            "key": f"{self.account}|{self.order_id}",
            "clOrdId": f"C{self.requests}",
            "venue": fill.venue if fill else self.venue,
            "tradeDate": self.day,
            "execId": fill.exec_id if fill else self.next_id(),
            "execRefId": refers,
            "execType": kind,
            "ordStatus": self.shown,
            "symbol": self.symbol,
            "side": self.side,
            "orderQuantity": self.quantity,
            "timeInForce": self.time_in_force,
            "lastQuantity": fill.quantity if fill else 0,
            "lastPrice": fill.price if fill else None,
            "liquidity": "ADDED" if fill else None,
            "cumQuantity": self.filled,
            "leavesQuantity": self.leaves,
            "sequence": self._reports,
            "source": GATEWAY,
            **more,
        }
        published = self.at + (self.random.randrange(1, 3_000) * MS if late else 0)
        self._messages.append((published, ("orders.executions", record)))
        if self.random.random() < SHARE_RESENT:
            self._messages.append((published + 500 * MS, ("orders.executions", record)))

    def published(self, number: int) -> list[tuple[int, int, Event]]:
        """All messages with the time of publication; the numbers order those of one moment."""
        return [(at, number << 16 | i, event) for i, (at, event) in enumerate(self._messages)]
