# ruff: noqa: RUF009  # `option` makes the field; the values are immutable
"""The operator `watch_wash_trades`: alerts on accounts of one owner that trade both sides at one price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from config.options import Declaration, option
from config.topology import OperatorSpec
from config.units import DurationMs
from operators.model.surveillance.wash_trades import (
    WashJudged,
    WashLimits,
    WashWatch,
    is_empty,
    next_due_ms,
    on_fill,
    on_time,
)
from operators.model.views.milestones import Milestone
from operators.registry import Build, Operator, scalar
from operators.stream.step import Context, Output, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchWashTradesOptions:
    """Lengths of event time."""

    window: DurationMs = option(DurationMs(60_000), Declaration("at most between the two fills", minimum=1))
    quiet: DurationMs = option(DurationMs(600_000), Declaration("without a match ends an episode", minimum=1))
    grace: DurationMs = option(DurationMs(30_000), Declaration("quiet waits for late records", minimum=0))


class WatchWashTrades:
    """Holds the fills of one owner in one symbol against each other."""

    state_type = WashWatch

    def __init__(self, options: WatchWashTradesOptions, source: str) -> None:
        self._limits = WashLimits(window_ms=options.window, quiet_ms=options.quiet, grace_ms=options.grace)
        self._source = source

    def on_record(
        self, state: WashWatch | None, key: str, role: str, record: Milestone, context: Context
    ) -> Result[WashWatch]:
        return self._result(
            on_fill(state, record, limits=self._limits, event_time_ms=context.event_time_ms, source=self._source)
        )

    def on_due(self, state: WashWatch, key: str, context: Context) -> Result[WashWatch]:
        return self._result(on_time(state, limits=self._limits, event_time_ms=context.event_time_ms))

    def window_keys(self, key: str, record: Any, context: Context) -> None:
        return None

    def _result(self, judged: WashJudged) -> Result[WashWatch]:
        outputs = [Output("alerts", alert, key=alert.key) for alert in judged.alerts]
        due_ms = next_due_ms(judged.state, self._limits)
        return Result(None if is_empty(judged.state) else judged.state, outputs, due_ms=due_ms)


def _logic(given: Build) -> WatchWashTrades:
    return WatchWashTrades(given.options, given.source_name)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="watch_wash_trades",
        keys=frozenset({"owner_symbol"}),
        inputs={"trades": "Milestone"},
        outputs={"alerts": "OrderAlert"},
        options=WatchWashTradesOptions,
    ),
    _logic,
)
