# ruff: noqa: RUF009  # `option` makes the dataclass field that holds the declaration; it is no shared default value
"""Every setting of a deployment, declared once, and loading them from defaults, a YAML file and the environment.

Later sources override earlier ones: the defaults below, the file given with `--config`, environment variables
`ORDERFLOW__SECTION__KEY`. What depends on a flow (epoch, key groups, retention) stands in its topology instead.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from config.errors import ConfigurationError, Problem
from config.options import Declaration, convert, declaration_of, option, suggest
from config.yaml_positions import MappingNode, Node, Place, Scalar, read_mapping

VARIABLE_PREFIX = "ORDERFLOW__"

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log that carries all records."""

    kind: Literal["embedded", "kafka"] = option(
        "embedded",
        Declaration("Kafka in production; the embedded log needs nothing else and serves one host."),
    )
    path: Path = option(Path(".orderflow/log"), Declaration("Folder of the embedded log, created when missing."))
    durable: bool = option(
        False,
        Declaration("Force every commit of the embedded log to disk: slower, and safe against a loss of power."),
    )


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """The connection to Kafka; read only if `log.kind` is kafka."""

    bootstrap_servers: tuple[str, ...] = option((), Declaration("Brokers to ask first, each as host:port."))
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = option(
        "PLAINTEXT", Declaration("How to talk to the brokers.")
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = option(
        "SCRAM-SHA-512", Declaration("How to authenticate, if the protocol is one of the SASL ones.")
    )
    sasl_username: str = option("", Declaration("User of the SASL protocols."))
    sasl_password: str = option(
        "", Declaration("Password of the SASL protocols; give it in the environment.", secret=True)
    )
    ssl_ca_location: Path | None = option(
        None, Declaration("File of the certificates to trust, if they are not the system's.")
    )
    replication_factor: int = option(
        1, Declaration("Copies of each partition of the topics created here; 3 in production.", "copies", 1, 32767)
    )
    options: Mapping[str, str] = option(
        {},
        Declaration(
            "More librdkafka options by their own names. Those on which exactness depends (isolation, idempotence, "
            "transactions, partitioner, offsets) cannot be changed."
        ),
    )

    def client_options(self) -> dict[str, str]:
        """Security and `options`, under librdkafka's names."""
        security: dict[str, str] = {"security.protocol": self.security_protocol}
        if self.security_protocol.startswith("SASL"):
            security["sasl.mechanism"] = self.sasl_mechanism
            security["sasl.username"] = self.sasl_username
            security["sasl.password"] = self.sasl_password
        if self.ssl_ca_location is not None:
            security["ssl.ca.location"] = str(self.ssl_ca_location)
        return {**self.options, **security}


@dataclass(frozen=True, slots=True)
class SchemasSettings:
    """Where Avro schemas come from."""

    source: Literal["folder", "registry"] = option(
        "folder", Declaration("A Confluent-compatible registry in production; a versioned folder needs no server.")
    )
    folder: Path | None = option(None, Declaration("Folder of versioned schemas; null is the one that ships with us."))
    registry_url: str = option("", Declaration("Address of the schema registry.", pattern=r"(https?://\S+)?"))
    registry_username: str = option("", Declaration("User of the schema registry, if it wants one."))
    registry_password: str = option(
        "", Declaration("Password of the schema registry; give it in the environment.", secret=True)
    )
    registry_ca_location: Path | None = option(
        None, Declaration("File of the certificates to trust, if they are not the system's.")
    )
    registry_timeout_ms: int = option(
        5_000, Declaration("Longest wait for one answer of the schema registry.", "ms", 100, 60_000)
    )


@dataclass(frozen=True, slots=True)
class StateSettings:
    """The local stores of keyed steps."""

    dir: Path = option(
        Path(".orderflow/state"),
        Declaration("Folder of the local stores. It may be lost: stores are rebuilt from their changelogs."),
    )
    cache_rows: int = option(
        500_000,
        Declaration("Rows of state per step that a process keeps in memory.", "rows", 1_000, 100_000_000),
    )
    flush_interval_ms: int = option(
        5_000,
        Declaration("How often committed state goes from the cache to the local store.", "ms", 1, 60_000),
    )
    position_interval_ms: int = option(
        5_000,
        Declaration(
            "How often a store notes how far into its changelog it is: a restart re-applies at most what came since.",
            "ms",
            1,
            600_000,
        ),
    )


@dataclass(frozen=True, slots=True)
class ApplicationSettings:
    """The names under which this deployment is known to the log."""

    prefix: str = option(
        "",
        Declaration(
            "Goes before every group, transactional id, changelog and client id, so that several deployments can "
            "share a cluster.",
            pattern=r"[A-Za-z0-9._-]{0,60}",
        ),
    )

    def group_of(self, flow: str) -> str:
        """The consumer group of a flow: where its committed offsets stand."""
        return self.prefix + flow

    def transactional_id_of(self, flow: str) -> str:
        """The transactional id of a flow's committer: whoever opened it last is the one that may commit."""
        return self.prefix + flow

    def changelog_of(self, flow: str, step: str) -> str:
        """The changelog topic of a step's state. Part of stored state: changing it orphans the state."""
        return f"{self.prefix}{flow}-{step}-changelog"

    def client_id_of(self, flow: str, role: str) -> str:
        """The client id under which the log's own metrics and logs show a connection, e.g. role `lane-0`."""
        return f"{self.prefix}{flow}-{role}"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a flow reads, batches and commits."""

    epoch_ms: int = option(
        10,
        Declaration(
            "Shortest time between two commits where the topology names none. Shorter is lower latency and more "
            "work per record; Kafka Streams calls it commit.interval.ms.",
            "ms",
            1,
            60_000,
        ),
    )
    collect_ms: int = option(
        5,
        Declaration("How long a lane gathers records into a batch, since small batches are dear.", "ms", 0, 1_000),
    )
    poll_records: int = option(
        32_000,
        Declaration("Records that a lane reads at most into one batch.", "records", 1, 1_000_000),
    )
    clock_ahead_max_ms: int = option(
        300_000,
        Declaration(
            "How far an event time may be ahead of the wall clock: one further ahead does not advance event time, "
            "or a single wrong clock would close every window.",
            "ms",
            0,
            86_400_000,
        ),
    )
    event_ahead_max_ms: int = option(
        86_400_000,
        Declaration(
            "How far an event time may be ahead of the wall clock for its record to be worked on: one further ahead "
            "becomes a dead letter, or its trading day would make every later event one of the past.",
            "ms",
            0,
            3_153_600_000_000,
        ),
    )
    read_stall_ms: int | None = option(
        60_000,
        Declaration(
            "How long a partition may have more to read while its reader, asked again and again, gets nothing of it: "
            "then the flow stops, and its restart reads on with a new client. A log that cannot be reached, or a flow "
            "too busy to read, does not count. null (`off`) waits for ever.",
            "ms",
            1_000,
            3_600_000,
        ),
    )
    record_bytes_max: int = option(
        8_192,
        Declaration(
            "Largest value of a record that is worked on; a larger one becomes a dead letter. An order event has some "
            "hundred bytes, and what is kept and sent on because of one must fit Kafka's own limit.",
            "bytes",
            512,
            500_000,
        ),
    )


@dataclass(frozen=True, slots=True)
class WorkersSettings:
    """The processes of one flow."""

    count: int = option(
        1,
        Declaration("Processes that share the flow's partitions.", "processes", 1, 256, variable="ORDERFLOW__WORKERS"),
    )
    index: int | None = option(
        None,
        Declaration(
            "Which of them this process is, from 0; null lets a supervisor start all of them here.",
            "",
            0,
            255,
            variable="JOB_COMPLETION_INDEX",
        ),
    )
    addresses: tuple[str, ...] = option(
        (), Declaration("host:port of every process, in the order of their indexes; needed if each runs on its own.")
    )
    restart_backoff_min_ms: int = option(
        200, Declaration("Wait of the supervisor before the first restart; it doubles.", "ms", 1, 60_000)
    )
    restart_backoff_max_ms: int = option(
        10_000, Declaration("Longest wait of the supervisor before a restart.", "ms", 1, 600_000)
    )


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The HTTP endpoint of a process: metrics, liveness, readiness."""

    port: int | None = option(
        0, Declaration("Port to listen on; 0 takes a free one and logs it, null (`off`) listens on none.", "", 0, 65535)
    )
    host: str = option("127.0.0.1", Declaration("Address to listen on; 0.0.0.0 in a pod."))


@dataclass(frozen=True, slots=True)
class LogsSettings:
    """What a process says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = option("info", Declaration("Least severity that is shown."))
    format: Literal["auto", "console", "json"] = option(
        "auto", Declaration("Lines for people or for machines; auto is console on a terminal, else JSON.")
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a deployment. `Settings()` holds the defaults."""

    log: LogSettings = field(default_factory=LogSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    schemas: SchemasSettings = field(default_factory=SchemasSettings)
    state: StateSettings = field(default_factory=StateSettings)
    application: ApplicationSettings = field(default_factory=ApplicationSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    workers: WorkersSettings = field(default_factory=WorkersSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    logs: LogsSettings = field(default_factory=LogsSettings)


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option, flat."""

    section: str
    name: str
    annotation: object
    default: object
    declaration: Declaration

    @property
    def path(self) -> str:
        """Its place in the file, e.g. `log.kind`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{VARIABLE_PREFIX}{self.section}__{self.name}".upper()

    def of(self, settings: Settings) -> object:
        """Its value."""
        return getattr(getattr(settings, self.section), self.name)


def options() -> Iterator[Option]:
    """Every declared option, in the order of declaration."""
    defaults = Settings()
    for section in dataclasses.fields(Settings):
        values = getattr(defaults, section.name)
        annotations = typing.get_type_hints(type(values))
        for f in dataclasses.fields(values):
            yield Option(section.name, f.name, annotations[f.name], getattr(values, f.name), declaration_of(f))


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings from defaults, file and environment; `ConfigurationError` lists everything that is wrong."""
    return load_settings_and_places(file, environment)[0]


def load_settings_and_places(file: Path | None, environment: Mapping[str, str]) -> tuple[Settings, Mapping[str, Place]]:
    """The settings, and by option path where each value that is no default was given."""
    problems: list[Problem] = []
    root = MappingNode({}, Place("defaults"))
    if file is not None:
        root, problems = read_mapping(file)
    given = _overlay(root, _from_environment(environment, problems))
    settings = convert(given, Settings, problems)
    places = {
        f"{section}.{name}": node.place_of(name)
        for section, node in given.entries.items()
        if isinstance(node, MappingNode)
        for name in node.entries
    }
    if settings is not None:
        problems.extend(_cross_option_problems(settings, places))
    if settings is None or problems:
        raise ConfigurationError(problems)
    return settings, places


def _from_environment(environment: Mapping[str, str], problems: list[Problem]) -> dict[tuple[str, str], Scalar]:
    """The options that the environment sets; an unknown variable of ours is a problem, since it is a typing error."""
    known = {item.variable: item for item in options()}
    others = {item.declaration.variable: item for item in known.values() if item.declaration.variable}
    found: dict[tuple[str, str], Scalar] = {}
    for names in (others, known):
        for variable, item in names.items():
            if variable in environment:
                text = environment[variable]
                found[item.section, item.name] = Scalar(text, text, Place(variable), is_bare_text=True)
    ours = sorted(variable for variable in environment if variable.startswith(VARIABLE_PREFIX))
    unknown = [variable for variable in ours if variable not in known and variable not in others]
    problems.extend(Problem(f"no such option{suggest(variable, known)}", variable) for variable in unknown)
    return found


def _overlay(root: MappingNode, overrides: Mapping[tuple[str, str], Scalar]) -> MappingNode:
    """The file's mapping with single options replaced."""
    entries: dict[str, Node] = {}
    for name, node in root.entries.items():
        if isinstance(node, Scalar) and node.value is None:
            continue  # a section whose options are all commented out
        entries[name] = node
    for (section, name), scalar in overrides.items():
        node = entries.get(section, MappingNode({}, scalar.place))
        if isinstance(node, MappingNode):
            entries[section] = MappingNode(
                {**node.entries, name: scalar}, node.place, {**node.key_places, name: scalar.place}
            )
    return MappingNode(entries, root.place, root.key_places)


def _cross_option_problems(settings: Settings, places: Mapping[str, Place]) -> Iterator[Problem]:
    """Rules between options, each told at the option that makes it apply."""

    def at(path: str, message: str) -> Problem:
        place = places.get(path)
        return place.problem(message) if place else Problem(message)

    if settings.log.kind == "kafka" and not settings.kafka.bootstrap_servers:
        yield at("log.kind", "log.kind is kafka, so kafka.bootstrap_servers must be given")
    if settings.kafka.security_protocol.startswith("SASL") and not settings.kafka.sasl_username:
        yield at("kafka.security_protocol", "a SASL protocol needs kafka.sasl_username and kafka.sasl_password")
    if settings.schemas.source == "registry" and not settings.schemas.registry_url:
        yield at("schemas.source", "schemas.source is registry, so schemas.registry_url must be given")
    workers = settings.workers
    if workers.index is not None and workers.index >= workers.count:
        yield at("workers.index", f"workers.index {workers.index} must be below workers.count {workers.count}")
    if workers.addresses and len(workers.addresses) != workers.count:
        yield at("workers.addresses", f"{len(workers.addresses)} workers.addresses for workers.count {workers.count}")
    if workers.index is not None and workers.count > 1 and not workers.addresses:
        yield at("workers.index", "workers.index with several workers needs workers.addresses")
    if workers.restart_backoff_min_ms > workers.restart_backoff_max_ms:
        yield at("workers.restart_backoff_min_ms", "restart_backoff_min_ms is above restart_backoff_max_ms")
    if settings.engine.collect_ms > settings.engine.epoch_ms:
        yield at("engine.collect_ms", "engine.collect_ms is above engine.epoch_ms: every epoch would end late")
    if settings.engine.event_ahead_max_ms < settings.engine.clock_ahead_max_ms:
        yield at(
            "engine.event_ahead_max_ms",
            "engine.event_ahead_max_ms is below engine.clock_ahead_max_ms: no record could be as far ahead as that",
        )
