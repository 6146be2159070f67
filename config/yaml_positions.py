"""YAML read into nodes that remember file and line, so that every problem can name its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from config.errors import ConfigurationError, Problem


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was declared: a file and its line, or the name of an environment variable and no line."""

    file: str
    line: int | None = None

    def problem(self, message: str) -> Problem:
        """A problem at this place."""
        return Problem(message, self.file, self.line)

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class PlacedText(str):
    """Text that knows where it was written. Compares and hashes as plain text."""

    place: Place

    def __new__(cls, text: str, place: Place) -> PlacedText:
        """The text as written at a place."""
        made = super().__new__(cls, text)
        made.place = place
        return made

    def __reduce__(self) -> tuple[type[PlacedText], tuple[str, Place]]:
        return PlacedText, (str(self), self.place)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: as YAML understands it, and as it was written."""

    value: object
    text: str
    place: Place
    is_bare_text: bool = False
    """True for an environment variable: its text has no YAML types, the option's own type decides."""


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list and where it starts."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping, where it starts, and where each key stands."""

    entries: Mapping[str, Node]
    place: Place
    key_places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, key: str) -> Place:
        """Where a key stands; the mapping's own place for a key that it lacks."""
        return self.key_places.get(key, self.place)


Node = Scalar | SequenceNode | MappingNode


def read_mapping(file: Path, name: str | None = None) -> tuple[MappingNode, list[Problem]]:
    """The mapping that a YAML file holds (an empty file is an empty one), and what is wrong with the file itself.

    `name` is what problems call the file, by default its path. A file that cannot be read or is no YAML raises
    `ConfigurationError`, since there is nothing left to look at.
    """
    shown = name or str(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigurationError([Problem(f"cannot be read: {reason}", shown)]) from error
    node, problems = parse(text, shown)
    if node is None:
        return MappingNode({}, Place(shown, 1)), problems
    if not isinstance(node, MappingNode):
        raise ConfigurationError([node.place.problem("a mapping of keys to values is expected here")])
    return node, problems


def parse(text: str, name: str, *, place: Place | None = None) -> tuple[Node | None, list[Problem]]:
    """The node that YAML text holds, or None if it holds nothing, and duplicate keys and the like as problems.

    `place` replaces the places within the text, for text that is no file. Raises `ConfigurationError` if it is no YAML.
    """
    reader = _Reader(name, place)
    try:
        composed = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        at = place or Place(name, line)
        raise ConfigurationError([at.problem(f"is not valid YAML: {error.problem or error.context}")]) from error
    except yaml.YAMLError as error:
        raise ConfigurationError([(place or Place(name)).problem(f"is not valid YAML: {error}")]) from error
    node = None if composed is None else reader.node(composed)
    return node, reader.problems


class _Reader:
    """Turns composed YAML nodes into ours and collects the problems on the way."""

    def __init__(self, name: str, place: Place | None) -> None:
        self.problems: list[Problem] = []
        self._name = name
        self._place = place
        self._open: set[int] = set()
        self._constructor = yaml.constructor.SafeConstructor()

    def node(self, composed: yaml.Node) -> Node:
        place = self._place_of(composed)
        if id(composed) in self._open:
            raise ConfigurationError([place.problem("an alias may not refer to what contains it")])
        self._open.add(id(composed))
        try:
            if isinstance(composed, yaml.MappingNode):
                return self._mapping(composed, place)
            if isinstance(composed, yaml.SequenceNode):
                return SequenceNode(tuple(self.node(item) for item in composed.value), place)
            return self._scalar(composed, place)
        finally:
            self._open.discard(id(composed))

    def _mapping(self, composed: yaml.MappingNode, place: Place) -> MappingNode:
        entries: dict[str, Node] = {}
        places: dict[str, Place] = {}
        for key_node, value_node in composed.value:
            key_place = self._place_of(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(key_place.problem("a key must be plain text"))
                continue
            key = str(key_node.value)
            if key in entries:
                self.problems.append(key_place.problem(f"{key!r} is given twice, first in line {places[key].line}"))
                continue
            entries[key] = self.node(value_node)
            places[key] = key_place
        return MappingNode(entries, place, places)

    def _scalar(self, composed: yaml.Node, place: Place) -> Scalar:
        try:
            value = self._constructor.construct_object(composed)
        except (yaml.YAMLError, ValueError) as error:
            reason = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
            self.problems.append(place.problem(f"cannot be understood: {reason}"))
            value = None
        return Scalar(value, str(composed.value), place)

    def _place_of(self, composed: yaml.Node) -> Place:
        return self._place or Place(self._name, composed.start_mark.line + 1)
