"""The embedded log equals a dictionary of lists, whatever transactions do, in whatever order."""

import tempfile
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.contract import TopicPartition, TopicSpec, Transaction
from broker.embedded import EmbeddedLog
from broker.murmur2 import partition_of
from config.errors import FencedError

PARTITIONS = 2
ADDRESSES = [TopicPartition(topic, partition) for topic in ("t", "u", "c") for partition in range(PARTITIONS)]
IDS = ("one", "two")

topics = st.sampled_from(["t", "u", "c"])
keys = st.sampled_from([b"", b"a", b"b", b"c", b"long" * 200])
values = st.none() | st.binary(max_size=30)
# Counted from the newest; the newest are drawn most, for the older ones are mostly fenced.
holders = st.sampled_from([1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 5, 6])
batches = st.lists(st.tuples(keys, values), max_size=60)

Row = tuple[bytes, bytes | None]


@dataclass
class Holder:
    """A transaction object with what the model thinks of it."""

    id: str
    transaction: Transaction
    fenced: bool = False
    begun: bool = False
    sent: list[tuple[TopicPartition, Row]] = field(default_factory=list)


class EmbeddedLogMachine(RuleBasedStateMachine):
    """Six holders of two transactional ids write two plain topics and a compacted one; two readers follow."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.log = EmbeddedLog(self.folder.name, map_bytes=1 << 17)
        self.admin = self.log.admin()
        compacted = TopicSpec("c", PARTITIONS, config={"cleanup.policy": "compact"})
        self.admin.create_topics([TopicSpec("t", PARTITIONS), TopicSpec("u", PARTITIONS), compacted])
        self.reader = self.log.reader("reader")
        self.reader.assign(dict.fromkeys(ADDRESSES, 0))
        self.followed: dict[TopicPartition, list[tuple[int, Row]]] = {address: [] for address in ADDRESSES}
        self.rows: dict[TopicPartition, list[Row]] = {address: [] for address in ADDRESSES}
        self.offsets: dict[tuple[str, TopicPartition], int] = {}
        self.holders: list[Holder] = []
        self.first()

    def first(self) -> None:
        for transactional_id in IDS:
            self.open_holder(transactional_id)

    @rule(transactional_id=st.sampled_from(IDS))
    def open_holder(self, transactional_id: str) -> None:
        for holder in self.holders:
            holder.fenced = holder.fenced or holder.id == transactional_id
        if len(self.holders) == 6:
            self.holders.pop(0).transaction.close()
        self.holders.append(Holder(transactional_id, self.log.transaction(transactional_id, transactional_id)))

    @rule(number=holders, topic=topics, rows=batches, batch=st.booleans())
    def send(self, number: int, topic: str, rows: list[Row], batch: bool) -> None:
        holder = self.holder(number)
        if not holder.begun:
            if holder.fenced:
                self.expect_fenced(holder.transaction.begin)
                return
            holder.transaction.begin()
            holder.begun = True
        if batch:
            holder.transaction.send_batch(topic, [key for key, _ in rows], [value for _, value in rows])
        else:
            for key, value in rows:
                holder.transaction.send(topic, key, value)
        holder.sent += [(TopicPartition(topic, partition_of(row[0], PARTITIONS)), row) for row in rows]

    @rule(number=holders, address=st.sampled_from(ADDRESSES), offset=st.integers(0, 100))
    def commit(self, number: int, address: TopicPartition, offset: int) -> None:
        holder = self.holder(number)
        if not holder.begun:
            return
        if holder.fenced:
            self.expect_fenced(lambda: holder.transaction.commit({address: offset}))
            return
        holder.transaction.commit({address: offset})
        for place, row in holder.sent:
            self.rows[place].append(row)
        self.offsets[holder.id, address] = offset
        holder.begun, holder.sent = False, []

    @rule(number=holders, topic=topics, rows=batches, address=st.sampled_from(ADDRESSES), offset=st.integers(0, 100))
    def send_and_commit(self, number: int, topic: str, rows: list[Row], address: TopicPartition, offset: int) -> None:
        self.send(number, topic, rows, batch=True)
        self.commit(number, address, offset)

    @rule(number=holders)
    def abort(self, number: int) -> None:
        holder = self.holder(number)
        holder.transaction.abort()
        holder.begun, holder.sent = False, []

    @rule(records_max=st.integers(1, 50))
    def follow(self, records_max: int) -> None:
        for record in self.reader.read(records_max, 0):
            address = TopicPartition(record.topic(), record.partition())
            self.followed[address].append((record.offset(), (record.key() or b"", record.value())))

    @invariant()
    def what_was_followed_is_a_prefix_of_the_model(self) -> None:
        for address, found in self.followed.items():
            assert [offset for offset, _ in found] == sorted({offset for offset, _ in found})
            assert all(self.rows[address][offset] == row for offset, row in found)
            if address.topic != "c":
                assert [offset for offset, _ in found] == list(range(len(found)))

    @invariant()
    def what_can_be_read_is_the_model(self) -> None:
        found: dict[TopicPartition, list[tuple[int, Row]]] = {address: [] for address in ADDRESSES}
        reader = self.log.reader("fresh")
        reader.assign(dict.fromkeys(ADDRESSES, 0))
        while not reader.at_end():
            for record in reader.read(7, 0):
                address = TopicPartition(record.topic(), record.partition())
                found[address].append((record.offset(), (record.key() or b"", record.value())))
        reader.close()
        for address, rows in self.rows.items():
            last = {key: offset for offset, (key, _) in enumerate(rows)}
            kept = sorted(last.values()) if address.topic == "c" else range(len(rows))
            assert found[address] == [(offset, rows[offset]) for offset in kept]
        assert self.admin.ends(ADDRESSES) == {address: len(rows) for address, rows in self.rows.items()}

    @invariant()
    def offsets_are_the_models(self) -> None:
        for group in IDS:
            expected = {address: offset for (name, address), offset in self.offsets.items() if name == group}
            assert self.admin.committed(group, ADDRESSES) == expected

    def holder(self, number: int) -> Holder:
        return self.holders[-min(number, len(self.holders))]

    def expect_fenced(self, call: object) -> None:
        assert callable(call)
        try:
            call()
        except FencedError:
            return
        raise AssertionError("a zombie was not fenced")

    def teardown(self) -> None:
        for holder in self.holders:
            holder.transaction.close()
        self.reader.close()
        self.admin.close()
        self.folder.cleanup()


TestEmbeddedLog = EmbeddedLogMachine.TestCase
TestEmbeddedLog.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
