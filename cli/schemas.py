"""`orderflow schemas`: the contracts of the topics, checked, registered and listed."""

from __future__ import annotations

import click

from cli.session import with_settings
from cli.table import write_table
from config.errors import ConfigurationError, Problem
from config.settings import Settings
from config.topics import TOPICS
from flows.connect import open_registry, schemas_folder


@click.group()
def schemas() -> None:
    """Check, register and list schemas."""


@schemas.command()
@with_settings
def check(settings: Settings) -> None:
    """Check that every version in the folder reads what all older ones wrote, and that no topic lacks a schema."""
    from operators.codec.compatibility import folder_problems
    from operators.codec.sources import FolderSchemas

    folder = FolderSchemas(schemas_folder(settings))
    problems = folder_problems(folder)
    subjects = folder.subjects()
    missing = [t for t in TOPICS.values() if t.subject is not None and t.subject not in subjects]
    problems += [Problem(f"topic {t.name} has no schema: subject {t.subject} is not in the folder") for t in missing]
    if problems:
        raise ConfigurationError(problems)
    for subject in subjects:
        click.echo(f"{subject}: {len(folder.versions(subject))} versions, compatible")


@schemas.command(name="list")
@with_settings
def list_schemas(settings: Settings) -> None:
    """List the versions in the folder with their ids."""
    from operators.codec.sources import FolderSchemas

    folder = FolderSchemas(schemas_folder(settings))
    rows = [
        (subject, str(version.version), str(version.id), folder.by_id(version.id).document["name"])
        for subject in folder.subjects()
        for version in folder.versions(subject)
    ]
    write_table(("SUBJECT", "VERSION", "ID", "RECORD"), rows)


@schemas.command()
@with_settings
def register(settings: Settings) -> None:
    """Register every version in the folder with the registry, oldest first; print the ids it gives."""
    from operators.codec.sources import FolderSchemas

    folder = FolderSchemas(schemas_folder(settings))
    registry = open_registry(settings.schemas)
    rows = [
        (subject, str(version.version), str(registry.register(subject, folder.by_id(version.id).text)))
        for subject in folder.subjects()
        for version in folder.versions(subject)
    ]
    write_table(("SUBJECT", "VERSION", "ID"), rows)
