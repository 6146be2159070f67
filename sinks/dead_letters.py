"""Dead letters on the wire: the failed record's bytes unchanged, why and where in headers as Kafka Streams has them."""

from __future__ import annotations

from typing import Final

from broker.contract import Headers
from config.topics import (
    HEADER_EXCEPTION,
    HEADER_FLOW,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_STACKTRACE,
    HEADER_STEP,
    HEADER_TOPIC,
)
from operators.stream.records import DeadLetter

MESSAGE_BYTES_MAX: Final = 8_000


def headers_of(letter: DeadLetter, flow: str) -> Headers:
    """The record's own headers and then those of KIP-1034 and ours."""
    message, _, trace = letter.message.partition("\n")
    return [
        *letter.headers,
        (HEADER_EXCEPTION, letter.error.encode()),
        (HEADER_MESSAGE, message.encode()[:MESSAGE_BYTES_MAX]),
        (HEADER_STACKTRACE, trace.encode()[:MESSAGE_BYTES_MAX]),
        (HEADER_TOPIC, letter.topic.encode()),
        (HEADER_PARTITION, str(letter.partition).encode()),
        (HEADER_OFFSET, str(letter.offset).encode()),
        (HEADER_FLOW, flow.encode()),
        (HEADER_STEP, letter.step.encode()),
    ]
