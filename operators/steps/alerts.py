"""The operator `alerts`: every episode that surveillance told of, as a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from config.topology import OperatorSpec
from operators.model.surveillance.alerts import AlertEpisode, OrderAlert, episode_key, with_alert
from operators.registry import Build, Operator, scalar
from operators.stream.step import FOREVER, Context, Result


class Alerts:
    """Keeps one value per episode; forgets it `retain_ms` after it was over."""

    state_type = AlertEpisode

    def __init__(self, retain_ms: int | None) -> None:
        self._retain_ms = retain_ms

    def on_record(
        self, state: AlertEpisode | None, key: str, role: str, record: OrderAlert, context: Context
    ) -> Result[AlertEpisode]:
        episode = with_alert(state, record)
        due_ms = FOREVER
        if self._retain_ms is not None and episode.cleared is not None:
            due_ms = episode.cleared.occurred_at // 1_000 + self._retain_ms
        return Result(episode, due_ms=due_ms)

    def on_due(self, state: AlertEpisode, key: str, context: Context) -> Result[AlertEpisode]:
        return Result(None)

    def window_keys(self, key: str, record: Any, context: Context) -> Sequence[str]:
        return [episode_key(record)]


def _logic(given: Build) -> Alerts:
    return Alerts(given.retain_ms)


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="alerts",
        keys=frozenset({"account"}),
        inputs={
            "orders": "OrderAlert",
            "accounts": "OrderAlert",
            "symbols": "OrderAlert",
            "trades": "OrderAlert",
        },
        outputs={},
    ),
    _logic,
)
