"""The position of one account in one symbol, at average cost and FIFO, from the enrichment stream.

The key is `account|symbol`, so that an account with thousands of symbols is not rewritten with every fill; the
positions of an account are the keys that start with `account|`.

| enrichment | does |
|---|---|
| TRADE | adds a fill: see `holdings` for what it does to quantity, cost basis and realised |
| TRADE_CANCEL | takes its fill out, as if it had never been |
| TRADE_CORRECT | puts the corrected fill in its place, as if it had been right at once |
| RESTATED | a split: the first of its date scales the whole holding, at the same cost |
| anything with no fill | nothing |

Realised results are kept gross. With `fees_inside` the net figures take the fees off them; either way `fees` is their
sum. The cash of a position (received minus paid, without fees) is `realised - cost_basis` under both methods.

A bust or correction whose fill is not in the list any more (too old, or from before the list was kept) is booked as the
opposite of the fill, at its price, and counted as the anomaly NOT_REDERIVED: quantity and cash are exact, what was
realised depends on the path.

A split is a corporate action on all that is held of the symbol, and known from restated orders only: each tells it by
its own filled quantity before and after, rounded down. So the ratio is read from the largest of them, once per date,
and scales what was held before that date. Where no restated order had fills the holding does not split. An order whose
fills became less than one new unit tells no ratio: the anomaly NO_RATIO.

No sequence per order is kept to refuse repeated events: the engine delivers each exactly once, and such a memory would
grow with every order the account ever had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.events import ExecType, OrderEnriched, account_of
from operators.model.fees.costs import side_sign as side_sign
from operators.model.money import fitting
from operators.model.positions.fill_list import FILL, SPLIT, FillList, Fills, Item, ReadEntry, chunk_suffix, hash_of
from operators.model.positions.holdings import Holding as Holding
from operators.model.positions.holdings import Sums
from operators.model.positions.holdings import traded as traded

NOT_REDERIVED: Final = "NOT_REDERIVED"
"""Anomaly: a bust or correction that was booked as an opposite fill."""

NO_RATIO: Final = "NO_RATIO"
"""Anomaly: a split that leaves nothing of its order's fills."""

_SUMS_OF: Final = attrgetter(*Sums._fields)
_DAY_MICROS: Final = 86_400_000_000
_DAY_MAX: Final = 2**31 - 1


class Position(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One account's position in one symbol. Amounts in millionths; sums count from the first fill.

    `split_date` is the latest trade date of a split, in days since 1970.
    `head`, `head_quantity`, `head_basis` and `fills` are what deriving it anew needs, see `fill_list`.
    """

    account_id: str
    symbol: str
    quantity: int = 0
    cost_basis: int = 0
    realised: int = 0
    fifo_cost_basis: int = 0
    fifo_realised: int = 0
    fees: int = 0
    fees_inside: bool = False
    traded_quantity: int = 0
    traded_notional: int = 0
    last_price: int
    updated_at: int
    head: int = 0
    head_quantity: int = 0
    head_basis: int = 0
    fills: FillList | None = None
    split_date: int | None = None

    @property
    def average_cost(self) -> int | None:
        """Cost per unit, rounded towards zero, for people; None when flat."""
        return abs(self.cost_basis) // abs(self.quantity) if self.quantity else None

    @property
    def net_realised(self) -> int:
        """Realised at average cost, without the fees if they count inside."""
        return self.realised - self.fees * self.fees_inside

    @property
    def net_fifo_realised(self) -> int:
        """Realised by FIFO, without the fees if they count inside."""
        return self.fifo_realised - self.fees * self.fees_inside

    def unrealised(self, mark: int) -> int:
        """What closing at `mark` (millionths) would realise, exactly."""
        return self.quantity * mark - self.cost_basis

    def fifo_unrealised(self, mark: int) -> int:
        """The same by FIFO."""
        return self.quantity * mark - self.fifo_cost_basis


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRules:
    """How positions are kept: whether fees count inside realised, and for how many days fills can be busted."""

    fees_inside: bool = False
    keep_days: int = 90


class Booked(NamedTuple):
    """A position after an event, what is to be stored beside it by suffix, and anomalies by kind."""

    position: Position | None
    entries: Mapping[str, bytes | None] = {}
    anomalies: Sequence[str] = ()


def position_key(account_id: str, symbol: str) -> str:
    """The key of a position."""
    return f"{account_id}|{symbol}"


def on_enriched(
    position: Position | None, event: OrderEnriched, read: ReadEntry, rules: BookingRules = BookingRules()
) -> Booked:
    """Takes in one change of an order's fills; an event without one changes nothing. `read` gives what lies beside.

    `InvalidRecordError` for a fill without a positive price, an unknown side, or sums that do not fit 64 bits.
    """
    kind, sign = event.exec_type or ExecType.TRADE, side_sign(event.side)
    takes_back = kind in (ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT)
    if event.last_quantity == 0 and not takes_back:
        return Booked(position)
    before = position or Position(
        account_id=account_of(event.key), symbol=event.symbol, last_price=0, updated_at=event.occurred_at
    )
    trade_date = _trade_date(event)
    fills, anomalies, split_date = _fills(before, trade_date, read), list[str](), before.split_date
    if kind == ExecType.RESTATED:
        notional = 0
        split_date = _split(fills, event, trade_date, split_date, anomalies)
    elif takes_back:
        notional = _replaced(fills, event, sign, trade_date, anomalies)
    else:
        notional = event.last_quantity * _price(event)
        fills.fill(_item(event, sign * event.last_quantity, abs(notional), trade_date))
    fills.forget_before(trade_date - rules.keep_days)
    sums = fills.sums
    after = Position(
        account_id=before.account_id,
        symbol=before.symbol,
        quantity=sums.quantity,
        cost_basis=sums.cost_basis,
        realised=sums.realised,
        fifo_cost_basis=sums.fifo_cost_basis,
        fifo_realised=sums.fifo_realised,
        fees=fitting(before.fees + sum([fee.amount for fee in event.fees]), "fees"),
        fees_inside=rules.fees_inside,
        traded_quantity=fitting(before.traded_quantity + event.last_quantity, "traded quantity"),
        traded_notional=fitting(before.traded_notional + notional, "traded notional"),
        last_price=sums.last_price,
        updated_at=max(before.updated_at, event.occurred_at),
        head=sums.head,
        head_quantity=sums.head_quantity,
        head_basis=sums.head_basis,
        fills=fills.stored(),
        split_date=split_date,
    )
    entries = {chunk_suffix(number): chunk for number, chunk in fills.written.items()}
    return Booked(after, entries, anomalies)


def _fills(position: Position, trade_date: int, read: ReadEntry) -> Fills:
    sums = Sums(*_SUMS_OF(position))
    if position.fills is not None:
        return Fills(position.fills, sums, read)
    # Kept before there was a list: what is held counts as one lot.
    basis = position.cost_basis
    sums = sums._replace(
        fifo_cost_basis=basis,
        fifo_realised=position.realised,
        head_quantity=abs(position.quantity),
        head_basis=abs(basis),
    )
    fills = Fills(FillList(sums), sums, read)
    fills.carry_over(trade_date)
    return fills


def _split(
    fills: Fills, event: OrderEnriched, trade_date: int, split_date: int | None, anomalies: list[str]
) -> int | None:
    """Books a split unless it is booked already; the latest date of one."""
    old, new = event.replaced_quantity, event.replaced_quantity + event.last_quantity
    if old <= 0 or new < 0:
        raise InvalidRecordError(f"a split cannot make {new} of {old}")
    if new == 0:
        anomalies.append(NO_RATIO)
        return split_date
    known = split_date is not None and trade_date <= split_date
    fills.split_once(Item(SPLIT, trade_date, new, old, hash_of(event.key)), known=known)
    return trade_date if split_date is None else max(split_date, trade_date)


def _replaced(fills: Fills, event: OrderEnriched, sign: int, trade_date: int, anomalies: list[str]) -> int:
    """Takes back a fill, or puts the corrected one in its place; the change of what was traded in millionths."""
    old_quantity, new_quantity = event.replaced_quantity, event.replaced_quantity + event.last_quantity
    if old_quantity < 0 or new_quantity < 0:
        raise InvalidRecordError(f"an execution of {old_quantity} cannot become one of {new_quantity}")
    old_notional, new_notional = old_quantity * (event.replaced_price or 0), 0
    if new_quantity:
        new_notional = new_quantity * _price(event)
    number = fills.find(
        order=hash_of(event.key),
        exec_id=hash_of(event.key, event.exec_ref_id),
        quantity=old_quantity,
        notional=old_notional,
    )
    if number is None or not fills.derivable(number):
        anomalies.append(NOT_REDERIVED)
        if old_quantity:
            fills.fill(Item(FILL, trade_date, -sign * old_quantity, old_notional))
        if new_quantity:
            fills.fill(_item(event, sign * new_quantity, new_notional, trade_date))
        return new_notional - old_notional
    known = fills.item(number)
    quantity = _before_splits(abs(known.quantity), old_quantity, new_quantity)
    corrected = []
    if quantity:
        exec_id = hash_of(event.key, event.last_exec_id)
        corrected = [known._replace(quantity=sign * quantity, notional=new_notional, exec_id=exec_id)]
    fills.rederive(number, *corrected)
    return new_notional - known.notional


def _before_splits(original: int, old: int, new: int) -> int:
    """The quantity of a corrected fill as it was when it was filled, given what the fill counts as by now."""
    return new if original == old or not new else max(1, original * new // max(1, old))


def _item(event: OrderEnriched, signed_quantity: int, notional: int, trade_date: int) -> Item:
    return Item(FILL, trade_date, signed_quantity, notional, hash_of(event.key), hash_of(event.key, event.last_exec_id))


def _price(event: OrderEnriched) -> int:
    if event.last_price is None or event.last_price <= 0:
        raise InvalidRecordError(f"fill of {event.last_quantity} at price {event.last_price}")
    return event.last_price


def _trade_date(event: OrderEnriched) -> int:
    """The trade date; of an event that does not have it, the day it occurred on."""
    date = event.occurred_at // _DAY_MICROS if event.trade_date is None else event.trade_date
    return min(max(date, -_DAY_MAX), _DAY_MAX)
