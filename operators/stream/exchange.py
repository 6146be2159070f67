"""The exchange: rows travel to the process that owns their key group, inside the epoch, by Bytewax's own routing.

Process `group % processes` owns a key group, as it does a partition. What a process has for another one is one part
per work, so that the number of key groups costs nothing. In a whole epoch (`agreement.py`) every process sends one part
to each, with rows or without, and the rows of all are taken in one go: event time, which closes windows, would
otherwise move with the rows of the process that was first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from operators.stream.agreement import Agreement, Told
from operators.stream.records import Columns, Part


class Exchange:
    """The exchanges of one process: to whom its rows go, and which parts of others are complete."""

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._held: dict[tuple[int, int], list[Part]] = {}
        """Parts of whole epochs that wait for those of other processes, by segment and epoch."""

    @property
    def processes(self) -> int:
        """How many processes there are."""
        return self._agreement.count

    def addressed(
        self, shares: Sequence[Mapping[str, Columns]], *, epoch: int, now_ms: int, lanes: int, all_: bool
    ) -> list[tuple[str, Part]]:
        """The shares of all processes as parts; to those whose share is empty only if all are to hear of the time."""
        parts = []
        for process, inputs in enumerate(shares):
            if inputs or all_ or lanes:
                address = self._agreement.address_of(process)
                assert address is not None, f"rows for process {process}, which cannot be reached yet"
                parts.append((address, Part(self._agreement.index, epoch, now_ms, inputs, lanes)))
        return parts

    def complete(self, segment: int, parts: Iterable[Part], *, feeders: Sequence[int]) -> list[Part]:
        """Those parts that may be taken now, earlier ones included, in an order that does not depend on who was first.

        `feeders` are the segments whose works the parts come from: the first has a work in every process whose lane has
        not ended, the others have one in each.
        """
        result = []
        for part in parts:
            if not part.lanes:
                result.append(part)
                continue
            held = self._held.setdefault((segment, part.epoch), [])
            held.append(part)
            if len(held) == sum(self.processes if feeder else part.lanes for feeder in feeders):
                result += sorted(self._held.pop((segment, part.epoch)), key=lambda part: part.sender)
        return result

    def epoch_began(self, epoch: int) -> None:
        """Nothing of an earlier epoch may be left: it was committed, and its rows were never taken."""
        assert all(held >= epoch for _, held in self._held), f"parts of an epoch before {epoch} never became complete"


def split_by_owner(columns: Columns, processes: int) -> list[tuple[int, Columns]]:
    """The rows for each process that owns some of their key groups, in order."""
    owners = columns.groups % processes
    found: list[int] = np.unique(owners).tolist()
    if len(found) == 1:
        return [(found[0], columns)]
    return [(owner, columns.take(np.flatnonzero(owners == owner))) for owner in found]


def owned(index: int, processes: int, key_groups: int) -> range:
    """The key groups that a process owns."""
    return range(index, key_groups, processes)


class Route(StatefulBatchLogic[Part, Part, None]):
    """Passes parts through; keyed by address, it makes Bytewax bring them to the process that lives there."""

    def __init__(self, resume_state: None) -> None:
        pass

    def on_batch(self, values: list[Part]) -> tuple[Iterable[Part], bool]:
        return values, self.RETAIN

    def snapshot(self) -> None:
        return None


class _Ear(StatefulSinkPartition[Told, None]):
    """Where a process hears what lanes have told."""

    def __init__(self, hear: Callable[[Told], None]) -> None:
        self._hear = hear

    def write_batch(self, items: list[Told]) -> None:
        for told in items:
            self._hear(told)

    def snapshot(self) -> None:
        return None


class AgreementSink(FixedPartitionedSink[Told, None]):
    """A part on each process, so that a lane can reach every one."""

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement

    def list_parts(self) -> list[str]:
        return [everyone(self._agreement.count)[self._agreement.index]]

    def part_fn(self, item_key: str) -> int:
        return int(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Ear:
        return _Ear(self._agreement.hear)


def everyone(count: int) -> list[str]:
    """The keys of all processes as parts of the sink, in order."""
    return [f"{index:06d}" for index in range(count)]
