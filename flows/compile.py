"""From a checked topology to a plan: which steps share a segment, what each is keyed by, where its streams go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from config.errors import ConfigurationError, Problem
from config.topics import TOPICS
from config.topology import OperatorSpec, Step, Topology, load_topology, validate
from config.topology_operators import field_problems
from flows.catalog import EVENT_TYPES
from operators.registry import Operator
from operators.stream.decode import SourceDecoder
from operators.stream.keys import KEYS, RECORD_KEY
from operators.stream.pipeline import Plan, StepPlan

TOPIC_OF_SCHEMA: Mapping[str, str] = {
    topic.schema: topic.name for topic in reversed(list(TOPICS.values())) if topic.schema is not None
}
FIELDS: Mapping[str, tuple[str, ...]] = {
    topic: tuple(field.encode_name for field in msgspec.structs.fields(kind)) for topic, kind in EVENT_TYPES.items()
}
"""The names of the fields that records of each topic have."""


def load(flow_or_file: str | Path, operators: Mapping[str, Operator]) -> Topology:
    """The topology of a flow or file, checked for all that can be known without a log; all problems in one error."""
    topology = load_topology(flow_or_file, {name: operator.spec for name, operator in operators.items()}, FIELDS)
    check(topology, operators)
    return topology


def check(topology: Topology, operators: Mapping[str, Operator]) -> dict[str, object]:
    """Everything that can be known without a log; the typed options by step. All problems in one error."""
    options = validate(topology, {name: operator.spec for name, operator in operators.items()})
    problems = [
        step.key.place.problem(f"there is no key {step.key!r}; there are {', '.join([RECORD_KEY, *KEYS])}")
        for step in topology.steps
        if step.key != RECORD_KEY and step.key not in KEYS
    ]
    problems += field_problems(topology.sources, FIELDS)
    if problems:
        raise ConfigurationError(problems)
    return options


def plan(topology: Topology, operators: Mapping[str, Operator], partitions: Mapping[str, int]) -> Plan:
    """The plan of a topology on a log whose topics have these partition counts."""
    problems = _partition_problems(topology, partitions)
    if problems:
        raise ConfigurationError(problems)
    depth: dict[str, int] = {}
    segments: dict[int, list[StepPlan]] = {0: []}
    for step in topology.steps:
        depth[step.id] = index = _segment(topology, step, depth)
        spec = operators[step.operator].spec
        segments.setdefault(index, []).append(_step(topology, step, spec, partitions, exchanged=index > 0))
    return Plan(topology.flow, [segments[index] for index in sorted(segments)])


def source_decoders(topology: Topology) -> list[SourceDecoder]:
    """How each source that is not broadcast is decoded."""
    return [
        SourceDecoder(name, str(source.topic), dict(source.where), source.event_time)
        for name, source in topology.sources.items()
        if not source.broadcast
    ]


def _segment(topology: Topology, step: Step, depth: Mapping[str, int]) -> int:
    """A step shares its inputs' segment while records keep their own key; any other key needs an exchange first."""
    keys = {str(other.id): str(other.key) for other in topology.steps}
    upstream = [name.partition(".")[0] for name in step.inputs if "." in name]
    reached = max((depth[other] for other in upstream), default=0)
    own_key = step.key == RECORD_KEY and all(keys[other] == RECORD_KEY for other in upstream)
    return 0 if own_key and reached == 0 else reached + 1


def _step(
    topology: Topology, step: Step, spec: OperatorSpec, partitions: Mapping[str, int], *, exchanged: bool
) -> StepPlan:
    own_key = step.key == RECORD_KEY
    groups = max(_source_partitions(topology, step, partitions).values()) if own_key else topology.key_groups
    return StepPlan(
        id=str(step.id),
        key=str(step.key),
        key_groups=groups,
        inputs={role: str(name) for role, name in zip(spec.inputs, step.inputs, strict=True)},
        # A stream that only other steps read has no topic, and goes by the name of its records.
        stream_topics={stream: TOPIC_OF_SCHEMA.get(schema, schema) for stream, schema in spec.outputs.items()},
        outputs={
            str(output.stream).partition(".")[2]: str(output.topic)
            for output in topology.outputs
            if str(output.stream).partition(".")[0] == step.id
        },
        exchanged=exchanged,
    )


def _source_partitions(topology: Topology, step: Step, partitions: Mapping[str, int]) -> dict[str, int]:
    """Partition counts of the topics that reach the step, directly or through other steps, by topic."""
    found: dict[str, int] = {}
    for name in step.inputs:
        source, _, stream = str(name).partition(".")
        if stream:
            found |= _source_partitions(topology, topology.step(source), partitions)
        else:
            topic = str(topology.sources[source].topic)
            found[topic] = partitions.get(topic, 0)
    return found


def _partition_problems(topology: Topology, partitions: Mapping[str, int]) -> list[Problem]:
    used = [source.topic for source in topology.sources.values()]
    used += [*(output.topic for output in topology.outputs), topology.on_error.topic]
    problems = [
        topic.place.problem(f"there is no topic {topic}: run `orderflow topics create`")
        for topic in used
        if str(topic) not in partitions
    ]
    if problems:
        return problems
    for step in topology.steps:
        counts = _source_partitions(topology, step, partitions)
        if step.key == RECORD_KEY and len(set(counts.values())) > 1:
            listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
            problems.append(
                step.key.place.problem(
                    f"step {step.id} joins topics by their own key: partition counts differ: {listed}"
                )
            )
    return problems
