"""Batches of given sizes go through the flow's own parts, and each is measured."""

from __future__ import annotations

from bench.batches import measured


def test_each_size_is_measured_as_often_as_asked_for() -> None:
    """A batch that is not read, or that ends in the dead letters, would raise."""
    found = list(measured({7: 3, 50: 2}, warm=100))
    assert [(size.inputs, size.batches, size.steps.count) for size in found] == [(7, 3, 3), (50, 2, 2)]
    assert all(size.steps.least > 0 for size in found)
