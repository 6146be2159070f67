"""The checks of a topology against the operators there are: their names, options, keys, inputs and streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from config.errors import Problem
from config.options import convert, suggest
from config.topics import TOPICS
from config.topology_draft import Draft, OutputDraft, StepDraft
from config.topology_nodes import OperatorSpec, Source
from config.topology_structure import consumed, split_reference
from config.yaml_positions import MappingNode, PlacedText


class OperatorCheck:
    """One check of a draft; `problems` and the typed `options` of each step that has some, by step id."""

    def __init__(self, draft: Draft, operators: Mapping[str, OperatorSpec]) -> None:
        self.problems: list[Problem] = []
        self.options: dict[str, object] = {}
        self._draft, self._operators = draft, operators
        self._outputs = self._streams_by_step()
        for step in draft.steps:
            self._check_step(step)
        for output in draft.outputs:
            self.problems.extend(self._output_problems(output))
        self.problems.extend(self._dangling_streams())

    def option_problems(self) -> Iterator[Problem]:
        """What is wrong with the files and the like that options point to, told at the options."""
        for step in self._draft.steps:
            spec = self._spec(step)
            if spec is None or spec.option_problems is None or step.id not in self.options:
                continue
            place = step.place if step.options is None else step.options.place
            for problem in spec.option_problems(self.options[step.id]):
                yield place.problem(f"step {step.id!r}: {problem}")

    def _streams_by_step(self) -> dict[str, dict[str, str] | None]:
        """The streams of each step and what they carry; None where its operator is not known."""
        found: dict[str, dict[str, str] | None] = {}
        for step in self._draft.steps:
            if step.id is None:
                continue
            spec, before = self._spec(step), found.get(step.id, {})
            found[step.id] = None if spec is None or before is None else {**before, **spec.outputs}
        return found

    def _spec(self, step: StepDraft) -> OperatorSpec | None:
        return None if step.operator is None else self._operators.get(step.operator)

    def _check_step(self, step: StepDraft) -> None:
        if step.operator is None:
            return  # it is missing or no text, which is reported
        spec = self._operators.get(step.operator)
        if spec is None:
            hint = suggest(step.operator, self._operators)
            self.problems.append(step.operator.place.problem(f"unknown operator {step.operator!r}{hint}"))
            return
        options = self._read_options(step, spec)
        if options is not None and step.id is not None:
            self.options[step.id] = options
        self.problems.extend(_key_and_broadcast_problems(step, spec))
        self.problems.extend(self._input_problems(step, spec))

    def _read_options(self, step: StepDraft, spec: OperatorSpec) -> object:
        if spec.options is not None:
            return convert(step.options or MappingNode({}, step.place), spec.options, self.problems)
        if step.options is not None and step.options.entries:
            self.problems.append(step.options.place.problem(f"operator {spec.name!r} has no options"))
        return None

    def _input_problems(self, step: StepDraft, spec: OperatorSpec) -> Iterator[Problem]:
        roles = list(spec.inputs)
        if not step.inputs:
            return  # it reads nothing, which is reported
        if len(step.inputs) != len(roles):
            yield step.place.problem(
                f"operator {spec.name!r} reads {len(roles)} inputs ({', '.join(roles)}), "
                f"`from` names {len(step.inputs)}"
            )
            for reference in step.inputs:
                yield from self._unknown_stream(reference)
            return
        for role, reference in zip(roles, step.inputs, strict=True):
            yield from self._unknown_stream(reference)
            carried, wanted = self._carried(reference), spec.inputs[role]
            if carried is not None and wanted is not None and carried != wanted:
                yield reference.place.problem(
                    f"input {role!r} of operator {spec.name!r} reads {wanted}, {reference!r} carries {carried}"
                )

    def _output_problems(self, output: OutputDraft) -> Iterator[Problem]:
        if output.stream is None:
            return
        yield from self._unknown_stream(output.stream)
        carried = self._carried(output.stream) if "." in output.stream else None
        if carried is None or output.topic is None or output.topic not in TOPICS:
            return
        wanted = TOPICS[output.topic].schema
        if carried != wanted:
            holds = f"holds {wanted}" if wanted else "has no schema"
            yield output.place.problem(f"{output.stream!r} carries {carried}, topic {output.topic!r} {holds}")

    def _carried(self, reference: PlacedText) -> str | None:
        """The record that a source or stream carries; None where that cannot be known, for a reason told elsewhere."""
        name, stream = split_reference(reference)
        if stream is not None:
            return (self._outputs.get(name) or {}).get(stream)
        source = self._draft.sources.get(name)
        if source is None or source.topic not in TOPICS:
            return None
        return TOPICS[source.topic].schema

    def _unknown_stream(self, reference: PlacedText) -> Iterator[Problem]:
        name, stream = split_reference(reference)
        streams = self._outputs.get(name)
        if stream is not None and streams is not None and stream not in streams:
            operators = {step.operator for step in self._draft.steps if step.id == name}
            hint = suggest(stream, streams) or "; it has none"
            yield reference.place.problem(f"operator {'/'.join(map(str, operators))!r} has no stream {stream!r}{hint}")

    def _dangling_streams(self) -> Iterator[Problem]:
        streams = [f"{step_id}.{stream}" for step_id, known in self._outputs.items() for stream in known or ()]
        used = consumed(self._draft, streams)
        for step in self._draft.steps:
            spec = self._spec(step)
            for stream in spec.outputs if spec is not None else ():
                if step.id is not None and f"{step.id}.{stream}" not in used:
                    yield step.id.place.problem(
                        f"stream '{step.id}.{stream}' is consumed by nobody: add an output for it"
                    )


def field_problems(sources: Mapping[str, Source], fields: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Fields that a source selects by or takes its time from, and that its topic's records (`fields`) do not have."""
    for name, source in sources.items():
        if source.topic not in fields:
            continue  # an unknown topic, which is reported
        known = fields[source.topic]
        for wanted in (*source.where, source.event_time):
            if wanted not in known:
                hint = suggest(wanted, known)
                yield source.topic.place.problem(
                    f"source {name!r}: records of {source.topic!r} have no field {wanted!r}{hint}"
                )


def _key_and_broadcast_problems(step: StepDraft, spec: OperatorSpec) -> Iterator[Problem]:
    if step.key is not None and step.key not in spec.keys:
        known = ", ".join(sorted(spec.keys))
        yield step.key.place.problem(f"operator {spec.name!r} cannot be keyed by {step.key!r}, only by {known}")
    for name in sorted(spec.needs_broadcast.difference(step.broadcast)):
        yield step.place.problem(f"operator {spec.name!r} needs the broadcast source {name!r}")
    for given in step.broadcast:
        if given not in spec.needs_broadcast:
            yield given.place.problem(f"operator {spec.name!r} does not read the broadcast source {given!r}")
