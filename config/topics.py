"""Every topic of the product in one immutable table, the key its records have, and the headers of dead letters.

Topic names, subjects and cleanup policies are part of stored state: changing one is a migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

_DAY_MS = 86_400_000

DEAD_LETTER_TOPIC = "orders.dlq"

# The headers that Kafka Streams gives to dead letters (KIP-1034); all values are text in UTF-8.
HEADER_EXCEPTION = "__streams.errors.exception"
HEADER_MESSAGE = "__streams.errors.message"
HEADER_STACKTRACE = "__streams.errors.stacktrace"
HEADER_TOPIC = "__streams.errors.topic"
HEADER_PARTITION = "__streams.errors.partition"
HEADER_OFFSET = "__streams.errors.offset"
# Ours: which flow gave up on the record, and in which of its steps (empty if the record could not be decoded).
HEADER_FLOW = "orderflow.flow"
HEADER_STEP = "orderflow.step"
# And what of the record (value, headers, key) did not fit the log together with these headers.
HEADER_OMITTED = "orderflow.{}-omitted"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it is created and used."""

    name: str
    schema: str | None
    """Name of the Avro record its values hold; None for bytes of any kind."""
    key: str
    """What the record key means, for people; a value with a schema repeats it in its field `key`."""
    partitions: int
    cleanup_policy: Literal["delete", "compact"]
    retention_ms: int | None
    """How long records stay; None where compaction keeps the last of each key."""

    @property
    def subject(self) -> str | None:
        """The registry's subject for its values (TopicNameStrategy)."""
        return f"{self.name}-value" if self.schema else None

    @property
    def config(self) -> dict[str, str]:
        """Its options under Kafka's names."""
        config: dict[str, str] = {"cleanup.policy": self.cleanup_policy}
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config


def _events(name: str, schema: str | None, *, key: str = "accountId|orderId", retention_days: int = 7) -> Topic:
    return Topic(name, schema, key, 4, "delete", retention_days * _DAY_MS)


def _reference(name: str, schema: str, *, key: str) -> Topic:
    return Topic(name, schema, key, 1, "compact", None)


_TABLE = (
    _events("orders.input", "OrderIntent"),
    _events("risk.outcome", "RiskOutcome"),
    _events("risk.releases", "SelfTradeRelease"),
    _events("orders.status", "OrderStatusChanged"),
    _events("orders.executions", "ExecutionReport"),
    _events("orders.enrichment", "OrderEnriched"),
    _events("orders.anomalies", "OrderAnomaly"),
    _events("orders.milestones", "Milestone"),
    _events("orders.alerts", "OrderAlert", key="accountId|orderId or accountId", retention_days=30),
    _reference("risk.controls", "RiskControl", key="a scope, as FIRM or ACCOUNT:<accountId>"),
    _reference("reference.symbols", "SymbolReference", key="symbol"),
    _reference("reference.accounts", "AccountReference", key="account id"),
    _reference("reference.locates", "Locate", key="locate id"),
    _events(DEAD_LETTER_TOPIC, None, key="that of the failed record", retention_days=30),
)

TOPICS: Mapping[str, Topic] = MappingProxyType({topic.name: topic for topic in _TABLE})
"""All topics by name."""
