"""No input stops a flow: what cannot be worked on is refused alone, and all else is as if it had never been there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import ProcessingError
from config.settings import EngineSettings, Settings
from config.topology import Topology
from flows.catalog import EVENT_TYPES, OPERATORS, SCHEMA_FOLDER
from flows.compile import load
from flows.tester import START_S, FlowTester, Letter
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.model.events import EventType, OrderStatusChanged
from services.day import Day, intents
from services.histories import histories

SCHEMAS = FolderSchemas(SCHEMA_FOLDER)
LONGS = (0, 1, -1, 2**63 - 1, -(2**63), 2**62, -(2**62), 10**18, 2**53 + 1, 2**31, 4 * 10**15, -(10**15))
INTS = (0, 1, -1, 2**31 - 1, -(2**31), 20_700, 2_900_000)
TEXTS = (
    "", "X", "é" * 100, "A" * 255, "B" * 256, "D" * 3_000, "\0", "|", "A|B|C", "🤡" * 60, "TRADE", "TRADE_CANCEL",
    "RESTATED", "GT_CORPORATE_ACTION", "REPLACED", "CANCELED", "PENDING_CANCEL", "SELL_SHORT", "NaN",
)  # fmt: skip
DOUBLES = (0.0, float("nan"), float("inf"), -1e308, 1e-320)
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))

Event = tuple[str, dict[str, Any]]
Leaf = tuple[tuple[str, ...], str, bool]
"""Where in a record it is, its Avro type, and whether it may be null."""


@dataclass(frozen=True)
class Told:
    """What a flow made of its inputs: records of its topics by topic and key, and its dead letters."""

    outputs: dict[tuple[str, str], list[Any]]
    letters: list[Letter]


def small(flow: str, *, stop: bool = False) -> Topology:
    """A shipped flow with few key groups, each of which costs a store."""
    topology = replace(load(flow, OPERATORS), key_groups=2)
    return replace(topology, on_error=replace(topology.on_error, process="stop")) if stop else topology


@cache
def codec() -> Codec:
    return Codec.latest(SCHEMAS, EVENT_TYPES)


@cache
def leaves(topic: str) -> Sequence[Leaf]:
    """What a record of a topic consists of, but for its key, which would only make it a stranger."""
    found = _leaves(SCHEMAS.latest(f"{topic}-value").document["fields"], ())
    return [leaf for leaf in found if leaf[0] not in (("key",), ("eventType",))]


def _leaves(fields: Sequence[Mapping[str, Any]], path: tuple[str, ...]) -> Iterator[Leaf]:
    for field in fields:
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        [kind] = [kind for kind in kinds if kind != "null"]
        here = (*path, field["name"])
        if isinstance(kind, dict) and kind["type"] == "record":
            yield from _leaves(kind["fields"], here)
        elif not (isinstance(kind, dict) and kind["type"] == "array"):
            yield here, kind["type"] if isinstance(kind, dict) else kind, "null" in kinds


def absurd(kind: str, *, optional: bool) -> st.SearchStrategy[Any]:
    values: dict[str, st.SearchStrategy[Any]] = {
        "long": st.sampled_from(LONGS),
        "int": st.sampled_from(INTS),
        "string": st.sampled_from(TEXTS),
        "double": st.sampled_from(DOUBLES),
        "boolean": st.booleans(),
    }
    return values[kind] | st.none() if optional else values[kind]


Change = tuple[int, tuple[str, ...], Any]
"""Of which event, where in it, and what stands there instead."""


@st.composite
def changes(draw: st.DrawFn, events: Sequence[Event], *, accounts: Sequence[str] | None = None) -> list[Change]:
    """What is to be spoiled of some events; only of those of some accounts if these are given."""
    places = [
        i for i, (_, record) in enumerate(events) if accounts is None or record["key"].partition("|")[0] in accounts
    ]
    found: list[Change] = []
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=12)):
        for path, kind, optional in draw(st.lists(st.sampled_from(leaves(events[place][0])), min_size=1, max_size=3)):
            found.append((place, path, draw(absurd(kind, optional=optional))))
    return found


def spoiled(events: Sequence[Event], changed: Sequence[Change]) -> list[Event]:
    result = list(events)
    for place, path, value in changed:
        topic, record = result[place]
        result[place] = topic, _with(record, path, value)
    return result


def _with(record: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """The record with another value at one place; unchanged where it has no such place."""
    name, *rest = path
    if not rest:
        return {**record, name: value}
    inner = record.get(name)
    return {**record, name: _with(inner, rest, value)} if inner else dict(record)


def send(flow: FlowTester, events: Sequence[tuple[int, Event]]) -> None:
    """Each event with its number in a header, which its dead letter will bring back."""
    for number, (topic, record) in events:
        [value] = codec().encode_records(topic, [record])
        flow.send_bytes(topic, record["key"].encode(), value, headers=[("number", str(number).encode())])


def send_in_turns(flow: FlowTester, events: Sequence[tuple[int, Event]]) -> None:
    """Some events of each topic at a time: within a batch one refused might change whose turn it is."""
    for start in range(0, events[-1][0] + 1, 60):
        for wanted in ("orders.status", "orders.executions"):
            send(flow, [(n, event) for n, event in events if start <= n < start + 60 and event[0] == wanted])
            flow.run()


def told(flow: FlowTester, topics: Sequence[str]) -> Told:
    outputs: dict[tuple[str, str], list[Any]] = {}
    for topic in topics:
        for event in flow.read(topic):
            if event.event_type != EventType.ORDER_STATUS_CHANGED:
                outputs.setdefault((topic, event.key), []).append(event)
    return Told(outputs, flow.dead_letters())


def refused(letters: Sequence[Letter], *steps: str) -> set[int]:
    return {int(letter.headers["number"]) for letter in letters if letter.headers["orderflow.step"] in steps}


@cache
def lifecycles() -> list[Event]:
    """Statuses and executions of orders with everything that can happen to one."""
    return [(topic, dict(record)) for topic, record in histories(12, 5)]


@cache
def requests() -> list[Event]:
    """A morning's requests of clients."""
    return [("orders.input", dict(record)) for record in intents(Day(30, 3))]


@cache
def all_topics() -> list[Event]:
    """What views and surveillance read, as the other flows make it."""
    events = lifecycles()
    with FlowTester(small("order_status")) as flow:
        send(flow, list(enumerate(events)))
        flow.run()
        made = told(flow, ["orders.status", "orders.enrichment", "orders.anomalies"])
    assert made.letters == []
    made_events = [(topic, msgspec.to_builtins(e)) for (topic, _), records in made.outputs.items() for e in records]
    return [*events, *sorted(made_events, key=lambda event: event[1]["occurredAt"])]


@cache
def milestones() -> list[Event]:
    with FlowTester(small("views")) as flow:
        send(flow, list(enumerate(all_topics())))
        flow.run()
        return [("orders.milestones", msgspec.to_builtins(event)) for event in flow.read("orders.milestones")]


JOINED = ("orders.status", "orders.enrichment", "orders.anomalies")


@SLOW
@given(changes(lifecycles()))
def test_the_join_goes_on_as_if_what_it_refused_had_never_been_there(changed: list[Change]) -> None:
    numbered = list(enumerate(spoiled(lifecycles(), changed)))
    with FlowTester(small("order_status")) as flow:
        send_in_turns(flow, numbered)
        whole = told(flow, JOINED)
        flow.crash(lose_state=True)
        flow.run()
        assert (flow.dead_letters(), told(flow, JOINED).outputs) == ([], {}), "a restart makes nothing anew"
    gone = refused(whole.letters, "decode", "join")
    with FlowTester(small("order_status")) as flow:
        send_in_turns(flow, [(number, event) for number, event in numbered if number not in gone])
        without = told(flow, JOINED)
    assert without.outputs == whole.outputs
    assert refused(without.letters, "decode", "join") == set()
    assert refused(without.letters, "parents") == refused(whole.letters, "parents")


@SLOW
@given(changes(requests()))
def test_every_request_gets_one_decision_or_is_a_dead_letter(changed: list[Change]) -> None:
    events = spoiled(requests(), changed)
    with FlowTester(small("risk_check")) as flow:
        send(flow, list(enumerate(events)))
        flow.run()
        decided = Counter(outcome.key for outcome in flow.read("risk.outcome"))
        letters = flow.dead_letters()
        flow.crash(lose_state=True)
        flow.run()
        assert flow.dead_letters() == []
    asked = Counter(record["key"] for _, record in events)
    assert decided + Counter((letter.key or b"").decode() for letter in letters) == asked


def own(held: Mapping[str, Any], accounts: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in held.items() if re.split(r"[|@]", key)[0] in accounts}


@SLOW
@given(st.data())
def test_views_of_an_account_do_not_depend_on_what_others_send(data: st.DataObject) -> None:
    events = all_topics()
    accounts = sorted({record["key"].partition("|")[0] for _, record in events})
    bad, good = accounts[::2], accounts[1::2]
    views = {}
    changed = data.draw(changes(events, accounts=bad))
    for which, sent in (("spoiled", spoiled(events, changed)), ("clean", events)):
        with FlowTester(small("views")) as flow:
            send(flow, list(enumerate(sent)))
            flow.run()
            assert all(letter.headers["__streams.errors.offset"].isdigit() for letter in flow.dead_letters())
            flow.crash(lose_state=True)
            flow.run()
            assert flow.dead_letters() == []
            views[which] = [own(flow.store(step), good) for step in ("positions", "timeline", "fee_ledger")]
    assert all(views["clean"])
    assert views["spoiled"] == views["clean"]


@SLOW
@given(st.data())
def test_surveillance_goes_on_whatever_milestones_say(data: st.DataObject) -> None:
    events = spoiled(milestones(), data.draw(changes(milestones())))
    with FlowTester(small("surveillance")) as flow:
        send(flow, list(enumerate(events)))
        flow.run()
        letters = flow.dead_letters()
        flow.crash(lose_state=True)
        flow.run()
        assert flow.dead_letters() == []
        watched = {key for key in flow.store("orders") if "\0" not in key}
    gone = refused(letters, "decode", "orders")
    assert watched >= {event["key"] for number, (_, event) in enumerate(events) if number not in gone}


def first_status(key: str, **changes: Any) -> OrderStatusChanged:
    [found, *_] = [r for t, r in lifecycles() if t == "orders.status" and r["sequence"] == 1]
    record = {**found, "key": key, "order": {**found["order"], "id": key.partition("|")[2], "parentId": None}}
    return msgspec.convert(record | changes, OrderStatusChanged)


def status(key: str, reason: str | None = None, **changes: Any) -> OrderStatusChanged:
    event = first_status(key, **changes)
    return msgspec.structs.replace(event, status=msgspec.structs.replace(event.status, reason=reason))


def seen(flow: FlowTester) -> set[str]:
    return {event.key for event in flow.read("orders.status") if event.event_type != EventType.ORDER_STATUS_CHANGED}


def test_an_output_beyond_the_limit_of_the_log_refuses_its_event_and_nothing_else_of_the_batch() -> None:
    with FlowTester(small("order_status"), record_bytes_max=4_000) as flow:
        flow.send("orders.status", *(status(f"A|{n}", "R" * 5_000 if n == 17 else "short") for n in range(40)))
        flow.run()
        [letter] = flow.dead_letters()
        assert letter.headers["orderflow.step"] == "join"
        assert letter.headers["__streams.errors.exception"] == "RecordTooLargeError"
        assert "for topic orders.status" in letter.headers["__streams.errors.message"]
        assert (letter.key, letter.value) == (b"A|17", None), "the value itself did not fit either"
        assert "more than 4000" in letter.headers["orderflow.value-omitted"]
        assert seen(flow) == {f"A|{n}" for n in range(40)} - {"A|17"}
        assert "A|17" not in flow.store("join")
        flow.send("orders.status", status("A|17", "short"))
        flow.run()
        assert seen(flow) == {"A|17"}
        assert flow.dead_letters() == []


def test_on_error_stop_stops_for_what_does_not_fit_and_commits_nothing_of_it() -> None:
    with FlowTester(small("order_status", stop=True), record_bytes_max=4_000) as flow:
        flow.send("orders.status", status("A|1"), status("A|2", "R" * 5_000))
        with pytest.raises(ProcessingError, match=r"RecordTooLargeError.* on orders\.status-\d@\d"):
            flow.run()
        flow.crash()
        assert seen(flow) == set()


def test_a_row_that_outgrows_the_changelog_refuses_what_would_make_it_larger() -> None:
    with FlowTester(small("order_status"), record_bytes_max=1_500) as flow:
        sent = [status("A|1", sequence=1, source=f"engine-{n}") for n in range(200)]
        flow.send("orders.status", *sent, status("A|2"))
        flow.run()
        letters = flow.dead_letters()
        assert 0 < len(letters) < len(sent)
        assert {letter.headers["__streams.errors.exception"] for letter in letters} == {"RecordTooLargeError"}
        assert all("order_status-join-changelog" in letter.headers["__streams.errors.message"] for letter in letters)
        assert seen(flow) == {"A|1", "A|2"}
        kept = max(len(key) + len(value) for key, value in flow.changelog("join").items())
        assert 1_400 < kept <= 1_500


def test_executions_too_long_for_a_row_are_refused_and_leave_the_order_as_it_was() -> None:
    [fill, *_] = [r for t, r in lifecycles() if t == "orders.executions" and r["execType"] == "TRADE"]
    record = {**fill, "orderQuantity": 100, "lastQuantity": 1, "lastPrice": 10_000_000, "key": "A|1"}
    fills = [
        {**record, "execId": f"{n:03d}" * 85, "sequence": n + 1, "cumQuantity": n + 1, "leavesQuantity": 99 - n}
        for n in range(12)
    ]
    with FlowTester(small("order_status"), record_bytes_max=2_300) as flow:
        send(flow, [(n, ("orders.executions", event)) for n, event in enumerate(fills)])
        send(flow, [(99, ("orders.executions", {**fills[0], "key": "A|2"}))])
        flow.run()
        gone = refused(flow.dead_letters(), "join")
        assert 4 < min(gone) < 8, "a row has room for eight that are not as long"
        assert gone == set(range(min(gone), 12))
        filled: dict[str, list[int]] = {}
        for event in flow.read("orders.enrichment"):
            filled.setdefault(event.key, []).append(event.filled_quantity)
        assert filled == {"A|1": list(range(1, min(gone) + 1)), "A|2": [1]}


def test_what_a_parent_cannot_be_told_of_is_a_dead_letter_of_its_step_alone() -> None:
    parent = status("A|P", "R" * 4_000)
    parent = msgspec.structs.replace(parent, order=msgspec.structs.replace(parent.order, is_parent=True))
    with FlowTester(small("order_status"), record_bytes_max=3_000) as flow:
        flow.send("orders.status", parent, status("A|1"))
        flow.run()
        assert [letter.headers["orderflow.step"] for letter in flow.dead_letters()] == ["parents"]
        assert seen(flow) == {"A|1"}
        assert flow.store("parents") == {}


def test_an_event_of_the_year_2100_closes_no_window_and_forgets_nobody() -> None:
    enriched = [r for t, r in all_topics() if t == "orders.enrichment"]
    far = {**enriched[0], "occurredAt": 4_102_444_800_000_000, "sequence": 10**6}
    with FlowTester(small("views")) as flow:
        send(flow, [(-1, ("orders.enrichment", far))])
        flow.run()
        send(flow, list(enumerate(all_topics())))
        flow.run()
        [letter] = flow.dead_letters()
        assert letter.headers["number"] == "-1"
        assert "ahead of the clock" in letter.headers["__streams.errors.message"]
        with_it = [flow.store(step) for step in ("positions", "timeline", "dashboard")]
    with FlowTester(small("views")) as flow:
        send(flow, list(enumerate(all_topics())))
        flow.run()
        assert [flow.store(step) for step in ("positions", "timeline", "dashboard")] == with_it


def test_how_far_ahead_an_event_may_be_is_a_setting() -> None:
    at = int((START_S + 3_600) * 1e6)
    for allowed_ms, expected in ((7_200_000, {"A|1"}), (3_000_000, set())):
        ahead = replace(EngineSettings(), event_ahead_max_ms=allowed_ms)
        with FlowTester(small("order_status"), settings=Settings(engine=ahead)) as flow:
            flow.send("orders.status", status("A|1", occurredAt=at))
            flow.run()
            assert seen(flow) == expected
