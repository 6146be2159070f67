"""A topology declares a flow as data: loading it from YAML, and validating it against the operators there are.

Loading checks the structure, and against the operators where they are given; every problem is told at once, with file
and line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from config.errors import ConfigurationError, Problem
from config.options import suggest
from config.topology_draft import draft_of, read_draft
from config.topology_nodes import OnError, OperatorSpec, Output, Source, Step, StepState, Topology
from config.topology_operators import OperatorCheck, field_problems
from config.topology_structure import in_order, split_reference, structure_problems

__all__ = [
    "OnError",
    "OperatorSpec",
    "Output",
    "Source",
    "Step",
    "StepState",
    "Topology",
    "load_topology",
    "split_reference",
    "topology_names",
    "validate",
]

_FOLDER = Path(__file__).parent / "topologies"


def topology_names() -> list[str]:
    """The flows whose topologies ship with the product."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def load_topology(
    flow_or_file: str | Path,
    operators: Mapping[str, OperatorSpec] | None = None,
    fields: Mapping[str, Sequence[str]] | None = None,
) -> Topology:
    """The topology of a flow that ships with us, or of a YAML file; `ConfigurationError` lists every problem.

    With `operators`, what contradicts them is among the problems, and with `fields`, the names of the fields that the
    records of each topic have, what their records do not have; without, only the structure is checked.
    """
    text = str(flow_or_file)
    if isinstance(flow_or_file, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        draft = read_draft(Path(text))
    elif text in topology_names():
        draft = read_draft(_FOLDER / f"{text}.yaml", f"config/topologies/{text}.yaml")
    else:
        raise ConfigurationError([Problem(f"there is no flow {text!r}{suggest(text, topology_names())}")])
    problems = list(structure_problems(draft))
    if operators is not None:
        check = OperatorCheck(draft, operators)
        problems += [*check.problems, *check.option_problems()]
    if fields is not None:
        problems += field_problems(draft.sources, fields)
    _raise_if_any(problems)
    return draft.topology(in_order([step.whole for step in draft.steps if step.whole is not None]))


def validate(topology: Topology, operators: Mapping[str, OperatorSpec]) -> dict[str, object]:
    """Checks a topology against its operators; the typed options of each step that has some, by step id.

    Raises `ConfigurationError` with every unknown operator, option, key or stream, missing input or broadcast source,
    stream that nobody consumes, and record that its reader or topic does not take.
    """
    check = OperatorCheck(draft_of(topology), operators)
    _raise_if_any(check.problems)
    return check.options


def _raise_if_any(problems: Sequence[Problem]) -> None:
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
