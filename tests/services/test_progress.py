"""How far a group is."""

from __future__ import annotations

from broker.contract import TopicPartition
from config.topology import load_topology
from services.progress import GroupProgress, event_topics

AT = TopicPartition("orders.status", 0)


def send(log, count):
    producer = log.producer("test")
    for _ in range(count):
        producer.send(*AT[:1], b"key", b"value", partition=0)
    producer.flush()
    producer.close()


def commit(log, offset):
    transaction = log.transaction("group", "group")
    transaction.begin()
    transaction.commit({AT: offset})
    transaction.close()


def test_a_group_that_committed_nothing_is_behind_by_everything(log):
    send(log, 3)
    with GroupProgress(log, "test") as progress:
        assert progress.lag("group", ["orders.status"]) == 3
        assert not progress.has_caught_up("group", ["orders.status"])


def test_a_group_has_caught_up_when_nothing_stands_behind_its_offsets(log):
    send(log, 3)
    with GroupProgress(log, "test") as progress:
        commit(log, 2)
        assert progress.lag("group", ["orders.status"]) == 1
        assert not progress.has_caught_up("group", ["orders.status"])
        commit(log, 3)
        assert progress.lag("group", ["orders.status"]) == 0
        assert progress.has_caught_up("group", ["orders.status"])
        send(log, 1)
        assert not progress.has_caught_up("group", ["orders.status"])


def test_an_empty_topic_is_caught_up_with(log):
    with GroupProgress(log, "test") as progress:
        assert progress.has_caught_up("group", ["orders.status"])


def test_broadcast_sources_are_not_among_the_topics_that_offsets_are_committed_on():
    assert event_topics(load_topology("risk_check")) == ("orders.input", "orders.status", "risk.releases")
