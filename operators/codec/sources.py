"""Where schemas come from: the contract of a schema source, and the repository's own versioned folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import fastavro
import msgspec
import yaml
from fastavro.schema import SchemaParseException, UnknownType

from config.errors import ConfigurationError, Problem, UnknownSchemaError
from operators.codec.schema import AvroType, Schema, inline

INDEX = "index.yaml"


class SchemaSource(Protocol):
    """Answers for schemas. An outage is waited out or a `RegistryUnavailableError`, never blamed on a record."""

    def by_id(self, schema_id: int) -> Schema:
        """The schema that a record names in its header; `UnknownSchemaError` if there is none of that id."""
        ...

    def latest(self, subject: str) -> Schema:
        """The newest version of a contract; `ConfigurationError` if the subject has none."""
        ...

    def registered(self, subject: str, text: str) -> Schema:
        """The version of the subject that equals this text; `ConfigurationError` if nobody registered it."""
        ...


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named type that a schema takes from a version of another contract."""

    name: str
    subject: str
    version: int


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the folder's index: an id and the version that it stands for."""

    id: int
    subject: str
    version: int
    references: tuple[Reference, ...] = ()

    @property
    def file(self) -> str:
        """The schema's file, relative to the folder."""
        return f"{self.subject}/v{self.version}.avsc"


class FolderSchemas:
    """A folder `<subject>/v<version>.avsc` with an `index.yaml` that gives each version its id.

    Everything is read and checked at construction; `ConfigurationError` lists all problems. Instances never change.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = _index(folder)
        documents = {(v.subject, v.version): _document(folder, v) for v in self._versions}
        problems = [result for result in documents.values() if isinstance(result, Problem)]
        problems += _duplicates(folder, self._versions)
        if problems:
            raise ConfigurationError(problems)
        self._by_id = {version.id: _schema(folder, version, documents) for version in self._versions}

    def by_id(self, schema_id: int) -> Schema:
        """The schema of this id; `UnknownSchemaError` if there is none."""
        schema = self._by_id.get(schema_id)
        if schema is None:
            known = ", ".join(str(identity) for identity in sorted(self._by_id))
            raise UnknownSchemaError(f"schema id {schema_id} is unknown, expected one of {known}")
        return schema

    def latest(self, subject: str) -> Schema:
        """The newest version; `ConfigurationError` if the subject is unknown."""
        versions = self.versions(subject)
        if not versions:
            raise ConfigurationError([Problem(f"no schema for subject {subject}", str(self._folder / INDEX))])
        return self._by_id[versions[-1].id]

    def registered(self, subject: str, text: str) -> Schema:
        """The version equal to the text; `ConfigurationError` if there is none."""
        wanted = json.loads(text)
        for version in self.versions(subject):
            if self._by_id[version.id].document == wanted:
                return self._by_id[version.id]
        raise ConfigurationError(
            [Problem(f"no version of subject {subject} equals the schema in use", str(self._folder / INDEX))]
        )

    def subjects(self) -> list[str]:
        """All subjects, sorted by name."""
        return sorted({version.subject for version in self._versions})

    def versions(self, subject: str) -> list[Version]:
        """The versions of a subject, oldest first."""
        return sorted((v for v in self._versions if v.subject == subject), key=lambda version: version.version)

    def file(self, version: Version) -> Path:
        """Where a version is written down."""
        return self._folder / version.file


def _index(folder: Path) -> tuple[Version, ...]:
    path = folder / INDEX
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), tuple[Version, ...])
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigurationError([Problem(f"not an index of schemas: {error}", str(path))]) from error


def _document(folder: Path, version: Version) -> AvroType | Problem:
    path = folder / version.file
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        return Problem(f"not a schema: {error}", str(path))


def _duplicates(folder: Path, versions: tuple[Version, ...]) -> list[Problem]:
    problems, ids, names = [], set(), set()
    for version in versions:
        name = (version.subject, version.version)
        if version.id in ids:
            problems.append(Problem(f"schema id {version.id} is given twice", str(folder / INDEX)))
        if name in names:
            problems.append(
                Problem(f"{version.subject} version {version.version} is listed twice", str(folder / INDEX))
            )
        ids.add(version.id)
        names.add(name)
    return problems


def _schema(folder: Path, version: Version, documents: dict[tuple[str, int], AvroType]) -> Schema:
    place = str(folder / version.file)
    named = {}
    for reference in version.references:
        document = documents.get((reference.subject, reference.version))
        if document is None:
            problem = f"refers to {reference.subject} version {reference.version}, which the index does not list"
            raise ConfigurationError([Problem(problem, place)])
        named[reference.name] = document
    document = inline(documents[version.subject, version.version], named)
    try:
        fastavro.parse_schema(document)
    except (SchemaParseException, UnknownType) as error:
        raise ConfigurationError([Problem(f"not a valid Avro schema: {error!r}", place)]) from error
    return Schema(version.id, version.subject, json.dumps(document))
