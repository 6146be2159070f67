"""One process of a flow, run by Bytewax until its end, until it is told to stop, or until the world breaks."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Final

import structlog
from bytewax.testing import cluster_main, run_main

from config.errors import PeerGoneError
from flows.assembly import Assembly, Flow, Observers
from flows.dataflow import dataflow
from flows.failure import FirstError, root_of
from flows.peers import wait_until_listening
from operators.stream.lane import Lane, LaneSource, LaneState
from sinks.committer import CommitterSink

COLLECT_AFTER: Final = 200_000
"""Objects allocated and not freed before Python looks for cycles among the youngest: several batches of records."""

log = structlog.get_logger(__name__)


def run_process(
    flow: Flow,
    *,
    index: int = 0,
    addresses: Sequence[str] = (),
    until_end: bool = False,
    observers: Observers | None = None,
    on_error: Callable[[BaseException], object] = lambda _: None,
) -> bool:
    """Runs process `index` of those at `addresses` (host:port of each, in order), or the only one.

    Returns when everything read was committed: False at the end with `until_end`, True after SIGTERM or Ctrl-C.
    `on_error` is told the first error where it is raised, in case the process does not live to raise it here.

    Raises:
        BrokenWorldError: the flow cannot go on; a restart resumes exactly after the last committed epoch. It is a
            `PeerGoneError` if the cause lies in another process.
        ConfigurationError: the topology or the topics are wrong; nothing was started.

    """
    assembly = Assembly(flow, index=index, count=max(1, len(addresses)), until_end=until_end, observers=observers)
    _calm_collector()
    with assembly, stopped_by_signals(assembly.lane_state):
        _run(assembly, index, addresses, FirstError(on_error), epoch_ms=flow.epoch_ms)
    return assembly.lane_state.stopping


def _run(assembly: Assembly, index: int, addresses: Sequence[str], first: FirstError, *, epoch_ms: int) -> None:
    def lane() -> Lane:
        return first.watch(assembly.lane(clock=time.time), "next_batch", "snapshot")

    source = LaneSource(index, first.watched(lane))
    committer = assembly.committer()
    sink = CommitterSink(first.watch(committer, "write_batch", "snapshot") if committer is not None else None)
    first.watch(assembly.pipeline, "run", "read", "run_segment", "parts", "gather")
    wait_until_listening(addresses[:index])
    graph = dataflow(assembly.plan, assembly.pipeline, source, sink, pace=assembly.pace, agreement=assembly.agreement)
    try:
        # Called `testing` by Bytewax, but it is the entry point that takes an epoch interval and addresses as values.
        epoch = timedelta(milliseconds=epoch_ms)
        if addresses:
            cluster_main(graph, list(addresses), index, epoch_interval=epoch, worker_count_per_proc=1)
        else:
            run_main(graph, epoch_interval=epoch)
    except BaseException as error:
        root = first.error or root_of(error)
        if root is not error:
            raise root from error
        # Bytewax panics when a peer's connection breaks; its exception is no `Exception`.
        if type(error).__name__ == "PanicException":
            raise PeerGoneError(f"another process of the flow is gone, and its log says why: {error}") from error
        raise


def _calm_collector() -> None:
    """Makes Python look for cycles rarely: counting references frees batches, and a look goes through all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 100)


@contextmanager
def stopped_by_signals(lane: LaneState) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the lane, so that everything read is committed and stores are closed cleanly.

    Bytewax answers the exception of a Ctrl-C with a panic. A second Ctrl-C is that of Python: it ends at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        log.info("stopping: what was read is committed first")
        lane.stopping = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
