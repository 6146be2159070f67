"""The operator `dashboard`: figures by symbol and venue over tumbling and hopping windows of event time, as a view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from config.topology import OperatorSpec
from config.units import DurationMs
from operators.model.views.dashboard import TOTAL_SIZE_MS, Aggregate, add, add_to_total
from operators.model.views.milestones import Milestone
from operators.registry import Build, Operator, scalar
from operators.state.windows import Windows, parse_window_key, window_key
from operators.stream.step import Context, Result

_HALF_A_MINUTE: Final = DurationMs(30_000)
_MINUTE: Final = DurationMs(60_000)
_FIVE_MINUTES: Final = DurationMs(300_000)
_DAY: Final = DurationMs(86_400_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopping:
    """Windows that overlap."""

    size: DurationMs = _FIVE_MINUTES
    every: DurationMs = _MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardOptions:
    """Options of the dashboard: sizes of its windows, how long they wait for late records, how long they are kept."""

    tumbling: DurationMs = _MINUTE
    hopping: Hopping = field(default_factory=Hopping)
    grace: DurationMs = _HALF_A_MINUTE
    keep: DurationMs = _DAY


class Dashboard:
    """Adds each milestone to every window it belongs to, and to the total since the beginning.

    A window takes records until its grace is over; the total, which tells the open orders, takes every one.
    """

    state_type = Aggregate

    def __init__(self, options: DashboardOptions) -> None:
        tumbling = Windows.tumbling(size_ms=options.tumbling, grace_ms=options.grace)
        hopping = Windows(options.hopping.size, options.hopping.every, options.grace)
        self._windows = [tumbling, hopping] if tumbling.size_ms != hopping.size_ms else [hopping]
        self._keep_ms = options.keep

    def on_record(
        self, state: Aggregate | None, key: str, role: str, record: Milestone, context: Context
    ) -> Result[Aggregate]:
        _, size_ms, start_ms = parse_window_key(key)
        if size_ms == TOTAL_SIZE_MS:
            late = not any(True for _ in self._open_keys("", record, context))
            return Result(add_to_total(state, record), anomalies=("LATE",) if late else ())
        return Result(add(state, record), due_ms=start_ms + size_ms + self._keep_ms)

    def on_due(self, state: Aggregate, key: str, context: Context) -> Result[Aggregate]:
        return Result(None)

    def window_keys(self, key: str, record: Milestone, context: Context) -> Sequence[str]:
        return [window_key(key, size_ms=TOTAL_SIZE_MS, start_ms=0), *self._open_keys(key, record, context)]

    def _open_keys(self, key: str, record: Milestone, context: Context) -> Iterator[str]:
        time_ms = record.occurred_at // 1_000
        for windows in self._windows:
            yield from windows.open_keys(key, time_ms=time_ms, event_time_ms=context.event_time_ms)


def _logic(given: Build) -> Dashboard:
    return Dashboard(given.options)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="dashboard",
        keys=frozenset({"symbol_venue"}),
        inputs={"milestones": "Milestone"},
        outputs={},
        options=DashboardOptions,
    ),
    _logic,
)
