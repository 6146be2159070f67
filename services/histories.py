"""Lives of orders with everything that a day in the market can do to them, as engine and venues tell them.

Beside plain fills there are pending cancels and replaces with their answers, replaces up, down and below what is
filled, suspensions, busts and chained corrections (also days later, also before the trade they refer to), executions
that reuse an id, repeated messages, orders that live for several days, and parents worked through children. For tests
of the rules under crashes: deterministic from (orders, seed), in the order of publication, both topics mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from operators.model.events import VERSION
from services.day import Event
from services.life import TICK_MICROS, VENUES

FIRST_DAY: Final = 20_615
"""2026-06-11: a trade date that every fee table of the product covers."""
DAY_MICROS: Final = 86_400_000_000
ENGINE, GATEWAY = "order-engine-1", "gateway-1"
SHARE_PARENTS: Final = 0.1
SHARE_GOOD_TILL_CANCEL: Final = 0.3
SHARE_LATE: Final = 0.06
SHARE_RESENT: Final = 0.04
ACTIONS_MAX: Final = 14

_MS: Final = 1_000


def histories(orders: int, seed: int) -> Iterator[Event]:
    """The events of so many orders, children not counted."""
    told: list[tuple[int, int, Event]] = []
    for number in range(orders):
        random = Random(f"{seed}|history|{number}")
        start = FIRST_DAY * DAY_MICROS + 14 * 3_600_000_000 + number * 2 * _MS
        told += _parent(number, random, start) if random.random() < SHARE_PARENTS else _single(number, random, start)
    for _, _, event in sorted(told, key=lambda item: item[:2]):
        yield event


def _single(number: int, random: Random, start: int) -> list[tuple[int, int, Event]]:
    story = _Story(f"ACC{random.randrange(50):05d}", f"H{number:06d}", random, start)
    story.tell()
    return story.published(number)


def _parent(number: int, random: Random, start: int) -> list[tuple[int, int, Event]]:
    account, order_id = f"ACC{random.randrange(50):05d}", f"P{number:06d}"
    children = [
        _Story(account, f"{order_id}.{n}", random, start + (n + 1) * _MS, parent_id=order_id)
        for n in range(random.randint(2, 4))
    ]
    for child in children:
        child.symbol, child.side = children[0].symbol, children[0].side
        child.tell()
    parent = _Story(account, order_id, random, start, is_parent=True)
    parent.symbol, parent.side, parent.venue = children[0].symbol, children[0].side, None
    parent.quantity = sum(child.first_quantity for child in children)
    parent.status("NEW")
    if random.random() < 0.3:
        parent.at = max(child.at for child in children) + _MS
        parent.status("CANCELED")
    return [message for story in (parent, *children) for message in story.published(number)]


@dataclass(slots=True)
class _Fill:
    venue: str
    exec_id: str
    trade_date: int
    quantity: int
    price: int
    late: bool


@dataclass
class _Story:
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
    fills: list[_Fill] = field(default_factory=list)
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

    def tell(self) -> None:
        """The whole life."""
        self.status("NEW")
        self.report("NEW")
        actions: list[Callable[[], None]] = [
            *[self._trade] * 6, self._cancel, self._replace, self._replace, self._suspend, self._bust, self._correct,
            self._next_day, self._resend, self._engine_repeats,
        ]  # fmt: skip
        for _ in range(self.random.randrange(ACTIONS_MAX)):
            self.at += self.random.randrange(1, 400) * _MS
            self.random.choice(actions)()
        if self.leaves and self.random.random() < 0.5:
            self.at += _MS
            self._end(self.random.choice(("EXPIRED", "CANCELED")))
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            self.at += DAY_MICROS * self.random.randrange(2)
            self.day = self.at // DAY_MICROS
            self.random.choice((self._bust, self._correct))()

    def _trade(self) -> None:
        if not self.leaves or self.state in ("SUSPENDED", "DONE_FOR_DAY"):
            return
        random = self.random
        reuse = bool(self.fills) and random.random() < 0.03
        if reuse and self.fills[-1].trade_date == self.day:
            venue, exec_id = self.fills[-1].venue, self.fills[-1].exec_id
        else:
            venue, exec_id = random.choice(VENUES), self._next_id()
        quantity = random.randint(1, self.leaves) if random.random() < 0.8 else self.leaves
        fill = _Fill(
            venue, exec_id, self.day, quantity, self.price + random.randint(-9, 9) * TICK_MICROS,
            random.random() < SHARE_LATE,
        )  # fmt: skip
        self.fills.append(fill)
        self.filled += quantity
        self._execution("TRADE", fill, late=fill.late)

    def _bust(self) -> None:
        fill = self._any_fill()
        if fill is None:
            return
        self.fills.remove(fill)
        self.filled -= fill.quantity
        busted = _Fill(fill.venue, self._next_id(), self.day, fill.quantity, fill.price, late=False)
        self._execution("TRADE_CANCEL", busted, refers=fill.exec_id)

    def _correct(self) -> None:
        fill = self._any_fill()
        if fill is None:
            return
        quantity = max(1, fill.quantity - self.random.randrange(0, 3) * 10)
        corrected = _Fill(
            fill.venue, self._next_id(), self.day, quantity, fill.price + TICK_MICROS * self.random.randint(1, 5), False
        )
        self.fills[self.fills.index(fill)] = corrected
        self.filled += quantity - fill.quantity
        self._execution("TRADE_CORRECT", corrected, refers=fill.exec_id)

    def _any_fill(self) -> _Fill | None:
        """A fill that a bust or correction can name without doubt: its id was used once at its venue."""
        uses = [(fill.venue, fill.exec_id) for fill in self.fills]
        sure = [fill for fill in self.fills if uses.count((fill.venue, fill.exec_id)) == 1]
        return self.random.choice(sure) if sure else None

    def _cancel(self) -> None:
        if self._pending("PENDING_CANCEL"):
            if self.random.random() < 0.6 and self.leaves:
                self._end("CANCELED")
            else:
                self._refuse()

    def _replace(self) -> None:
        before = f"C{self.requests}"
        if not self._pending("PENDING_REPLACE"):
            return
        if self.random.random() < 0.3:
            self._refuse()
            return
        self.quantity = max(self.random.randrange(1, 50) * 100, self.filled)
        self.state = "NEW"
        self.report("REPLACED", origClOrdId=before)
        self.status("REPLACED")
        self._engine_speaks()

    def _pending(self, state: str) -> bool:
        """A request is on its way: both say so, and a fill may come in between."""
        if not self.leaves or self.state != "NEW":
            return False
        self.requests += 1
        self.state = state
        self.status(state)
        self.report(state)
        self.at += self.random.randrange(1, 30) * _MS
        if self.random.random() < 0.4:
            self._trade()
            self.at += _MS
        return True

    def _refuse(self) -> None:
        self.state = "NEW"
        self.report("CANCEL_REJECTED", eventType="CANCEL_REJECTED", rejectReason="TOO_LATE_TO_CANCEL")
        self._engine_speaks()

    def _suspend(self) -> None:
        if not self.leaves or self.state != "NEW":
            return
        for state in (self.random.choice(("SUSPENDED", "STOPPED")), "NEW"):
            self.state = state
            self.report(state)
            self.status(state)
            self.at += self.random.randrange(1, 50) * _MS

    def _next_day(self) -> None:
        if self.time_in_force != "GOOD_TILL_CANCEL" or not self.leaves or self.state != "NEW":
            return
        self.state = "DONE_FOR_DAY"
        self.report("DONE_FOR_DAY")
        self.at = (self.day + 1) * DAY_MICROS + 14 * 3_600_000_000 + self.random.randrange(1_000_000)
        self.day, self.state = self.day + 1, "NEW"
        self.report("RESTATED", restatementReason="GT_RENEWAL")

    def _end(self, state: str) -> None:
        self.state = state
        self.report(state)
        self.status(state)

    def _engine_speaks(self) -> None:
        """After an answer the engine says where the order stands, so that no request stays open in its words."""
        self.status(self.shown if self.shown in ("NEW", "PARTIALLY_FILLED", "FILLED") else "NEW")

    def _engine_repeats(self) -> None:
        if self.state == "NEW":
            self._engine_speaks()

    def _resend(self) -> None:
        if self._messages:
            self._messages.append((self.at + 2_000 * _MS, self.random.choice(self._messages)[1]))

    def _next_id(self) -> str:
        self._exec_ids += 1
        return f"{self.order_id}-{self._exec_ids}"

    def status(self, code: str) -> None:
        """The engine says it, some time later; what it says stays in order."""
        self._statuses += 1
        delay = self.random.randrange(40) if self.random.random() < 0.9 else self.random.randrange(1_500)
        self._engine_until = max(self._engine_until + 1, self.at + delay * _MS)
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
        """The venue reports what is no fill; in order."""
        self._execution(kind, None, **more)

    def _execution(
        self, kind: str, fill: _Fill | None, *, refers: str | None = None, late: bool = False, **more: Any
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
            "execId": fill.exec_id if fill else self._next_id(),
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
        published = self.at + (self.random.randrange(1, 3_000) * _MS if late else 0)
        self._messages.append((published, ("orders.executions", record)))
        if self.random.random() < SHARE_RESENT:
            self._messages.append((published + 500 * _MS, ("orders.executions", record)))

    def published(self, number: int) -> list[tuple[int, int, Event]]:
        """All messages with the time of publication; the numbers order those of one moment."""
        return [(at, number << 16 | i, event) for i, (at, event) in enumerate(self._messages)]
