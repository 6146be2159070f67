"""`latency`: delay from an input's occurredAt to its enrichment, at a fixed input rate.

Three processes: this one samples the job, one sends open-loop, one receives.
"""

from __future__ import annotations

import multiprocessing as mp
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import cluster, wire
from .job import Job
from .workload import LIVE_ORDERS, TRADE, Events, Ints, Workload, generate

DISCARD_SECONDS = 5
WARM_ORDERS = 2 * LIVE_ORDERS  # sent before the measurement: fills the book and warms the job
WARM_RATE = 10_000
START_SECONDS = 180.0
FINISH_SECONDS = 30.0
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Sent:
    """How the sending went."""

    start_micros: int
    seconds: float
    cpu_seconds: float
    behind_p99_ms: float
    behind_max_ms: float


@dataclass(frozen=True)
class Received:
    """One row per visible enrichment."""

    order: Ints
    sequence: Ints
    occurred_at: Ints
    receipt: Ints


def latency(
    bootstrap: str, rate: int, seconds: int, partitions: int, seed: int, command: str, log: Path | None
) -> dict[str, Any]:
    """Warms the job up, then measures it at `rate` inputs per second."""
    work, warm = _workload(rate * seconds, seed)
    events = work.events.part(0, warm + rate * seconds)
    fresh = (events.kind == TRADE) & ~events.duplicate
    want_warm, want = int(fresh[:warm].sum()), int(fresh.sum())
    cluster.recreate_topics(bootstrap, partitions)
    context = mp.get_context("spawn")
    visible: Synchronized[int] = context.Value("q", 0)
    to_sender, sender_end = context.Pipe()
    to_receiver, receiver_end = context.Pipe()
    sender = context.Process(
        target=_send, args=(bootstrap, rate, len(events), warm, rate * seconds, seed, sender_end), daemon=True
    )
    receiver = context.Process(target=_receive, args=(bootstrap, partitions, visible, receiver_end), daemon=True)
    with Job(command, bootstrap, log) as job:
        sender.start()
        receiver.start()
        _answer(to_sender, START_SECONDS)  # everything is encoded
        to_sender.send("warm up")
        _answer(to_sender, START_SECONDS)
        _wait(job, visible, want_warm, START_SECONDS)
        time.sleep(1.0)
        cpu = job.process.cpu_seconds()
        to_sender.send("measure")
        while not to_sender.poll(0.5):
            job.process.check()
            job.process.cpu_seconds()
        sent: Sent = to_sender.recv()
        complete = _wait(job, visible, want, FINISH_SECONDS, must=False)
        cpu = job.process.cpu_seconds() - cpu
        time.sleep(SETTLE_SECONDS)
        to_receiver.send("stop")
        received: Received = _answer(to_receiver, START_SECONDS)
        peak_rss = job.process.peak_rss
    counts = _counts(len(work.orders), events.order[fresh], received)
    delay = _delays(received, sent.start_micros + DISCARD_SECONDS * 1_000_000)
    return {
        "command": command,
        "correct": complete and counts["lost"] == 0 and counts["duplicated"] == 0,
        "rate": rate,
        "achieved_rate": round(rate * seconds / sent.seconds, 1),
        "generator_kept_up": sent.behind_p99_ms < 5.0,
        "generator_behind_p99_ms": round(sent.behind_p99_ms, 2),
        "generator_behind_max_ms": round(sent.behind_max_ms, 2),
        "generator_cpu_share": round(sent.cpu_seconds / sent.seconds, 3),
        "measured_outputs": len(delay),
        **_percentiles(delay),
        "cpu_s_per_1000_records": round(cpu / (rate * seconds) * 1_000, 4),
        "peak_rss_mib": round(peak_rss / 2**20),
        **counts,
    }


def _workload(measured: int, seed: int) -> tuple[Workload, int]:
    """A workload with enough events, and how many of them are warm-up."""
    # Later orders' events reach back in time, so cut well before the last order.
    work = generate(WARM_ORDERS + measured // 3 + 3 * LIVE_ORDERS, seed)
    new = np.flatnonzero(work.events.kind == 0)
    warm = int(new[WARM_ORDERS])
    if warm + measured > new[-1]:
        raise RuntimeError("too few events generated")
    return work, warm


def _answer(pipe: Connection, timeout: float) -> Any:
    if not pipe.poll(timeout):
        raise TimeoutError("a harness process did not answer")
    return pipe.recv()


def _wait(job: Job, visible: Synchronized[int], want: int, timeout: float, must: bool = True) -> bool:
    deadline = time.monotonic() + timeout
    while visible.value < want:
        job.process.check()
        if time.monotonic() > deadline:
            if must:
                raise TimeoutError(f"{visible.value} of {want} outputs visible")
            return False
        time.sleep(0.05)
    return True


def _send(bootstrap: str, rate: int, total: int, warm: int, measured: int, seed: int, pipe: Connection) -> None:
    """The sending process: encodes ahead, warms up on demand, then sends on schedule."""
    work, _ = _workload(measured, seed)
    messages = _messages(work, work.events.part(0, total))
    to = cluster.producer(bootstrap, linger_ms=1)
    pipe.send("encoded")
    pipe.recv()
    _paced(to, messages[:warm], WARM_RATE)
    to.flush(60)
    pipe.send("warm")
    pipe.recv()
    pipe.send(_paced(to, messages[warm:], rate))


def _messages(work: Workload, events: Events) -> list[tuple[str, bytes, bytes, bytes]]:
    """Per event: topic, key, and the value before and after the eight bytes of occurredAt."""
    rows: list[Any] = [None] * len(events)
    for topic, encoded in zip((cluster.STATUS, cluster.EXECUTIONS), wire.encode(work, events), strict=True):
        cut = encoded.occurred_offset
        for at, key, value in zip(encoded.index.tolist(), encoded.keys, encoded.values, strict=True):
            rows[at] = (topic, key, value[:cut], value[cut + 8 :])
    return rows


def _paced(to: Any, messages: list[tuple[str, bytes, bytes, bytes]], rate: int) -> Sent:
    """Sends open-loop: each message as soon as it is due, whatever the job does."""
    produce, now_ns, count = to.produce, time.time_ns, len(messages)
    behind: list[float] = []
    cpu = time.process_time()
    start_micros = now_ns() // 1_000
    start = time.perf_counter()
    sent = 0
    while sent < count:
        elapsed = time.perf_counter() - start
        due = min(count, int(elapsed * rate))
        if due > sent:
            behind.append(elapsed - sent / rate)
            for topic, key, head, tail in messages[sent:due]:
                micros = now_ns() // 1_000
                produce(topic, head + wire.micros_bytes(micros) + tail, key, timestamp=micros // 1_000)
            sent = due
            to.poll(0)
        time.sleep(0.001)
    seconds = time.perf_counter() - start
    to.flush(30)
    late = np.array(behind) * 1e3
    return Sent(
        start_micros,
        seconds,
        time.process_time() - cpu,
        float(np.percentile(late, 99)),
        float(late.max()),
    )


def _receive(bootstrap: str, partitions: int, visible: Synchronized[int], pipe: Connection) -> None:
    """The receiving process: notes the time of each output as it becomes visible."""
    consumer = cluster.reader(bootstrap, cluster.ENRICHMENT, [0] * partitions)
    values: list[bytes] = []
    receipt: list[int] = []
    poll, now_ns = consumer.poll, time.time_ns
    while not pipe.poll():
        for _ in range(2_000):
            message = poll(0.1)
            if message is None:
                break
            receipt.append(now_ns() // 1_000)
            values.extend(cluster.good([message]))
            visible.value = len(values)
    consumer.close()
    batch = wire.decode(values, cluster.ENRICHMENT)
    pipe.send(
        Received(
            wire.order_numbers(batch),
            wire.ints(batch.column("sequence")),
            wire.ints(batch.column("occurredAt")),
            np.array(receipt, dtype=np.int64),
        )
    )


def _counts(orders: int, want: Ints, received: Received) -> dict[str, int]:
    """Outputs lost and duplicated, by order and sequence."""
    pairs = received.order * 1_000 + received.sequence
    unique = np.unique(pairs)
    due = np.bincount(want, minlength=orders)
    got = np.bincount(unique // 1_000, minlength=orders)
    return {
        "expected": len(want),
        "received": len(pairs),
        "lost": int(np.maximum(due - got, 0).sum()),
        "duplicated": len(pairs) - len(unique) + int(np.maximum(got - due, 0).sum()),
    }


def _delays(received: Received, since_micros: int) -> NDArray[np.float64]:
    measured = received.occurred_at >= since_micros
    return (received.receipt[measured] - received.occurred_at[measured]) / 1e3


def _percentiles(delay: NDArray[np.float64]) -> dict[str, float]:
    names = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99, "p99_9_ms": 99.9, "max_ms": 100}
    return {name: round(float(np.percentile(delay, q)), 2) for name, q in names.items()} if len(delay) else {}
