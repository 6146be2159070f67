"""Dead letters on the wire: the failed record's bytes unchanged, why and where in headers as Kafka Streams has them."""

from __future__ import annotations

from typing import Any, Final

from broker.contract import Headers, Transaction
from config.errors import RecordTooLargeError
from config.topics import (
    HEADER_EXCEPTION,
    HEADER_FLOW,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_OMITTED,
    HEADER_PARTITION,
    HEADER_STACKTRACE,
    HEADER_STEP,
    HEADER_TOPIC,
)
from operators.stream.records import DeadLetter

MESSAGE_BYTES_MAX: Final = 8_000
HEADER_BYTES_LEAST: Final = 200
"""So much of each header goes with a dead letter that does not fit even without its record."""


LETTER_BYTES_LEAST: Final = sum(
    len(name) + HEADER_BYTES_LEAST
    for name in (
        HEADER_EXCEPTION, HEADER_MESSAGE, HEADER_STACKTRACE, HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET, HEADER_FLOW,
        HEADER_STEP, *map(HEADER_OMITTED.format, ("value", "headers", "key")),
    )
)  # fmt: skip
"""What the last attempt at a dead letter may have: the beginnings of all headers."""


def send_dead_letter(transaction: Transaction, topic: str, letter: DeadLetter, flow: str) -> None:
    """Sends a dead letter; what of the record cannot be carried is left out, and a header says so and why.

    A record may be as large as the log takes before anything is added to it. It stays where it was, at the place that
    the headers of KIP-1034 name, which are there in any case; at last only what each begins with.
    """
    parts: dict[str, Any] = {"value": letter.value, "headers": letter.headers, "key": letter.key}
    ours = headers_of(letter, flow)
    for part in parts:
        try:
            transaction.send(topic, parts["key"], parts["value"], headers=[*(parts["headers"] or ()), *ours])
            return
        except RecordTooLargeError as error:
            parts[part] = None
            ours.append((HEADER_OMITTED.format(part), str(error).encode()))
    transaction.send(
        topic, None, None, headers=[(name, _cut(value or b"", HEADER_BYTES_LEAST)) for name, value in ours]
    )


def headers_of(letter: DeadLetter, flow: str) -> Headers:
    """The headers of KIP-1034 and ours."""
    message, _, trace = letter.message.partition("\n")
    return [
        (HEADER_EXCEPTION, letter.error.encode()),
        (HEADER_MESSAGE, _cut(message)),
        (HEADER_STACKTRACE, _cut(trace)),
        (HEADER_TOPIC, letter.topic.encode()),
        (HEADER_PARTITION, str(letter.partition).encode()),
        (HEADER_OFFSET, str(letter.offset).encode()),
        (HEADER_FLOW, flow.encode()),
        (HEADER_STEP, letter.step.encode()),
    ]


def _cut(text: str | bytes, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """The beginning of a text, still UTF-8."""
    whole = text.encode() if isinstance(text, str) else text
    return whole[:bytes_max].decode(errors="ignore").encode()
