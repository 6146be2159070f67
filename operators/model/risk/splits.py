"""Splits, as consolidated statuses of restated orders tell them: FIX ExecRestatementReason(378) GT corporate action.

A status does not say that it is a split. It shows by what no fill and no replace does: the order's quantity and its
filled quantity change by the same ratio, and what the fills cost stays. An order without fills tells nothing, but a
change of terms that nobody asked for, and that is right for it: its quantity and limit price are those of after the
split.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from operators.model.risk.state import OrderRisk, Terms


class Ratio(NamedTuple):
    """`old` units became `new` ones."""

    new: int
    old: int

    def of(self, quantity: int) -> int:
        """A quantity after the split, rounded down."""
        return quantity * self.new // self.old

    def price(self, price: int) -> int:
        """A price per unit after the split, rounded down, but never to nothing."""
        return max(1, price * self.old // self.new) if price else 0

    def terms(self, terms: Terms) -> Terms:
        """Terms after the split."""
        return replace(terms, quantity=self.of(terms.quantity), price=self.price(terms.price))


def split_told(order: OrderRisk, *, quantity: int, filled: int, notional: int) -> Ratio | None:
    """The ratio of the split that a status tells by its quantity, filled quantity and cost of its fills, if it does.

    The cost is worked out from an average price rounded to a millionth, so it may differ by one per unit.
    """
    before = order.terms.quantity
    if order.filled <= 0 or filled <= 0 or filled == order.filled or quantity <= 0 or quantity == before:
        return None
    ratio = Ratio(quantity, before)
    same_cost = abs(notional - order.filled_notional) <= filled + order.filled
    return ratio if same_cost and abs(ratio.of(order.filled) - filled) <= 1 else None
