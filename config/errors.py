"""Every error the product raises.

OrderflowError
├── ConfigurationError          the operator mends configuration; nothing was started            exit 2
├── UsageError                  the caller of a command mends its arguments                       exit 2
├── NotFoundError               what was asked for is not there; nothing is wrong with the question  exit 1
├── AlreadyRunningError         the same thing runs on this host already; whoever starts it ends one  exit 1
├── BadRecordError              one record cannot be processed; it becomes a dead letter
│   ├── DecodeError             its bytes are not what the schema or the wire format says
│   │   └── UnknownSchemaError  no schema has the id that it names
│   ├── EncodeError             an output does not fit its schema
│   ├── InvalidRecordError      it decodes, but breaks a rule no logic can work with
│   └── RecordTooLargeError     it is larger than the log takes
└── BrokenWorldError            the flow stops loudly; a restart resumes exactly                  exit 1
    ├── BrokerUnavailableError  the log cannot be reached or answers with a fault
    ├── ReadStalledError        a partition has more, and its reader gets nothing of it
    ├── FencedError             the log takes no more of this holder of a transactional id
    │   └── TakenOverError      since another process has opened the id; whoever started both ends one
    ├── PeerGoneError           another process of the flow ended; the cause is there
    ├── LogFullError            the log's or a store's disk is full
    ├── RegistryUnavailableError  the schema registry cannot be reached
    ├── StoreError              a local store cannot be used
    │   └── StoreFencedError    a store was taken over by a successor
    └── ProcessingError         logic raised and `on_error` says stop

A bad record is a value on its way to the dead letters; a broken world is an exception that ends the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class OrderflowError(Exception):
    """Root of all errors of the product. Nobody raises it directly."""

    exit_code = 1
    restart_helps = False
    """Whether a supervisor that starts the same again may get further."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a piece of configuration: where it stands and what to do about it."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return place + self.message


class ConfigurationError(OrderflowError):
    """Configuration is wrong: whoever wrote it mends every listed problem. Nothing was started."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class UsageError(OrderflowError):
    """A command was called with arguments that cannot be served: the caller corrects them."""

    exit_code = 2


class NotFoundError(OrderflowError):
    """What was asked for is not there, or not yet: whoever asks looks at the key, or at how far the view is."""


class AlreadyRunningError(OrderflowError):
    """The same flow or service runs on this host, with the same state folder: whoever starts it ends one of the two."""


class BadRecordError(OrderflowError):
    """A record cannot be processed. It becomes a dead letter; the owner of its producer mends the cause."""


class DecodeError(BadRecordError):
    """The bytes do not follow the wire format or the writer's schema."""


class UnknownSchemaError(DecodeError):
    """No schema has the id that the record names: its producer registers the schema, then the record is replayed."""


class EncodeError(BadRecordError):
    """An output does not fit the schema of its topic: the owner of the step mends the logic.

    `row` is the number of the first such record in the batch, None where the whole batch has the wrong shape.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class InvalidRecordError(BadRecordError):
    """A record decodes but breaks a rule that no logic can work with, such as a negative quantity."""


class RecordTooLargeError(BadRecordError):
    """A record is larger than the log takes; nothing of the batch it was in has been sent.

    `index` is its place in the batch. The owner of the step or of the producer makes it smaller, or operations raise
    `message.max.bytes` of the clients together with `max.message.bytes` of the topic.
    """

    def __init__(self, *, topic: str, index: int, size_bytes: int, size_bytes_max: int) -> None:
        super().__init__(
            f"record {index} of a batch for topic {topic} has {size_bytes} bytes, more than {size_bytes_max}"
        )
        self.topic = topic
        self.index = index
        self.size_bytes = size_bytes
        self.size_bytes_max = size_bytes_max


class BrokenWorldError(OrderflowError):
    """Something outside the record failed. The flow stops, and a restart resumes exactly where it was."""

    restart_helps = True


class BrokerUnavailableError(BrokenWorldError):
    """The log cannot be reached or refuses service. Operations restore it; the supervisor restarts the flow."""


class ReadStalledError(BrokenWorldError):
    """A partition has committed records that its reader does not get. A new reader does: the supervisor restarts."""


class FencedError(BrokenWorldError):
    """The log takes no more of this holder of a transactional id. It must end; nothing it held was committed."""


class TakenOverError(FencedError):
    """Another process has opened the transactional id. A restart would only end that one: a person ends one of them."""

    restart_helps = False


class PeerGoneError(BrokenWorldError):
    """Another process of the flow ended, and none can go on alone. What that one says is the cause; all restart."""


class LogFullError(BrokenWorldError):
    """The disk under the log or a store is full. Operations free space; the flow resumes exactly."""


class RegistryUnavailableError(BrokenWorldError):
    """The schema registry does not answer. Waited for, never dead-lettered; raised where waiting is no option."""


class StoreError(BrokenWorldError):
    """A local store cannot be read or written. Deleting its folder is safe: it is rebuilt from the changelog."""


class StoreFencedError(StoreError):
    """A successor opened this store. This process must end; the store belongs to the other one now."""


class ProcessingError(BrokenWorldError):
    """Logic raised on a record and `on_error` says stop. The record is named; fix the logic or dead-letter it."""
