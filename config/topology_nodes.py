# ruff: noqa: RUF009  # `required` makes the field; PlacedText is immutable
"""What a topology consists of: sources, steps, outputs, each knowing where it was declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from config.errors import Problem
from config.options import Declaration, required
from config.topics import DEAD_LETTER_TOPIC
from config.units import DurationMs
from config.yaml_positions import MappingNode, Place, PlacedText

NAME_PATTERN = r"[a-z][a-z0-9_]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A topic that a flow reads, or the part of it whose records match `where`."""

    place: Place
    topic: PlacedText
    where: Mapping[str, str] = field(default_factory=dict)
    """Text fields of the record and the values they must have."""
    broadcast: bool = False
    """A compacted topic that every key group of a step gets whole."""
    event_time: str = "occurredAt"
    """The field that says when a record happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """What a step's declaration says about its state."""

    place: Place
    retain_ms: DurationMs | None = None
    """How long a key's state outlives its last record once the logic calls the key closed; None keeps it for good."""
    flush_ms: DurationMs | None = None
    """How often the local store is written; None takes `state.flush_interval_ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operator at work in a flow. Its id is part of the names of its stored state."""

    place: Place
    id: PlacedText = required(Declaration(pattern=NAME_PATTERN))
    operator: PlacedText
    inputs: tuple[PlacedText, ...] = required(Declaration(yaml="from"))
    """Sources, or streams of other steps as `step.stream`, in the order in which the operator declares its inputs."""
    key: PlacedText
    """What records are grouped by; `order` is the record's own key."""
    broadcast: tuple[PlacedText, ...] = ()
    """Broadcast sources, known to the operator by their names."""
    state: StepState | None = None
    options: MappingNode | None = None
    """The operator's own options as written; `validate` reads them into the operator's type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A stream of a step and the topic it is written to."""

    place: Place
    stream: PlacedText = required(Declaration(yaml="from"))
    topic: PlacedText


@dataclass(frozen=True, slots=True, kw_only=True)
class OnError:
    """What happens to a record that cannot be decoded, or on which logic raises."""

    place: Place
    decode: Literal["dead_letter", "stop"] = "dead_letter"
    process: Literal["dead_letter", "stop"] = "dead_letter"
    topic: PlacedText = PlacedText(DEAD_LETTER_TOPIC, Place("default"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A flow as declared."""

    place: Place
    flow: str
    key_groups: int
    """Units in which state moves between workers; fixed for the life of the state."""
    epoch_ms: int | None
    """Time between commits; None takes `engine.epoch_ms`."""
    sources: Mapping[str, Source]
    steps: tuple[Step, ...]
    """In an order in which every step stands after those it reads from."""
    outputs: tuple[Output, ...]
    on_error: OnError

    def step(self, step_id: str) -> Step:
        """The step with this id; `KeyError` if there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def topics(self) -> frozenset[str]:
        """Every topic the flow reads or writes, changelogs left out."""
        read = {source.topic for source in self.sources.values()}
        return frozenset(read | {output.topic for output in self.outputs} | {self.on_error.topic})


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """What an operator declares of itself, as far as a topology can contradict it."""

    name: str
    keys: frozenset[str]
    """The names of the keys it can be grouped by."""
    inputs: Mapping[str, str | None]
    """Its inputs by role, in order, and the Avro record each reads; None takes any."""
    outputs: Mapping[str, str]
    """Its streams and the Avro record each carries; empty for an operator that only keeps a view."""
    options: type | None = None
    """A frozen dataclass whose fields are its options; None if it has none."""
    needs_broadcast: frozenset[str] = frozenset()
    """The broadcast sources it reads, by name."""
    option_problems: Callable[[Any], Iterable[Problem]] | None = None
    """What is wrong with what its options point to, such as files; None if they point to nothing."""
