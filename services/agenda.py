"""What a simulated service has still to say: the orders it knows, and every message planned for them, by its time.

| decision | what follows |
|---|---|
| an order is approved | its life, for the approved quantity |
| an order is refused | `Plans.refusal` |
| a cancel is approved | the answer that the order's life foresees, else an interruption of it, else a reject |
| a replace is approved | a reject (`Plans.request_reject`): the simulated venue takes none |
| an action of risk on a resting order | CANCEL or REDUCE as an interruption of that order's life |
| a request for an order that is not here | nothing: an engine passes on only what it knows |
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.life import Life
from services.lives import Interruption, interrupted_life

INTERRUPTION_MICROS: Final = 1_000
"""From a decision, or from the request to cancel, to its effect on an order."""
FINISHED_KEPT: Final = 10_000
"""So many orders of which all is told are kept to answer late requests."""

Intent = Mapping[str, Any]
Planned = tuple[int, dict[str, Any]]
"""When to publish, in microseconds UTC of the simulated day, and the record."""
Identity = tuple[str, int]
"""Key and sequence of a message; a message that is sent twice has it twice."""


def _nothing(*_: Any) -> list[Planned]:
    return []


@dataclass(frozen=True, slots=True)
class Plans:
    """What a service says, as pure functions of what is decided."""

    order: Callable[[Intent, Life], list[Planned]]
    """What follows from the approval of an order, apart from the answer to the cancel that its life foresees."""
    cancel: Callable[[Intent, Intent, Life], list[Planned]]
    """The answer to that cancel; intent, cancel and life."""
    refusal: Callable[[Mapping[str, Any]], list[Planned]] = _nothing
    """What follows when risk refused an order; the outcome."""
    request_reject: Callable[[Intent, Intent, Life], list[Planned]] = _nothing
    """The answer to a request that changes nothing; intent, request and life."""


@dataclass(slots=True)
class _Order:
    """An approved order, with all that has happened to it beside its own life."""

    intent: Intent
    interruptions: list[Interruption] = field(default_factory=list)
    cancel: Intent | None = None
    """The cancel that its life foresees, once it is here."""
    unpublished: int = 0


class Agenda:
    """Pure of any log: decisions in, messages out. Times in microseconds UTC."""

    def __init__(self, plans: Plans, seed: int) -> None:
        self._plans, self._seed = plans, seed
        self._pending: list[tuple[int, int, dict[str, Any]]] = []
        self._ties = itertools.count()
        self._orders: dict[str, _Order] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._early: defaultdict[str, list[tuple[int, int | None, str]]] = defaultdict(list)

    def __len__(self) -> int:
        """Messages planned and not yet taken."""
        return len(self._pending)

    @property
    def next_at(self) -> float:
        """When the next planned message is due; never if there is none."""
        return self._pending[0][0] if self._pending else math.inf

    def add(self, outcome: Mapping[str, Any]) -> None:
        """Plans what follows from a decision."""
        for action in outcome["actions"]:
            quantity = action["quantity"] if action["action"] == "REDUCE" else None
            reason = f"{action['reason']} {outcome['intent']['clOrdId']}"
            self._interrupt(action["key"], outcome["occurredAt"], quantity, reason)
        intent, approved = outcome["intent"], outcome["eventType"] == "RISK_APPROVED"
        if intent["eventType"] != "ORDER_SUBMITTED":
            if approved:
                self._request(intent)
        elif approved:
            self._open({**intent, "quantity": outcome["approvedQuantity"] or intent["quantity"]})
        else:
            self._push(self._plans.refusal(outcome))

    def take_due(self, until: float, records_max: int) -> list[dict[str, Any]]:
        """Takes the messages that are due by then, in order of time, at most so many."""
        due: list[dict[str, Any]] = []
        while self._pending and self.next_at <= until and len(due) < records_max:
            due.append(heapq.heappop(self._pending)[2])
        self._note_taken(due)
        return due

    def strike_off(self, published: Counter[Identity]) -> None:
        """Forgets the planned messages that were published before, as often as they were."""
        left = Counter(published)
        in_order = sorted(self._pending, key=lambda item: item[:2])
        self._pending = [planned for planned in in_order if not _strike(left, planned[2])]
        waiting = Counter(planned[2]["key"] for planned in self._pending)
        for key, order in self._orders.items():
            order.unpublished = waiting[key]
            if not waiting[key]:
                self._finished[key] = None

    def _open(self, intent: Intent) -> None:
        """Begins an order's life, with what was to happen to it before it was here: partitions are read apart."""
        order = self._orders[intent["key"]] = _Order(intent)
        early = self._early.pop(intent["key"], ())
        order.interruptions += [_interruption(intent, *told) for told in early]
        self._push(self._plans.order(intent, self._life(order)))

    def _request(self, request: Intent) -> None:
        order = self._orders.get(request["key"])
        if order is None:
            return
        life, at = self._life(order), request["occurredAt"] - order.intent["occurredAt"]
        cancels = request["eventType"] == "CANCEL_REQUESTED"
        if cancels and life.cancel_requested == at and order.cancel is None:
            order.cancel = request
            self._push(self._plans.cancel(order.intent, request, life))
        elif cancels and order.unpublished and at + INTERRUPTION_MICROS < life.ended:
            reason = f"CANCEL_REQUESTED {request['clOrdId']}"
            self._interrupt(request["key"], request["occurredAt"], None, reason)
        else:
            self._push(self._plans.request_reject(order.intent, request, life))

    def _interrupt(self, key: str, at: int, quantity: int | None, reason: str) -> None:
        """Plans the order anew: what was published stays, what was only planned makes room."""
        order = self._orders.get(key)
        if order is None:
            self._early[key].append((at, quantity, reason))
            return
        planned = Counter(identity(message) for _, message in self._messages(order))
        waiting = Counter(identity(message) for _, _, message in self._pending if message["key"] == key)
        order.interruptions.append(_interruption(order.intent, at, quantity, reason))
        self._pending = [planned for planned in self._pending if planned[2]["key"] != key]
        heapq.heapify(self._pending)
        order.unpublished = 0
        published = planned - waiting
        self._push([message for message in self._messages(order) if not _strike(published, message[1])])

    def _messages(self, order: _Order) -> list[Planned]:
        """All that is to be said of the order, as far as is known."""
        life = self._life(order)
        answers = self._plans.cancel(order.intent, order.cancel, life) if order.cancel is not None else []
        return [*self._plans.order(order.intent, life), *answers]

    def _life(self, order: _Order) -> Life:
        return interrupted_life(order.intent, self._seed, order.interruptions)

    def _push(self, planned: Sequence[Planned]) -> None:
        for published, message in planned:
            heapq.heappush(self._pending, (published, next(self._ties), message))
            if order := self._orders.get(message["key"]):
                order.unpublished += 1

    def _note_taken(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Lets go of the oldest orders of which everything is told."""
        for message in messages:
            order = self._orders.get(message["key"])
            if order is not None:
                order.unpublished -= 1
                if not order.unpublished:
                    self._finished[message["key"]] = None
        while len(self._finished) > FINISHED_KEPT:
            key, _ = self._finished.popitem(last=False)
            if not self._orders[key].unpublished:
                del self._orders[key]


def _interruption(intent: Intent, at: int, quantity: int | None, reason: str) -> Interruption:
    return Interruption(max(at + INTERRUPTION_MICROS - intent["occurredAt"], 1), quantity, reason)


def identity(message: Mapping[str, Any]) -> Identity:
    """What names a message on its topic."""
    return message["key"], message["sequence"]


def _strike(published: Counter[Identity], message: Mapping[str, Any]) -> bool:
    """Whether the message was published; it is struck off then."""
    name = identity(message)
    if not published[name]:
        return False
    published[name] -= 1
    return True
