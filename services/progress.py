"""How far consumer groups are: their lag, and whether they have really read everything that is committed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from broker.contract import Log, TopicPartition
from config.topology import Topology
from services.closing import Closing

_READ_TIMEOUT_S: Final = 0.5


class GroupProgress(Closing):
    """Asks a log about groups. Belongs to one thread; a context manager that lets go of its connections."""

    def __init__(self, log: Log, client_id: str) -> None:
        self._admin, self._reader = log.admin(), log.reader(client_id)
        self._partition_counts = self._admin.topics()

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """Offsets between what the group has committed and the committed ends, over all partitions.

        On Kafka a mark that ends a transaction takes an offset, so a group that has read everything may show a few.
        """
        return sum(end - at for at, end in self._behind(group, topics).values())

    def has_caught_up(self, group: str, topics: Iterable[str]) -> bool:
        """Whether no record stands behind what the group has committed: proven by reading on from there."""
        behind = self._behind(group, topics)
        if not behind:
            return True
        self._reader.assign({partition: at for partition, (at, _) in behind.items()})
        return not self._reader.read(1, _READ_TIMEOUT_S) and self._reader.at_end()

    def committed(self, group: str, topics: Iterable[str]) -> int:
        """The sum of what the group has committed over all partitions: it grows when the group gets further."""
        partitions = [TopicPartition(topic, n) for topic in topics for n in range(self._partition_counts[topic])]
        return sum({**self._admin.beginnings(partitions), **self._admin.committed(group, partitions)}.values())

    def _behind(self, group: str, topics: Iterable[str]) -> dict[TopicPartition, tuple[int, int]]:
        partitions = [TopicPartition(topic, n) for topic in topics for n in range(self._partition_counts[topic])]
        committed = {**self._admin.beginnings(partitions), **self._admin.committed(group, partitions)}
        ends = self._admin.ends(partitions)
        return {tp: (committed[tp], ends[tp]) for tp in partitions if committed[tp] < ends[tp]}

    def close(self) -> None:
        """Lets go of the log."""
        self._reader.close()
        self._admin.close()


def event_topics(topology: Topology) -> tuple[str, ...]:
    """The topics on which a flow commits offsets: those of its sources that are not broadcast."""
    return tuple(sorted({str(source.topic) for source in topology.sources.values() if not source.broadcast}))
