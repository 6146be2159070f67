"""What an admin client is told while leaders are elected passes; what does not pass is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigEntry, ConfigResource

from broker import kafka_admin
from broker.contract import TopicLimits, TopicPartition
from broker.kafka_admin import AdminConnection, KafkaAdmin
from broker.kafka_sender import FRAMING_BYTES
from broker.kafka_waits import Waits
from config.errors import BrokerUnavailableError


def admin(deadline_s: float) -> KafkaAdmin:
    return KafkaAdmin(
        AdminConnection({"bootstrap.servers": "127.0.0.1:9"}), Waits("127.0.0.1:9"), deadline_s=deadline_s
    )


def failing(code: int, times: int, asked: list[int]):
    def ask() -> str:
        asked.append(code)
        if len(asked) <= times:
            raise KafkaException(KafkaError(code))
        return "answer"

    return ask


@pytest.mark.parametrize("code", [KafkaError._NOENT, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError._TRANSPORT])
def test_partitions_without_a_leader_are_asked_for_again(code: int) -> None:
    asked: list[int] = []
    assert admin(30.0)._patiently(failing(code, 3, asked), "offsets cannot be read") == "answer"
    assert len(asked) == 4


def test_a_refusal_is_told_at_once() -> None:
    asked: list[int] = []
    with pytest.raises(BrokerUnavailableError, match="offsets cannot be read"):
        admin(30.0)._patiently(failing(KafkaError.TOPIC_AUTHORIZATION_FAILED, 3, asked), "offsets cannot be read")
    assert len(asked) == 1


def test_leaders_that_never_come_are_an_error_at_the_deadline() -> None:
    with pytest.raises(BrokerUnavailableError, match="offsets cannot be read"):
        admin(0.0)._patiently(failing(KafkaError._NOENT, 10**9, []), "offsets cannot be read")


def test_all_who_ask_share_one_client_until_it_is_renewed() -> None:
    connection = AdminConnection({"bootstrap.servers": "127.0.0.1:9"})
    first = connection.client()
    assert connection.client() is first
    connection.renew(first)
    second = connection.client()
    assert second is not first
    connection.renew(first)
    assert connection.client() is second


def test_offsets_are_asked_for_over_a_connection_only() -> None:
    with pytest.raises(KafkaException) as told:
        AdminConnection({"bootstrap.servers": "127.0.0.1:9"}).connected_client(0.1)
    assert told.value.args[0].code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT)


class Offset(NamedTuple):
    offset: int


class ForgetfulClient:
    """Like the client's own, it keeps what it once heard of the leaders; only the third heard of one."""

    made = 0

    def __init__(self) -> None:
        ForgetfulClient.made += 1
        self._has_leaders = ForgetfulClient.made >= 3

    def list_topics(self, **_: object) -> None:
        pass

    def list_offsets(self, partitions: Iterable[Any], **_: object) -> dict[Any, Future[Offset]]:
        futures: dict[Any, Future[Offset]] = {partition: Future() for partition in partitions}
        for future in futures.values():
            if self._has_leaders:
                future.set_result(Offset(7))
            else:
                future.set_exception(KafkaException(KafkaError(KafkaError._NOENT)))
        return futures


def test_a_client_that_found_no_leaders_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForgetfulClient, "made", 0)
    monkeypatch.setattr(kafka_admin, "make_client", lambda *_: ForgetfulClient())
    partition = TopicPartition("orders.status", 0)
    assert admin(30.0).ends([partition]) == {partition: 7}
    assert ForgetfulClient.made == 3


def told(limit: str | None = None, *, fails_with: int | None = None) -> Future[dict[str, ConfigEntry]]:
    future: Future[dict[str, ConfigEntry]] = Future()
    if fails_with is not None:
        future.set_exception(KafkaException(KafkaError(fails_with, "what the broker says")))
    else:
        future.set_result({"max.message.bytes": ConfigEntry("max.message.bytes", limit)} if limit else {})
    return future


def test_limits_that_may_not_be_read_are_told_beside_those_that_may(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"mine": told("50000"), "secret": told(fails_with=KafkaError.TOPIC_AUTHORIZATION_FAILED), "odd": told()}
    asked: list[float] = []

    class Client:
        def describe_configs(self, resources: list[ConfigResource], request_timeout: float) -> dict[Any, Any]:
            asked.append(request_timeout)
            if len(asked) == 1:
                return {resources[0]: told(fails_with=KafkaError._TRANSPORT)}
            return {resource: answers[resource.name] for resource in resources}

    monkeypatch.setattr(AdminConnection, "client", lambda _: Client())
    limits = admin(5.0).limits(list(answers))
    assert limits.record_bytes_max == {"mine": 50_000 - FRAMING_BYTES}
    assert limits.untold == {"secret": "what the broker says", "odd": "it has no max.message.bytes"}
    assert len(asked) == 2, "a connection that was lost passes"
    assert admin(5.0).limits([]) == TopicLimits()
