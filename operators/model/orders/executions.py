"""The executions of an order: what tells them apart, and what is left of them after busts, corrections and splits.

An order keeps its executions as a log, oldest first, that is only ever added to: trades, corrections, busts, splits.
Reading it from the start gives the *live* trades:

| entry | names | live afterwards |
|---|---|---|
| TRADE | | one more trade, of this quantity and price |
| TRADE_CORRECT | a trade, by its ExecID or that of a correction of it | that trade, with quantity and price anew |
| TRADE_CANCEL | the same | all but that trade |
| RESTATED (split) | | every trade with its quantity times the ratio; what it was worth stays |

ExecID(17) is unique only within a venue, its session where the venue numbers per session, and a trade date. The same
execution told again has the same content: last quantity, last price, cumulated quantity, and for busts and corrections
type and ExecRefID(19). With other content the venue has used an id again, and it is another execution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from operators.model.events import ExecType, ExecutionReport

WAITING_MAX: Final = 64
"""Busts and corrections of one order that may wait for their trade."""
EXECUTION_TYPES: Final = frozenset({ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL})


class Identity(NamedTuple):
    """What tells two executions of an order apart."""

    venue: str
    session: str | None
    trade_date: int
    exec_id: str


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the log. In that of a split, `quantity` became what was `price`: the two parts of the ratio."""

    kind: str = ExecType.TRADE
    venue: str
    session: str | None = None
    trade_date: int
    exec_id: str
    quantity: int
    price: int
    cum_quantity: int = 0
    liquidity: str | None = None
    ref: str | None = None

    @property
    def identity(self) -> Identity:
        """Its identity within the order."""
        return Identity(self.venue, self.session, self.trade_date, self.exec_id)

    def repeats(self, other: Execution) -> bool:
        """Whether two executions of the same identity are the same one, told twice."""
        mine = (self.kind, self.quantity, self.price, self.cum_quantity, self.ref)
        return mine == (other.kind, other.quantity, other.price, other.cum_quantity, other.ref)


class Split(NamedTuple):
    """A split: `old` units became `new` ones, for whatever was traded before that date."""

    trade_date: int
    new: int
    old: int

    def of(self, quantity: int) -> int:
        """A quantity after the split, rounded down."""
        return quantity * self.new // self.old


@dataclass(frozen=True, slots=True)
class Recall:
    """Answers for the executions that whoever keeps the state moved out of `Order.executions`."""

    named: Callable[[Identity], Sequence[Execution]] = lambda _: ()
    """Those of an identity."""
    everything: Callable[[], Sequence[Execution]] = lambda: ()
    """All of them, oldest first: slow, for what is rare."""


NOTHING_MOVED_OUT: Final = Recall()


@dataclass(slots=True)
class Live:
    """A trade with its corrections: what of it counts now."""

    trade: Execution
    version: Execution
    """The trade or its last correction."""
    quantity: int
    """As counted: after splits that came later. 0 once busted."""
    notional: int
    liquidity: str | None = None
    """As last told: what its fees go by."""
    busted: bool = False
    names: list[Identity] = field(default_factory=list)

    @property
    def price(self) -> int:
        """What one unit as counted was worth."""
        return self.notional // self.quantity if self.quantity else self.version.price

    def correct(self, correction: Execution) -> None:
        """Takes in a correction, which gives quantity and price anew."""
        self.version, self.quantity = correction, correction.quantity
        self.notional = correction.quantity * correction.price
        self.liquidity = correction.liquidity or self.liquidity
        self.names.append(correction.identity)

    def bust(self) -> None:
        """Takes the trade back."""
        self.busted, self.quantity, self.notional = True, 0, 0


def execution_of(event: ExecutionReport) -> Execution:
    """The log entry of a trade, correction or bust."""
    return Execution(
        kind=str(event.exec_type),
        venue=event.venue,
        session=event.session or None,
        trade_date=event.trade_date,
        exec_id=event.exec_id,
        quantity=event.last_quantity,
        price=event.last_price or 0,
        cum_quantity=event.cum_quantity,
        liquidity=event.liquidity,
        ref=event.exec_ref_id if event.exec_type != ExecType.TRADE else None,
    )


def live_trade(trade: Execution, splits: Iterable[Split] = ()) -> Live:
    """A trade as it counts when it comes: one from before a split counts as if it had been there."""
    quantity = trade.quantity
    for split in splits:
        if trade.trade_date < split.trade_date:
            quantity = split.of(quantity)
    return Live(trade, trade, quantity, trade.quantity * trade.price, trade.liquidity, names=[trade.identity])


def live_trades(log: Iterable[Execution]) -> list[Live]:
    """Every trade of a log, busted ones included, oldest first."""
    trades: list[Live] = []
    splits: list[Split] = []
    by_id: dict[str, list[Live]] = {}
    for entry in log:
        if entry.kind == ExecType.TRADE:
            trades.append(live_trade(entry, splits))
            by_id.setdefault(entry.exec_id, []).append(trades[-1])
        elif entry.kind == ExecType.RESTATED:
            splits.append(Split(entry.trade_date, entry.quantity, entry.price))
            _split(trades, splits[-1])
        else:
            named = named_by(by_id.get(entry.ref or "", ()), entry)
            assert named is not None, "the log holds what was applied"
            if entry.kind == ExecType.TRADE_CORRECT:
                named.correct(entry)
                by_id.setdefault(entry.exec_id, []).append(named)
            else:
                named.bust()
    return trades


def _split(trades: Iterable[Live], split: Split) -> None:
    """Rounds running totals and not single trades, so that their sum is the ratio of the sum."""
    before, after = 0, 0
    for trade in trades:
        before += trade.quantity
        trade.quantity, after = split.of(before) - after, split.of(before)


def named_by(trades: Iterable[Live], entry: Execution) -> Live | None:
    """The trade that a bust or correction names at its venue and session: of its date, else of the latest; the last.

    Where the venue used the ExecID again, a bust means the trade of its quantity and price before any other.
    """
    best: tuple[tuple[bool, bool, int, int], Live] | None = None
    for number, trade in enumerate(trades):
        terms = trade.version.quantity, trade.version.price
        same_terms = entry.kind == ExecType.TRADE_CANCEL and terms == (entry.quantity, entry.price)
        for name in trade.names:
            if (name.exec_id, name.venue, name.session) == (entry.ref, entry.venue, entry.session):
                rank = same_terms, name.trade_date == entry.trade_date, name.trade_date, number
                if best is None or rank >= best[0]:
                    best = rank, trade
    return best[1] if best else None


class Settled(NamedTuple):
    """What became of busts and corrections that waited for a trade: applied, refused, and still waiting."""

    applied: tuple[Execution, ...]
    refused: tuple[Execution, ...]
    waiting: tuple[Execution, ...]


def settle(trade: Live, waiting: tuple[Execution, ...]) -> Settled:
    """Applies to a trade, in place, what waited for it or for a correction of it, in the order of arrival."""
    applied: list[Execution] = []
    refused: list[Execution] = []
    while (entry := next((e for e in waiting if named_by([trade], e)), None)) is not None:
        waiting = tuple(e for e in waiting if e is not entry)
        if trade.busted:
            refused.append(entry)
            continue
        applied.append(entry)
        if entry.kind == ExecType.TRADE_CORRECT:
            trade.correct(entry)
        else:
            trade.bust()
    return Settled(tuple(applied), tuple(refused), waiting)
