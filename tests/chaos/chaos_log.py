"""What the jobs share: where a flow ran, what lies in its log and its stores, and what must hold of every flow."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lmdb

import config
from broker.contract import Log, Record, TopicPartition, TopicSpec
from config.errors import StoreError
from config.topics import HEADER_OFFSET, HEADER_PARTITION, HEADER_TOPIC, TOPICS
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.state.reader import StoreReader
from operators.state.store import HEADER_BYTES
from services.records import encode_rows

CONFIG = Path(config.__file__).parent
PARTITIONS = 4

Input = tuple[str, bytes, bytes]
"""Topic, key and value of a record to be written."""


@dataclass(frozen=True)
class Place:
    """Where a job ran: its log, and the folder of its stores."""

    log: Log
    state: Path


class Job(Protocol):
    """A flow under chaos."""

    name: str
    command: Sequence[str]
    flow: str
    steps: Mapping[str, int]
    """Key groups by step."""
    sources: Sequence[str]
    progress_topic: str
    environment: Mapping[str, str]
    records: Sequence[Input]
    closing: int
    """So many of the last records are kept back until the flow has ended once with all the others."""

    def problems(self, place: Place) -> list[str]:
        """What is wrong with the outputs and the views, when everything has been processed."""
        ...


def codec() -> Codec:
    """The codec for all topics."""
    return Codec.latest(FolderSchemas(CONFIG / "schemas"), [t.name for t in TOPICS.values() if t.schema])


def general_problems(job: Job, place: Place) -> list[str]:
    """What must hold of every flow: stores equal to their changelogs, nothing left unread by the group."""
    found = []
    for step in job.steps:
        values = store_values(place.state / job.flow / step)
        found += differences(f"store of {step} against its changelog", values, changelog_values(place.log, job, step))
    with closing(place.log.admin()) as admin:
        counts = admin.topics()
        partitions = [TopicPartition(topic, p) for topic in job.sources for p in range(counts[topic])]
        offsets = {**admin.beginnings(partitions), **admin.committed(job.flow, partitions)}
    left = _read_from(place.log, offsets)
    return [*found, *(f"{len(left)} records are behind the group's offsets" for _ in left[:1])]


def keep_history(job: Job, log: Log) -> None:
    """Makes the flow's changelogs keep every value, as `stores_ahead` needs; to be called before the first start."""
    with closing(log.admin()) as admin:
        admin.create_topics([TopicSpec(f"{job.flow}-{step}-changelog", n) for step, n in job.steps.items()])


def stores_ahead(job: Job, place: Place) -> list[str]:
    """Values in stores, whatever state a kill left them in, that no committed epoch has ever had."""
    found = []
    for step in job.steps:
        committed: defaultdict[str, set[bytes | None]] = defaultdict(set)
        for record in read_all(place.log, f"{job.flow}-{step}-changelog"):
            value = record.value()
            committed[(record.key() or b"").decode()].add(None if value is None else value[HEADER_BYTES:])
        found += [
            f"store of {step} has a value of {key!r} that was never committed"
            for key, value in store_values(place.state / job.flow / step, left_behind=True).items()
            if value not in committed[key]
        ]
    return found


def store_values(folder: Path, *, left_behind: bool = False) -> dict[str, bytes]:
    """Everything in the stores of one step, by key; `left_behind` by a kill, one may have nothing in it yet."""
    values: dict[str, bytes] = {}
    for path in sorted(folder.glob("*")):
        try:
            with StoreReader(path) as store:
                values.update(store.scan())
        except StoreError as error:
            is_empty = isinstance(error.__cause__, lmdb.NotFoundError) or not (path / "data.mdb").exists()
            if not (left_behind and is_empty):
                raise
    return values


def changelog_values(log: Log, job: Job, step: str) -> dict[str, bytes]:
    """The state that a step's changelog tells: the last value per key."""
    values: dict[str, bytes] = {}
    for record in read_all(log, f"{job.flow}-{step}-changelog"):
        key, value = (record.key() or b"").decode(), record.value()
        if value is None:
            values.pop(key, None)
        elif not key.startswith("\0"):
            values[key] = value[HEADER_BYTES:]
    return values


def read_all(log: Log, topic: str) -> list[Record]:
    """Every committed record of a topic, in the order of each partition."""
    with closing(log.admin()) as admin:
        return _read_from(log, admin.beginnings([TopicPartition(topic, p) for p in range(admin.topics()[topic])]))


def decoded(log: Log, topic: str) -> Iterator[dict[str, Any]]:
    """Every record of a topic as a dictionary."""
    return (row for _, row in with_records(log, topic))


def with_records(log: Log, topic: str) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Every record of a topic, and what it says."""
    records = read_all(log, topic)
    batch = codec().decode(topic, [record.value() for record in records])
    assert not batch.bad
    return zip(records, batch.batch.to_pylist(), strict=True)


def _read_from(log: Log, offsets: Mapping[TopicPartition, int]) -> list[Record]:
    records: list[Record] = []
    with closing(log.reader("chaos")) as reader:
        reader.assign(offsets)
        while True:
            records += reader.read(10_000, 1.0)
            if reader.at_end():
                return sorted(records, key=lambda r: (r.topic(), r.partition(), r.offset()))


def encoded(events: Iterable[tuple[str, dict[str, Any]]]) -> list[Input]:
    """Events as records, in their order."""
    listed, made, encode = list(events), {}, codec()
    for topic in {topic for topic, _ in listed}:
        made[topic] = iter(encode_rows(encode, topic, [row for other, row in listed if other == topic]))
    return [(topic, row["key"].encode(), next(made[topic])) for topic, row in listed]


def letter_problems(place: Place, expected: Iterable[tuple[str, int, int]]) -> list[str]:
    """Dead letters name exactly these records, each once."""
    letters: Counter[tuple[str, int, int]] = Counter()
    for record in read_all(place.log, "orders.dlq"):
        headers = {name: (value or b"").decode() for name, value in record.headers() or []}
        letters[headers[HEADER_TOPIC], int(headers[HEADER_PARTITION]), int(headers[HEADER_OFFSET])] += 1
    return differences("dead letters of", letters, Counter(expected))


def differences(what: str, actual: Mapping[Any, Any], expected: Mapping[Any, Any], *, shown: int = 5) -> list[str]:
    different = [key for key in {**expected, **actual} if actual.get(key) != expected.get(key)]
    told = [
        f"{what} {key}: {_short(actual.get(key))}, expected {_short(expected.get(key))}" for key in different[:shown]
    ]
    return told if len(different) <= shown else [*told, f"{what}: {len(different)} differ in all"]


def _short(value: object) -> str:
    text = str(value) if not isinstance(value, bytes) else value.hex()
    return text if len(text) < 300 else json.dumps(text[:300]) + "..."
