"""One request as the checks of pre-trade risk look at it, and how they report a breach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from operators.model.events import Breach, EventType, OrderIntent, Side
from operators.model.money import MICROS
from operators.model.positions.positions import side_sign
from operators.model.risk.book import Book
from operators.model.risk.limits import (
    SEVERITIES,
    AccountReference,
    Locate,
    SymbolReference,
    Tables,
    account_scope,
    symbol_scope,
)
from operators.model.risk.limits_in_force import Level, Limits, LimitsInForce
from operators.model.risk.state import AccountRisk, OrderRisk, SymbolRisk, Terms

SIDES: Final = frozenset(side.value for side in Side)
SHORT_SIDES: Final = frozenset({Side.SELL_SHORT.value, Side.SELL_SHORT_EXEMPT.value})
NEEDS_LIMIT: Final = frozenset({"LIMIT", "STOP_LIMIT"})
NEEDS_STOP: Final = frozenset({"STOP", "STOP_LIMIT"})
ORDER_TYPES: Final = frozenset({"MARKET"}) | NEEDS_LIMIT | NEEDS_STOP

Breaches = Sequence[Breach]
"""What a check has found: nothing, as a rule."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A new or replace request with all that the checks look at. `order` and `parent` are as known before.

    `sign` is +1 for a buy, -1 for any sale, 0 for a word that is no side. `price` is what a unit is valued at, see
    `value_price`. `own_reservation` says that the order reserves for itself: it has no parent that does. `filled` is
    what a replaced order has executed already, `added_quantity` what the account could execute more with this request,
    `added` what it would reserve more.
    """

    intent: OrderIntent
    limits: Limits
    symbol: SymbolReference | None
    reference: AccountReference | None
    locate: Locate | None
    book: Book
    account: AccountRisk
    part: SymbolRisk
    order: OrderRisk | None
    parent: OrderRisk | None
    day: int
    replaces: bool
    changed: OrderRisk | None
    """The order that a replace changes; None for a new order."""
    sign: int
    price: int | None
    own_reservation: bool
    filled: int
    added_quantity: int
    added: int

    @staticmethod
    def of(intent: OrderIntent, book: Book, tables: Tables, limits: LimitsInForce, day: int) -> Request:
        """The request with what is in force and known at its time."""
        order = book.order(intent.order_id)
        parent = book.order(intent.parent_id) if intent.parent_id else None
        if parent is not None and (not parent.approved or parent.parent is not None):
            parent = None
        symbol = tables.symbols.get(intent.symbol)
        locate = order.locate if order and order.locate else intent.locate_id
        replaces = intent.event_type == EventType.REPLACE_REQUESTED
        changed = order if replaces else None
        own_reservation = parent is None and (order is None or order.parent is None)
        price = value_price(intent, symbol)
        open_quantity, reserved, filled = 0, 0, 0
        if changed is not None:
            open_quantity, reserved, filled = changed.open_quantity, changed.reserved, changed.filled
        wanted = intent.quantity - filled
        return Request(
            intent=intent,
            limits=in_force(intent, tables, limits),
            symbol=symbol,
            reference=tables.accounts.get(intent.account_id),
            locate=tables.locates.get(locate) if locate else None,
            book=book,
            account=book.account,
            part=book.symbol(intent.symbol),
            order=order,
            parent=parent,
            day=day,
            replaces=replaces,
            changed=changed,
            sign=side_sign(intent.side) if intent.side in SIDES else 0,
            price=price,
            own_reservation=own_reservation,
            filled=filled,
            added_quantity=max(0, wanted - open_quantity),
            added=max(0, max(0, wanted) * (price or 0) - reserved) if own_reservation else 0,
        )

    @property
    def terms(self) -> Terms:
        """The terms it asks for, at the reserve price."""
        return Terms(self.intent.quantity, self.price or 0, self.intent.order_type in NEEDS_LIMIT)

    def only_reduces(self) -> bool:
        """Whether it can only lower the position, with everything else open on its side executed too."""
        sign, held = self.sign, self.part.quantity
        if sign == 0 or held * sign >= 0:
            return False
        on_side = self.part.buying if sign > 0 else self.part.selling
        if not self.own_reservation:
            return on_side <= abs(held)
        changed = self.changed
        others = on_side - (changed.open_quantity if changed and changed.parent is None else 0)
        return others + self.intent.quantity - self.filled <= abs(held)

    @property
    def account_scope(self) -> str:
        """The scope of the request's account."""
        return account_scope(self.intent.account_id)

    @property
    def symbol_scope(self) -> str:
        """The scope of the request's symbol."""
        return symbol_scope(self.intent.symbol)


def value_price(intent: OrderIntent, symbol: SymbolReference | None) -> int | None:
    """What a unit is valued at: limit price, else the reference or a higher stop price; None if that is not there.

    A STOP order becomes a MARKET order: with a stop price that the market has passed it trades at once, at the
    market's price and not at its own.
    """
    if intent.order_type in NEEDS_LIMIT:
        return intent.limit_price
    reference = symbol.reference_price if symbol else None
    if intent.order_type not in NEEDS_STOP:
        return reference
    return None if intent.stop_price is None else max(intent.stop_price, reference or 0)


def in_force(intent: OrderIntent, tables: Tables, limits: LimitsInForce) -> Limits:
    """The limits that hold for an intent."""
    reference = tables.accounts.get(intent.account_id)
    return limits.applying(
        tables.controls,
        account_id=intent.account_id,
        symbol=intent.symbol,
        session=intent.session,
        desk=reference.desk if reference else None,
    )


def exceeds(level: Level, attempted: int) -> bool:
    """Whether a value is above a level, be it the hard one or the one that warns."""
    hard, warn = level
    return (hard is not None and attempted > hard.value) or (warn is not None and attempted > warn.value)


def over(check: str, level: Level, attempted: int, *, current: int | None = None, unit: int = 1) -> Breaches:
    """The breach of a level by a value above it, the hard one before the one that warns; values are shown in units."""
    if not exceeds(level, attempted):
        return ()
    for limit, severity in zip(level, SEVERITIES, strict=True):
        if limit is not None and attempted > limit.value:
            breach = Breach(
                check=check,
                scope=limit.scope,
                limit=shown(limit.value, unit),
                current=None if current is None else shown(current, unit),
                attempted=shown(attempted, unit),
                severity=severity.value,
            )
            return (breach,)
    return ()


def over_money(check: str, level: Level, attempted: int, *, current: int | None = None) -> Breaches:
    """As `over`, of amounts in millionths, shown in the currency."""
    return over(check, level, attempted, current=current, unit=MICROS)


def shown(value: int, unit: int = MICROS) -> float:
    """A value as the contract wants it in a breach: shown to people, never calculated with."""
    return value / unit
