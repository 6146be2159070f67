"""The flow `views` for `python -m bytewax.run flows.views`; see config/topologies/views.yaml."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from flows.runner import flow_for_runner


def __getattr__(name: str) -> Dataflow:
    return flow_for_runner("views", name, __name__)
