"""One Avro schema as the registry knows it, and the forms of it that the codec works with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import fastavro

AvroType: TypeAlias = Any
"""A parsed Avro schema document: a name, a list (union) or a dict."""

_BINARY_ATTRIBUTES = ("type", "name", "namespace", "fields", "items", "values", "symbols", "size")
_RESOLUTION_ATTRIBUTES = (*_BINARY_ATTRIBUTES, "default", "aliases")


@dataclass(frozen=True)
class Schema:
    """One registered version of a contract.

    `text` is self-contained JSON: what the registered schema refers to by name is inlined. `id` is the registry's;
    `subject` is None where only the id is known, as for a writer's schema fetched from a registry.
    """

    id: int
    subject: str | None
    text: str

    @cached_property
    def document(self) -> AvroType:
        """The schema as JSON values, all attributes kept."""
        return json.loads(self.text)

    @cached_property
    def parsed(self) -> AvroType:
        """For fastavro, without logical types: times stay integers, as in the columns, and none overflows."""
        return fastavro.parse_schema(_keep(self.document, _RESOLUTION_ATTRIBUTES))

    @cached_property
    def layout(self) -> AvroType:
        """Only what decides the binary form: two schemas with equal layouts write equal bytes under equal names."""
        return _keep(self.document, _BINARY_ATTRIBUTES)


def inline(document: AvroType, named: Mapping[str, AvroType]) -> AvroType:
    """The schema with the first mention of each named schema replaced by its definition."""
    return _inline(document, dict(named), None)


def full_name(definition: Mapping[str, Any], namespace: str | None) -> str:
    """The name with its namespace: its own dots, else its `namespace` attribute, else the enclosing one."""
    name: str = definition["name"]
    space = definition.get("namespace", namespace)
    return name if "." in name or not space else f"{space}.{name}"


def nullable(avro_type: AvroType) -> tuple[AvroType, bool]:
    """The type without null, and whether null was an option; a union of several other types stays a union."""
    if not isinstance(avro_type, list):
        return avro_type, False
    others = [branch for branch in avro_type if branch != "null"]
    return (others[0] if len(others) == 1 else others), len(others) < len(avro_type)


def kind(avro_type: AvroType) -> str:
    """The name of a type: a primitive, `record`, `array`, ..., `union`, or the name it refers to."""
    if isinstance(avro_type, list):
        return "union"
    while isinstance(avro_type, dict):
        avro_type = avro_type["type"]
    return str(avro_type)


def with_definitions(document: AvroType) -> dict[str, AvroType]:
    """Every named type defined in the schema, by its full name."""
    found: dict[str, AvroType] = {}
    _collect(document, None, found)
    return found


def _keep(avro_type: AvroType, attributes: tuple[str, ...]) -> AvroType:
    if isinstance(avro_type, list):
        return [_keep(branch, attributes) for branch in avro_type]
    if not isinstance(avro_type, dict):
        return avro_type
    kept = {name: value for name, value in avro_type.items() if name in attributes}
    for nested in ("type", "items", "values"):
        if nested in kept:
            kept[nested] = _keep(kept[nested], attributes)
    if "fields" in kept:
        kept["fields"] = [_keep(field, attributes) for field in kept["fields"]]
    return kept["type"] if set(kept) == {"type"} else kept


def _inline(avro_type: AvroType, named: dict[str, AvroType], namespace: str | None) -> AvroType:
    if isinstance(avro_type, str):
        name = avro_type if avro_type in named else f"{namespace}.{avro_type}"
        return _inline(named.pop(name), named, None) if name in named else avro_type
    if isinstance(avro_type, list):
        return [_inline(branch, named, namespace) for branch in avro_type]
    inlined = dict(avro_type)
    if "name" in inlined:
        namespace = full_name(inlined, namespace).rpartition(".")[0] or None
    for nested in ("type", "items", "values"):
        if nested in inlined:
            inlined[nested] = _inline(inlined[nested], named, namespace)
    if "fields" in inlined:
        inlined["fields"] = [{**f, "type": _inline(f["type"], named, namespace)} for f in inlined["fields"]]
    return inlined


def _collect(avro_type: AvroType, namespace: str | None, found: dict[str, AvroType]) -> None:
    if isinstance(avro_type, list):
        for branch in avro_type:
            _collect(branch, namespace, found)
    elif isinstance(avro_type, dict):
        if "name" in avro_type:
            name = full_name(avro_type, namespace)
            found[name] = avro_type
            namespace = name.rpartition(".")[0] or None
        for nested in ("type", "items", "values"):
            _collect(avro_type.get(nested), namespace, found)
        for field in avro_type.get("fields", ()):
            _collect(field["type"], namespace, found)
