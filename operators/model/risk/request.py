"""One request as the checks of pre-trade risk look at it, and how they report a breach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

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
    scopes_of,
    symbol_scope,
)
from operators.model.risk.limits_in_force import Level, Limits, LimitsInForce
from operators.model.risk.state import AccountRisk, OrderRisk, SymbolRisk, Terms

SIDES: Final = frozenset(side.value for side in Side)
SHORT_SIDES: Final = frozenset({Side.SELL_SHORT.value, Side.SELL_SHORT_EXEMPT.value})
NEEDS_LIMIT: Final = frozenset({"LIMIT", "STOP_LIMIT"})
NEEDS_STOP: Final = frozenset({"STOP", "STOP_LIMIT"})
ORDER_TYPES: Final = frozenset({"MARKET"}) | NEEDS_LIMIT | NEEDS_STOP


class Request(NamedTuple):
    """A new or replace request with all that the checks look at. `order` and `parent` are as known before."""

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

    @staticmethod
    def of(intent: OrderIntent, book: Book, tables: Tables, limits: LimitsInForce, day: int) -> Request:
        """The request with what is in force and known at its time."""
        order = book.order(intent.order_id)
        parent = book.order(intent.parent_id) if intent.parent_id else None
        reference = tables.accounts.get(intent.account_id)
        locate = order.locate if order and order.locate else intent.locate_id
        return Request(
            intent=intent,
            limits=in_force(intent, tables, limits),
            symbol=tables.symbols.get(intent.symbol),
            reference=reference,
            locate=tables.locates.get(locate) if locate else None,
            book=book,
            account=book.account,
            part=book.symbol(intent.symbol),
            order=order,
            parent=parent if parent is not None and parent.approved and parent.parent is None else None,
            day=day,
        )

    @property
    def replaces(self) -> bool:
        """Whether it changes an order."""
        return self.intent.event_type == EventType.REPLACE_REQUESTED

    @property
    def changed(self) -> OrderRisk | None:
        """The order that a replace changes; None for a new order."""
        return self.order if self.replaces else None

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for any sale, 0 for a word that is no side."""
        return side_sign(self.intent.side) if self.intent.side in SIDES else 0

    @property
    def price(self) -> int | None:
        """What a unit is valued at: limit price, else the reference or a higher stop price; None if that is not there.

        A STOP order becomes a MARKET order: with a stop price that the market has passed it trades at once, at the
        market's price and not at its own.
        """
        intent = self.intent
        if intent.order_type in NEEDS_LIMIT:
            return intent.limit_price
        reference = self.symbol.reference_price if self.symbol else None
        if intent.order_type not in NEEDS_STOP:
            return reference
        return None if intent.stop_price is None else max(intent.stop_price, reference or 0)

    @property
    def terms(self) -> Terms:
        """The terms it asks for, at the reserve price."""
        return Terms(self.intent.quantity, self.price or 0, self.intent.order_type in NEEDS_LIMIT)

    @property
    def own_reservation(self) -> bool:
        """Whether the order reserves for itself: it has no parent that does."""
        return self.parent is None and (self.order is None or self.order.parent is None)

    @property
    def added(self) -> int:
        """What the account would reserve more with this request."""
        if not self.own_reservation:
            return 0
        changed = self.changed
        wanted = max(0, self.intent.quantity - (changed.filled if changed else 0)) * (self.price or 0)
        return max(0, wanted - (changed.reserved if changed else 0))

    @property
    def added_quantity(self) -> int:
        """What the account could execute more with this request."""
        changed = self.changed
        wanted = self.intent.quantity - (changed.filled if changed else 0)
        return max(0, wanted - (changed.open_quantity if changed else 0))

    def only_reduces(self) -> bool:
        """Whether it can only lower the position, with everything else open on its side executed too."""
        sign, held = self.sign, self.part.quantity
        if sign == 0 or held * sign >= 0:
            return False
        on_side = self.part.buying if sign > 0 else self.part.selling
        changed = self.changed
        others = on_side - (changed.open_quantity if changed and changed.parent is None else 0)
        wanted = self.intent.quantity - (changed.filled if changed else 0)
        if not self.own_reservation:
            return on_side <= abs(held)
        return others + wanted <= abs(held)

    @property
    def account_scope(self) -> str:
        """The scope of the request's account."""
        return account_scope(self.intent.account_id)

    @property
    def symbol_scope(self) -> str:
        """The scope of the request's symbol."""
        return symbol_scope(self.intent.symbol)


def in_force(intent: OrderIntent, tables: Tables, limits: LimitsInForce) -> Limits:
    """The limits that hold for an intent."""
    reference = tables.accounts.get(intent.account_id)
    scopes = scopes_of(
        account_id=intent.account_id,
        symbol=intent.symbol,
        session=intent.session,
        desk=reference.desk if reference else None,
    )
    return limits.of(tables.controls, scopes)


def over(check: str, level: Level, attempted: int, *, current: int | None = None, unit: int = 1) -> Iterator[Breach]:
    """The breach of a level by a value above it, the hard one before the one that warns; values are shown in units."""
    for limit, severity in zip(level, SEVERITIES, strict=True):
        if limit is not None and attempted > limit.value:
            yield Breach(
                check=check,
                scope=limit.scope,
                limit=shown(limit.value, unit),
                current=None if current is None else shown(current, unit),
                attempted=shown(attempted, unit),
                severity=severity.value,
            )
            return


def over_money(check: str, level: Level, attempted: int, *, current: int | None = None) -> Iterator[Breach]:
    """As `over`, of amounts in millionths, shown in the currency."""
    return over(check, level, attempted, current=current, unit=MICROS)


def shown(value: int, unit: int = MICROS) -> float:
    """A value as the contract wants it in a breach: shown to people, never calculated with."""
    return value / unit
