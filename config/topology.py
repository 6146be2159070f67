"""A topology declares a flow as data: loading it from YAML, and validating it against the operators there are.

Loading checks the structure, `validate` what only operators know. Both report every problem with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from config.errors import ConfigurationError, Problem
from config.options import convert, suggest
from config.topics import TOPICS
from config.topology_nodes import OnError, OperatorSpec, Output, Source, Step, StepState, Topology
from config.topology_structure import read_topology, split_reference
from config.yaml_positions import MappingNode, PlacedText

__all__ = [
    "OnError",
    "OperatorSpec",
    "Output",
    "Source",
    "Step",
    "StepState",
    "Topology",
    "load_topology",
    "split_reference",
    "topology_names",
    "validate",
]

_FOLDER = Path(__file__).parent / "topologies"


def topology_names() -> list[str]:
    """The flows whose topologies ship with the product."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def load_topology(flow_or_file: str | Path) -> Topology:
    """The topology of a flow that ships with us, or of a YAML file; `ConfigurationError` lists every problem."""
    text = str(flow_or_file)
    if isinstance(flow_or_file, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        return read_topology(Path(text))
    if text not in topology_names():
        raise ConfigurationError([Problem(f"there is no flow {text!r}{suggest(text, topology_names())}")])
    return read_topology(_FOLDER / f"{text}.yaml", f"config/topologies/{text}.yaml")


def validate(topology: Topology, operators: Mapping[str, OperatorSpec]) -> dict[str, object]:
    """Checks a topology against its operators; the typed options of each step that has some, by step id.

    Raises `ConfigurationError` with every unknown operator, option, key or stream, missing input or broadcast source,
    stream that nobody consumes, and record that its reader or topic does not take.
    """
    problems: list[Problem] = []
    options: dict[str, object] = {}
    specs: dict[str, OperatorSpec] = {}
    for step in topology.steps:
        spec = operators.get(step.operator)
        if spec is None:
            hint = suggest(step.operator, operators)
            problems.append(step.operator.place.problem(f"unknown operator {step.operator!r}{hint}"))
            continue
        specs[step.id] = spec
        options[step.id] = _read_options(step, spec, problems)
        problems.extend(_key_and_broadcast_problems(step, spec))
    for step in topology.steps:
        if step.id in specs:
            problems.extend(_input_problems(topology, step, specs))
    for output in topology.outputs:
        problems.extend(_output_problems(output, specs))
    problems.extend(_dangling_streams(topology, specs))
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return {step_id: value for step_id, value in options.items() if value is not None}


def _read_options(step: Step, spec: OperatorSpec, problems: list[Problem]) -> object:
    if spec.options is not None:
        return convert(step.options or MappingNode({}, step.place), spec.options, problems)
    if step.options is not None and step.options.entries:
        problems.append(step.options.place.problem(f"operator {spec.name!r} has no options"))
    return None


def _key_and_broadcast_problems(step: Step, spec: OperatorSpec) -> Iterator[Problem]:
    if step.key not in spec.keys:
        known = ", ".join(sorted(spec.keys))
        yield step.key.place.problem(f"operator {spec.name!r} cannot be keyed by {step.key!r}, only by {known}")
    for name in sorted(spec.needs_broadcast.difference(step.broadcast)):
        yield step.place.problem(f"operator {spec.name!r} needs the broadcast source {name!r}")
    for given in step.broadcast:
        if given not in spec.needs_broadcast:
            yield given.place.problem(f"operator {spec.name!r} does not read the broadcast source {given!r}")


def _input_problems(topology: Topology, step: Step, specs: Mapping[str, OperatorSpec]) -> Iterator[Problem]:
    spec = specs[step.id]
    roles = list(spec.inputs)
    if len(step.inputs) != len(roles):
        yield step.place.problem(
            f"operator {spec.name!r} reads {len(roles)} inputs ({', '.join(roles)}), `from` names {len(step.inputs)}"
        )
        return
    for role, reference in zip(roles, step.inputs, strict=True):
        name, stream = split_reference(reference)
        if stream is None:
            carried = TOPICS[topology.sources[name].topic].schema
        elif name not in specs:
            continue  # its operator is unknown, which is reported
        elif stream not in specs[name].outputs:
            yield _unknown_stream(reference, specs[name], stream)
            continue
        else:
            carried = specs[name].outputs[stream]
        wanted = spec.inputs[role]
        if wanted is not None and carried != wanted:
            yield reference.place.problem(
                f"input {role!r} of operator {spec.name!r} reads {wanted}, {reference!r} carries {carried}"
            )


def _output_problems(output: Output, specs: Mapping[str, OperatorSpec]) -> Iterator[Problem]:
    name, stream = split_reference(output.stream)
    if name not in specs or stream is None:
        return
    if stream not in specs[name].outputs:
        yield _unknown_stream(output.stream, specs[name], stream)
        return
    carried, wanted = specs[name].outputs[stream], TOPICS[output.topic].schema
    if carried != wanted:
        yield output.place.problem(f"{output.stream!r} carries {carried}, topic {output.topic!r} holds {wanted}")


def _dangling_streams(topology: Topology, specs: Mapping[str, OperatorSpec]) -> Iterator[Problem]:
    consumed = {reference for step in topology.steps for reference in step.inputs}
    consumed |= {output.stream for output in topology.outputs}
    for step in topology.steps:
        for stream in specs[step.id].outputs if step.id in specs else ():
            if f"{step.id}.{stream}" not in consumed:
                yield step.id.place.problem(f"stream '{step.id}.{stream}' is consumed by nobody: add an output for it")


def _unknown_stream(reference: PlacedText, spec: OperatorSpec, stream: str) -> Problem:
    hint = suggest(stream, spec.outputs) or "; it has none"
    return reference.place.problem(f"operator {spec.name!r} has no stream {stream!r}{hint}")
