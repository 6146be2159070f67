"""The checks of a topology's structure, which need no knowledge of any operator."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from config.errors import Problem
from config.options import suggest
from config.topics import TOPICS
from config.topology_draft import Draft, OutputDraft, StepDraft
from config.topology_nodes import Step
from config.yaml_positions import PlacedText


class _Wired(Protocol):
    """A step, or what can be read of one."""

    @property
    def id(self) -> PlacedText | None: ...

    @property
    def inputs(self) -> tuple[PlacedText, ...]: ...


W = TypeVar("W", bound=_Wired)


def structure_problems(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with how the parts of a topology refer to each other, as far as they can be read.

    References may name what is declared but unreadable: that is reported already, and once is enough.
    """
    yield from draft.problems
    yield from _duplicate_ids(draft.steps)
    for step in draft.steps:
        yield from _step_problems(draft, step)
    yield from _output_problems(draft)
    yield from _unknown_topics(draft)
    yield from _unused_sources(draft)
    yield from _endless_loops(draft)
    yield from _cycles(draft.steps)


def split_reference(reference: str) -> tuple[str, str | None]:
    """Step id and stream of `step.stream`; the source's name and None of a plain name."""
    name, _, stream = reference.partition(".")
    return name, stream or None


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps with every one after those it reads from, otherwise as declared."""
    return _sorted(steps)[0]


def consumed(draft: Draft, known: Iterable[str]) -> set[str]:
    """Those of the known sources or streams that something refers to, if only by a misspelled name or their step's."""
    names = set(known)
    references = {reference for step in draft.steps for reference in (*step.inputs, *step.broadcast)}
    references |= {output.stream for output in draft.outputs if output.stream is not None}
    found: set[str] = set()
    for reference in references:
        step, stream = split_reference(reference)
        of_step = [name for name in names if name.startswith(f"{step}.")]
        if reference in names:
            found.add(reference)
        elif of_step and stream is not None:
            streams = [name.removeprefix(f"{step}.") for name in of_step]
            found.update(f"{step}.{near}" for near in difflib.get_close_matches(stream, streams, n=1))
        else:
            found.update(of_step or difflib.get_close_matches(reference, names, n=1))
    return found


def _duplicate_ids(steps: Sequence[StepDraft]) -> Iterator[Problem]:
    first: dict[str, PlacedText] = {}
    for step in steps:
        if step.id is None:
            continue
        if step.id in first:
            yield step.id.place.problem(f"step id {step.id!r} is taken, see line {first[step.id].place.line}")
        first.setdefault(step.id, step.id)


def _step_problems(draft: Draft, step: StepDraft) -> Iterator[Problem]:
    if step.whole is not None and not step.inputs:
        yield step.place.problem(f"step {step.id!r} reads nothing: name its inputs in `from`")
    for reference in step.inputs:
        yield from _reference_problem(draft, reference)
        if reference in draft.sources and draft.sources[reference].broadcast:
            yield reference.place.problem(f"{reference!r} is a broadcast source: name it in `broadcast`")
    for name in step.broadcast:
        if name not in draft.source_places:
            yield name.place.problem(f"unknown source {name!r}{suggest(name, draft.source_places)}")
        elif name in draft.sources and not draft.sources[name].broadcast:
            yield name.place.problem(f"{name!r} is no broadcast source: declare it with `broadcast: true`")


def _output_problems(draft: Draft) -> Iterator[Problem]:
    seen: dict[tuple[str, str], OutputDraft] = {}
    for output in draft.outputs:
        if output.stream is None:
            continue
        if "." not in output.stream:
            yield output.stream.place.problem(f"{output.stream!r} is no stream of a step: write `step.stream`")
            continue
        yield from _reference_problem(draft, output.stream)
        if output.topic is None:
            continue
        earlier = seen.setdefault((output.stream, output.topic), output)
        if earlier is not output:
            line = earlier.place.line
            yield output.place.problem(f"{output.stream!r} goes to {output.topic!r} already, see line {line}")


def _reference_problem(draft: Draft, reference: PlacedText) -> Iterator[Problem]:
    name, stream = split_reference(reference)
    steps = {step.id for step in draft.steps if step.id is not None}
    if stream is not None and name not in steps:
        yield reference.place.problem(f"unknown step {name!r}{suggest(name, steps)}")
    elif stream is None and name in steps:
        yield reference.place.problem(f"{name!r} is a step: name one of its streams, `{name}.<stream>`")
    elif stream is None and name not in draft.source_places:
        yield reference.place.problem(f"unknown source {name!r}{suggest(name, draft.source_places)}")


def _unknown_topics(draft: Draft) -> Iterator[Problem]:
    named = [source.topic for source in draft.sources.values()]
    named += [output.topic for output in draft.outputs if output.topic is not None]
    for topic in [*named, draft.on_error.topic]:
        if topic not in TOPICS:
            yield topic.place.problem(f"unknown topic {topic!r}{suggest(topic, TOPICS)}")


def _unused_sources(draft: Draft) -> Iterator[Problem]:
    used = consumed(draft, draft.source_places)
    for name, place in draft.source_places.items():
        if name not in used:
            yield place.problem(f"source {name!r} is read by no step: remove it or use it")


def _endless_loops(draft: Draft) -> Iterator[Problem]:
    """A flow may write to a topic it reads only if it reads a part of it, or it would feed on itself for ever."""
    written = {output.topic for output in draft.outputs}
    for name, source in draft.sources.items():
        if source.topic in written and not source.where:
            yield source.topic.place.problem(
                f"the flow writes to {source.topic!r} too: give source {name!r} a `where` that leaves those out"
            )


def _cycles(steps: Sequence[StepDraft]) -> Iterator[Problem]:
    if len({step.id for step in steps}) < len(steps):
        return  # an id that is given twice, which is reported, says nothing about who reads from whom
    for step in _sorted(steps)[1]:
        place = step.place if step.id is None else step.id.place
        yield place.problem(f"step {step.id!r} is part of a cycle: it would wait for its own output")


def _sorted(steps: Sequence[W]) -> tuple[list[W], list[W]]:
    """The steps with every one after those it reads from, otherwise as declared; and those that cycles leave over."""
    done: list[W] = []
    waiting = list(steps)
    while waiting:
        unread = {other.id for other in waiting}
        ready = [step for step in waiting if not _needs(step) & unread]
        if not ready:
            break
        done += ready
        waiting = [step for step in waiting if step not in ready]
    return done, waiting


def _needs(step: _Wired) -> set[str | None]:
    return {name for name, stream in map(split_reference, step.inputs) if stream is not None}
