"""A plan as a Bytewax dataflow: lane, segments with an exchange between them, committer."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from operators.stream.exchange import Route
from operators.stream.lane import LaneSource
from operators.stream.pace import Pace, Rest, rest_keys
from operators.stream.pipeline import Pipeline, Plan, Work
from operators.stream.records import Item, Outcome, Part
from sinks.committer import PART, CommitterSink


def dataflow(plan: Plan, pipeline: Pipeline, source: LaneSource, sink: CommitterSink, *, pace: Pace | None) -> Dataflow:
    """The flow as Bytewax runs it: alone, a single kernel between lane and committer; with a pace, distributed.

    Every branch ends in the committer: the outcome of each segment, and the works that the next exchange takes on.
    """
    flow = Dataflow(plan.flow)
    items = op.input("lane", flow, source)
    if pace is None:
        outcomes = op.flat_map_batch("process", items, pipeline.run)
        op.output("commit", op.map("to_committer", outcomes, _to_committer), sink)
        return flow

    def first(batch: list[Item]) -> list[Work]:
        works = pipeline.read(batch)
        for work in works:
            pipeline.run_segment(0, work, exchanged=False)
        return works

    works = [op.flat_map_batch("segment_0", items, first)]
    for index in range(1, len(plan.segments)):
        feeding = [works[earlier] for earlier in feeders(plan, index)]
        works.append(_exchange(index, op.merge(f"feeders_{index}", *feeding), pipeline))
    done = [op.map(f"outcome_{index}", each, _outcome) for index, each in enumerate(works)]
    done.append(_rests(items, pace))
    op.output("commit", op.map("to_committer", op.merge("outcomes", *done), _to_committer), sink)
    return flow


def feeders(plan: Plan, index: int) -> list[int]:
    """The segments whose works a segment needs: those with rows for it, and the one before, whose ticks reach it."""
    wanted = {name for step in plan.segments[index] for name in step.inputs.values()}
    made = [{f"{step.id}.{stream}" for step in segment for stream in step.stream_topics} for segment in plan.segments]
    made[0] |= {name for name in wanted if "." not in name}  # sources are read in the first segment
    return [earlier for earlier in range(index) if earlier == index - 1 or made[earlier] & wanted]


def _exchange(index: int, works: Any, pipeline: Pipeline) -> Any:
    """Works cut by key group, brought to the groups' owners, and run through a segment."""

    def split(work: Work) -> list[tuple[str, Part]]:
        return pipeline.parts(index, work)

    def run(batch: list[tuple[str, Part]]) -> list[Work]:
        gathered = pipeline.gather([part for _, part in batch])
        for work in gathered:
            pipeline.run_segment(index, work, exchanged=True)
        return gathered

    routed = op.stateful_batch(f"route_{index}", op.flat_map(f"rekey_{index}", works, split), Route)
    return op.flat_map_batch(f"segment_{index}", routed, run)


def _rests(items: Any, pace: Pace) -> Any:
    """The operator in which workers rest, as a stream of no outcomes."""
    unsent = rest_keys()

    def keys(_: Item) -> list[tuple[str, None]]:
        keys, unsent[:] = list(unsent), []
        return keys

    rests = op.stateful_batch("rest", op.flat_map("rest_keys", items, keys), lambda _: Rest(pace))
    return op.flat_map("rested", rests, lambda _: [])


def _outcome(work: Work) -> Outcome:
    return work.outcome


def _to_committer(outcome: Outcome) -> tuple[str, Outcome]:
    return PART, outcome
