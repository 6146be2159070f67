"""From settings to what flows and commands work with: the log, the schemas, a codec, a flow by name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import ConfigurationError, Problem, UsageError
from config.options import suggest
from config.settings import SchemasSettings, Settings
from config.topics import TOPICS
from flows.catalog import SCHEMA_FOLDER

if TYPE_CHECKING:
    from broker.contract import Log
    from flows.assembly import Flow
    from operators.codec.codec import Codec
    from operators.codec.registry import RegistrySchemas
    from operators.codec.sources import SchemaSource


def open_log(settings: Settings, *, deadline_s: float | None = None) -> Log:
    """The log that the settings name. Connects when it is first used.

    `deadline_s` bounds every call that waits for a cluster; by default it is a minute.
    """
    if settings.log.kind == "kafka":
        from broker.kafka import KafkaLog

        _require_file("kafka.ssl_ca_location", settings.kafka.ssl_ca_location)
        servers, options = ",".join(settings.kafka.bootstrap_servers), settings.kafka.client_options()
        return KafkaLog(servers, options) if deadline_s is None else KafkaLog(servers, options, deadline_s)
    from broker.embedded import EmbeddedLog

    return EmbeddedLog(settings.log.path, durable=settings.log.durable)


def require_topics(log: Log, names: Iterable[str]) -> None:
    """`UsageError` that says how to create them unless these topics are all there."""
    with closing(log.admin()) as admin:
        missing = sorted(set(names) - admin.topics().keys())
    if missing:
        raise UsageError(f"there is no topic {' or '.join(missing)}: run `orderflow topics create`")


def schemas_folder(settings: Settings) -> Path:
    """The folder of versioned schemas: the one in the settings, or the one that ships with us."""
    return settings.schemas.folder or SCHEMA_FOLDER


def open_schemas(settings: Settings) -> SchemaSource:
    """The source of schemas that the settings name."""
    if settings.schemas.source == "registry":
        return open_registry(settings.schemas)
    from operators.codec.sources import FolderSchemas

    return FolderSchemas(schemas_folder(settings))


def open_registry(schemas: SchemasSettings) -> RegistrySchemas:
    """The schema registry of the settings; `UsageError` if they name none."""
    from operators.codec.registry import RegistryOptions, RegistrySchemas

    if not schemas.registry_url:
        raise UsageError("this needs a schema registry: set schemas.registry_url")
    _require_file("schemas.registry_ca_location", schemas.registry_ca_location)
    return RegistrySchemas(
        RegistryOptions(
            schemas.registry_url,
            username=schemas.registry_username or None,
            password=schemas.registry_password or None,
            ca_file=str(schemas.registry_ca_location) if schemas.registry_ca_location else None,
            timeout_s=schemas.registry_timeout_ms / 1_000,
        )
    )


def _require_file(option: str, path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise ConfigurationError([Problem(f"{option}: there is no file {path}")])


def open_codec(settings: Settings, topics: Iterable[str]) -> Codec:
    """A codec for the newest contracts of these topics; `UsageError` for a topic that has none."""
    from operators.codec.codec import Codec

    wanted = list(topics)
    for name in wanted:
        if name in TOPICS and TOPICS[name].schema is None:
            raise UsageError(f"the values of {name} have no schema; `orderflow dlq` shows them")
    try:
        return Codec.latest(open_schemas(settings), wanted)
    except ConfigurationError as error:
        unknown = [name for name in wanted if name not in TOPICS]
        if not unknown:
            raise
        name = unknown[0]
        hint = suggest(name, TOPICS)
        raise UsageError(f"there is no schema of a topic {name!r}, subject {name}-value{hint}") from error


def open_flow(settings: Settings, flow_or_file: str | Path) -> Flow:
    """A flow that ships with the product, or one from a topology file, on the log and schemas of the settings."""
    from flows.assembly import Flow
    from flows.catalog import EVENT_TYPES, OPERATORS
    from flows.compile import load

    topology = load(flow_or_file, OPERATORS)
    return Flow(topology, OPERATORS, EVENT_TYPES, settings, open_log(settings), open_schemas(settings))
