"""A plan as a Bytewax dataflow: lane, segments with an exchange between them, committer."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from operators.stream.agreement import Agreement, Told
from operators.stream.exchange import AgreementSink, Route, everyone
from operators.stream.lane import LaneSource
from operators.stream.pace import Pace, Rest, rest_keys
from operators.stream.pipeline import Pipeline, Plan, Work
from operators.stream.records import Item, Outcome, Part
from sinks.committer import PART, CommitterSink


def dataflow(
    plan: Plan,
    pipeline: Pipeline,
    source: LaneSource,
    sink: CommitterSink,
    *,
    pace: Pace | None = None,
    agreement: Agreement | None = None,
) -> Dataflow:
    """The flow as Bytewax runs it: alone, a single kernel between lane and committer; with an agreement, distributed.

    Every branch ends in the committer: the outcome of each segment, and the works that the next exchange takes on;
    but for what lanes tell each other.
    """
    flow = Dataflow(plan.flow)
    items = op.input("lane", flow, source)
    if pace is None or agreement is None:
        outcomes = op.flat_map_batch("process", items, pipeline.run)
        op.output("commit", op.map("to_committer", outcomes, _to_committer), sink)
        return flow

    def first(batch: list[Item]) -> list[Work]:
        works = pipeline.read(batch)
        for work in works:
            pipeline.run_segment(0, work, exchanged=False)
        return works

    works = [op.flat_map_batch("segment_0", op.filter("works", items, _works), first)]
    for index in range(1, len(plan.segments)):
        feeding = [works[earlier] for earlier in plan.feeders(index)]
        works.append(_exchange(index, op.merge(f"feeders_{index}", *feeding), pipeline))
    done = [op.map(f"outcome_{index}", each, _outcome) for index, each in enumerate(works)]
    done.append(_rests(items, pace, agreement))
    _agree(items, agreement)
    op.output("commit", op.map("to_committer", op.merge("outcomes", *done), _to_committer), sink)
    return flow


def _exchange(index: int, works: Any, pipeline: Pipeline) -> Any:
    """Works cut by the owners of their key groups, brought to these, and run through a segment."""

    def split(work: Work) -> list[tuple[str, Part]]:
        return pipeline.parts(index, work)

    def run(batch: list[tuple[str, Part]]) -> list[Work]:
        gathered = pipeline.gather(index, [part for _, part in batch])
        for work in gathered:
            pipeline.run_segment(index, work, exchanged=True)
        return gathered

    routed = op.stateful_batch(f"route_{index}", op.flat_map(f"rekey_{index}", works, split), Route)
    return op.flat_map_batch(f"segment_{index}", routed, run)


def _rests(items: Any, pace: Pace, agreement: Agreement) -> Any:
    """The operator in which workers rest and learn their addresses, as a stream of no outcomes."""
    unsent = rest_keys() if agreement.index == 0 else []

    def keys(_: Item) -> list[tuple[str, str]]:
        keys, unsent[:] = list(unsent), []
        return keys

    rests = op.stateful_batch(
        "rest", op.flat_map("rest_keys", items, keys), lambda _: Rest(pace, reached=agreement.lives_at)
    )
    return op.flat_map("rested", rests, lambda _: [])


def _agree(items: Any, agreement: Agreement) -> None:
    """What a lane tells, brought to every process."""

    def tell(item: Item) -> list[tuple[str, Told]]:
        return [] if item.told is None else [(key, item.told) for key in everyone(agreement.count)]

    op.output("agree", op.flat_map("tell", items, tell), AgreementSink(agreement))


def _works(item: Item) -> bool:
    return not item.tells_only


def _outcome(work: Work) -> Outcome:
    return work.outcome


def _to_committer(outcome: Outcome) -> tuple[str, Outcome]:
    return PART, outcome
