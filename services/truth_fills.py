"""The executions of one order for the verdict: what counts after repeats, busts and corrections, in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WAITING_MAX = 64
"""So many busts and corrections wait for their trades, per order; beyond that they are not applied."""


class Identity(NamedTuple):
    """What tells two executions apart. `place` is venue, and session where there is one."""

    place: tuple[str, str | None]
    trade_date: int
    exec_id: str


@dataclass(slots=True)
class Live:
    """A fill as it stands now: its own trade date and venue decide its fees whatever a correction says."""

    record: Mapping[str, Any]
    quantity: int
    price: int
    liquidity: str | None
    busted: bool = False


@dataclass(slots=True)
class Executions:
    """All executions of an order."""

    live: list[Live] = field(default_factory=list)
    _by_id: dict[Identity, list[Live]] = field(default_factory=dict)
    _seen: dict[Identity, set[tuple[Any, ...]]] = field(default_factory=dict)
    _waiting: list[Mapping[str, Any]] = field(default_factory=list)
    _busts: set[tuple[tuple[str, str | None], str]] = field(default_factory=set)

    @property
    def filled(self) -> int:
        """Sum of the live quantities."""
        return sum(fill.quantity for fill in self.live if not fill.busted)

    @property
    def notional(self) -> int:
        """Sum of quantity times price over the live fills, in millionths."""
        return sum(fill.quantity * fill.price for fill in self.live if not fill.busted)

    def is_repeat(self, record: Mapping[str, Any]) -> bool:
        """Whether the same execution with the same content was taken in before; notes it if not."""
        content = tuple(
            record.get(name) for name in ("execType", "lastQuantity", "lastPrice", "cumQuantity", "execRefId")
        )
        seen = self._seen.setdefault(_identity(record), set())
        repeat = content in seen
        seen.add(content)
        return repeat

    def add_trade(self, record: Mapping[str, Any]) -> bool:
        """Takes in a fill, with the busts and corrections that waited for it; whether anything counts after it."""
        fill = Live(record, record["lastQuantity"], record["lastPrice"], record["liquidity"])
        self.live.append(fill)
        self._name(record, fill)
        progress = True
        while progress:
            progress = False
            for early in list(self._waiting):
                if self._target(early) is fill:
                    self._waiting.remove(early)
                    self._apply(early, fill)
                    progress = True
        return not fill.busted

    def amend(self, record: Mapping[str, Any]) -> bool:
        """Takes in a bust or correction, which waits if it is early; whether it changed what a known fill comes to."""
        fill = self._target(record)
        if fill is None:
            # A bust may not be busted, nor corrected: what names one waits for nothing.
            names_a_bust = (_identity(record).place, record["execRefId"]) in self._busts
            if not names_a_bust and len(self._waiting) < WAITING_MAX:
                self._waiting.append(record)
                self._note_bust(record)
            return False
        if fill.busted:
            return False
        before = (fill.quantity, fill.price)
        self._apply(record, fill)
        for early in list(self._waiting):
            if self._target(early) is fill and not fill.busted:
                self._waiting.remove(early)
                self._apply(early, fill)
        return fill.busted or (fill.quantity, fill.price) != before

    def _apply(self, record: Mapping[str, Any], fill: Live) -> None:
        if fill.busted:
            return
        self._note_bust(record)
        if record["execType"] == "TRADE_CANCEL":
            fill.busted = True
        else:
            fill.quantity, fill.price = record["lastQuantity"], record["lastPrice"]
            fill.liquidity = record["liquidity"] or fill.liquidity
            self._name(record, fill)

    def _note_bust(self, record: Mapping[str, Any]) -> None:
        if record["execType"] == "TRADE_CANCEL":
            self._busts.add((_identity(record).place, record["execId"]))

    def _name(self, record: Mapping[str, Any], fill: Live) -> None:
        self._by_id.setdefault(_identity(record), []).append(fill)

    def _target(self, record: Mapping[str, Any]) -> Live | None:
        """The fill meant: of the same trade date if there is one, else of the latest; of several the last.

        A bust means one of its quantity and price before any other of that id.
        """
        wanted = _identity(record)._replace(exec_id=record["execRefId"])
        names = [name for name in self._by_id if (name.place, name.exec_id) == (wanted.place, wanted.exec_id)]
        names.sort(key=lambda name: (name == wanted, name.trade_date))
        fills = [fill for name in names for fill in self._by_id[name]]
        if record["execType"] == "TRADE_CANCEL":
            terms = record["lastQuantity"], record["lastPrice"]
            fills = [fill for fill in fills if (fill.quantity, fill.price) == terms] or fills
        return fills[-1] if fills else None


def _identity(record: Mapping[str, Any]) -> Identity:
    return Identity((record["venue"], record.get("session")), record["tradeDate"], record["execId"])
