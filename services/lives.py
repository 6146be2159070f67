"""Which life a simulated order has, and what becomes of it when something interrupts it.

An interrupted life is as pure as any: a function of the intent, the seed and the interruptions, in whatever order they
were learnt. So a service that starts anew comes to the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from services.incidents import incident_life, is_incident
from services.life import Fill, Life, Reduction, ordinary_life
from services.worked import is_parent, parent_life


class Interruption(NamedTuple):
    """Something takes open quantity away from an order: all of it, or `quantity`. `at` as the offsets of a life."""

    at: int
    quantity: int | None
    reason: str


def life_of(intent: Mapping[str, Any], seed: int) -> Life:
    """The life of a submitted order; `intent` is an OrderIntent of type ORDER_SUBMITTED."""
    if is_parent(intent):
        return parent_life(intent, seed)
    return incident_life(intent) if is_incident(intent) else ordinary_life(intent, seed)


def interrupted_life(intent: Mapping[str, Any], seed: int, interruptions: Iterable[Interruption]) -> Life:
    """The life of an order to which all this happened."""
    life, quantity = life_of(intent, seed), intent["quantity"]
    for interruption in sorted(interruptions, key=lambda each: (each.at, each.reason)):
        life = _interrupted(life, quantity, interruption)
        quantity = life.reductions[-1].quantity if life.reductions else quantity
    return life


def _interrupted(life: Life, quantity: int, interruption: Interruption) -> Life:
    """What is over stays as it is; what is left of an order that is nothing but filled is canceled."""
    at = max(interruption.at, life.acknowledged + 1)
    if at >= life.ended:
        return life
    done = sum(fill.quantity for fill in life.fills if fill.at <= at)
    left = done if interruption.quantity is None else max(done, quantity - interruption.quantity)
    changed = replace(
        life,
        fills=_up_to(life.fills, left),
        nights=tuple(night for night in life.nights if night.done <= at or left > done),
        interrupted=at if life.interrupted is None else life.interrupted,
    )
    if left == done:
        return replace(
            changed, ending="CANCELED", ended=at, cancel_requested=None, expired_after_bust=None,
            reason=interruption.reason, pending_shown=False,
        )  # fmt: skip
    changed = replace(changed, reductions=(*life.reductions, Reduction(at, left, interruption.reason)))
    if changed.filled < left:
        return changed
    last = changed.fills[-1].at
    nights = tuple(night for night in changed.nights if night.done <= last)
    return replace(
        changed, ending="FILLED", ended=last, nights=nights,
        cancel_requested=life.cancel_requested if life.ending == "FILLED" else None,
        expired_after_bust=life.expired_after_bust,
    )  # fmt: skip


def _up_to(fills: tuple[Fill, ...], quantity: int) -> tuple[Fill, ...]:
    """The fills as long as they do not go beyond the quantity, the last one cut to it."""
    kept: list[Fill] = []
    for fill in fills:
        room = quantity - sum(one.quantity for one in kept)
        if room <= 0:
            break
        whole = room >= fill.quantity
        kept.append(fill if whole else replace(fill, quantity=room, amendment=None))
    return tuple(kept)
