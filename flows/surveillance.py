"""The flow `surveillance` for `python -m bytewax.run flows.surveillance`; see config/topologies/surveillance.yaml."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from flows.runner import flow_for_runner


def __getattr__(name: str) -> Dataflow:
    return flow_for_runner("surveillance", name, __name__)
