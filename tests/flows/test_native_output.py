"""Lines that native code writes past Python become log lines; Python's own output goes on as it was."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import os, sys
from config import logs
from flows.native_output import native_output_as_logs
logs.setup("info", "json")
print("before", file=sys.stderr)
with native_output_as_logs():
    os.write(1, b"worker 1:\\terror connecting to worker 0: Connection refused (os error 111); retrying\\n")
    os.write(2, b"thread panicked\\n\\nwithout an end")
    print("meanwhile", file=sys.stderr)
    {last}
print("result")
print("after", file=sys.stderr)
os.write(1, b"past Python\\n")
"""


def run(last: str = "pass") -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("{last}", last)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_native_lines_are_logged_and_standard_output_has_results_only() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["past Python", "result"]
    plain = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert plain == ["before", "meanwhile", "after"]
    logged = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [(line["level"], line["remark"]) for line in logged] == [
        ("info", "worker 1: error connecting to worker 0: Connection refused (os error 111); retrying"),
        ("warning", "thread panicked"),
        ("warning", "without an end"),
    ]


def test_an_error_is_told_where_it_always_is() -> None:
    done = run("raise ValueError('in the middle')")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ValueError: in the middle"


def test_a_process_that_aborts_leaves_the_stack_of_its_end() -> None:
    done = run("os.abort()")
    assert done.returncode < 0
    assert "Fatal Python error: Aborted" in done.stderr
