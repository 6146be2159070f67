"""After a long backlog views and surveillance say what they would have said live: nothing is late, no alert is false.

The same records, with the same times in the log, most of them in one of several partitions, come once in small steps
and once all before the flow starts, to one process or to several.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from chaos_jobs import with_outputs
from chaos_log import PARTITIONS, codec, read_all, store_values
from chaos_processes import ForkServer
from chaos_surveillance import SurveillanceJob
from chaos_world import Cluster, LogKind, World

from broker.murmur2 import partition_of
from config.settings import Settings
from flows.catalog import EVENT_TYPES
from flows.tester import FlowTester
from operators.model.risk.limits import AccountReference
from services.day import generate_events
from services.records import encode_rows

SHARE_OF_ONE = 0.85
STEP_RECORDS = 60
POLL_RECORDS = 100

Timed = tuple[int, str, bytes, bytes]
"""A record with its time in the log in milliseconds, topic, key, value."""


def uneven(events: Iterable[tuple[str, dict[str, Any]]], seed: int) -> list[Timed]:
    """The events with orders named so that most lie in one partition, each in the log when the latest had happened."""
    random, names = Random(seed), dict[str, str]()
    topics, rows, times = [], [], []
    at_ms = 0
    for topic, row in events:
        key = row["key"]
        if key not in names:
            home = 0 if random.random() < SHARE_OF_ONE else random.randrange(1, PARTITIONS)
            tried = (f"{key}-{number}" for number in range(1_000))
            names[key] = next(name for name in tried if partition_of(name.encode(), PARTITIONS) == home)
        at_ms = max(at_ms, row["occurredAt"] // 1_000)
        topics.append(topic)
        rows.append({**row, "key": names[key]})
        times.append(at_ms)
    values: list[bytes] = [b""] * len(rows)
    for topic in set(topics):
        places = [place for place, of in enumerate(topics) if of == topic]
        for place, value in zip(places, encode_rows(codec(), topic, [rows[place] for place in places]), strict=True):
            values[place] = value
    return [
        (at, topic, row["key"].encode(), value)
        for at, topic, row, value in zip(times, topics, rows, values, strict=True)
    ]


def orders() -> list[Timed]:
    """What `views` reads of a day."""
    return uneven(with_outputs(generate_events(200, seed=3)), seed=3)


def milestones(folder: Path) -> list[Timed]:
    """What `surveillance` reads, of accounts that lie in several partitions each."""
    topic = "orders.milestones"
    values = [value for of, _, value in SurveillanceJob(250, 3, folder).records if of == topic]
    rows = ((topic, row) for row in codec().decode(topic, values).batch.to_pylist())
    return uneven(rows, seed=3)


def accounts(records: Iterable[Timed]) -> list[AccountReference]:
    """Every account, four of them to an owner."""
    names = sorted({key.decode().partition("|")[0] for _, _, key, _ in records})
    return [
        AccountReference(
            event_type="ACCOUNT_REFERENCE", occurred_at=1, key=name, owner=f"OWNER{number // 4}", sequence=1,
            source="operations",
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def run(topology: str | Path, records: Sequence[Timed], step_records: int) -> Iterator[FlowTester]:
    """The flow after it has been fed so many records at a time."""
    base = Settings()
    settings = dataclasses.replace(base, engine=dataclasses.replace(base.engine, poll_records=POLL_RECORDS))
    with FlowTester(topology, settings=settings, partitions=PARTITIONS) as flow:
        flow.send("reference.accounts", *accounts(records))
        flow.run()
        for start in range(0, len(records), step_records):
            for at_ms, topic, key, value in records[start : start + step_records]:
                flow.send_bytes(topic, key, value, timestamp_ms=at_ms)
            flow.run()
        flow.run()  # what the last records have made due
        assert flow.dead_letters() == []
        yield flow


def live_and_behind(topology: str | Path, records: Sequence[Timed]) -> Iterator[FlowTester]:
    """The flow after it has followed, and after it has found everything at once."""
    for step_records in (STEP_RECORDS, len(records)):
        yield from run(topology, records, step_records)


@dataclasses.dataclass(frozen=True)
class Command:
    """What a cluster runs."""

    command: Sequence[str]
    environment: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {"ORDERFLOW__ENGINE__POLL_RECORDS": str(POLL_RECORDS)}
    )


def run_together(
    server: ForkServer, place: World, topology: str | Path, records: Sequence[Timed], workers: int
) -> None:
    """Has several processes find everything at once, until they have processed it."""
    with closing(place.log.producer("test")) as producer:
        references = accounts(records)
        values = codec().encode_records("reference.accounts", [msgspec.to_builtins(each) for each in references])
        for account, value in zip(references, values, strict=True):
            producer.send("reference.accounts", account.key.encode(), value)
        for at_ms, topic, key, event in records:
            producer.send(topic, key, event, timestamp_ms=at_ms)
        producer.flush()
    job: Any = Command(["run", str(topology)])
    assert Cluster(server, job, place, workers=workers, environment={}, until_end=True).wait(120.0) == [0] * workers
    assert read_all(place.log, "orders.dlq") == []


def written(place: World, topic: str) -> Counter[bytes]:
    """What was written to a topic, without regard to the order of keys."""
    kind, decode = EVENT_TYPES[topic], codec().decode_record
    values = (decode(topic, record.value()) for record in read_all(place.log, topic))
    return Counter(msgspec.json.encode(msgspec.convert(value, kind)) for value in values)


def live(topology: str | Path, records: Sequence[Timed]) -> Iterator[FlowTester]:
    """The flow after one process has followed."""
    return run(topology, records, STEP_RECORDS)


def test_the_dashboard_is_the_same() -> None:
    live, behind = (
        (flow.store("dashboard"), told(flow, "orders.milestones")) for flow in live_and_behind("views", orders())
    )
    assert len(live[0]) > 1_000
    assert live == behind


def test_the_alerts_are_the_same_to_the_last_field(tmp_path: Path) -> None:
    records = milestones(tmp_path)
    live, behind = (told(flow, "orders.alerts") for flow in live_and_behind(tmp_path / "surveillance.yaml", records))
    kinds = {msgspec.json.decode(alert)["kind"] for alert in live}
    assert len(kinds) == 7
    assert live == behind


def told(flow: FlowTester, topic: str) -> Counter[bytes]:
    """What a flow has written to a topic, without regard to the order of keys."""
    return Counter(msgspec.json.encode(event) for event in flow.read(topic))


def test_several_processes_come_to_the_dashboard_of_one(
    fork_server: ForkServer, make_world: Callable[[LogKind], World]
) -> None:
    place, records = make_world("embedded"), orders()
    run_together(fork_server, place, "views", records, workers=2)
    [followed] = ((flow.store("dashboard"), told(flow, "orders.milestones")) for flow in live("views", records))
    assert followed == (store_values(place.place.state / "views" / "dashboard"), written(place, "orders.milestones"))


def test_several_processes_tell_the_alerts_of_one(
    fork_server: ForkServer, make_world: Callable[[LogKind], World], tmp_path: Path
) -> None:
    place, records = make_world("embedded"), milestones(tmp_path)
    topology = tmp_path / "surveillance.yaml"
    run_together(fork_server, place, topology, records, workers=3)
    [followed] = (told(flow, "orders.alerts") for flow in live(topology, records))
    assert followed == written(place, "orders.alerts")
