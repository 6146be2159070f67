"""A topology described: as text for a terminal, as Mermaid for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from config.topology_nodes import Source, Step, Topology
from config.topology_structure import split_reference
from config.units import format_duration_micros


def describe_text(topology: Topology) -> str:
    """Sources, steps and outputs of a flow, a line each."""
    epoch = _duration(topology.epoch_ms) if topology.epoch_ms is not None else "engine.epoch_ms"
    lines = [f"flow {topology.flow}: {topology.key_groups} key groups, epoch {epoch}"]
    lines += _block("sources", ((name, _source_text(source)) for name, source in topology.sources.items()))
    lines += _block("steps", ((step.id, _step_text(step)) for step in topology.steps))
    lines += _block("outputs", ((output.stream, f"to {output.topic}") for output in topology.outputs))
    on_error = topology.on_error
    lines += _block("on error", [("decode", on_error.decode), ("process", on_error.process), ("topic", on_error.topic)])
    return "\n".join(lines)


def describe_mermaid(topology: Topology) -> str:
    """The flow as a Mermaid flowchart: topics as cylinders, steps as boxes, broadcast sources dotted."""
    lines = ["flowchart LR", *_mermaid_nodes(topology)]
    for step in topology.steps:
        for reference in step.inputs:
            name, stream = split_reference(reference)
            if stream is not None:
                lines.append(f'  step_{name} -->|"{stream}"| step_{step.id}')
                continue
            source = topology.sources[name]
            label = f'|"{_where(source)}"|' if source.where else ""
            lines.append(f"  {_topic_id(source.topic)} -->{label} step_{step.id}")
        lines += [f"  {_topic_id(topology.sources[name].topic)} -.-> step_{step.id}" for name in step.broadcast]
    for output in topology.outputs:
        step_id, stream = split_reference(output.stream)
        lines.append(f'  step_{step_id} -->|"{stream}"| {_topic_id(output.topic)}')
    if "dead_letter" in (topology.on_error.decode, topology.on_error.process):
        lines += [f"  step_{step.id} -.->|failed| {_topic_id(topology.on_error.topic)}" for step in topology.steps]
    return "\n".join(lines)


def _mermaid_nodes(topology: Topology) -> Iterator[str]:
    for topic in sorted(topology.topics()):
        yield f'  {_topic_id(topic)}[("{topic}")]'
    for step in topology.steps:
        yield f'  step_{step.id}["{step.id}<br/>{step.operator} by {step.key}"]'


def _topic_id(topic: str) -> str:
    return "topic_" + topic.replace(".", "_").replace("-", "_")


def _source_text(source: Source) -> str:
    where = f" where {_where(source)}" if source.where else ""
    return source.topic + where + (" (broadcast)" if source.broadcast else "")


def _where(source: Source) -> str:
    return " and ".join(f"{name} = {value}" for name, value in source.where.items())


def _step_text(step: Step) -> str:
    text = f"{step.operator} by {step.key} from {', '.join(step.inputs)}"
    if step.broadcast:
        text += f", broadcast {', '.join(step.broadcast)}"
    if step.state is not None and step.state.retain_ms is not None:
        text += f", retain {_duration(step.state.retain_ms)}"
    if step.state is not None and step.state.flush_ms is not None:
        text += f", flush {_duration(step.state.flush_ms)}"
    return text


def _duration(milliseconds: int) -> str:
    return format_duration_micros(milliseconds * 1_000)


def _block(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    yield title
    width = max(len(name) for name, _ in listed)
    for name, text in listed:
        yield f"  {name.ljust(width)}  {text}"
