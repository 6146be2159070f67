"""How old a view is: its event time, when its store was last written, and how far its flow is behind the log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cli import query_rows
from config.errors import OrderflowError
from config.settings import Settings

if TYPE_CHECKING:
    from sinks.views import View

_PATIENCE_S: Final = 3.0
"""How long a query waits for the log: the answer itself comes from the stores of this host."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old an answer is. `lag_records` is None where the log did not tell, and then `lag_unknown` says why."""

    flow: str
    as_of_ms: int | None
    written_at_s: float
    lag_records: int | None
    lag_unknown: str = ""

    def fields(self) -> dict[str, Any]:
        """What rows in JSON say of it."""
        return {
            "asOf": None if self.as_of_ms is None else query_rows.time(self.as_of_ms * 1_000),
            "writtenAt": query_rows.time(round(self.written_at_s * 1e6)),
            "lagRecords": self.lag_records,
        }

    def line(self) -> str:
        """What a person reads."""
        fields = self.fields()
        age_s = max(0.0, time.time() - self.written_at_s)
        behind = (
            f"how far {self.flow} is behind is not known ({self.lag_unknown})"
            if self.lag_records is None
            else f"{self.flow} is {self.lag_records} records behind"
        )
        as_of = "no event yet" if fields["asOf"] is None else f"as of {fields['asOf']} (event time)"
        return f"{as_of}; written {age_s:.0f} s ago, {fields['writtenAt']}; {behind}"


def freshness_of(settings: Settings, flow: str, view: View) -> Freshness:
    """How old a view of a flow is now; to be asked before it is read, so that it promises no more than there is."""
    as_of_ms, written_at_s = view.as_of_ms(), view.written_at_s()
    try:
        return Freshness(flow, as_of_ms, written_at_s, _lag(settings, flow))
    except (OrderflowError, KeyError) as error:
        # A view can be read where its log cannot be reached, or has been deleted with its topics.
        reason = str(error) if isinstance(error, OrderflowError) else f"the log has no topic {error}"
        return Freshness(flow, as_of_ms, written_at_s, None, reason)


def _lag(settings: Settings, flow: str) -> int:
    from config.topology import load_topology
    from flows.connect import open_log
    from services.progress import GroupProgress, event_topics

    topics, group = event_topics(load_topology(flow)), settings.application.group_of(flow)
    client_id = settings.application.client_id_of("orderflow", "query")
    with GroupProgress(open_log(settings, deadline_s=_PATIENCE_S), client_id) as progress:
        lag = progress.lag(group, topics)
        # On Kafka the marks of transactions take offsets too, which only reading tells from records.
        return 0 if lag and progress.has_caught_up(group, topics) else lag
