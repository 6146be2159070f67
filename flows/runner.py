"""Flows for Bytewax's own runner: `python -m bytewax.run flows.order_status`.

The runner imports a module and takes its `flow`. Ours make it when asked for, with settings from the environment, so
that importing still does nothing. What the runner does not know is put right here: its default epoch of ten seconds,
which suits its recovery store rather than our transactions, which of its processes this is, and that Ctrl-C and SIGTERM
end a flow after what it read is committed.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from bytewax.dataflow import Dataflow

from config import logs
from config.settings import load_settings
from flows.assembly import Assembly
from flows.connect import open_flow
from flows.dataflow import dataflow
from flows.peers import wait_until_listening
from flows.process import stopped_by_signals
from operators.stream.lane import LaneSource
from sinks.committer import CommitterSink


def flow_for_runner(name: str, attribute: str, module: str) -> Dataflow:
    """The module attribute `flow`, made on demand; any other attribute is missing, as in any module."""
    if attribute != "flow":
        raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
    arguments = _runner_arguments()
    addresses = arguments.get("addresses") or []
    settings = load_settings(None, os.environ)
    flow = open_flow(settings, name)
    arguments["epoch_interval"] = timedelta(milliseconds=flow.epoch_ms)
    index = int(arguments.get("process_id") or 0)
    assembly = Assembly(flow, index=index, count=max(1, len(addresses)))
    assembly.__enter__()
    atexit.register(assembly.release)
    if arguments:  # the process is the runner's, and nobody else has set up its logs and signals
        logs.setup(settings.logs.level, settings.logs.format)
        signals = ExitStack()
        signals.enter_context(stopped_by_signals(assembly.lane_state))
        atexit.register(signals.close)
    wait_until_listening(addresses[:index])
    source = LaneSource(index, lambda: assembly.lane(clock=time.time))
    sink = CommitterSink(assembly.committer())
    return dataflow(assembly.plan, assembly.pipeline, source, sink, pace=assembly.pace, agreement=assembly.agreement)


def _runner_arguments() -> dict[str, Any]:
    """What the runner is about to call Bytewax with; an empty dictionary where another program imports the module."""
    runner = sys.modules["__main__"]
    if getattr(runner, "__spec__", None) is None or runner.__spec__.name != "bytewax.run":  # type: ignore[union-attr]
        return {}
    arguments: dict[str, Any] = vars(runner).get("kwargs", {})
    return arguments
