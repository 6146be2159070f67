"""From topologies to plans: segments, key groups, and what is refused before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigurationError
from config.topology import OperatorSpec, Topology, load_topology
from flows.compile import check, plan, source_decoders
from operators.stream.pipeline import Plan

PARTITIONS = {"orders.status": 4, "orders.executions": 4, "orders.enrichment": 4, "orders.dlq": 1, "orders.input": 2}


@dataclass(frozen=True)
class Named:
    """As much of an operator as compiling looks at."""

    spec: OperatorSpec


OPERATORS: dict[str, Any] = {
    spec.name: Named(spec)
    for spec in (
        OperatorSpec("enrich", frozenset({"order", "account"}), {"in": "ExecutionReport"}, {"out": "OrderEnriched"}),
        OperatorSpec("view", frozenset({"order", "account", "venue"}), {"in": "OrderEnriched"}, {}),
        OperatorSpec("join", frozenset({"order", "account"}), {"a": "ExecutionReport", "b": "OrderEnriched"}, {}),
        OperatorSpec("pair", frozenset({"order"}), {"a": "ExecutionReport", "b": "OrderIntent"}, {}),
    )
}


@pytest.fixture
def topology(tmp_path: Path) -> Callable[..., Topology]:
    def make(*steps: str, sources: str = "executions: {topic: orders.executions}", outputs: str = "[]") -> Topology:
        file = tmp_path / "flow.yaml"
        listed = "\n".join(f"  - {{{step}}}" for step in steps)
        file.write_text(
            f"flow: flow\nkey_groups: 8\nsources:\n  {sources}\nsteps:\n{listed}\noutputs: {outputs}\n"
            "on_error: {decode: dead_letter, process: dead_letter, topic: orders.dlq}\n"
        )
        return load_topology(file)

    return make


ENRICH = "id: enrich, operator: enrich, from: [executions], key: order"
BY_ACCOUNT = "id: by_account, operator: enrich, from: [executions], key: account"


def segments(compiled: Plan) -> list[list[str]]:
    return [[step.id for step in segment] for segment in compiled.segments]


def test_steps_keyed_by_the_record_share_the_first_segment_and_have_the_partitions_as_key_groups(
    topology: Callable[..., Topology],
) -> None:
    compiled = plan(topology(ENRICH, "id: view, operator: view, from: [enrich.out], key: order"), OPERATORS, PARTITIONS)
    assert segments(compiled) == [["enrich", "view"]]
    assert [(step.key_groups, step.exchanged) for step in compiled.steps] == [(4, False), (4, False)]
    assert compiled.steps[1].inputs == {"in": "enrich.out"}


def test_another_key_begins_a_segment_and_has_the_key_groups_of_the_topology(topology: Callable[..., Topology]) -> None:
    compiled = plan(
        topology(ENRICH, "id: view, operator: view, from: [enrich.out], key: account"), OPERATORS, PARTITIONS
    )
    assert segments(compiled) == [["enrich"], ["view"]]
    assert (compiled.steps[1].key_groups, compiled.steps[1].exchanged) == (8, True)


def test_a_flow_that_rekeys_its_source_has_an_empty_first_segment(topology: Callable[..., Topology]) -> None:
    compiled = plan(
        topology(BY_ACCOUNT, "id: view, operator: view, from: [by_account.out], key: order"), OPERATORS, PARTITIONS
    )
    assert segments(compiled) == [[], ["by_account"], ["view"]]
    assert [step.exchanged for step in compiled.steps] == [True, True]


def test_a_segment_is_fed_by_the_one_before_and_by_every_earlier_one_that_has_rows_for_it(
    topology: Callable[..., Topology],
) -> None:
    both = "id: both, operator: join, from: [executions, by_account.out], key: account"
    assert plan(topology(BY_ACCOUNT, both), OPERATORS, PARTITIONS).feeders(2) == [0, 1]
    last = "id: last, operator: view, from: [by_account.out], key: account"
    assert plan(topology(BY_ACCOUNT, last), OPERATORS, PARTITIONS).feeders(2) == [1]


def test_outputs_are_written_under_their_topics(topology: Callable[..., Topology]) -> None:
    loaded = topology(ENRICH, outputs="[{from: enrich.out, topic: orders.enrichment}]")
    [step] = plan(loaded, OPERATORS, PARTITIONS).steps
    assert (step.outputs, step.stream_topics) == ({"out": "orders.enrichment"}, {"out": "orders.enrichment"})


def test_topics_joined_by_their_own_key_must_have_as_many_partitions(topology: Callable[..., Topology]) -> None:
    loaded = topology(
        "id: pair, operator: pair, from: [executions, input], key: order",
        sources="executions: {topic: orders.executions}\n  input: {topic: orders.input}",
    )
    with pytest.raises(ConfigurationError, match=r"step pair .* orders.executions has 4, orders.input has 2"):
        plan(loaded, OPERATORS, PARTITIONS)


def test_every_missing_topic_is_named_with_its_place(topology: Callable[..., Topology]) -> None:
    loaded = topology(ENRICH, outputs="[{from: enrich.out, topic: orders.enrichment}]")
    with pytest.raises(ConfigurationError) as caught:
        plan(loaded, OPERATORS, {})
    named = [str(problem) for problem in caught.value.problems]
    assert [text.partition("there is no topic ")[2].partition(":")[0] for text in named] == [
        "orders.executions", "orders.enrichment", "orders.dlq",
    ]  # fmt: skip
    assert all("flow.yaml:" in text for text in named)


def test_a_key_that_nobody_implements_is_refused(topology: Callable[..., Topology]) -> None:
    loaded = topology(ENRICH, "id: view, operator: view, from: [enrich.out], key: venue")
    with pytest.raises(ConfigurationError, match="there is no key 'venue'; there are order, account"):
        check(loaded, OPERATORS)


def test_broadcast_sources_are_not_decoded_by_the_lane(topology: Callable[..., Topology]) -> None:
    loaded = topology(
        f"{ENRICH}, broadcast: [fees]",
        sources="executions: {topic: orders.executions}\n  fees: {topic: reference.symbols, broadcast: true}",
    )
    assert [source.name for source in source_decoders(loaded)] == ["executions"]


def test_a_field_that_records_do_not_have_is_refused_with_its_place(topology: Callable[..., Topology]) -> None:
    flow = topology(
        "id: enriched, operator: enrich, from: [executions], key: order",
        sources="executions: {topic: orders.executions, where: {eventTyp: EXECUTION_REPORTED}}",
        outputs="[{from: enriched.out, topic: orders.enrichment}]",
    )
    with pytest.raises(ConfigurationError, match="no field 'eventTyp'; did you mean 'eventType'") as caught:
        check(flow, OPERATORS)
    assert [problem.line for problem in caught.value.problems] == [4]
