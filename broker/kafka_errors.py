"""What a Kafka error means to the product: a successor, a cluster that cannot serve, or a passing disturbance."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from config.errors import BrokenWorldError, BrokerUnavailableError, FencedError

_PRODUCER_FENCED = 90  # the protocol's number; the client has no Python name for it
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, _PRODUCER_FENCED})
_TRANSIENT = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)


def broken_world(error: KafkaException | KafkaError, what: str) -> BrokenWorldError:
    """The error to raise for a failed call; `what` says in a sentence what could not be done."""
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    if cause.code() in _FENCED:
        return FencedError(
            f"{what}: a successor took over, or the cluster gave this holder up, since it had not heard of it for too "
            f"long ({cause.str()}); nothing of the open transaction was written. If the same flow runs elsewhere under "
            "the same application.prefix, end one of the two"
        )
    return BrokerUnavailableError(f"{what}: {cause.str()} ({cause.name()})")


def is_transient(error: KafkaError) -> bool:
    """Whether this passes by itself, so that trying again makes sense."""
    return error.code() in _TRANSIENT or bool(error.retriable())
