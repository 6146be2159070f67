"""`load`: fresh topics, the inputs of a drain, and the truth about them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import cluster, wire
from .workload import Events, Workload, expected, generate

CHUNK = 100_000


def load(bootstrap: str, orders: int, partitions: int, seed: int, out: Path) -> dict[str, Any]:
    """Fills the topics; writes and returns the truth."""
    started = time.monotonic()
    work = generate(orders, seed)
    truth = _truth(work, partitions, seed)
    cluster.recreate_topics(bootstrap, partitions)
    sending = time.monotonic()
    send_events(bootstrap, work, work.events)
    done = time.monotonic()
    truth["end_offsets"] = {t: cluster.end_offsets(bootstrap, t) for t in cluster.TOPICS}
    present = sum(sum(truth["end_offsets"][t]) for t in (cluster.STATUS, cluster.EXECUTIONS))
    if present != truth["inputs"]:
        raise RuntimeError(f"{present} messages in the input topics, expected {truth['inputs']}")
    truth["load_seconds"] = round(done - started, 1)
    truth["load_records_per_s"] = round(truth["inputs"] / (done - sending))
    out.write_text(json.dumps(truth, indent=1) + "\n")
    return truth


def _truth(work: Workload, partitions: int, seed: int) -> dict[str, Any]:
    known = expected(work)
    return {
        "orders": len(work.orders),
        "partitions": partitions,
        "seed": seed,
        "inputs": len(work.events),
        "duplicates": int(work.events.duplicate.sum()),
        "enriched": int(known.enriched.sum()),
        "consolidated": int(known.consolidated.sum()),
        "filled_quantity": int(known.filled.sum()),
        "notional": int(known.notional.sum()),
        "total_fees": int(known.fees.sum()),
        "canceled_orders": int(known.canceled.sum()),
    }


def send_events(bootstrap: str, work: Workload, chosen: Events) -> None:
    """Sends these events of the workload, in their order, and returns when the broker has them."""
    to = cluster.producer(bootstrap, linger_ms=20)
    for start in range(0, len(chosen), CHUNK):
        events = chosen.part(start, start + CHUNK)
        millis = events.occurred_at // 1_000
        for topic, encoded in zip((cluster.STATUS, cluster.EXECUTIONS), wire.encode(work, events), strict=True):
            times = np.take(millis, encoded.index).tolist()
            cluster.send(to, topic, zip(encoded.keys, encoded.values, times, strict=True))
    if (left := to.flush(60)) != 0:
        raise RuntimeError(f"{left} messages were not delivered")
