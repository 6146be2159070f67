"""The committer: outputs, dead letters, state changes and source offsets of one epoch in one transaction.

The protocol, and what a crash right after each step costs:

    1. fence   open the transactional id, before anyone reads the cut: earlier holders can commit no more, and what
               they left open is aborted                          nothing
    2. send    outputs, dead letters, changelog, during the epoch  they are aborted, and made again
    3. commit  source offsets into the transaction; commit it      before: as 2; after: the epoch counts
    4. close   kernels flush the epoch when they see the next      the changelog brings it to the stores

The fence is the very object that commits: fencing twice would let two clusters that start at once undo each other's.
"""

from __future__ import annotations

import time

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from broker.contract import Transaction
from config.crash_points import CrashPoint, reach
from operators.stream.records import Outcome
from sinks.dead_letters import send_dead_letter

PART = "committer"


class CommitObserver:
    """What the committer tells about itself; the metrics of a process implement it, and by default nobody listens."""

    def committed(self, outcome: Outcome, *, send_s: float, commit_s: float) -> None:
        """An epoch was committed: everything of it, and the seconds spent sending and committing."""


class Committer(StatefulSinkPartition[Outcome, None]):
    """The one writer of a flow."""

    def __init__(
        self,
        transaction: Transaction,
        *,
        flow: str,
        dead_letter_topic: str,
        observer: CommitObserver | None = None,
    ) -> None:
        self._transaction, self._flow, self._dead_letter_topic = transaction, flow, dead_letter_topic
        self._observer = observer or CommitObserver()
        self._open = False
        self._epoch = Outcome(-1)
        self._send_s = 0.0

    def write_batch(self, items: list[Outcome]) -> None:
        """Sends what the processes made of the epoch so far."""
        started = time.perf_counter()
        for item in items:
            if not item:
                continue
            if not self._open:
                self._transaction.begin()
                self._open = True
            self._send(item)
        self._send_s += time.perf_counter() - started
        if self._open:
            reach(CrashPoint.COMMIT_SENDING)  # a crash here aborts the epoch: it is made again from the cut

    def _send(self, item: Outcome) -> None:
        for encoded in item.outputs:
            self._transaction.send_batch(encoded.topic, encoded.keys, encoded.values)
        for letter in item.dead_letters:
            send_dead_letter(self._transaction, self._dead_letter_topic, letter, self._flow)
        for change in item.changes:
            self._transaction.send_batch(change.topic, change.keys, change.values, partition=change.group)
        epoch = self._epoch
        for tp, end in item.progress.items():
            epoch.progress[tp] = max(end, epoch.progress.get(tp, 0))
        epoch.outputs += item.outputs
        epoch.changes += item.changes
        epoch.dead_letters += item.dead_letters
        for kind, count in item.anomalies.items():
            epoch.anomalies[kind] = epoch.anomalies.get(kind, 0) + count
        if len(item.timestamps_ms):
            epoch.timestamps_ms = item.timestamps_ms

    def snapshot(self) -> None:
        """Bytewax calls this at the end of every epoch: the commit point."""
        if not self._open:
            return
        reach(CrashPoint.COMMIT_BEFORE)  # a crash here aborts the epoch
        started = time.perf_counter()
        self._transaction.commit(self._epoch.progress)
        self._open = False
        reach(CrashPoint.COMMIT_AFTER)  # a crash here costs nothing: the epoch counts, stores catch up
        committed, self._epoch = self._epoch, Outcome(self._epoch.epoch)
        self._observer.committed(committed, send_s=self._send_s, commit_s=time.perf_counter() - started)
        self._send_s = 0.0

    def close(self) -> None:
        self._transaction.close()


class CommitterSink(FixedPartitionedSink[Outcome, None]):
    """One part, on the process that holds the fence; the other processes list none."""

    def __init__(self, committer: Committer | None) -> None:
        self._committer = committer

    def list_parts(self) -> list[str]:
        return [PART] if self._committer is not None else []

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Committer:
        assert self._committer is not None
        return self._committer
