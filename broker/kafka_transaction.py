"""The transaction of a flow on Kafka: one transactional id, one group, one commit per epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position

from broker.byte_columns import BytesColumn, as_array, lengths
from broker.contract import TopicPartition
from broker.holder import announce, encoded, taken_over, this_holder
from broker.kafka_batches import batches_of
from broker.kafka_client import make_client
from broker.kafka_errors import broken_world, is_transient
from broker.kafka_holders import GroupHolders
from broker.kafka_sender import Sender
from broker.kafka_waits import Errand, Waits
from broker.record_size import batch_bytes
from config.errors import BrokenWorldError, BrokerUnavailableError, FencedError, TakenOverError

# Of the time that the caller has, the client gets less: what does not return in time is given up before the end.
_SHARE_OF_CLIENT = 5 / 6
_RETRY_S = 0.01
_FIRST_COMMIT_S = 5.0
_LOOK_S = 0.2
# Whatever is asked of it, a coordinator answers only when it can answer for the group.
_ANY_PARTITION = Position("__consumer_offsets", 0)
# librdkafka asks at most three times for the coordinator of a group, some milliseconds apart, and then waits for a
# connection to close or to open, with no regard to the time it was given. Nothing is sent meanwhile, so this makes
# it ask again.
RECONNECT_AFTER_MS = 10_000


class KafkaTransaction(Sender):
    """The one writer of a transactional id.

    1. Opening (`init_transactions`) fences every earlier holder and aborts what it left open, then waits until the
       group's coordinator answers. A crash right after it costs nothing.
    2. Records are sent while the epoch is open. A crash leaves an open transaction, which the successor aborts.
    3. `commit` adds the group's offsets to the transaction, marked with who this is, and commits it. A crash before
       the coordinator has logged the commit aborts everything, after it everything is there.

    Every call ends within `deadline_s`, whether the client returns or not: then with a `BrokerUnavailableError`.
    """

    def __init__(
        self, client: Mapping[str, object], waits: Waits, *, transactional_id: str, group: str, deadline_s: float
    ) -> None:
        guarantees = {"transactional.id": transactional_id, "transaction.timeout.ms": 60_000}
        super().__init__(
            {"connections.max.idle.ms": RECONNECT_AFTER_MS, **client}, waits, guarantees, deadline_s=deadline_s
        )
        self._batches = batches_of(self._producer)
        self._transactional_id = transactional_id
        self._holder, self._holders = this_holder(), GroupHolders(client, group)
        self._mark = encoded(self._holder).decode()
        self._first_commit_s = _FIRST_COMMIT_S
        self._errand = Errand()
        try:
            self._call("opened", _Step("opened", self._producer.init_transactions))
            self._group = self._group_metadata({**client, "group.id": group, "enable.auto.commit": False})
            announce(transactional_id, self._holders.newest())
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        try:
            self._producer.begin_transaction()  # asks nobody, so it needs no time
        except KafkaException as error:
            raise self._broken_world(error, f"transaction {self._transactional_id} cannot be begun") from error

    def send_batch(self, topic: str, keys: BytesColumn, values: BytesColumn, *, partition: int | None = None) -> None:
        keys, values = as_array(keys), as_array(values)
        size_bytes = batch_bytes(topic, lengths(keys), lengths(values), record_bytes_max=self._record_bytes_max)
        self._lookup.check(topic, partition)
        self._make_room(size_bytes)
        try:
            refused = self._batches(topic, keys, values, partition)
        except KafkaException as error:
            raise self._broken_world(error, f"a batch for topic {topic} cannot be sent") from error
        if refused is not None:
            raise self._broken_world(refused.error, f"{refused.records} records for topic {topic} cannot be sent")
        self._serve()

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        steps = [_Step("committed", self._producer.commit_transaction)]
        if offsets:
            positions = [Position(topic, number, offset, self._mark) for (topic, number), offset in offsets.items()]
            send_offsets = self._producer.send_offsets_to_transaction
            steps.insert(0, _Step("given offsets", lambda time_s: send_offsets(positions, self._group, time_s)))
        self._call("committed", *steps)
        self._unacknowledged_bytes = 0

    def abort(self) -> None:
        self._call("aborted", _Step("aborted", self._producer.abort_transaction))

    def close(self) -> None:
        """As the contract says; a call that was given up keeps what it holds."""
        if hasattr(self, "_errand"):
            self._errand.close()
        if hasattr(self, "_batches"):
            del self._batches  # it must not outlive the producer
        super().close()

    def _group_metadata(self, options: Mapping[str, object]) -> object:
        """What the client wants to know of the group.

        It is given once the group's coordinator has answered. The first group of a new cluster makes it create the
        topic of offsets, and a restarted one loads it: the producer would not ask again for long enough.
        """
        with closing(make_client(Consumer, options)) as consumer:
            ask = _Step("told its group", lambda time_s: consumer.committed([_ANY_PARTITION], time_s), is_transient)
            self._call("told its group", ask)
            return consumer.consumer_group_metadata()

    def _call(self, done: str, *steps: _Step) -> None:
        """Steps of the transaction protocol, one after the other, in one errand."""
        if self._fatal:
            raise self._told(broken_world(self._fatal, self._cannot_be(done)))
        errand = _Steps(steps, time.monotonic() + _SHARE_OF_CLIENT * self._deadline_s)
        with self._waits(self._cannot_be(done), self._deadline_s):
            try:
                self._errand.run(errand, self._deadline_s)
            except TimeoutError as error:
                raise BrokerUnavailableError(f"{self._cannot_be(errand.at.done)}: {error}") from error
            except KafkaException as error:
                raise self._broken_world(error, self._cannot_be(errand.at.done)) from error

    def _broken_world(self, error: KafkaException | KafkaError, what: str) -> BrokenWorldError:
        return self._told(super()._broken_world(error, what))

    def _told(self, error: BrokenWorldError) -> BrokenWorldError:
        """The error, or if another process has committed since this one opened the id, one that says who.

        Whoever took over commits what both have just read, a moment later, so it is waited for; there is no hurry.
        """
        if not isinstance(error, FencedError):
            return error
        until_s = time.monotonic() + self._first_commit_s
        self._first_commit_s = 0.0  # once is enough
        while time.monotonic() < until_s:
            newest = self._holders.newest()
            if newest is not None and newest.since > self._holder.since:
                return TakenOverError(taken_over(self._transactional_id, mine=self._holder, newest=newest))
            time.sleep(_LOOK_S)
        return error

    def _cannot_be(self, done: str) -> str:
        return f"transaction {self._transactional_id} cannot be {done}"


def _may_be_tried_again(error: KafkaError) -> bool:
    return bool(error.retriable())


@dataclass(frozen=True, slots=True)
class _Step:
    """A call of the client, which is given the seconds left; what it does to the transaction; which errors pass."""

    done: str
    call: Callable[[float], object]
    passes: Callable[[KafkaError], bool] = _may_be_tried_again


class _Steps:
    """Steps to be taken one after the other, each tried again for as long as its error may pass.

    None begins after the deadline, so that nothing is done for a caller who has given up.
    """

    def __init__(self, steps: Sequence[_Step], deadline_s: float) -> None:
        self._steps, self._deadline_s = steps, deadline_s
        self.at = steps[0]

    def __call__(self) -> None:
        for step in self._steps:
            self.at = step
            self._take(step)

    def _take(self, step: _Step) -> None:
        while (left_s := self._deadline_s - time.monotonic()) > 0:
            try:
                step.call(left_s)
            except KafkaException as error:
                if not step.passes(error.args[0]) or time.monotonic() + _RETRY_S > self._deadline_s:
                    raise
                time.sleep(_RETRY_S)
            else:
                return
        raise TimeoutError("no time was left for it")
