# ruff: noqa: RUF009  # `option` makes the field; the values are immutable
"""The operator `watch_ratios`: alerts on how much of what an account places it cancels, and how little of it trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from config.options import Declaration, option
from config.topology import OperatorSpec
from config.units import DurationMs
from operators.model.surveillance.ratios import (
    Judged,
    RatioLimits,
    RatioWatch,
    Scope,
    is_counted,
    is_empty,
    next_due_ms,
    on_milestone,
    on_time,
)
from operators.model.views.milestones import Milestone
from operators.registry import Build, Operator, scalar
from operators.stream.step import FOREVER, Context, Output, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRatiosOptions:
    """Windows of event time, and the ratios above which they are told."""

    every: DurationMs = option(DurationMs(60_000), Declaration("one window ends and is judged", minimum=1_000))
    panes: int = option(5, Declaration("a window is so many times `every` long", minimum=1, maximum=1_440))
    grace: DurationMs = option(DurationMs(30_000), Declaration("a window waits for late records", minimum=0))
    orders_min: int = option(50, Declaration("fewer orders in a window are no pattern", unit="orders", minimum=1))
    cancel_ratio: float = option(0.95, Declaration("canceled by placed orders", minimum=0))
    order_to_trade_ratio: float = option(100.0, Declaration("placed orders by fills", minimum=0))


class WatchRatios:
    """Judges the windows of an account, or of an account in a symbol, by the step's key."""

    state_type = RatioWatch

    def __init__(self, options: WatchRatiosOptions, source: str) -> None:
        self._limits = RatioLimits(
            every_ms=options.every,
            panes=options.panes,
            grace_ms=options.grace,
            orders_min=options.orders_min,
            cancel_ratio=options.cancel_ratio,
            order_to_trade_ratio=options.order_to_trade_ratio,
        )
        self._source = source

    def on_record(
        self, state: RatioWatch | None, key: str, role: str, record: Milestone, context: Context
    ) -> Result[RatioWatch]:
        if is_counted(record):
            judged = on_milestone(
                state, key, record, limits=self._limits, event_time_ms=context.event_time_ms, source=self._source
            )
        else:
            judged = on_time(
                state or RatioWatch(), key,
                limits=self._limits, event_time_ms=context.event_time_ms, source=self._source,
            )  # fmt: skip
        return self._result(key, judged)

    def on_due(self, state: RatioWatch, key: str, context: Context) -> Result[RatioWatch]:
        judged = on_time(state, key, limits=self._limits, event_time_ms=context.event_time_ms, source=self._source)
        return self._result(key, judged)

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None

    def _result(self, key: str, judged: Judged) -> Result[RatioWatch]:
        account_id = Scope.of(key).account_id
        due_ms = next_due_ms(judged.state, self._limits)
        return Result(
            None if is_empty(judged.state) else judged.state,
            [Output("alerts", alert, key=account_id) for alert in judged.alerts],
            due_ms=min(due_ms, FOREVER),
            anomalies=("LATE",) if judged.late else (),
        )


def _logic(given: Build) -> WatchRatios:
    return WatchRatios(given.options, given.source_name)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="watch_ratios",
        keys=frozenset({"account", "account_symbol"}),
        inputs={"milestones": "Milestone"},
        outputs={"alerts": "OrderAlert"},
        options=WatchRatiosOptions,
    ),
    _logic,
)
