"""A group's coordinator that is away for a moment: librdkafka may never come back from `send_offsets_to_transaction`.

Its mock cluster, which the client's library brings along, says as often as it is told that there is no coordinator. The
library is called by ctypes, since the client has no Python for this.
"""

import ctypes
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import confluent_kafka
import pytest

from broker import kafka_transaction
from broker.contract import TopicPartition
from broker.kafka import KafkaLog
from config.errors import BrokerUnavailableError

FIND_COORDINATOR = 10
COORDINATOR_NOT_AVAILABLE = 15
CLIENT_ASKS_AT_MOST = 3
# The producer asks for its own coordinator once more, half a second after its first transaction, and that answer wakes
# the client up. The mock's errors have to come after it, or there is nothing to be seen.
SETTLED_S = 1.5


class MockCluster:
    """One broker of librdkafka's mock, and what it answers to those who look for a coordinator."""

    def __init__(self) -> None:
        client = Path(confluent_kafka.__file__).parent
        [path] = [*client.parent.glob("confluent_kafka.libs/librdkafka-*"), *client.glob(".dylibs/librdkafka.*")]
        self._library = ctypes.CDLL(str(path))
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        options = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        # Its owner is no client of any cluster, which is no reason for a warning.
        self._library.rd_kafka_conf_set(options, b"log_level", b"3", None, ctypes.c_size_t(0))
        self._client = ctypes.c_void_p(self._library.rd_kafka_new(0, options, None, ctypes.c_size_t(0)))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, 1))

    @property
    def bootstrap(self) -> str:
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def have_no_coordinator(self, times: int) -> None:
        errors = (ctypes.c_int * times)(*[COORDINATOR_NOT_AVAILABLE] * times)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(FIND_COORDINATOR), ctypes.c_size_t(times), errors
        )

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


@pytest.fixture
def mock() -> Iterator[MockCluster]:
    with closing(MockCluster()) as mock:
        yield mock


def commit_without_coordinator(mock: MockCluster, times: int, log: KafkaLog) -> None:
    with closing(log.transaction("id", "group")) as transaction:
        transaction.begin()
        transaction.send("topic", b"k", b"v")
        time.sleep(SETTLED_S)
        mock.have_no_coordinator(times)
        transaction.commit({TopicPartition("topic", 0): 1})


def test_a_coordinator_that_is_away_for_a_moment_delays_a_commit_and_no_more(
    mock: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_transaction, "RECONNECT_AFTER_MS", 2_000)  # for the test's patience
    commit_without_coordinator(mock, CLIENT_ASKS_AT_MOST + 1, KafkaLog(mock.bootstrap, deadline_s=30.0))


def test_a_commit_that_the_client_never_returns_from_ends_as_an_error(mock: MockCluster) -> None:
    options = {"connections.max.idle.ms": "0"}  # the client is left to itself
    log = KafkaLog(mock.bootstrap, options, deadline_s=6.0)
    with pytest.raises(BrokerUnavailableError, match=r"id cannot be given offsets: .*not returned"):
        commit_without_coordinator(mock, CLIENT_ASKS_AT_MOST, log)
