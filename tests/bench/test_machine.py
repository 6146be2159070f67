"""The facts about a machine are there, whatever the machine."""

from bench.machine import facts, processor_model


def test_the_processor_is_named() -> None:
    assert processor_model("processor\t: 0\nmodel name\t: Model X @ 2 GHz\nmodel name\t: Y\n") == "Model X @ 2 GHz"
    assert processor_model("processor: 0\n") == "unknown"


def test_no_fact_is_empty() -> None:
    found = facts()
    assert {"date", "processor", "cores", "Python", "Java", "bytewax"} <= found.keys()
    assert all(found.values())
