"""The flow `risk_check` for `python -m bytewax.run flows.risk_check`; see config/topologies/risk_check.yaml."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from flows.runner import flow_for_runner


def __getattr__(name: str) -> Dataflow:
    return flow_for_runner("risk_check", name, __name__)
