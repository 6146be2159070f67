"""Bringing stores up to their changelogs: the one mechanism of recovery, for restart, lost disk and moved key groups.

Numbered steps, and what a crash right after each costs:

    1. open the local store                    nothing was changed
    2. judge it: usable or start empty         an emptied store is rebuilt from position 0 by the next start
    3. ask for the changelog's committed ends  nothing was changed
    4. read from the stored position to the end, all key groups at once, and apply
                                               applied values are absolute: applying them again changes nothing
    5. store the end as the position           the next start reads from here
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from broker.contract import Log, TopicPartition
from config.crash_points import CrashPoint, reach
from operators.state.store import KeyGroupStore

STREAM_TIME_KEY: Final = b"\x00stream_time"
_READ_RECORDS_MAX: Final = 100_000
_READ_TIMEOUT_S: Final = 0.5
# A compacted topic drops tombstones after delete.retention.ms (24 h unless set): an older position may have missed one.
POSITION_AGE_MAX_S: Final = 20 * 3600

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Progress:
    """How far a catch-up has come."""

    applied: int = 0
    remaining: int = 0
    seconds: float = 0.0


def catch_up(
    log_: Log,
    client_id: str,
    stores: Mapping[TopicPartition, KeyGroupStore],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Applies to every store what its changelog partition holds beyond the store's position."""
    started, admin = time.monotonic(), log_.admin()
    try:
        ends, beginnings = admin.ends(list(stores)), admin.beginnings(list(stores))
        _judge(stores, beginnings, ends)
    finally:
        admin.close()
    reach(CrashPoint.CATCH_UP_STARTED)
    behind = {tp: max(store.position, beginnings[tp]) for tp, store in stores.items() if store.position < ends[tp]}
    progress = Progress(remaining=sum(ends[tp] - position for tp, position in behind.items()))
    on_progress(progress)
    if behind:
        _apply(log_, client_id, stores, behind, ends, progress, on_progress)
    progress.seconds = time.monotonic() - started
    progress.remaining = 0
    on_progress(progress)
    return progress


def _judge(
    stores: Mapping[TopicPartition, KeyGroupStore],
    beginnings: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> None:
    """Empties every store that the changelog cannot bring up to date from where it stands."""
    for tp, store in stores.items():
        if store.rebuilt_because is not None:
            log.warning("store rebuilt from its changelog", store=str(store.path), reason=store.rebuilt_because)
        if store.position > ends[tp]:
            reason = f"its position {store.position} is beyond the changelog's end {ends[tp]}: the topic was replaced"
        elif 0 < store.position < beginnings[tp]:
            reason = f"its position {store.position} is before the changelog's beginning {beginnings[tp]}"
        elif 0 < store.position < ends[tp] and time.time() - store.position_at_s > POSITION_AGE_MAX_S:
            reason = "its position is so old that compaction may have dropped tombstones it has not seen"
        else:
            continue
        log.warning("store rebuilt from its changelog", store=str(store.path), reason=reason)
        store.reset()


def _apply(
    log_: Log,
    client_id: str,
    stores: Mapping[TopicPartition, KeyGroupStore],
    behind: dict[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    progress: Progress,
    on_progress: Callable[[Progress], None],
) -> None:
    reader = log_.reader(client_id)
    try:
        reader.assign(behind)
        left = dict(behind)
        while left:
            changes: dict[tuple[str, int], dict[bytes, bytes | None]] = {}
            last: dict[tuple[str, int], int] = {}
            for record in reader.read(_READ_RECORDS_MAX, _READ_TIMEOUT_S):
                at = (record.topic(), record.partition())
                changes.setdefault(at, {})[record.key() or b""] = record.value()
                last[at] = record.offset() + 1
            for at, values in changes.items():
                _write(stores[TopicPartition(*at)], values, last[at])
                progress.applied += len(values)
                reach(CrashPoint.CATCH_UP_APPLIED)
            at_end = reader.at_end()
            for tp in list(left):
                left[tp] = max(left[tp], last.get((tp.topic, tp.partition), 0))
                # Transaction markers and compaction leave no record at the end: reaching the end counts, not an offset.
                if at_end or left[tp] >= ends[tp]:
                    stores[tp].write({}, position=max(ends[tp], left[tp]))
                    del left[tp]
            progress.remaining = sum(ends[tp] - position for tp, position in left.items())
            on_progress(progress)
    finally:
        reader.close()


def _write(store: KeyGroupStore, values: dict[bytes, bytes | None], position: int) -> None:
    stream_time = values.pop(STREAM_TIME_KEY, None)
    store.write(values, position=position, stream_time_ms=None if stream_time is None else int(stream_time))
