"""Samples are counted by function and by the module of ours that they are spent for."""

from bench.profile import parse

STACKS = """\
main (cli/run.py:10);fold (operators/model/orders/fold.py:81);take (pyarrow/compute.py:5) 6
main (cli/run.py:12);fold (operators/model/orders/fold.py:90) 3
_start (ld.so) 1
"""


def test_a_function_counts_alone_and_with_what_it_calls_whatever_the_line() -> None:
    found = parse(STACKS)
    assert found.total == 10
    assert found.alone["fold (operators/model/orders/fold.py)"] == 3
    assert found.with_callees["fold (operators/model/orders/fold.py)"] == 9
    assert found.with_callees["main (cli/run.py)"] == 9


def test_a_library_counts_for_the_module_that_calls_it() -> None:
    assert parse(STACKS).modules == {"operators/model/orders/fold.py": 9, "interpreter and libraries": 1}


def test_a_thread_that_waits_does_not_count() -> None:
    assert parse("run (flows/observe.py:1);Condition.wait (threading.py:359) 5\n").total == 0


def test_a_recursive_function_counts_once_per_sample() -> None:
    assert parse("f (flows/a.py:1);f (flows/a.py:1) 2\n").with_callees["f (flows/a.py)"] == 2
