"""What a reader on Kafka knows of what its client has fetched, where the client drops some of it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from broker import kafka
from broker.contract import TopicPartition
from broker.kafka import KafkaReader
from broker.kafka_waits import Waits

ONE, TWO = TopicPartition("t", 0), TopicPartition("t", 1)


class Client:
    """A consumer that has two partitions and gives nothing; its statistics come when the test wants."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._tell: Callable[[str], None] = options["stats_cb"]

    def tell(self, *next_offsets: int) -> None:
        partitions = {str(number): {"next_offset": offset} for number, offset in enumerate(next_offsets)}
        self._tell(json.dumps({"topics": {"t": {"partitions": partitions}}}))

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=[0, 1])})

    def assign(self, positions: object) -> None: ...
    def pause(self, positions: object) -> None: ...
    def resume(self, positions: object) -> None: ...


def test_what_was_fetched_of_a_partition_counts_no_more_once_it_was_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client lets go of it, and fetches it again from where the reader is."""
    made: list[Client] = []
    monkeypatch.setattr(kafka, "make_client", lambda _, options: made.append(Client(options)) or made[0])
    reader = KafkaReader({"client.id": "test"}, Waits("nowhere"), deadline_s=1.0)
    reader.assign({ONE: 0, TWO: 0})
    [client] = made
    client.tell(500, 700)
    assert reader.fetched() == {ONE: 500, TWO: 700}
    reader.hold([TWO])
    client.tell(800, 700)
    reader.hold([])
    assert reader.fetched() == {ONE: 800}
    client.tell(800, 20)
    assert reader.fetched() == {ONE: 800, TWO: 20}
