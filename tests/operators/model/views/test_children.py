"""The children of a parent order."""

from __future__ import annotations

import msgspec
import pytest

from config.errors import InvalidRecordError
from operators.model.views.children import (
    Child,
    Children,
    add_child,
    child_suffix,
    forget_children,
    parent_key,
    read_child,
)
from operators.model.views.milestones import Milestone


def named(order_id: str, at: int = 10, parent_id: str | None = "P1") -> Milestone:
    return Milestone(
        kind="CHILD", occurred_at=at, key=f"ACC1|{order_id}", symbol="MSFT", venue="XNAS", parent_id=parent_id
    )


def test_children_are_written_once_each_under_numbers_without_gaps() -> None:
    state, written = None, {}
    for number in range(300):
        added = add_child(state, named(f"C{number}", at=number))
        assert added.suffix not in written
        state, written[added.suffix] = added.state, added.value
    assert state == Children(count=300, last_at=299)
    assert read_child(written[child_suffix(7)]) == Child(key="ACC1|C7", symbol="MSFT", venue="XNAS", known_at=7)
    assert sorted(written) == list(written)
    assert forget_children(state) == dict.fromkeys(written)


def test_the_state_of_a_parent_does_not_grow_with_its_children() -> None:
    assert len(msgspec.msgpack.encode(Children(count=100_000, last_at=1))) < 40


def test_a_child_belongs_to_the_account_of_its_parent() -> None:
    assert parent_key(named("C1")) == "ACC1|P1"
    with pytest.raises(InvalidRecordError):
        parent_key(named("C1", parent_id=None))
