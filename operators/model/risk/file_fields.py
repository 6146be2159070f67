"""Fields of the files that operations keep, read one by one: each wrong one is a problem with its line.

What a field may be is said by the type it has in the record that it becomes; files have amounts in the currency, where
records have millionths, and ISO dates, where records have days since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from types import NoneType
from typing import Any, Final, get_args

import msgspec

from config.errors import ConfigurationError, InvalidRecordError, Problem
from config.yaml_positions import MappingNode, Node, Place, Scalar, SequenceNode, parse
from operators.model.money import fitting, to_micros

Reader = Callable[[Node, str, "File"], Any]
"""Reads a node into a value; what is wrong with it becomes a problem of the file, under the name given."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_WHOLE_MAX: Final = 2**63


@dataclass(slots=True)
class File:
    """A file while it is read: its name, if it is one and no text on a command line, and what is wrong with it."""

    name: str | None
    problems: list[Problem] = field(default_factory=list)

    def read(self, text: str) -> Node:
        """The node that the text holds; `ConfigurationError` if it is no YAML or empty."""
        name = self.name or "the limits given"
        node, problems = parse(text, name, place=None if self.name else Place(name))
        self.problems += problems
        if node is None:
            raise ConfigurationError([Problem("is empty", name)])
        return node

    def wrong(self, place: Place, message: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(message) if self.name is None else place.problem(message))

    def mapping(self, node: Node, what: str) -> MappingNode | None:
        """The node as keys with values; a problem if it is something else."""
        if isinstance(node, MappingNode):
            return node
        self.wrong(node.place, f"{what}: write keys with values, as in `key: value`")
        return None

    def rows(self, node: Node, what: str) -> Iterator[MappingNode]:
        """The rows of a list of mappings."""
        if not isinstance(node, SequenceNode):
            self.wrong(node.place, f"{what}: write a list, a line that begins with `- ` per {what}")
            return
        for item in node.items:
            if (row := self.mapping(item, what)) is not None:
                yield row

    def values(self, node: MappingNode, fields: Mapping[str, Field], what: str) -> dict[str, Any]:
        """What a mapping gives, by the names in the record. Unknown and wrong fields are problems, and left out."""
        values = {}
        for key, given in node.entries.items():
            known = fields.get(key)
            if known is None:
                near = get_close_matches(key, fields, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(fields))}"
                self.wrong(node.place_of(key), f"{what}: there is no {key}; {hint}")
                continue
            before = len(self.problems)
            value = None if _is_null(given) else known.read(given, f"{what}: {key}", self)
            if len(self.problems) == before and value is not None:
                values[known.name] = value
        for key, known in fields.items():
            if known.required and (key not in node.entries or _is_null(node.entries[key])):
                self.wrong(node.place_of(key), f"{what}: {key} is missing")
        return values

    def done(self) -> None:
        """`ConfigurationError` with everything that is wrong."""
        if self.problems:
            raise ConfigurationError(self.problems)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a file: its name in the record, how it is read, and whether it must be there."""

    name: str
    read: Reader
    required: bool = False


def fields_of(record: type[msgspec.Struct], own: Mapping[str, Reader], *, without: frozenset[str]) -> dict[str, Field]:
    """The fields of a record as its file has them, by their names there; `own` reads those of special types."""
    return {
        one.encode_name: Field(one.name, own[one.name] if one.name in own else _READERS[_type_of(one.type)])
        for one in msgspec.structs.fields(record)
        if one.name not in without
    }


def text(node: Node, what: str, file: File) -> str | None:
    """Text as written, so that an account 007 keeps its zeros."""
    if isinstance(node, Scalar):
        return node.text
    file.wrong(node.place, f"{what}: write one word")
    return None


def whole(node: Node, what: str, file: File) -> int | None:
    """A whole number that 64 bits hold."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and -_WHOLE_MAX <= value < _WHOLE_MAX:
        return value
    file.wrong(node.place, f"{what}: {_shown(node)} is no whole number; write one, such as 1000")
    return None


def flag(node: Node, what: str, file: File) -> bool | None:
    """True or false."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    file.wrong(node.place, f"{what}: {_shown(node)} is neither true nor false")
    return None


def amount(node: Node, what: str, file: File) -> int | None:
    """Millionths of an amount in the currency."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return fitting(to_micros(value), "amount")
        except InvalidRecordError:
            file.wrong(node.place, f"{what}: {_shown(node)} is too large: an amount is below 9,223,372,036,854")
            return None
        except (ValueError, OverflowError, ZeroDivisionError) as error:
            if "finer" in str(error):
                file.wrong(node.place, f"{what}: {error}; write at most six digits behind the point")
                return None
    file.wrong(node.place, f"{what}: {_shown(node)} is no amount; write a number in the currency, such as 1000000")
    return None


def day(node: Node, what: str, file: File) -> int | None:
    """Days since 1970 of an ISO date."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.toordinal() - _EPOCH_DAY
    file.wrong(node.place, f"{what}: {_shown(node)} is no date; write one as 2026-11-26")
    return None


def word_of(words: type[StrEnum]) -> Reader:
    """One of some words."""

    def word(node: Node, what: str, file: File) -> str | None:
        if isinstance(node, Scalar) and node.text in set(words):
            return node.text
        file.wrong(node.place, f"{what}: {_shown(node)} is none of {', '.join(words)}")
        return None

    return word


def texts(node: Node, what: str, file: File) -> tuple[str, ...] | None:
    """A list of words."""
    if isinstance(node, SequenceNode) and all(isinstance(item, Scalar) for item in node.items):
        return tuple(item.text for item in node.items if isinstance(item, Scalar))
    file.wrong(node.place, f"{what}: write a list of words, as in [ONE, ANOTHER]")
    return None


def _type_of(annotation: Any) -> Any:
    """The type of a field without its None."""
    [kind] = [each for each in get_args(annotation) or (annotation,) if each is not NoneType]
    return kind


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _shown(node: Node) -> str:
    return repr(node.text) if isinstance(node, Scalar) else "what is there"


_READERS: Final[Mapping[Any, Reader]] = {int: whole, str: text, bool: flag}
