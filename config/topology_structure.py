"""Reading a topology from YAML, and the checks of its structure, which need no knowledge of any operator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from config.errors import ConfigurationError, Problem
from config.options import Declaration, convert, option, required, suggest
from config.topics import TOPICS
from config.topology_nodes import NAME_PATTERN, OnError, Output, Source, Step, Topology
from config.units import DurationMs
from config.yaml_positions import MappingNode, Node, Place, PlacedText, Scalar, SequenceNode, read_mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """The file as written, its sources, steps and outputs still to be read one by one."""

    place: Place
    flow: str = required(Declaration(pattern=NAME_PATTERN))
    key_groups: int = option(32, Declaration(minimum=1, maximum=4096))  # it makes the field
    epoch_ms: DurationMs | None = option(None, Declaration(unit="ms", minimum=1, maximum=60_000))  # noqa: RUF009
    sources: MappingNode
    steps: tuple[MappingNode, ...]
    outputs: tuple[MappingNode, ...] = ()
    on_error: OnError | None = None


def read_topology(file: Path, name: str | None = None) -> Topology:
    """The topology that a file declares; `ConfigurationError` lists every problem of its structure.

    `name` is what problems call the file, by default its path.
    """
    root, problems = read_mapping(file, name)
    document = convert(root, _Document, problems)
    source_nodes = _mapping(root, "sources")
    sources = _read_sources(source_nodes, problems)
    steps = _read_all(_items(root, "steps"), Step, problems)
    outputs = _read_all(_items(root, "outputs"), Output, problems)
    problems.extend(_duplicate_ids(steps))
    # References may name what is declared but unreadable: that is reported above, and once is enough.
    declared_steps = frozenset(_declared_ids(_items(root, "steps")))
    problems.extend(_reference_problems(sources, frozenset(source_nodes.entries), declared_steps, steps, outputs))
    on_error = (document.on_error if document else None) or OnError(place=root.place)
    problems.extend(_unknown_topics(sources, outputs, on_error))
    if not problems:
        problems.extend(_unused_sources(source_nodes, steps))
        problems.extend(_endless_loops(sources, outputs))
        problems.extend(_cycles(steps))
    if problems or document is None:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return Topology(
        place=root.place,
        flow=document.flow,
        key_groups=document.key_groups,
        epoch_ms=document.epoch_ms,
        sources=sources,
        steps=tuple(_in_order(steps)[0]),
        outputs=tuple(outputs),
        on_error=on_error,
    )


def split_reference(reference: str) -> tuple[str, str | None]:
    """Step id and stream of `step.stream`; the source's name and None of a plain name."""
    name, _, stream = reference.partition(".")
    return name, stream or None


def _mapping(root: MappingNode, key: str) -> MappingNode:
    node = root.entries.get(key)
    return node if isinstance(node, MappingNode) else MappingNode({}, root.place)


def _items(root: MappingNode, key: str) -> list[MappingNode]:
    node = root.entries.get(key)
    return [item for item in node.items if isinstance(item, MappingNode)] if isinstance(node, SequenceNode) else []


def _read_sources(node: MappingNode, problems: list[Problem]) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for name, entry in node.entries.items():
        if not re.fullmatch(NAME_PATTERN, name):
            problems.append(node.place_of(name).problem(f"{name!r} does not match {NAME_PATTERN}"))
        source = convert(entry, Source, problems)
        if source is not None:
            sources[name] = source
    return sources


def _read_all(nodes: Sequence[Node], kind: type[T], problems: list[Problem]) -> list[T]:
    return [value for node in nodes if (value := convert(node, kind, problems)) is not None]


def _declared_ids(nodes: Sequence[MappingNode]) -> Iterator[str]:
    for node in nodes:
        declared = node.entries.get("id")
        if isinstance(declared, Scalar):
            yield declared.text


def _duplicate_ids(steps: Sequence[Step]) -> Iterator[Problem]:
    first: dict[str, Step] = {}
    for step in steps:
        if step.id in first:
            yield step.id.place.problem(f"step id {step.id!r} is taken, see line {first[step.id].id.place.line}")
        first.setdefault(step.id, step)


def _reference_problems(
    sources: Mapping[str, Source],
    source_names: frozenset[str],
    step_ids: frozenset[str],
    steps: Sequence[Step],
    outputs: Sequence[Output],
) -> Iterator[Problem]:
    for step in steps:
        if not step.inputs:
            yield step.place.problem(f"step {step.id!r} reads nothing: name its inputs in `from`")
        for reference in step.inputs:
            yield from _reference_problem(reference, source_names, step_ids)
            if reference in sources and sources[reference].broadcast:
                yield reference.place.problem(f"{reference!r} is a broadcast source: name it in `broadcast`")
        for name in step.broadcast:
            if name not in source_names:
                yield name.place.problem(f"unknown source {name!r}{suggest(name, source_names)}")
            elif name in sources and not sources[name].broadcast:
                yield name.place.problem(f"{name!r} is no broadcast source: declare it with `broadcast: true`")
    seen: dict[tuple[str, str], Output] = {}
    for output in outputs:
        if "." not in output.stream:
            yield output.stream.place.problem(f"{output.stream!r} is no stream of a step: write `step.stream`")
            continue
        yield from _reference_problem(output.stream, source_names, step_ids)
        earlier = seen.setdefault((output.stream, output.topic), output)
        if earlier is not output:
            line = earlier.place.line
            yield output.place.problem(f"{output.stream!r} goes to {output.topic!r} already, see line {line}")


def _reference_problem(reference: PlacedText, sources: frozenset[str], steps: frozenset[str]) -> Iterator[Problem]:
    name, stream = split_reference(reference)
    if stream is not None and name not in steps:
        yield reference.place.problem(f"unknown step {name!r}{suggest(name, steps)}")
    elif stream is None and name in steps:
        yield reference.place.problem(f"{name!r} is a step: name one of its streams, `{name}.<stream>`")
    elif stream is None and name not in sources:
        yield reference.place.problem(f"unknown source {name!r}{suggest(name, sources)}")


def _unknown_topics(sources: Mapping[str, Source], outputs: Sequence[Output], on_error: OnError) -> Iterator[Problem]:
    named = [source.topic for source in sources.values()] + [output.topic for output in outputs] + [on_error.topic]
    for topic in named:
        if topic not in TOPICS:
            yield topic.place.problem(f"unknown topic {topic!r}{suggest(topic, TOPICS)}")


def _unused_sources(node: MappingNode, steps: Sequence[Step]) -> Iterator[Problem]:
    used = {reference for step in steps for reference in (*step.inputs, *step.broadcast)}
    for name in node.entries:
        if name not in used:
            yield node.place_of(name).problem(f"source {name!r} is read by no step: remove it or use it")


def _endless_loops(sources: Mapping[str, Source], outputs: Sequence[Output]) -> Iterator[Problem]:
    """A flow may write to a topic it reads only if it reads a part of it, or it would feed on itself for ever."""
    written = {output.topic for output in outputs}
    for name, source in sources.items():
        if source.topic in written and not source.where:
            yield source.topic.place.problem(
                f"the flow writes to {source.topic!r} too: give source {name!r} a `where` that leaves those out"
            )


def _cycles(steps: Sequence[Step]) -> Iterator[Problem]:
    _, stuck = _in_order(steps)
    for step in stuck:
        yield step.id.place.problem(f"step {step.id!r} is part of a cycle: it would wait for its own output")


def _in_order(steps: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """The steps with every one after those it reads from, otherwise as declared; and those that cycles leave over."""
    done: list[Step] = []
    waiting = list(steps)
    while waiting:
        ready = [step for step in waiting if not _needs(step) & {other.id for other in waiting}]
        if not ready:
            break
        done += ready
        waiting = [step for step in waiting if step not in ready]
    return done, waiting


def _needs(step: Step) -> set[str]:
    return {name for name, stream in map(split_reference, step.inputs) if stream is not None}
