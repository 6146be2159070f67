# ruff: noqa: RUF009  # `option` makes the field; the values are immutable
"""The operator `watch_orders`: alerts on single orders, and fills with the owner of their account for other steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from config.options import Declaration, option
from config.topology import OperatorSpec
from config.units import DurationMs
from operators.model.events import account_of
from operators.model.surveillance.alerts import OrderAlert
from operators.model.surveillance.orders import OrderLimits, OrderWatch, next_due_ms, on_milestone, on_time
from operators.model.views.milestones import Milestone, MilestoneKind
from operators.registry import Build, Operator, scalar
from operators.stream.keys import RECORD_KEY
from operators.stream.step import FOREVER, Context, Output, Result

_OWNED: Final = frozenset({MilestoneKind.TRADED, MilestoneKind.BUSTED, MilestoneKind.CORRECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOrdersOptions:
    """How long an order may wait, in event time, and how far a fill may be from its reference."""

    acknowledgement: DurationMs = option(
        DurationMs(5_000), Declaration("from being placed to a venue's first word", minimum=1)
    )
    pending: DurationMs = option(DurationMs(30_000), Declaration("in a pending status", minimum=1))
    open: DurationMs = option(DurationMs(28_800_000), Declaration("open, unless the order is good till", minimum=1))
    grace: DurationMs = option(
        DurationMs(2_000), Declaration("added to each of these before silence is believed", minimum=0)
    )
    collar_bps: int = option(500, Declaration("of a fill's price from its reference", unit="basis points", minimum=1))


class WatchOrders:
    """Watches every order from its placement to `retain_ms` after its end."""

    state_type = OrderWatch

    def __init__(self, options: WatchOrdersOptions, retain_ms: int | None, source: str) -> None:
        self._limits = OrderLimits(
            acknowledgement_ms=options.acknowledgement,
            pending_ms=options.pending,
            open_ms=options.open,
            grace_ms=options.grace,
            collar_bps=options.collar_bps,
        )
        self._retain_ms, self._source = retain_ms, source

    def on_record(
        self, state: OrderWatch | None, key: str, role: str, record: Milestone, context: Context
    ) -> Result[OrderWatch]:
        watched = on_milestone(
            state, record, limits=self._limits, event_time_ms=context.event_time_ms, source=self._source
        )
        return self._result(watched.state, watched.alerts, _owned(record, context))

    def on_due(self, state: OrderWatch, key: str, context: Context) -> Result[OrderWatch]:
        if self._forgets_ms(state) <= context.event_time_ms:
            return Result(None)
        watched = on_time(state, key, limits=self._limits, event_time_ms=context.event_time_ms, source=self._source)
        return self._result(watched.state, watched.alerts)

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None

    def _result(
        self, state: OrderWatch, alerts: Sequence[OrderAlert], trades: Sequence[Milestone] = ()
    ) -> Result[OrderWatch]:
        outputs = [Output("alerts", alert) for alert in alerts] + [Output("trades", trade) for trade in trades]
        return Result(state, outputs, due_ms=min(next_due_ms(state, self._limits), self._forgets_ms(state)))

    def _forgets_ms(self, state: OrderWatch) -> int:
        if self._retain_ms is None or state.closed_at is None:
            return FOREVER
        return state.closed_at // 1_000 + self._retain_ms


def _owned(milestone: Milestone, context: Context) -> list[Milestone]:
    """The fill with the owner of its account, where that is known."""
    if milestone.kind not in _OWNED:
        return []
    account = context.broadcast["accounts"].get(account_of(milestone.key))
    if account is None or not account.owner:
        return []
    return [replace(milestone, owner_id=account.owner)]


def _logic(given: Build) -> WatchOrders:
    return WatchOrders(given.options, given.retain_ms, given.source_name)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="watch_orders",
        keys=frozenset({RECORD_KEY}),
        inputs={"milestones": "Milestone"},
        outputs={"alerts": "OrderAlert", "trades": "Milestone"},
        options=WatchOrdersOptions,
        needs_broadcast=frozenset({"accounts"}),
    ),
    _logic,
)
