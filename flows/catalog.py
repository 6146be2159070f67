"""The operators that topologies can name, and the event type of each topic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

import config
from config.topics import TOPICS
from operators.model import events, limits, milestones
from operators.registry import Operator
from operators.steps import dashboard, fee_ledger, join, positions, risk, timeline

SCHEMA_FOLDER: Final = Path(config.__file__).parent / "schemas"
"""The versioned schemas that ship with the product."""

_EVENTS: Mapping[str, type[msgspec.Struct]] = {
    kind.__name__: kind
    for kind in (
        events.OrderIntent,
        events.RiskOutcome,
        events.OrderStatusChanged,
        events.ExecutionReport,
        events.OrderEnriched,
        events.OrderAnomaly,
        milestones.Milestone,
        limits.RiskControl,
        limits.SymbolReference,
    )
}

EVENT_TYPES: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {topic.name: _EVENTS[topic.schema] for topic in TOPICS.values() if topic.schema is not None}
)
"""Event type by topic."""

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {module.OPERATOR.spec.name: module.OPERATOR for module in (risk, join, positions, fee_ledger, timeline, dashboard)}
)
"""The operators by name."""
