"""Orders that are worked by an algorithm: sent to the destination ALGO, sliced into child orders over time and venues.

The slices are a pure function of the parent's intent and the seed, so the client that runs the algorithm places them,
and the engine knows from the same function when a parent will be complete. Children go through the risk check like any
order. Their quantities add up to the parent's.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from services.life import MINUTE, SECOND, VENUES, Life, closing_offset, ordinary_life

DESTINATION: Final = "ALGO"
SHARE_CANCELED: Final = 0.2
"""Of the parents that their children leave open."""
_CHILDREN: Final = (2, 8)
_MINUTES: Final = (5, 90)


def is_parent(intent: Mapping[str, Any]) -> bool:
    """Whether the order is for an algorithm and not for a venue."""
    return bool(intent["venue"] == DESTINATION)


def children_of(parent: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """The intents of its child orders, by time."""
    random = Random(f"{seed}|{parent['orderId']}|slices")
    count = min(random.randint(*_CHILDREN), parent["quantity"])
    cuts = [0, *sorted(random.sample(range(1, parent["quantity"]), count - 1)), parent["quantity"]]
    span = max(min(random.randint(*_MINUTES) * MINUTE, closing_offset(parent) - 2 * SECOND), count + 1)
    times = sorted(random.sample(range(1, span), count))
    first = random.randrange(len(VENUES))
    return [
        {
            **parent,
            "occurredAt": parent["occurredAt"] + at,
            "key": f"{parent['key']}-{number}",
            "orderId": f"{parent['orderId']}-{number}",
            "parentId": parent["orderId"],
            "clOrdId": f"{parent['clOrdId']}-{number}",
            "quantity": cuts[number] - cuts[number - 1],
            "venue": VENUES[(first + number) % len(VENUES)],
        }
        for number, at in enumerate(times, start=1)
    ]


def parent_life(parent: Mapping[str, Any], seed: int) -> Life:
    """The parent's own story: it is filled by its children, or canceled or expires with what they left open."""
    random = Random(f"{seed}|{parent['orderId']}")
    acknowledged = random.randrange(500, 4_000)
    filled, over = 0, acknowledged
    for child in children_of(parent, seed):
        life, placed = ordinary_life(child, seed), child["occurredAt"] - parent["occurredAt"]
        filled += sum(fill.final_quantity for fill in life.fills)
        amended = [fill.amendment.at for fill in life.fills if fill.amendment]
        over = max([over, *(placed + at for at in (life.ended, life.expired_after_bust or 0, *amended))])
    if filled == parent["quantity"]:
        return Life(acknowledged, acknowledged, None, (), "FILLED", over)
    closes = closing_offset(parent)
    if over + MINUTE < closes and random.random() < SHARE_CANCELED:
        return Life(acknowledged, acknowledged, None, (), "CANCELED", over + MINUTE, over + MINUTE - 5_000)
    return Life(acknowledged, acknowledged, None, (), "EXPIRED", max(closes, over) + SECOND)
