"""How an option is declared, once, and how declared options are read from YAML, every problem with its place.

Options are fields of frozen dataclasses. `option` adds what a type cannot say: unit, bounds and reason. `convert` reads
a node into such a dataclass. The name in YAML is the field's name; a field typed `DurationMs`, `DurationMicros` or
`SizeBytes` loses its unit suffix there, since the written value carries the unit (`grace_ms` is `grace: 30s`). A field
typed `Place` is filled with where its mapping stands, one typed `MappingNode` gets the mapping unread.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from config import units
from config.errors import ConfigurationError, Problem
from config.yaml_positions import MappingNode, Node, Place, PlacedText, Scalar, SequenceNode, parse

T = TypeVar("T")

_KEY = "orderflow.option"
_TYPE_WORDS: Mapping[object, str] = {
    str: "text",
    PlacedText: "text",
    Path: "path",
    int: "integer",
    float: "number",
    bool: "true or false",
}
_UNIT_TYPES: Mapping[object, tuple[str, str, typing.Callable[[str], int]]] = {
    units.DurationMs: ("_ms", "duration", units.parse_duration_ms),
    units.DurationMicros: ("_micros", "duration", units.parse_duration_micros),
    units.SizeBytes: ("_bytes", "size", units.parse_size_bytes),
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is declared of an option besides name, type and default."""

    reason: str = ""
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    yaml: str | None = None
    """The name in YAML, where Python cannot have it as a field's name."""
    variable: str | None = None
    """An environment variable that others set for us; our own, if set, goes before it."""
    secret: bool = False
    """Never shown."""


def option(default: T, declaration: Declaration) -> T:
    """A dataclass field with its declaration; typed as its value, so that the dataclass reads as usual."""
    if isinstance(default, dict):
        made: object = dataclasses.field(default_factory=lambda: dict(default), metadata={_KEY: declaration})
    else:
        made = dataclasses.field(default=default, metadata={_KEY: declaration}, repr=not declaration.secret)
    return cast(T, made)


def required(declaration: Declaration) -> Any:
    """A dataclass field that must be given; `Any`, as `dataclasses.field` without a default is to the type checker."""
    return dataclasses.field(metadata={_KEY: declaration})


def declaration_of(field: dataclasses.Field[Any]) -> Declaration:
    """What was declared of a field; an empty declaration for a plain one."""
    return cast(Declaration, field.metadata.get(_KEY, Declaration()))


def yaml_name(field: dataclasses.Field[Any], annotation: object) -> str:
    """The name of a field in YAML."""
    declared = declaration_of(field).yaml
    if declared is not None:
        return declared
    suffix = _UNIT_TYPES[_not_none(annotation)][0] if _not_none(annotation) in _UNIT_TYPES else ""
    return field.name.removesuffix(suffix)


def describe_type(annotation: object) -> str:
    """A type in words, for messages and for the reference page."""
    inner = _not_none(annotation)
    if inner is not annotation:
        return f"{describe_type(inner)} or null"
    if inner in _UNIT_TYPES:
        return _UNIT_TYPES[inner][1]
    origin, arguments = get_origin(inner), get_args(inner)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (tuple, frozenset):
        return f"list of {describe_type(arguments[0])}"
    if origin is not None and issubclass(cast(type, origin), Mapping):
        return "mapping"
    if dataclasses.is_dataclass(inner):
        return "mapping"
    return _TYPE_WORDS.get(inner, str(inner))


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them if none is near."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if nearest:
        return f"; did you mean {nearest[0]!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def convert(node: Node, annotation: type[T], problems: list[Problem]) -> T | None:
    """The node as a value of the type, or None with at least one problem added."""
    before = len(problems)
    value = _convert(node, annotation, Declaration(), problems)
    return None if len(problems) > before else cast(T, value)


def _convert(node: Node, annotation: object, declared: Declaration, problems: list[Problem]) -> object:
    inner = _not_none(annotation)
    if isinstance(node, Scalar) and _says_none(node) and inner is not annotation:
        return None
    if isinstance(node, Scalar) and node.is_bare_text and _is_container(inner):
        return _convert_bare_text(node, inner, declared, problems)
    if inner is MappingNode and isinstance(node, MappingNode):
        return node
    if dataclasses.is_dataclass(inner):
        return _convert_dataclass(node, cast(type, inner), problems)
    origin = get_origin(inner)
    if origin in (tuple, frozenset):
        return _convert_list(node, cast(type, inner), declared, problems)
    if origin is not None and origin is not Literal:
        return _convert_mapping(node, inner, problems)
    if not isinstance(node, Scalar):
        problems.append(node.place.problem(f"expected {describe_type(annotation)}, found a {_kind(node)}"))
        return None
    return _convert_scalar(node, annotation, declared, problems)


def _convert_dataclass(node: Node, declared_type: type, problems: list[Problem]) -> object:
    if not isinstance(node, MappingNode):
        problems.append(node.place.problem(f"expected a mapping, found a {_kind(node)}"))
        return None
    annotations = typing.get_type_hints(declared_type)
    fields = {
        yaml_name(f, annotations[f.name]): f
        for f in dataclasses.fields(declared_type)
        if annotations[f.name] is not Place
    }
    before = len(problems)
    values: dict[str, object] = {}
    for key, value in node.entries.items():
        if key not in fields:
            problems.append(node.place_of(key).problem(f"unknown field {key!r}{suggest(key, fields)}"))
            continue
        field = fields[key]
        values[field.name] = _convert(value, annotations[field.name], declaration_of(field), problems)
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in node.entries:
            problems.append(node.place.problem(f"{name!r} is missing"))
    if len(problems) > before:
        return None
    places = {name: node.place for name, annotation in annotations.items() if annotation is Place}
    return declared_type(**values, **places)


def _convert_list(node: Node, annotation: type, declared: Declaration, problems: list[Problem]) -> object:
    if not isinstance(node, SequenceNode):
        problems.append(node.place.problem(f"expected a {describe_type(annotation)}, found a {_kind(node)}"))
        return None
    item_type = get_args(annotation)[0]
    items = [_convert(item, item_type, declared, problems) for item in node.items]
    return frozenset(items) if get_origin(annotation) is frozenset else tuple(items)


def _convert_mapping(node: Node, annotation: object, problems: list[Problem]) -> object:
    if not isinstance(node, MappingNode):
        problems.append(node.place.problem(f"expected a mapping, found a {_kind(node)}"))
        return None
    value_type = get_args(annotation)[1]
    return {key: _convert(value, value_type, Declaration(), problems) for key, value in node.entries.items()}


def _convert_bare_text(node: Scalar, annotation: object, declared: Declaration, problems: list[Problem]) -> object:
    """An environment variable for a list (`a,b`) or a mapping (YAML flow style, `{key: value}`)."""
    if get_origin(annotation) in (tuple, frozenset):
        parts = [part.strip() for part in node.text.split(",") if part.strip()]
        items = tuple(Scalar(part, part, node.place, is_bare_text=True) for part in parts)
        return _convert(SequenceNode(items, node.place), annotation, declared, problems)
    try:
        parsed, found = parse(node.text, node.place.file, place=node.place)
    except ConfigurationError as error:
        problems.extend(error.problems)
        return None
    problems.extend(found)
    return _convert(parsed or MappingNode({}, node.place), annotation, declared, problems)


def _convert_scalar(node: Scalar, annotation: object, declared: Declaration, problems: list[Problem]) -> object:
    inner = _not_none(annotation)
    try:
        value = _scalar_value(node, inner)
        _check_bounds(value, declared)
    except _UnexpectedTypeError:
        hint = "; put it in quotes" if inner in (str, PlacedText) and node.text else ""
        problems.append(node.place.problem(f"expected {describe_type(annotation)}, found {node.text!r}{hint}"))
        return None
    except ValueError as error:
        problems.append(node.place.problem(str(error)))
        return None
    return value


class _UnexpectedTypeError(Exception):
    """The value is of another type; never leaves this file."""


def _scalar_value(node: Scalar, annotation: object) -> object:
    value = node.text if node.is_bare_text else node.value
    if annotation in _UNIT_TYPES:
        return _UNIT_TYPES[annotation][2](node.text)
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        if node.text in choices:
            return node.text
        raise ValueError(f"{node.text!r} is not one of {', '.join(choices)}")
    if annotation in (str, PlacedText) and isinstance(value, str):
        return PlacedText(value, node.place) if annotation is PlacedText else value
    if annotation is Path and isinstance(value, str):
        return Path(value).expanduser()
    if annotation is bool and node.text.lower() in ("true", "false"):
        return node.text.lower() == "true"
    number = _number(node.text) if node.is_bare_text else value
    if annotation is int and isinstance(number, int) and not isinstance(number, bool):
        return number
    if annotation is float and isinstance(number, int | float) and not isinstance(number, bool):
        return float(number)
    raise _UnexpectedTypeError


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _check_bounds(value: object, declared: Declaration) -> None:
    if isinstance(value, int | float):
        unit = f" {declared.unit}" if declared.unit else ""
        if declared.minimum is not None and value < declared.minimum:
            raise ValueError(f"{value} is below the minimum of {declared.minimum}{unit}")
        if declared.maximum is not None and value > declared.maximum:
            raise ValueError(f"{value} is above the maximum of {declared.maximum}{unit}")
    if isinstance(value, str) and declared.pattern is not None and not re.fullmatch(declared.pattern, value):
        raise ValueError(f"{value!r} does not match {declared.pattern}")


def _not_none(annotation: object) -> object:
    """The type without `None`, for an optional one; a type of several alternatives is not supported."""
    if get_origin(annotation) in (Union, types.UnionType):
        (inner,) = (argument for argument in get_args(annotation) if argument is not type(None))
        return inner
    return annotation


def _is_container(annotation: object) -> bool:
    return dataclasses.is_dataclass(annotation) or get_origin(annotation) not in (None, Literal)


def _says_none(node: Scalar) -> bool:
    if node.is_bare_text:
        return node.text.strip().lower() in ("", "null", "none", "off")
    return node.value is None or node.text == "off"


def _kind(node: Node) -> str:
    kinds = {Scalar: "single value", SequenceNode: "list", MappingNode: "mapping"}
    return kinds[type(node)]
