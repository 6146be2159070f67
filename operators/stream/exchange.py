"""The exchange: rows travel to the process that owns their key group, inside the epoch, by Bytewax's own routing."""

from __future__ import annotations

from collections.abc import Iterable

from bytewax.operators import StatefulBatchLogic

from operators.stream.records import Part


class Route(StatefulBatchLogic[Part, Part, None]):
    """Passes parts through; keyed by key group, it makes Bytewax bring them to the group's owner."""

    def __init__(self, resume_state: None) -> None:
        pass

    def on_batch(self, values: list[Part]) -> tuple[Iterable[Part], bool]:
        return values, self.RETAIN

    def snapshot(self) -> None:
        return None
