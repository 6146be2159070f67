"""A topology is described as text and as Mermaid."""

from config.topology import load_topology
from config.topology_text import describe_mermaid, describe_text

TEXT = """\
flow order_status: 32 key groups, epoch engine.epoch_ms
sources
  status      orders.status where eventType = ORDER_STATUS_CHANGED
  executions  orders.executions
  fees        reference.symbols (broadcast)
steps
  join  join_status_executions by order from status, executions, broadcast fees, retain 7d
outputs
  join.consolidated  to orders.status
  join.enriched      to orders.enrichment
on error
  decode   dead_letter
  process  dead_letter
  topic    orders.dlq"""

MERMAID = """\
flowchart LR
  topic_orders_dlq[("orders.dlq")]
  topic_orders_enrichment[("orders.enrichment")]
  topic_orders_executions[("orders.executions")]
  topic_orders_status[("orders.status")]
  topic_reference_symbols[("reference.symbols")]
  step_join["join<br/>join_status_executions by order"]
  topic_orders_status -->|"eventType = ORDER_STATUS_CHANGED"| step_join
  topic_orders_executions --> step_join
  topic_reference_symbols -.-> step_join
  step_join -->|"consolidated"| topic_orders_status
  step_join -->|"enriched"| topic_orders_enrichment
  step_join -.->|failed| topic_orders_dlq"""

TWO_STEPS = """\
flow: demo
epoch: 100ms
sources:
  status: {topic: orders.status}
steps:
  - {id: first, operator: a, from: [status], key: order}
  - {id: second, operator: b, from: [first.out], key: account, state: {flush: 2s}}
on_error: {decode: stop, process: stop}
"""


def write_order_status(tmp_path):
    file = tmp_path / "order_status.yaml"
    file.write_text(
        """\
flow: order_status
sources:
  status:     {topic: orders.status, where: {eventType: ORDER_STATUS_CHANGED}}
  executions: {topic: orders.executions}
  fees:       {topic: reference.symbols, broadcast: true}
steps:
  - id: join
    operator: join_status_executions
    from: [status, executions]
    key: order
    broadcast: [fees]
    state: {retain: 7d}
outputs:
  - {from: join.consolidated, topic: orders.status}
  - {from: join.enriched,     topic: orders.enrichment}
"""
    )
    return load_topology(file)


def test_a_flow_is_described_as_text(tmp_path):
    assert describe_text(write_order_status(tmp_path)) == TEXT


def test_a_flow_is_described_as_a_mermaid_flowchart(tmp_path):
    assert describe_mermaid(write_order_status(tmp_path)) == MERMAID


def test_streams_between_steps_and_settings_of_state_are_described(tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text(TWO_STEPS)
    topology = load_topology(file)
    assert "flow demo: 32 key groups, epoch 100ms" in describe_text(topology)
    assert "second  b by account from first.out, flush 2s" in describe_text(topology)
    assert '  step_first -->|"out"| step_second' in describe_mermaid(topology)
    assert "failed" not in describe_mermaid(topology)
