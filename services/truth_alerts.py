"""What surveillance must tell, worked out from the inputs of order_status alone, by brute force and from its page.

Alerts depend on when things become known, so the model says two things: what may be told, because the inputs bear it
out, and what must be, because a night lies between the omission and what shows it (see `services.incidents`).
Source: docs/domain/surveillance.md, with the limits of the shipped topology.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final, NamedTuple

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
ACKNOWLEDGEMENT, PENDING, OPEN, WASH_WINDOW = 5 * SECOND, 30 * SECOND, 8 * 3_600 * SECOND, 60 * SECOND
COLLAR_BPS: Final = 500
RATIO_ORDERS, RATIO_WINDOW = 50, 300 * SECOND
"""No ratio is judged of an account that places fewer in the window."""
_DEAD: Final = frozenset({"CANCELED", "EXPIRED", "REJECTED"})
_PENDING: Final = frozenset({"PENDING_NEW", "PENDING_CANCEL", "PENDING_REPLACE"})
_ANSWERS: Final = _DEAD | {"NEW", "TRADE"}
_REQUEST_ANSWERS: Final = _DEAD | {"REPLACED", "CANCEL_REJECTED"}
_GOOD_TILL: Final = frozenset({"GOOD_TILL_CANCEL", "GOOD_TILL_DATE"})


class Told(NamedTuple):
    """What an alert is about: its kind, and the order's key, the account, or the two orders of a wash trade."""

    kind: str
    subject: str


@dataclass(slots=True)
class _Trade:
    key: str
    at: int
    price: int


@dataclass(slots=True)
class _Watched:
    """The times that matter of one order, as engine and venues told them."""

    symbol: str
    side: str
    arrival: int | None = None
    good_till: bool = False
    first_at: int | None = None
    answers: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    pendings: list[int] = field(default_factory=list)
    request_answers: list[int] = field(default_factory=list)
    trades: dict[tuple[str, str], list[_Trade]] = field(default_factory=dict)

    def note(self, at: int, *, good_till: bool) -> None:
        self.first_at = at if self.first_at is None else min(at, self.first_at)
        self.good_till = self.good_till or good_till

    @property
    def all_trades(self) -> list[_Trade]:
        return [trade for trades in self.trades.values() for trade in trades]


class AlertTruth:
    """Takes in the inputs of order_status, in the order of their log; `owners` by account."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = owners
        self._orders: dict[str, _Watched] = {}
        self._parents: set[str] = set()

    def add_statuses(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.status; consolidated ones are left out."""
        for record in records:
            if record["eventType"] != "ORDER_STATUS_CHANGED":
                continue
            terms, code, at = record["order"], record["status"]["code"], record["occurredAt"]
            order = self._order(record["key"], terms["symbol"], terms["side"])
            order.note(at, good_till=terms["timeInForce"] in _GOOD_TILL)
            order.arrival = order.arrival or record["arrivalPrice"]
            if terms["isParent"]:
                self._parents.add(record["key"])
            if code in _PENDING:
                order.pendings.append(at)
            else:
                order.request_answers.append(at)
            if code in _DEAD:
                order.ends.append(at)
                order.answers.append(at)

    def add_executions(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.executions."""
        for record in records:
            kind, at = record["execType"], record["occurredAt"]
            order = self._order(record["key"], record["symbol"], record["side"])
            order.note(at, good_till=record["timeInForce"] in _GOOD_TILL)
            if kind in _ANSWERS:
                order.answers.append(at)
            if kind in _REQUEST_ANSWERS:
                order.request_answers.append(at)
            if kind in _DEAD or record["ordStatus"] == "FILLED":
                order.ends.append(at)
            if kind == "TRADE":
                name = record["venue"], record["execId"]
                order.trades.setdefault(name, []).append(_Trade(record["key"], at, record["lastPrice"]))
            elif kind == "TRADE_CORRECT":
                name = record["venue"], record["execRefId"]
                at = min((trade.at for trade in order.trades.get(name, ())), default=at)
                order.trades.setdefault(name, []).append(_Trade(record["key"], at, record["lastPrice"]))

    def may(self) -> set[Told]:
        """All that the inputs bear out."""
        single = {told for key, order in self._watched() for told, _ in _of_order(key, order)}
        washed = {Told("WASH_TRADE", pair) for pairs in self._washed().values() for pair in pairs}
        return single | washed | self._ratios()

    def must(self) -> list[set[Told]]:
        """Of each set at least one: the alerts that no order of reading can hide."""
        single = [{told} for key, order in self._watched() for told, sure in _of_order(key, order) if sure]
        owned = self._owned_trades()
        close = {name for name, trades in owned.items() if _span(trades) <= WASH_WINDOW}
        washed = [
            {Told("WASH_TRADE", pair) for pair in pairs}
            for name, pairs in self._washed().items()
            if pairs and name in close
        ]
        return single + washed

    def _watched(self) -> Iterator[tuple[str, _Watched]]:
        return ((key, order) for key, order in self._orders.items() if key not in self._parents)

    def _order(self, key: str, symbol: str, side: str) -> _Watched:
        return self._orders.setdefault(key, _Watched(symbol, side))

    def _owned_trades(self) -> dict[tuple[str, str], list[_Trade]]:
        """By owner and symbol."""
        owned: defaultdict[tuple[str, str], list[_Trade]] = defaultdict(list)
        for key, order in self._orders.items():
            owner = self._owners.get(_account(key))
            if owner is not None:
                owned[owner, order.symbol] += order.all_trades
        return owned

    def _washed(self) -> dict[tuple[str, str], set[str]]:
        """The pairs of orders that trade both sides for one owner, by owner and symbol."""
        washed = {}
        for name, trades in self._owned_trades().items():
            by_price: defaultdict[int, list[_Trade]] = defaultdict(list)
            for trade in trades:
                by_price[trade.price].append(trade)
            pairs = (pair for alike in by_price.values() for pair in combinations(alike, 2))
            washed[name] = {" ".join(sorted((a.key, b.key))) for a, b in pairs if self._match(a, b)}
        return washed

    def _match(self, one: _Trade, other: _Trade) -> bool:
        buys = [self._orders[trade.key].side == "BUY" for trade in (one, other)]
        apart = _account(one.key) != _account(other.key) and abs(one.at - other.at) <= WASH_WINDOW
        return apart and buys[0] != buys[1]

    def _ratios(self) -> set[Told]:
        """The accounts that place enough in a window for ratios to be judged at all."""
        placed: defaultdict[str, list[int]] = defaultdict(list)
        for key, order in self._watched():
            if order.first_at is not None:
                placed[_account(key)].append(order.first_at)
        busy = [account for account, times in placed.items() if _crowded(sorted(times))]
        return {Told(kind, account) for account in busy for kind in ("CANCEL_RATIO", "ORDER_TO_TRADE_RATIO")}


def _of_order(key: str, order: _Watched) -> Iterator[tuple[Told, bool]]:
    """What may be told of an order, and whether it must."""
    placed = order.first_at
    if placed is None:
        return
    if not order.answers or min(order.answers) - placed > ACKNOWLEDGEMENT:
        yield Told("UNACKNOWLEDGED", key), _later_day(placed, order.answers)
    for pending in order.pendings:
        answers = [at for at in order.request_answers if at > pending]
        if not answers or min(answers) - pending > PENDING:
            yield Told("STUCK_PENDING", key), _later_day(pending, answers)
    if not order.good_till and (not order.ends or max(order.ends) - placed > OPEN):
        yield Told("STUCK_OPEN", key), _later_day(placed, order.ends)
    for trade in order.all_trades:
        if order.arrival and abs(trade.price - order.arrival) * 10_000 > COLLAR_BPS * order.arrival:
            yield Told("FILL_OUTSIDE_COLLAR", key), _later_day(placed, [trade.at])


def _later_day(since: int, shown: list[int]) -> bool:
    """Whether what shows it all happened on a later day."""
    return bool(shown) and min(shown) // DAY > since // DAY


def _crowded(times: list[int]) -> bool:
    return any(last - first <= RATIO_WINDOW for first, last in zip(times, times[RATIO_ORDERS - 1 :], strict=False))


def _span(trades: list[_Trade]) -> int:
    times = [trade.at for trade in trades]
    return max(times) - min(times) if times else 0


def _account(key: str) -> str:
    return key.split("|", 1)[0]
