"""What every log promises, on the embedded one and on a real Kafka."""

import os
import socket
import time
from contextlib import closing

import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from broker.contract import Admin, Log, Record, TopicPartition, TopicSpec, Transaction
from broker.kafka import KafkaLog
from broker.murmur2 import partition_of
from config.errors import BrokerUnavailableError, FencedError, RecordTooLargeError, TakenOverError


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value() for record in records]


def commit(log: Log, name: str, topic: str, sent: list[bytes], partition: int | None = None) -> None:
    with closing(log.transaction(name, name)) as transaction:
        transaction.begin()
        transaction.send_batch(topic, sent, sent, partition=partition)
        transaction.commit({})


def test_records_of_a_partition_keep_the_order_in_which_they_were_sent(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    sent = [b"%d" % number for number in range(2_500)]
    with closing(log.transaction(unique, unique)) as transaction:
        for start in range(0, 2_500, 500):
            transaction.begin()
            transaction.send_batch(topic, [None] * 499, sent[start : start + 499])
            transaction.send(topic, None, sent[start + 499])
            transaction.commit({})
    records = read_all({TopicPartition(topic, 0): 0})
    assert values(records) == sent
    offsets = [record.offset() for record in records]
    assert offsets == sorted(set(offsets))


def test_reading_goes_on_from_any_offset(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    commit(log, unique, topic, [b"a", b"b", b"c"])
    commit(log, unique, topic, [b"d"])
    records = read_all({TopicPartition(topic, 0): 0})
    for place, record in enumerate(records):
        assert values(read_all({TopicPartition(topic, 0): record.offset()})) == values(records[place:])


def test_a_reader_gets_at_most_as_many_records_as_it_asks_for(log, make_topic, unique) -> None:
    topic = make_topic(3)
    for partition in range(3):
        commit(log, unique, topic, [b"%d" % number for number in range(10)], partition)
    found: dict[int, list[bytes | None]] = {0: [], 1: [], 2: []}
    with closing(log.reader(unique)) as reader:
        reader.assign({TopicPartition(topic, partition): 0 for partition in range(3)})
        while not reader.at_end():
            batch = reader.read(4, 5.0)
            assert len(batch) <= 4
            for record in batch:
                found[record.partition()].append(record.value())
    assert found == {partition: [b"%d" % number for number in range(10)] for partition in range(3)}


def test_a_reader_passes_what_nobody_will_see_and_knows_that_it_has_nothing_more_to_get(
    log, make_topic, unique
) -> None:
    """Markers and aborted records at the end of a partition move its committed end and give no record."""
    topic = make_topic()
    partition = TopicPartition(topic, 0)
    commit(log, unique, topic, [b"a", b"b"])
    seen: list[Record] = []
    with (
        closing(log.admin()) as admin,
        closing(log.transaction(unique, unique)) as transaction,
        closing(log.reader(unique)) as reader,
    ):
        reader.assign({partition: 0})
        for _ in range(3):
            deadline = time.monotonic() + 30.0
            while reader.fetched().get(partition) != (end := admin.ends([partition])[partition]):
                assert time.monotonic() < deadline, f"{reader.fetched()} does not get to {end}"
                seen.extend(reader.read(10, 0.1))
            transaction.begin()
            transaction.send_batch(topic, [b"k"] * 5, [b"aborted"] * 5)
            transaction.abort()
    assert values(seen) == [b"a", b"b"]


def test_nothing_is_visible_before_the_commit_and_everything_after(log, make_topic, read_all, unique) -> None:
    first, second = make_topic(2), make_topic()
    partitions = [TopicPartition(first, 0), TopicPartition(first, 1), TopicPartition(second, 0)]
    with closing(log.transaction(unique, unique)) as transaction, closing(log.reader(unique)) as reader:
        reader.assign(dict.fromkeys(partitions, 0))
        transaction.begin()
        transaction.send(first, b"k", b"a", partition=0)
        transaction.send_batch(first, [b"k"], [b"b"], partition=1)
        transaction.send(second, b"k", b"c")
        assert list(reader.read(10, 0.3)) == []
        transaction.commit({})
        seen: list[Record] = []
        while len(seen) < 3:
            seen.extend(reader.read(10, 5.0))
    assert {(record.topic(), record.partition(), record.value()) for record in seen} == {
        (first, 0, b"a"),
        (first, 1, b"b"),
        (second, 0, b"c"),
    }


def test_aborted_records_are_never_visible(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        transaction.send(topic, b"k", b"aborted")
        transaction.abort()
        transaction.begin()
        transaction.send(topic, b"k", b"committed")
        transaction.commit({})
    assert values(read_all({TopicPartition(topic, 0): 0})) == [b"committed"]


def test_offsets_move_with_the_transaction_and_only_with_it(log, admin, make_topic, unique) -> None:
    topic = make_topic(3)
    partitions = [TopicPartition(topic, partition) for partition in range(3)]
    assert admin.committed(unique, partitions) == {}
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        transaction.send(topic, b"k", b"v")
        transaction.commit({partitions[0]: 7, partitions[1]: 0})
        assert admin.committed(unique, partitions) == {partitions[0]: 7, partitions[1]: 0}
        transaction.begin()
        transaction.send(topic, b"k", b"v")
        transaction.abort()
        assert admin.committed(unique, partitions) == {partitions[0]: 7, partitions[1]: 0}
        transaction.begin()
        transaction.commit({partitions[1]: 5})
    assert admin.committed(unique, partitions) == {partitions[0]: 7, partitions[1]: 5}
    assert unique in admin.groups()


def test_a_zombies_commit_is_fenced_and_changes_nothing(log, admin, make_topic, read_all, unique) -> None:
    topic = make_topic()
    partition = TopicPartition(topic, 0)
    with closing(log.transaction(unique, unique)) as zombie:
        zombie.begin()
        zombie.send(topic, b"k", b"zombie")
        with closing(log.transaction(unique, unique)) as successor:
            successor.begin()
            successor.send(topic, b"k", b"successor")
            successor.commit({partition: 1})
            with pytest.raises(FencedError, match=unique):
                zombie.commit({partition: 99})
            successor.begin()
            successor.send(topic, b"k", b"again")
            successor.commit({partition: 2})
    assert values(read_all({partition: 0})) == [b"successor", b"again"]
    assert admin.committed(unique, [partition]) == {partition: 2}


def test_a_fenced_holder_is_told_who_took_over(log, make_topic, unique) -> None:
    partition = TopicPartition(make_topic(), 0)
    with closing(log.transaction(unique, unique)) as zombie:
        zombie.begin()
        zombie.send(partition.topic, b"k", b"zombie")
        with closing(log.transaction(unique, unique)) as successor:
            successor.begin()
            successor.commit({partition: 1})
            with pytest.raises(TakenOverError) as caught:
                zombie.commit({partition: 2})
    here = f"process {os.getpid()} on host {socket.gethostname()}, since "
    assert f"{unique} was taken over by {here}" in str(caught.value)
    assert f"This one ({here}" in str(caught.value)
    assert not caught.value.restart_helps


def test_whoever_takes_over_from_a_process_that_runs_says_so(log, make_topic, unique, monkeypatch) -> None:
    partition = TopicPartition(make_topic(), 0)
    with monkeypatch.context() as before:
        before.setattr("broker.holder.os.getpid", lambda: os.getppid())
        other = log.transaction(unique, unique)
    with closing(other):
        other.begin()
        other.commit({partition: 1})
        with capture_logs() as logs, closing(log.transaction(unique, unique)):
            pass
    [line] = [each for each in logs if "taking over" in each["event"]]
    assert (line["log_level"], line["transactional_id"]) == ("warning", unique)
    assert line["holder_before"].startswith(f"process {os.getppid()} on host {socket.gethostname()}, since ")


def test_what_a_zombie_sends_after_its_successor_started_is_fenced(log, make_topic, read_all, unique) -> None:
    topic = make_topic()

    def use(transaction: Transaction) -> None:
        transaction.begin()
        transaction.send(topic, b"k", b"zombie")
        transaction.send_batch(topic, [b"k"], [b"zombie"])
        transaction.commit({})

    with closing(log.transaction(unique, unique)) as zombie, closing(log.transaction(unique, unique)):
        with pytest.raises(FencedError):
            use(zombie)
        with pytest.raises(FencedError):  # a fenced holder never recovers
            use(zombie)
    assert read_all({TopicPartition(topic, 0): 0}) == []


def test_opening_aborts_what_the_holder_before_left_open(log, admin, make_topic, read_all, unique) -> None:
    topic = make_topic()
    partition = TopicPartition(topic, 0)
    left_open = log.transaction(unique, unique)
    left_open.begin()
    left_open.send(topic, b"k", b"left open")
    with closing(log.transaction(unique, unique)) as successor:
        assert admin.committed(unique, [partition]) == {}
        successor.begin()
        successor.send(topic, b"k", b"v")
        successor.commit({partition: 1})
    left_open.close()
    assert values(read_all({partition: 0})) == [b"v"]


def test_other_transactional_ids_are_not_fenced(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    with closing(log.transaction(unique, unique)) as one, closing(log.transaction(f"{unique}-2", unique)) as other:
        for transaction in (one, other):
            transaction.begin()
            transaction.send(topic, b"k", b"v")
        one.commit({})
        other.commit({})
    assert values(read_all({TopicPartition(topic, 0): 0})) == [b"v", b"v"]


def test_keys_go_to_the_partition_the_java_client_chooses(log, make_topic, read_all, unique) -> None:
    topic = make_topic(7)
    keys = [b"", *(b"key-%d" % number for number in range(200))]
    with closing(log.transaction(unique, unique)) as transaction, closing(log.producer(unique)) as producer:
        transaction.begin()
        transaction.send_batch(topic, keys, keys)
        for key in keys:
            transaction.send(topic, key, key)
            producer.send(topic, key, key)
        transaction.commit({})
        producer.flush()
    records = read_all({TopicPartition(topic, partition): 0 for partition in range(7)})
    assert len(records) == 3 * len(keys)
    assert all(record.partition() == partition_of(record.key() or b"", 7) for record in records)


def test_a_batch_may_be_columns(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    keys = pa.array(["never sent", "k", "ü", None])[1:]
    values = pa.array([b"", None, b"v"], pa.binary())
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        transaction.send_batch(topic, keys, values, partition=0)
        transaction.commit({})
    records = read_all({TopicPartition(topic, 0): 0})
    assert [(record.key(), record.value()) for record in records] == [(b"k", b""), ("ü".encode(), None), (None, b"v")]


def test_records_without_a_key_spread_over_the_partitions(log, make_topic, read_all, unique) -> None:
    topic = make_topic(2)
    with closing(log.transaction(unique, unique)) as transaction:
        for _ in range(40):
            transaction.begin()
            transaction.send(topic, None, b"v")
            transaction.send_batch(topic, [None, b"k"], [b"v", b"v"])
            transaction.commit({})
            if {record.partition() for record in read_all(dict.fromkeys(parts(topic, 2), 0)) if not record.key()} == {
                0,
                1,
            }:
                return
    pytest.fail("all records without a key went to one partition")


def parts(topic: str, count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(count)]


@pytest.mark.parametrize("way", ["transaction", "producer"])
def test_null_and_empty_parts_headers_and_timestamps_survive(log, make_topic, read_all, unique, way) -> None:
    topic = make_topic()
    headers = [("why", b"because"), ("none", None), ("empty", b""), ("why", b"twice")]
    sent = [(b"k", b"v", headers, 1_700_000_000_123), (None, b"v", None, 5), (b"k", None, None, 6), (b"", b"", None, 7)]
    with closing(log.transaction(unique, unique) if way == "transaction" else log.producer(unique)) as sender:
        if way == "transaction":
            sender.begin()
        for key, value, of_record, timestamp_ms in sent:
            sender.send(topic, key, value, headers=of_record, timestamp_ms=timestamp_ms, partition=0)
        sender.commit({}) if way == "transaction" else sender.flush()
    records = read_all({TopicPartition(topic, 0): 0})
    assert [(r.key(), r.value(), r.headers() or None, r.timestamp()) for r in records] == [
        (key, value, of_record, (1, timestamp_ms)) for key, value, of_record, timestamp_ms in sent
    ]


def test_a_record_without_a_timestamp_gets_the_time_of_sending(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    before_ms = int(time.time() * 1_000)
    commit(log, unique, topic, [b"v"])
    kind, timestamp_ms = read_all({TopicPartition(topic, 0): 0})[0].timestamp()
    assert kind == 1
    assert before_ms - 1 <= timestamp_ms <= time.time() * 1_000 + 1


def test_a_giant_record_is_refused_before_anything_of_its_batch_is_sent(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    giant, largest = b"v" * 1_000_001, b"v" * 999_000
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        with pytest.raises(RecordTooLargeError, match=topic) as refused:
            transaction.send_batch(topic, [b"a", b"b", b"c"], [b"small", giant, b"small"])
        assert (refused.value.index, refused.value.size_bytes) == (1, 1_000_002)
        with pytest.raises(RecordTooLargeError, match="1000002"):
            transaction.send(topic, b"k", giant)
        with pytest.raises(RecordTooLargeError, match=topic):
            transaction.send(topic, b"k", b"v", headers=[("h", giant)])
        transaction.send(topic, b"k", largest)
        transaction.commit({})
    assert values(read_all({TopicPartition(topic, 0): 0})) == [largest]


def test_an_offset_that_the_log_does_not_have_is_loud(log, make_topic, unique) -> None:
    topic = make_topic()
    commit(log, unique, topic, [b"v"])
    with closing(log.reader(unique)) as reader:
        reader.assign({TopicPartition(topic, 0): 1_000})
        with pytest.raises(BrokerUnavailableError, match=rf"1000 of {topic}\[0\] is out of range"):
            reader.read(10, 10.0)


def test_a_topic_or_partition_that_does_not_exist_is_loud(log, make_topic, unique) -> None:
    topic, missing = make_topic(2), f"{unique}-missing"
    with closing(log.reader(unique)) as reader:
        with pytest.raises(BrokerUnavailableError, match=missing):
            reader.assign({TopicPartition(missing, 0): 0})
        with pytest.raises(BrokerUnavailableError, match=topic):
            reader.assign({TopicPartition(topic, 2): 0})
    with closing(log.producer(unique)) as producer, pytest.raises(BrokerUnavailableError, match=missing):
        producer.send(missing, b"k", b"v")
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        with pytest.raises(BrokerUnavailableError, match=missing):
            transaction.send_batch(missing, [b"k"], [b"v"])
        with pytest.raises(BrokerUnavailableError, match=f"{topic} has no partition 2"):
            transaction.send(topic, b"k", b"v", partition=2)


def test_a_new_assignment_replaces_the_old_one(log, make_topic, unique) -> None:
    old, new = make_topic(), make_topic()
    commit(log, unique, old, [b"old"])
    commit(log, unique, new, [b"new"])
    with closing(log.reader(unique)) as reader:
        reader.assign({TopicPartition(old, 0): 0})
        assert values(list(reader.read(1, 5.0))) == [b"old"]
        reader.assign({TopicPartition(new, 0): 0})
        assert not reader.at_end()
        found: list[Record] = []
        while not reader.at_end():
            found.extend(reader.read(10, 5.0))
        assert values(found) == [b"new"]
        reader.assign({TopicPartition(old, 0): 0})
        assert values(list(reader.read(1, 5.0))) == [b"old"]


def test_a_reader_at_the_end_gets_what_comes_later(log, make_topic, unique) -> None:
    topic = make_topic()
    with closing(log.reader(unique)) as reader:
        reader.assign({TopicPartition(topic, 0): 0})
        while not reader.at_end():
            assert list(reader.read(10, 5.0)) == []
        for value in (b"a", b"b"):
            commit(log, unique, topic, [value])
            found: list[Record] = []
            while not found:
                found.extend(reader.read(10, 5.0))
            assert values(found) == [value]


def test_a_reader_gives_nothing_of_what_it_holds_and_goes_on_where_it_was(log, make_topic, unique) -> None:
    topic = make_topic(partitions=2)
    zero, one = parts(topic, 2)
    with closing(log.producer(unique)) as producer:
        for number in range(600):
            producer.send(topic, None, str(number).encode(), partition=number % 2)
        producer.flush()
    got: dict[int, list[int]] = {0: [], 1: []}
    with closing(log.reader(unique)) as reader:
        reader.assign({zero: 0, one: 0})

        def read(times: int, of: frozenset[int]) -> None:
            for _ in range(times):
                for record in reader.read(20, 0.2):
                    assert record.partition() in of
                    got[record.partition()].append(record.offset())

        read(3, frozenset({0, 1}))
        reader.hold([zero])
        read(4, frozenset({1}))
        assert zero not in reader.ended()
        assert not reader.near_end(zero, 0)
        reader.hold([one])
        read(4, frozenset({0}))
        reader.hold([])
        while not reader.at_end():
            read(1, frozenset({0, 1}))
        assert reader.ended() == {zero, one}
        assert reader.near_end(zero, 300)
    assert got == {0: list(range(300)), 1: list(range(300))}


def test_topics_are_created_once_listed_and_deleted(admin: Admin, unique: str) -> None:
    first, second = TopicSpec(f"{unique}-a", 2), TopicSpec(f"{unique}-b", 3)
    assert admin.create_topics([first]) == [first.name]
    assert admin.create_topics([first, second]) == [second.name]
    assert {name: count for name, count in admin.topics().items() if name.startswith(unique)} == {
        first.name: 2,
        second.name: 3,
    }
    admin.delete_topics([first.name, second.name, f"{unique}-missing"])
    assert not [name for name in admin.topics() if name.startswith(unique)]


def test_a_topic_made_anew_under_its_old_name_is_empty(log, admin, unique, read_all) -> None:
    spec, partition = TopicSpec(unique, 1), TopicPartition(unique, 0)
    admin.create_topics([spec])
    commit(log, unique, unique, [b"old"])
    admin.delete_topics([unique])
    admin.create_topics([spec])
    assert read_all({partition: 0}) == []
    admin.delete_topics([unique])


def test_ends_are_those_of_committed_records(log, admin, make_topic, read_all, settle, unique) -> None:
    topic = make_topic(2)
    first, second = parts(topic, 2)
    assert admin.ends([first, second]) == admin.beginnings([first, second]) == {first: 0, second: 0}
    commit(log, unique, topic, [b"a", b"b"], partition=0)
    settle([first])
    committed = admin.ends([first, second])
    assert committed[first] >= 2
    assert committed[second] == 0
    assert read_all({first: committed[first]}) == []
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        transaction.send(topic, b"k", b"open", partition=0)
        assert admin.ends([first, second]) == committed
        transaction.commit({})
    settle([first])
    assert admin.ends([first])[first] > committed[first]
    assert admin.beginnings([first]) == {first: 0}


def test_a_groups_offsets_can_be_set_and_forgotten(admin: Admin, make_topic, unique: str) -> None:
    topic = make_topic(2)
    first, second = parts(topic, 2)
    admin.alter_offsets(unique, {first: 3, second: 4})
    admin.alter_offsets(unique, {second: 5})
    assert admin.committed(unique, [first, second]) == {first: 3, second: 5}
    assert admin.committed(f"{unique}-other", [first, second]) == {}
    admin.delete_group(unique)
    admin.delete_group(unique)
    assert admin.committed(unique, [first, second]) == {}
    assert unique not in admin.groups()


def test_what_a_producer_flushed_is_visible(log, make_topic, read_all, unique) -> None:
    topic = make_topic()
    sent = [b"%d" % number for number in range(2_500)]
    with closing(log.producer(unique)) as producer:
        for value in sent:
            producer.send(topic, b"k", value)
        producer.flush()
        assert values(read_all({TopicPartition(topic, 0): 0})) == sent
        producer.send(topic, b"k", b"before close")
    assert values(read_all({TopicPartition(topic, 0): 0})) == [*sent, b"before close"]


def test_a_compacted_topic_refuses_a_record_without_a_key(log, make_topic, unique) -> None:
    topic = make_topic(config={"cleanup.policy": "compact"})
    with closing(log.transaction(unique, unique)) as transaction:
        transaction.begin()
        transaction.send(topic, None, b"v")
        with pytest.raises(BrokerUnavailableError):
            transaction.commit({})


def test_the_last_value_of_each_key_of_a_compacted_topic_is_there(log, make_topic, read_all, unique) -> None:
    topic = make_topic(2, {"cleanup.policy": "compact"})
    expected: dict[bytes | None, bytes | None] = {}
    with closing(log.transaction(unique, unique)) as transaction:
        for turn in range(5):
            keys = [b"key-%d" % (number % 7) for number in range(20 + turn)]
            sent = [b"%d-%d" % (turn, number) for number in range(20 + turn)]
            transaction.begin()
            transaction.send_batch(topic, keys, sent)
            transaction.send(topic, b"key-0", None)
            transaction.commit({})
            expected |= dict(zip(keys, sent, strict=True)) | {b"key-0": None}
    found = {record.key(): record.value() for record in read_all(dict.fromkeys(parts(topic, 2), 0))}
    assert found == expected


def test_a_limited_log_takes_no_larger_record_and_no_more_than_before(log, make_topic, read_all, unique) -> None:
    topic, limited = make_topic(), log.limited(5_000)
    assert (limited.record_bytes_max, limited.limited(6_000).record_bytes_max) == (5_000, 5_000)
    with closing(limited.transaction(unique, unique)) as transaction:
        transaction.begin()
        with pytest.raises(RecordTooLargeError, match="5000"):
            transaction.send_batch(topic, [b""], [b"v" * 5_001])
        transaction.send_batch(topic, [b""] * 3, [b"v" * 5_000] * 3)
        transaction.commit({})
    assert len(read_all({TopicPartition(topic, 0): 0})) == 3


def test_limits_of_topics_are_told_where_topics_have_any(log, admin, make_topic) -> None:
    small = make_topic(config={"max.message.bytes": "20000"})
    limits = admin.limits([small])
    if isinstance(log, KafkaLog):
        assert 15_000 < limits.record_bytes_max[small] < 20_000
    else:
        assert limits.record_bytes_max == {}
    assert limits.untold == {}
