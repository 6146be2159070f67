"""Whole batches into the Kafka client's queue, straight from columns of bytes.

The Python client takes a batch as a dictionary per record, takes each apart again, and costs more than all that the
client does with a record afterwards. librdkafka, the C library inside it, takes an array of pointers. So this one call
is made here, on the very producer that the Python client made: its functions are part of librdkafka's stable interface,
but that the first field of a producer object is its handle is not promised by anyone. It is checked by the field behind
it, and where the check or the library fails us, batches go the documented way.

Source: `rd_kafka_produce_batch` in rdkafka.h; `Handle` in confluent_kafka.h of confluent-kafka-python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from confluent_kafka import KafkaError, Producer, cimpl

from broker.byte_columns import addresses, lengths
from broker.kafka_client import LOGGER

_COPY: Final = 0x2  # RD_KAFKA_MSG_F_COPY: the client copies the bytes, which are ours again when the call returns
_ANY_PARTITION: Final = -1


class Refused(NamedTuple):
    """Records of a batch that the client did not take."""

    records: int
    error: KafkaError
    """Of the first of them."""


class Batches(Protocol):
    """Puts records into a producer's queue."""

    def __call__(self, topic: str, keys: Any, values: Any, partition: int | None) -> Refused | None:
        """`keys` and `values` are of type `pyarrow.BinaryArray` and equally long; without `partition` keys choose."""
        ...


def error_callback(_: KafkaError) -> None:
    """What a producer must be made with as its `error_cb` for `batches_of` to find its handle."""


def batches_of(producer: Producer) -> Batches:
    """The fastest way into a producer's queue that is to be had here."""
    handle, library = _handle(producer), _library()
    if handle is None or library is None:
        LOGGER.warning("this build of confluent-kafka is not known well enough: batches are sent in a slower way")
        return DocumentedBatches(producer)
    return NativeBatches(handle, library)


class _Message(ctypes.Structure):
    """`rd_kafka_message_t`."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("topic", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("private", ctypes.c_void_p),
    )


_MESSAGE: Final = np.dtype(_Message)


class Library(NamedTuple):
    """The functions of librdkafka that are called here."""

    topic_new: Callable[[int, bytes, None], int | None]
    topic_destroy: Callable[[int], None]
    produce_batch: Callable[[int, int, int, int, int], int]
    last_error: Callable[[], int]


class NativeBatches:
    """Batches by librdkafka's own call. Only while the producer lives."""

    def __init__(self, handle: int, library: Library) -> None:
        self._handle, self._library = handle, library

    def __call__(self, topic: str, keys: Any, values: Any, partition: int | None) -> Refused | None:
        messages = np.zeros(len(values), _MESSAGE)
        messages["payload"], messages["len"] = addresses(values), lengths(values)
        messages["key"], messages["key_len"] = addresses(keys), lengths(keys)
        place = self._library.topic_new(self._handle, topic.encode(), None)
        if place is None:
            return Refused(len(messages), KafkaError(self._library.last_error()))
        try:
            where = _ANY_PARTITION if partition is None else partition
            taken = self._library.produce_batch(place, where, _COPY, messages.ctypes.data, len(messages))
        finally:
            self._library.topic_destroy(place)
        if taken == len(messages):
            return None
        return Refused(len(messages) - taken, KafkaError(int(messages["err"][messages["err"] != 0][0])))


class DocumentedBatches:
    """Batches by the Python client."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def __call__(self, topic: str, keys: Any, values: Any, partition: int | None) -> Refused | None:
        pairs = zip(keys.to_pylist(), values.to_pylist(), strict=True)
        messages: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in pairs]
        where = _ANY_PARTITION if partition is None else partition
        taken = self._producer.produce_batch(topic, messages, where)
        if taken == len(messages):
            return None
        return Refused(len(messages) - taken, next(message["_error"] for message in messages if "_error" in message))


def _handle(producer: Producer) -> int | None:
    """Where librdkafka's side of a producer is, if its object is laid out as is known: handle, then error callback."""
    if type(producer).__basicsize__ < object.__basicsize__ + 2 * ctypes.sizeof(ctypes.c_void_p):
        return None
    handle, callback = (ctypes.c_void_p * 2).from_address(id(producer) + object.__basicsize__)
    return handle if callback == id(error_callback) else None


def _library() -> Library | None:
    """The library that the Python client has loaded: its names are found by way of the client's own module."""
    try:
        library = ctypes.CDLL(cimpl.__file__)
        topic_new, topic_destroy = library.rd_kafka_topic_new, library.rd_kafka_topic_destroy
        produce_batch, last_error = library.rd_kafka_produce_batch, library.rd_kafka_last_error
    except (OSError, AttributeError):
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int
    topic_new.argtypes, topic_new.restype = (pointer, ctypes.c_char_p, pointer), pointer
    topic_destroy.argtypes, topic_destroy.restype = (pointer,), None
    produce_batch.argtypes = (pointer, ctypes.c_int32, number, pointer, number)
    produce_batch.restype = last_error.restype = number
    return Library(topic_new, topic_destroy, produce_batch, last_error)
