"""A topology as far as it can be read: what is wrong in one place hides nothing that can be checked in another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.errors import Problem
from config.options import Declaration, convert, option, required
from config.topology_nodes import NAME_PATTERN, OnError, Output, Source, Step, Topology
from config.units import DurationMs
from config.yaml_positions import MappingNode, Node, Place, PlacedText, Scalar, SequenceNode, read_mapping


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDraft:
    """A step as far as it can be read: None is what is missing or no text, which is a problem told already."""

    place: Place
    id: PlacedText | None
    operator: PlacedText | None
    inputs: tuple[PlacedText, ...]
    """Every text under `from`, whatever is wrong around it."""
    key: PlacedText | None
    broadcast: tuple[PlacedText, ...]
    options: MappingNode | None
    whole: Step | None
    """The step itself, if nothing is wrong with the way it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDraft:
    """An output as far as it can be read."""

    place: Place
    stream: PlacedText | None
    topic: PlacedText | None
    whole: Output | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A topology as far as it can be read, and what is wrong with the way it is written."""

    place: Place
    document: _Document | None
    sources: Mapping[str, Source]
    """Those that can be read."""
    source_places: Mapping[str, Place]
    """Where each source is declared, readable or not."""
    steps: Sequence[StepDraft]
    outputs: Sequence[OutputDraft]
    on_error: OnError
    problems: Sequence[Problem]

    def topology(self, order: Sequence[Step]) -> Topology:
        """The topology, for a draft that has no problem; `order` has its steps after those they read from."""
        assert self.document is not None
        return Topology(
            place=self.place,
            flow=self.document.flow,
            key_groups=self.document.key_groups,
            epoch_ms=self.document.epoch_ms,
            sources=self.sources,
            steps=tuple(order),
            outputs=tuple(output.whole for output in self.outputs if output.whole is not None),
            on_error=self.on_error,
        )


def read_draft(file: Path, name: str | None = None) -> Draft:
    """The draft that a file holds; `name` is what problems call the file, by default its path.

    Raises `ConfigurationError` only for a file that cannot be read or is no YAML.
    """
    root, problems = read_mapping(file, name)
    document = convert(root, _Document, problems)
    sources = root.entries.get("sources")
    declared = sources if isinstance(sources, MappingNode) else MappingNode({}, root.place)
    return Draft(
        place=root.place,
        document=document,
        sources=_read_sources(declared, problems),
        source_places={source: declared.place_of(source) for source in declared.entries},
        steps=[_read_step(node, problems) for node in _items(root, "steps")],
        outputs=[_read_output(node, problems) for node in _items(root, "outputs")],
        on_error=(document.on_error if document else None) or _read_on_error(root),
        problems=problems,
    )


def draft_of(topology: Topology) -> Draft:
    """The draft of a topology that is read already."""
    return Draft(
        place=topology.place,
        document=None,
        sources=topology.sources,
        source_places={name: source.place for name, source in topology.sources.items()},
        steps=[
            StepDraft(
                place=step.place, id=step.id, operator=step.operator, inputs=step.inputs, key=step.key,
                broadcast=step.broadcast, options=step.options, whole=step,
            )
            for step in topology.steps
        ],
        outputs=[
            OutputDraft(place=output.place, stream=output.stream, topic=output.topic, whole=output)
            for output in topology.outputs
        ],
        on_error=topology.on_error,
        problems=[],
    )  # fmt: skip


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


def _read_step(node: MappingNode, problems: list[Problem]) -> StepDraft:
    whole = convert(node, Step, problems)
    options = node.entries.get("options")
    return StepDraft(
        place=node.place,
        id=_text(node, "id"),
        operator=_text(node, "operator"),
        inputs=_texts(node.entries.get("from")),
        key=_text(node, "key"),
        broadcast=_texts(node.entries.get("broadcast")),
        options=options if isinstance(options, MappingNode) else None,
        whole=whole,
    )


def _read_output(node: MappingNode, problems: list[Problem]) -> OutputDraft:
    whole = convert(node, Output, problems)
    return OutputDraft(place=node.place, stream=_text(node, "from"), topic=_text(node, "topic"), whole=whole)


def _read_on_error(root: MappingNode) -> OnError:
    """What the file says of errors, for a document with problems that are told already; else the defaults."""
    node = root.entries.get("on_error")
    if not isinstance(node, MappingNode):
        return OnError(place=root.place)
    topic = _text(node, "topic")
    return OnError(place=node.place) if topic is None else OnError(place=node.place, topic=topic)


def _text(node: MappingNode, key: str) -> PlacedText | None:
    return next(iter(_texts(node.entries.get(key))), None)


def _texts(node: Node | None) -> tuple[PlacedText, ...]:
    if isinstance(node, Scalar):
        return (PlacedText(node.value, node.place),) if isinstance(node.value, str) else ()
    if isinstance(node, SequenceNode):
        return tuple(text for item in node.items for text in _texts(item))
    return ()
