"""Lives of orders with everything that a day in the market can do to them, as engine and venues tell them.

Beside plain fills there are pending cancels and replaces with their answers, replaces up, down and below what is
filled, suspensions, busts and chained corrections (also days later, also before the trade they refer to), executions
that reuse an id, repeated messages, orders that live for several days, and parents worked through children. For tests
of the rules under crashes: deterministic from (orders, seed), in the order of publication, both topics mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from services.day import Event
from services.life import MS, TICK_MICROS, VENUES
from services.sessions import DAY_MICROS
from services.told_order import FIRST_DAY, StoryFill, ToldOrder

SHARE_PARENTS: Final = 0.1
SHARE_LATE: Final = 0.06
ACTIONS_MAX: Final = 14


def histories(orders: int, seed: int) -> Iterator[Event]:
    """The events of so many orders, children not counted."""
    told: list[tuple[int, int, Event]] = []
    for number in range(orders):
        random = Random(f"{seed}|history|{number}")
        start = FIRST_DAY * DAY_MICROS + 14 * 3_600_000_000 + number * 2 * MS
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
        _Story(account, f"{order_id}.{n}", random, start + (n + 1) * MS, parent_id=order_id)
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
        parent.at = max(child.at for child in children) + MS
        parent.status("CANCELED")
    return [message for story in (parent, *children) for message in story.published(number)]


class _Story(ToldOrder):
    """What happens to an order, in chance order."""

    def tell(self) -> None:
        """The whole life."""
        self.status("NEW")
        self.report("NEW")
        actions: list[Callable[[], None]] = [
            *[self._trade] * 6, self._cancel, self._replace, self._replace, self._suspend, self._bust, self._correct,
            self._next_day, self.resend, self._engine_repeats,
        ]  # fmt: skip
        for _ in range(self.random.randrange(ACTIONS_MAX)):
            self.at += self.random.randrange(1, 400) * MS
            self.random.choice(actions)()
        if self.leaves and self.random.random() < 0.5:
            self.at += MS
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
            venue, exec_id = random.choice(VENUES), self.next_id()
        quantity = random.randint(1, self.leaves) if random.random() < 0.8 else self.leaves
        fill = StoryFill(
            venue, exec_id, self.day, quantity, self.price + random.randint(-9, 9) * TICK_MICROS,
            random.random() < SHARE_LATE,
        )  # fmt: skip
        self.fills.append(fill)
        self.filled += quantity
        self.execution("TRADE", fill, late=fill.late)

    def _bust(self) -> None:
        fill = self._any_fill()
        if fill is None:
            return
        self.fills.remove(fill)
        self.filled -= fill.quantity
        busted = StoryFill(fill.venue, self.next_id(), self.day, fill.quantity, fill.price, late=False)
        self.execution("TRADE_CANCEL", busted, refers=fill.exec_id)

    def _correct(self) -> None:
        fill = self._any_fill()
        if fill is None:
            return
        quantity = max(1, fill.quantity - self.random.randrange(0, 3) * 10)
        corrected = StoryFill(
            fill.venue, self.next_id(), self.day, quantity, fill.price + TICK_MICROS * self.random.randint(1, 5), False
        )
        self.fills[self.fills.index(fill)] = corrected
        self.filled += quantity - fill.quantity
        self.execution("TRADE_CORRECT", corrected, refers=fill.exec_id)

    def _any_fill(self) -> StoryFill | None:
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
        self.at += self.random.randrange(1, 30) * MS
        if self.random.random() < 0.4:
            self._trade()
            self.at += MS
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
            self.at += self.random.randrange(1, 50) * MS

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
