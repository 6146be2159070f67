"""The operators that topologies can name, and the event type of each topic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

import config
from config.topics import TOPICS
from operators.model import events
from operators.model.risk import limits, shared
from operators.model.surveillance import alerts as alert_model
from operators.model.views import milestones
from operators.registry import Operator
from operators.steps import (
    alerts,
    children,
    dashboard,
    fee_ledger,
    group_self_trade,
    join,
    parents,
    positions,
    risk,
    risk_routes,
    timeline,
    total_rates,
    watch_orders,
    watch_ratios,
    watch_wash_trades,
)

SCHEMA_FOLDER: Final = Path(config.__file__).parent / "schemas"
"""The versioned schemas that ship with the product."""

_EVENTS: Mapping[str, type[msgspec.Struct]] = {
    kind.__name__: kind
    for kind in (
        events.OrderIntent,
        events.RiskOutcome,
        shared.SelfTradeRelease,
        events.OrderStatusChanged,
        events.ExecutionReport,
        events.OrderEnriched,
        events.OrderAnomaly,
        milestones.Milestone,
        alert_model.OrderAlert,
        limits.RiskControl,
        limits.SymbolReference,
        limits.AccountReference,
        limits.Locate,
    )
}

EVENT_TYPES: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {topic.name: _EVENTS[topic.schema] for topic in TOPICS.values() if topic.schema is not None}
)
"""Event type by topic."""

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        module.OPERATOR.spec.name: module.OPERATOR
        for module in (
            risk_routes,
            group_self_trade,
            total_rates,
            risk,
            join,
            parents,
            positions,
            fee_ledger,
            timeline,
            children,
            dashboard,
            watch_orders,
            watch_ratios,
            watch_wash_trades,
            alerts,
        )
    }
)
"""The operators by name."""
