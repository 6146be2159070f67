"""The flow `order_status` for `python -m bytewax.run flows.order_status`; see config/topologies/order_status.yaml."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from flows.runner import flow_for_runner


def __getattr__(name: str) -> Dataflow:
    return flow_for_runner("order_status", name, __name__)
