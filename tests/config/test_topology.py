"""A topology is read with a place on every node, and every problem is told at once with its line."""

import dataclasses
import pickle
from dataclasses import dataclass

import pytest

from config.errors import ConfigurationError, Problem
from config.topology import OperatorSpec, load_topology, split_reference, topology_names, validate
from config.units import DurationMs

GOOD = """\
flow: demo
key_groups: 8
epoch: 25ms
sources:
  status:
    topic: orders.status
    where: {eventType: ORDER_STATUS_CHANGED}
  executions: {topic: orders.executions}
  fees: {topic: reference.symbols, broadcast: true}
steps:
  - id: second
    operator: tag
    from: [join.enriched]
    key: account
  - id: join
    operator: join
    from: [status, executions]
    key: order
    broadcast: [fees]
    state: {retain: 7d, flush: 500ms}
    options: {window: 30s}
outputs:
  - {from: second.tagged, topic: orders.enrichment}
  - from: join.consolidated
    topic: orders.status
"""


@dataclass(frozen=True)
class Hopping:
    size_ms: DurationMs
    every_ms: DurationMs


@dataclass(frozen=True)
class JoinOptions:
    window_ms: DurationMs
    strict: bool = False
    hopping: Hopping | None = None


OPERATORS = {
    "join": OperatorSpec(
        "join",
        frozenset({"order"}),
        {"status": "OrderStatusChanged", "executions": "ExecutionReport"},
        {"consolidated": "OrderStatusChanged", "enriched": "OrderEnriched"},
        JoinOptions,
        frozenset({"fees"}),
    ),
    "tag": OperatorSpec("tag", frozenset({"account", "order"}), {"event": None}, {"tagged": "OrderEnriched"}),
}


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "demo.yaml"
        file.write_text(text)
        return file

    return write


def changed(*replacements):
    text = GOOD
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def problems_of(file, operators=None):
    with pytest.raises(ConfigurationError) as caught:
        load_topology(file, operators or OPERATORS)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_a_topology_is_read_whole(write):
    topology = load_topology(write(GOOD))
    assert (topology.flow, topology.key_groups, topology.epoch_ms) == ("demo", 8, 25)
    assert topology.sources["status"].where == {"eventType": "ORDER_STATUS_CHANGED"}
    assert topology.sources["fees"].broadcast
    assert topology.sources["executions"].event_time == "occurredAt"
    join = topology.step("join")
    assert (join.operator, join.inputs, join.key, join.broadcast) == (
        "join",
        ("status", "executions"),
        "order",
        ("fees",),
    )
    assert (join.state.retain_ms, join.state.flush_ms) == (7 * 86_400_000, 500)
    assert [(output.stream, output.topic) for output in topology.outputs] == [
        ("second.tagged", "orders.enrichment"),
        ("join.consolidated", "orders.status"),
    ]
    assert (topology.on_error.decode, topology.on_error.topic) == ("dead_letter", "orders.dlq")
    assert topology.topics() == {
        "orders.status",
        "orders.executions",
        "reference.symbols",
        "orders.enrichment",
        "orders.dlq",
    }


def test_a_step_stands_after_those_it_reads_from(write):
    assert [step.id for step in load_topology(write(GOOD)).steps] == ["join", "second"]


def test_every_node_knows_its_line(write):
    topology = load_topology(write(GOOD))
    assert topology.sources["executions"].place.line == 8
    assert topology.step("join").inputs[1].place.line == 17
    assert topology.outputs[1].topic.place.line == 25


def test_a_topology_keeps_its_places_on_the_way_to_another_process(write):
    topology = load_topology(write(GOOD))
    again = pickle.loads(pickle.dumps(topology))
    assert again == topology
    assert again.step("join").key.place == topology.step("join").key.place


def test_without_operators_only_the_structure_is_checked(write):
    assert load_topology(write(changed(("operator: tag", "operator: tagg")))).step("second").operator == "tagg"


def test_a_topology_is_checked_against_operators_after_it_was_loaded_too(write):
    topology = load_topology(write(changed(("operator: tag", "operator: tagg"), ("key: order", "key: symbol"))))
    with pytest.raises(ConfigurationError) as caught:
        validate(topology, OPERATORS)
    assert [problem.line for problem in caught.value.problems] == [12, 18]


def test_validation_reads_the_options_of_each_step_into_the_operators_type(write):
    assert validate(load_topology(write(GOOD)), OPERATORS) == {"join": JoinOptions(30_000)}


def test_options_nest(write):
    text = changed(("{window: 30s}", "{window: 30s, strict: true, hopping: {size: 5m, every: 1m}}"))
    options = validate(load_topology(write(text)), OPERATORS)
    assert options["join"] == JoinOptions(30_000, strict=True, hopping=Hopping(300_000, 60_000))


STRUCTURE = {
    "unknown field": (
        [("key_groups: 8", "keygroups: 8")],
        ["2: unknown field 'keygroups'; did you mean 'key_groups'?"],
    ),
    "field without a value": ([("flow: demo", "flow:")], ["1: expected text, found ''"]),
    "missing field": ([("    key: account\n", "")], ["11: 'key' is missing"]),
    "missing sources": (
        [("sources:", "source:")],
        [
            "1: 'sources' is missing",
            "4: unknown field 'source'; did you mean 'sources'?",
            "17: unknown source 'status'",
            "17: unknown source 'executions'",
            "19: unknown source 'fees'",
        ],
    ),
    "wrong type": ([("key_groups: 8", "key_groups: many")], ["2: expected integer, found 'many'"]),
    "out of bounds": ([("key_groups: 8", "key_groups: 0")], ["2: 0 is below the minimum of 1"]),
    "no duration": (
        [("epoch: 25ms", "epoch: 25")],
        ["3: '25' is not a duration, e.g. 25ms, 30s, 1m, 2h or 7d"],
    ),
    "duration too fine": ([("epoch: 25ms", "epoch: 25us")], ["3: '25us' is finer than a millisecond"]),
    "epoch of nothing": ([("epoch: 25ms", "epoch: 0ms")], ["3: 0 is below the minimum of 1 ms"]),
    "list expected": ([("from: [join.enriched]", "from: join.enriched")], ["13: expected a list of text"]),
    "bad id": (
        [("- id: second", "- id: Second"), ("second.tagged", "Second.tagged")],
        ["11: 'Second' does not match"],
    ),
    "duplicate id": (
        [("- id: second", "- id: join"), ("second.tagged", "join.tagged")],
        ["15: step id 'join' is taken, see line 11"],
    ),
    "duplicate key": ([("key_groups: 8", "flow: other")], ["2: 'flow' is given twice, first in line 1"]),
    "unknown source": (
        [("from: [status, executions]", "from: [statuss, executions]")],
        ["17: unknown source 'statuss'; did you mean 'status'?"],
    ),
    "unknown step": (
        [("from: [join.enriched]", "from: [joint.enriched]")],
        ["13: unknown step 'joint'; did you mean 'join'?"],
    ),
    "step without stream": (
        [("from: [join.enriched]", "from: [join]")],
        ["13: 'join' is a step: name one of its streams, `join.<stream>`"],
    ),
    "output without stream": (
        [("from: second.tagged", "from: second")],
        ["23: 'second' is no stream of a step: write `step.stream`"],
    ),
    "step that reads nothing": (
        [("from: [join.enriched]", "from: []")],
        ["11: step 'second' reads nothing", "15: stream 'join.enriched' is consumed by nobody"],
    ),
    "cycle": (
        [("from: [status, executions]", "from: [status, second.tagged, executions]")],
        [
            "11: step 'second' is part of a cycle",
            "15: step 'join' is part of a cycle",
            "15: operator 'join' reads 2 inputs (status, executions), `from` names 3",
        ],
    ),
    "unused source": (
        [("from: [status, executions]", "from: [status]")],
        [
            "8: source 'executions' is read by no step: remove it or use it",
            "15: operator 'join' reads 2 inputs (status, executions), `from` names 1",
        ],
    ),
    "unknown topic of a source": (
        [("topic: orders.executions", "topic: orders.execution")],
        ["8: unknown topic 'orders.execution'; did you mean 'orders.executions'?"],
    ),
    "unknown topic of an output": (
        [("topic: orders.enrichment", "topic: orders.enrichmet")],
        ["23: unknown topic 'orders.enrichmet'; did you mean 'orders.enrichment'?"],
    ),
    "broadcast source as input": (
        [("from: [status, executions]", "from: [status, executions, fees]")],
        [
            "15: operator 'join' reads 2 inputs (status, executions), `from` names 3",
            "17: 'fees' is a broadcast source: name it in `broadcast`",
        ],
    ),
    "other source as broadcast": (
        [("broadcast: [fees]", "broadcast: [fees, status]")],
        [
            "19: 'status' is no broadcast source: declare it with `broadcast: true`",
            "19: operator 'join' does not read the broadcast source 'status'",
        ],
    ),
    "output given twice": (
        [
            (
                "  - from: join.consolidated\n    topic: orders.status\n",
                "  - {from: second.tagged, topic: orders.enrichment}\n",
            )
        ],
        [
            "15: stream 'join.consolidated' is consumed by nobody",
            "24: 'second.tagged' goes to 'orders.enrichment' already, see line 23",
        ],
    ),
    "loop through a topic": (
        [("    where: {eventType: ORDER_STATUS_CHANGED}\n", "")],
        ["6: the flow writes to 'orders.status' too: give source 'status' a `where`"],
    ),
    "where that YAML reads as no text": (
        [("{eventType: ORDER_STATUS_CHANGED}", "{eventType: NO}")],
        ["7: expected text, found 'NO'; put it in quotes"],
    ),
    "unknown way with errors": (
        [("outputs:", "on_error: {decode: skip}\noutputs:")],
        ["22: 'skip' is not one of dead_letter, stop"],
    ),
    "unknown topic of dead letters": (
        [("outputs:", "on_error: {topic: orders.dead}\noutputs:")],
        ["22: unknown topic 'orders.dead'"],
    ),
}


@pytest.mark.parametrize(("replacements", "expected"), STRUCTURE.values(), ids=STRUCTURE)
def test_a_problem_of_structure_is_told_with_its_line(write, replacements, expected):
    found = problems_of(write(changed(*replacements)))
    assert len(found) == len(expected), found
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


SEMANTICS = {
    "unknown operator": (
        [("operator: tag", "operator: tagg")],
        ["12: unknown operator 'tagg'; did you mean 'tag'?"],
    ),
    "unknown option": (
        [("{window: 30s}", "{window: 30s, strikt: true}")],
        ["21: unknown field 'strikt'; did you mean 'strict'?"],
    ),
    "option of a wrong type": ([("{window: 30s}", "{window: true}")], ["21: 'true' is not a duration"]),
    "missing option": ([("    options: {window: 30s}\n", "")], ["15: 'window' is missing"]),
    "options for an operator without": (
        [("    key: account\n", "    key: account\n    options: {a: 1}\n")],
        ["15: operator 'tag' has no options"],
    ),
    "wrong key": ([("key: order", "key: symbol")], ["18: operator 'join' cannot be keyed by 'symbol', only by order"]),
    "missing broadcast": (
        [
            ("broadcast: [fees]", "broadcast: []"),
            ("from: [join.enriched]", "from: [join.enriched]\n    broadcast: [fees]"),
        ],
        ["14: operator 'tag' does not read the broadcast source 'fees'", "16: operator 'join' needs the broadcast"],
    ),
    "too few inputs": (
        [("from: [status, executions]", "from: [status]"), ("from: [join.enriched]", "from: [executions]")],
        [
            "15: operator 'join' reads 2 inputs (status, executions), `from` names 1",
            "15: stream 'join.enriched' is consumed",
        ],
    ),
    "inputs in the wrong order": (
        [("from: [status, executions]", "from: [executions, status]")],
        [
            "17: input 'status' of operator 'join' reads OrderStatusChanged, 'executions' carries ExecutionReport",
            "17: input 'executions' of operator 'join' reads ExecutionReport, 'status' carries OrderStatusChanged",
        ],
    ),
    "unknown stream as input": (
        [("from: [join.enriched]", "from: [join.enrichd]")],
        ["13: operator 'join' has no stream 'enrichd'; did you mean 'enriched'?"],
    ),
    "unknown stream as output": (
        [("from: second.tagged", "from: second.tags")],
        ["23: operator 'tag' has no stream 'tags'; did you mean 'tagged'?"],
    ),
    "another stream as output": (
        [("from: second.tagged", "from: second.nothing")],
        ["11: stream 'second.tagged' is consumed by nobody", "23: operator 'tag' has no stream 'nothing'"],
    ),
    "output of another schema": (
        [("topic: orders.enrichment", "topic: risk.outcome")],
        ["23: 'second.tagged' carries OrderEnriched, topic 'risk.outcome' holds RiskOutcome"],
    ),
    "dangling branch": (
        [("  - from: join.consolidated\n    topic: orders.status\n", "")],
        ["15: stream 'join.consolidated' is consumed by nobody: add an output for it"],
    ),
}


@pytest.mark.parametrize(("replacements", "expected"), SEMANTICS.values(), ids=SEMANTICS)
def test_a_contradiction_to_an_operator_is_told_with_its_line(write, replacements, expected):
    found = problems_of(write(changed(*replacements)))
    assert len(found) == len(expected), found
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


def test_all_problems_of_a_file_are_told_at_once_in_its_order(write):
    text = changed(
        ("key_groups: 8", "key_groups: x"),
        ("topic: orders.executions", "topic: orders.exec"),
        ("key: account", "kee: account"),
        ("retain: 7d", "retain: week"),
        ("from: second.tagged", "from: secnd.tagged"),
    )
    lines = [problem.partition(":")[0] for problem in problems_of(write(text))]
    assert lines == ["2", "8", "11", "14", "20", "23"]


MANY = """\
flow: Demo
key_groups: 0
sources:
  status: {topic: orders.status}
  executions: {topic: orders.execution}
  unused: {topic: orders.input}
  fees: {topic: reference.symbols, broadcast: true}
steps:
  - {id: broken, operator: tagg, from: [status], key: order, state: {retain: week}}
  - {id: join, operator: join, from: [executions, statuss], key: symbol, broadcast: [fees], options: {windw: 30s}}
  - {id: tag, operator: tag, from: [join.enrichd], key: account, options: {a: 1}}
  - {id: again, operator: tag, from: [tag.tagged], key: venue, retain: 7d}
outputs:
  - {from: join.consolidated, topic: risk.outcome}
  - {from: broken.anything, topic: orders.statu}
on_error: {decode: skip, topic: orders.dead}
"""


def test_no_problem_hides_another_whatever_their_kinds(write):
    """Structure, names, options, keys, schemas and dangling branches, in steps that are broken in other ways too."""
    expected = [
        "1: 'Demo' does not match",
        "2: 0 is below the minimum of 1",
        "5: unknown topic 'orders.execution'",
        "6: source 'unused' is read by no step",
        "9: 'week' is not a duration",
        "9: unknown operator 'tagg'",
        "10: unknown source 'statuss'",
        "10: unknown field 'windw'",
        "10: 'window' is missing",
        "10: operator 'join' cannot be keyed by 'symbol'",
        "11: operator 'join' has no stream 'enrichd'",
        "11: operator 'tag' has no options",
        "12: unknown field 'retain'",
        "12: operator 'tag' cannot be keyed by 'venue'",
        "12: stream 'again.tagged' is consumed by nobody",
        "14: 'join.consolidated' carries OrderStatusChanged, topic 'risk.outcome' holds RiskOutcome",
        "15: unknown topic 'orders.statu'",
        "16: 'skip' is not one of dead_letter, stop",
        "16: unknown topic 'orders.dead'",
    ]
    found = problems_of(write(MANY))
    unexpected = [problem for problem in found if not any(problem.startswith(start) for start in expected)]
    missing = [start for start in expected if not any(problem.startswith(start) for problem in found)]
    assert (unexpected, missing, len(found)) == ([], [], len(expected))
    lines = [int(problem.partition(":")[0]) for problem in found]
    assert lines == sorted(lines)


def test_an_unreadable_step_is_not_reported_again_by_those_who_refer_to_it(write):
    assert problems_of(write(changed(("retain: 7d", "retain: week")))) == [
        "20: 'week' is not a duration, e.g. 25ms, 30s, 1m, 2h or 7d"
    ]


def test_a_step_may_keep_a_view_and_write_nowhere(write):
    view = OperatorSpec("tag", frozenset({"account"}), {"event": "OrderEnriched"}, {})
    text = changed(("  - {from: second.tagged, topic: orders.enrichment}\n", ""))
    assert validate(load_topology(write(text)), OPERATORS | {"tag": view})


def test_an_unknown_flow_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match="there is no flow 'order_state'; did you mean 'order_status'"):
        load_topology("order_state")


@pytest.mark.parametrize("flow", topology_names())
def test_the_topologies_that_ship_are_sound_in_structure_and_named_as_their_files(flow):
    assert load_topology(flow).flow == flow


def test_the_three_flows_ship():
    assert {"order_status", "risk_check", "views"} <= set(topology_names())


def test_references_split_into_step_and_stream():
    assert split_reference("join.enriched") == ("join", "enriched")
    assert split_reference("status") == ("status", None)


def test_fields_that_records_do_not_have_are_told_beside_every_other_problem(write):
    file = write(changed(("eventType: ORDER", "eventTyp: ORDER"), ("operator: tag", "operator: tagg")))
    with pytest.raises(ConfigurationError) as caught:
        load_topology(file, OPERATORS, {"orders.status": ("eventType", "occurredAt"), "orders.executions": ()})
    told = [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
    assert told == [
        "6: source 'status': records of 'orders.status' have no field 'eventTyp'; did you mean 'eventType'?",
        "8: source 'executions': records of 'orders.executions' have no field 'occurredAt'",
        "12: unknown operator 'tagg'; did you mean 'tag'?",
    ]


def test_what_is_wrong_with_a_file_that_an_option_names_is_told_at_the_options(write):
    def missing(options):
        return [Problem("cannot be read", f"{options.window_ms}.yaml")]

    pointing = dataclasses.replace(OPERATORS["join"], option_problems=missing)
    file = write(changed(("operator: tag", "operator: tagg")))
    told = problems_of(file, OPERATORS | {"join": pointing})
    assert told == ["12: unknown operator 'tagg'; did you mean 'tag'?", "21: step 'join': 30000.yaml: cannot be read"]
