"""Whether a new version of a contract reads what every older one wrote: the registry's BACKWARD_TRANSITIVE.

Rules: Apache Avro specification, "Schema Resolution". Beyond them, a changed logical type or unit is a problem too:
Avro would read the number and mistake its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from config.errors import Problem
from operators.codec.resolution import PROMOTIONS, writer_field
from operators.codec.schema import AvroType, kind, with_definitions
from operators.codec.sources import FolderSchemas

_MEANING = ("logicalType", "precision", "scale", "unit")


def folder_problems(schemas: FolderSchemas) -> list[Problem]:
    """Every reason why a version in the folder cannot read an older one of its subject, at the newer one's file."""
    problems = []
    for subject in schemas.subjects():
        versions = schemas.versions(subject)
        for i, newer in enumerate(versions):
            reader = schemas.by_id(newer.id).document
            for older in versions[:i]:
                problems += [
                    Problem(f"cannot read what {older.file} wrote: {reason}", str(schemas.file(newer)))
                    for reason in incompatibilities(reader, schemas.by_id(older.id).document)
                ]
    return problems


def incompatibilities(reader: AvroType, writer: AvroType) -> list[str]:
    """Why data of the writer's schema cannot be read with the reader's, each with the field's path; empty if it can."""
    comparison = _Comparison(with_definitions(reader), with_definitions(writer))
    comparison.compare(reader, writer, "")
    return comparison.problems


@dataclass
class _Comparison:
    """One walk through two schemas side by side."""

    readers: dict[str, AvroType]
    writers: dict[str, AvroType]
    problems: list[str] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def compare(self, reader: AvroType, writer: AvroType, path: str) -> None:
        reader, writer = _resolved(reader, self.readers), _resolved(writer, self.writers)
        if isinstance(writer, list):
            for branch in writer:
                self.compare(reader, branch, path)
        elif isinstance(reader, list):
            if not any(self._reads(branch, writer) for branch in reader):
                self._problem(path, f"no branch of the union reads {kind(writer)}")
        elif kind(reader) != kind(writer):
            if kind(reader) not in PROMOTIONS.get(kind(writer), ()):
                self._problem(path, f"{kind(writer)} cannot be read as {kind(reader)}")
        else:
            self._alike(reader, writer, path)

    def _alike(self, reader: AvroType, writer: AvroType, path: str) -> None:
        """Two types of the same kind."""
        self._meaning(reader, writer, path)
        if kind(reader) in ("record", "enum", "fixed") and not _same_name(reader, writer):
            self._problem(path, f"{writer['name']} cannot be read as {reader['name']}, which has no such alias")
            return
        match kind(reader):
            case "record":
                self._records(reader, writer, path)
            case "enum":
                lost = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
                if lost and "default" not in reader:
                    self._problem(path, f"symbol {lost[0]} is gone and the enum has no default")
            case "fixed":
                if reader["size"] != writer["size"]:
                    self._problem(path, f"fixed of {writer['size']} bytes cannot be read as {reader['size']}")
            case "array":
                self.compare(reader["items"], writer["items"], f"{path}[]")
            case "map":
                self.compare(reader["values"], writer["values"], f"{path}{{}}")

    def _records(self, reader: AvroType, writer: AvroType, path: str) -> None:
        pair = (reader["name"], writer["name"])
        if pair in self.seen:
            return
        self.seen.add(pair)
        numbers = {written["name"]: i for i, written in enumerate(writer["fields"])}
        for wanted in reader["fields"]:
            inner = f"{path}.{wanted['name']}" if path else wanted["name"]
            i = writer_field(wanted, numbers)
            if i is not None:
                self._meaning(wanted, writer["fields"][i], inner)
                self.compare(wanted["type"], writer["fields"][i]["type"], inner)
            elif "default" not in wanted:
                self._problem(inner, "is new and has no default")

    def _reads(self, reader: AvroType, writer: AvroType) -> bool:
        attempt = _Comparison(self.readers, self.writers, seen=set(self.seen))
        attempt.compare(reader, writer, "")
        return not attempt.problems

    def _meaning(self, reader: AvroType, writer: AvroType, path: str) -> None:
        for attribute in _MEANING:
            new, old = (side.get(attribute) if isinstance(side, dict) else None for side in (reader, writer))
            if new != old:
                self._problem(path, f"{attribute} was {old}, is {new}")

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(f"{path or 'the record'}: {message}")


def _resolved(avro_type: AvroType, definitions: dict[str, AvroType]) -> AvroType:
    """A name's definition; a name without namespace is looked for in all of them, as contracts keep one namespace."""
    if not isinstance(avro_type, str):
        return avro_type
    for name, definition in definitions.items():
        if avro_type in (name, name.rpartition(".")[2]):
            return definition
    return avro_type


def _same_name(reader: AvroType, writer: AvroType) -> bool:
    """Names are compared without namespaces, as Avro's implementations do."""
    names = {name.rpartition(".")[2] for name in (reader["name"], *reader.get("aliases", ()))}
    return writer["name"].rpartition(".")[2] in names
