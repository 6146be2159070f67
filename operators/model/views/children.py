"""The children of a parent order, in the order in which they became known.

A parent may be worked through a hundred thousand children, so its state is not rewritten with each: it counts them, and
each child is written once under the parent's key and `child_suffix(number)`, numbered from 0 without gaps.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from config.errors import InvalidRecordError
from operators.model.events import account_of, order_key
from operators.model.views.milestones import Milestone


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """State of one parent: how many children were written, and when (microseconds) the last one was told of."""

    count: int = 0
    last_at: int


class Child(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One child: its order key, where it went, and when (microseconds) its parent was told."""

    key: str
    symbol: str
    venue: str | None
    known_at: int


class ChildAdded(NamedTuple):
    """The parent after one more child, and what is written under its key and this suffix."""

    state: Children
    suffix: str
    value: bytes


def parent_key(milestone: Milestone) -> str:
    """The key of the parent of a child: children belong to the account of their parent."""
    if not milestone.parent_id:
        raise InvalidRecordError(f"{milestone.key} is told as a child without a parent")
    return order_key(account_of(milestone.key), milestone.parent_id)


def add_child(state: Children | None, milestone: Milestone) -> ChildAdded:
    """Takes in one child; its own timeline tells of it once."""
    number = state.count if state else 0
    last_at = max(milestone.occurred_at, state.last_at if state else 0)
    child = Child(key=milestone.key, symbol=milestone.symbol, venue=milestone.venue, known_at=milestone.occurred_at)
    return ChildAdded(Children(count=number + 1, last_at=last_at), child_suffix(number), msgspec.msgpack.encode(child))


def child_suffix(number: int) -> str:
    """What follows the parent's key in the key of a child; keys of orders have no NUL."""
    return f"\0{number:08d}"


def read_child(value: bytes) -> Child:
    """A child as it was written."""
    return _CHILD.decode(value)


def forget_children(state: Children) -> dict[str, None]:
    """The children to delete, by key suffix, when the parent's own state is dropped."""
    return {child_suffix(number): None for number in range(state.count)}


_CHILD: Final = msgspec.msgpack.Decoder(Child)
