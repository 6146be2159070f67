"""What the benchmarks that run the flow by themselves watch: its visible outputs and its committed position."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from types import TracebackType
from typing import Final

from bench.peers.harness import cluster
from bench.peers.harness.job import Job
from broker.contract import TopicPartition
from broker.kafka import KafkaLog

_WAIT_S: Final = 0.05
_QUIET_S: Final = 1.0


class Outputs:
    """Counts the enrichments that a read_committed consumer sees, from the first one on; a context.

    Whoever sends inputs adds to `due` first, so that one output more than are due is noticed at once, however many are
    waited for.
    """

    def __init__(
        self, bootstrap: str, partitions: int, check: Callable[[Sequence[bytes]], None] = lambda _values: None
    ) -> None:
        self.due = 0
        """Outputs that follow from the inputs sent so far."""
        self.count = 0
        self._check = check
        self._consumer = cluster.reader(bootstrap, cluster.ENRICHMENT, [0] * partitions)

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def poll(self) -> int:
        """Counts and checks what is there, waiting a moment for a first one; how many came.

        Raises `RuntimeError` if more came than are due, and whatever `check` raises.
        """
        # One message first: asking for many would wait the whole time for the last of them.
        came = list(cluster.good(self._consumer.consume(1, _WAIT_S)))
        if came:
            came += cluster.good(self._consumer.consume(5_000, 0.001))
        self.count += len(came)
        self._check(came)
        if self.count > self.due:
            raise RuntimeError(f"{self.count:,} outputs are visible where {self.due:,} are due: some are duplicates")
        return len(came)

    def poll_until_quiet(self) -> None:
        """Counts until nothing came for a while."""
        last = time.monotonic()
        while time.monotonic() < last + _QUIET_S:
            if self.poll():
                last = time.monotonic()

    def finish(self) -> None:
        """Counts until nothing comes any more. `RuntimeError` if not all that is due came."""
        self.poll_until_quiet()
        if self.count < self.due:
            raise RuntimeError(f"{self.count:,} outputs are visible where {self.due:,} are due: some are missing")

    def poll_until(self, want: int, job: Job, timeout_s: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Counts until there are at least so many. Raises if the job ends, or after `timeout_s`, and as `poll` does."""
        deadline = time.monotonic() + timeout_s
        while self.count < want:
            if not self.poll():
                job.process.check()
            meanwhile()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.count:,} of {want:,} outputs were visible after {timeout_s:.0f} s")


def wait_until_committed(bootstrap: str, group: str, *, behind_max: int = 1, stalled_s: float = 60.0) -> None:
    """Returns when the group is behind the end of no input partition by more than `behind_max` offsets.

    The default allows for the marker of the last transaction, which takes an offset of its own that nobody reads.
    `TimeoutError` if the group commits nothing for `stalled_s`, while it is further behind.
    """
    topics = (cluster.STATUS, cluster.EXECUTIONS)
    partitions = [TopicPartition(t, p) for t in topics for p in range(cluster.partitions_of(bootstrap, t))]
    moved_at, before = time.monotonic(), dict[TopicPartition, int]()
    with closing(KafkaLog(bootstrap).admin()) as admin:
        while True:
            ends, committed = admin.ends(partitions), dict(admin.committed(group, partitions))
            behind = {tp: ends[tp] - committed.get(tp, 0) for tp in partitions}
            if max(behind.values()) <= behind_max:
                return
            if committed != before:
                moved_at, before = time.monotonic(), committed
            if time.monotonic() > moved_at + stalled_s:
                shown = ", ".join(f"{tp.topic}[{tp.partition}] {count:,}" for tp, count in behind.items())
                raise TimeoutError(f"{group} has committed nothing for {stalled_s:.0f} s; it is behind by: {shown}")
            time.sleep(0.1)
