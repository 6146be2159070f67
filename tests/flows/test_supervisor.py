"""The supervisor: what it starts again, what it does not, and how it ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import ConfigurationError
from flows.supervisor import Backoff, Cluster, free_addresses, supervise

DEADLINE_S = 30.0
WAIT = "import time; time.sleep(60)"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cluster(code: str, clock: Clock, *, workers: int = 1) -> Cluster:
    return Cluster("flow", [sys.executable, "-c", code], workers, Backoff(1.0, 4.0), clock=clock)


def poll_until(clusters: list[Cluster], done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        for each in clusters:
            each.poll()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def test_back_off_doubles_up_to_its_longest() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.wait_s(n) for n in (0, 1, 2, 3, 4, 5_000)] == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]


def test_a_cluster_whose_processes_all_end_well_is_done() -> None:
    flow = cluster("", Clock(), workers=2)
    poll_until([flow], lambda: flow.exit_code is not None)
    assert (flow.exit_code, flow.restarts, flow.pids) == (0, 0, [])


def test_a_cluster_is_started_again_after_its_back_off_and_not_before() -> None:
    clock = Clock()
    flow = cluster("raise SystemExit(1)", clock)
    for restarts, wait_s in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 4.0)):
        poll_until([flow], lambda expected=restarts: flow.restarts == expected)  # type: ignore[misc]
        clock.now += wait_s - 0.01
        flow.poll()
        assert flow.pids == []
        clock.now += 0.02
        flow.poll()
        assert len(flow.pids) == 1
    assert flow.exit_code is None
    flow.kill()


def test_a_cluster_that_ran_long_starts_its_back_off_anew(tmp_path: Path) -> None:
    clock, gate = Clock(), tmp_path / "gate"
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\nraise SystemExit(1)"
    flow = cluster(code, clock)
    flow.restarts = 3
    flow.poll()
    clock.now += 31.0
    gate.touch()
    poll_until([flow], lambda: flow.pids == [])
    assert flow.restarts == 1


def test_when_one_process_dies_the_others_are_ended_with_it() -> None:
    code = f"import os\nif os.environ['JOB_COMPLETION_INDEX'] == '1': raise SystemExit(1)\n{WAIT}"
    flow = cluster(code, Clock(), workers=2)
    flow.poll()
    pids = flow.pids
    poll_until([flow], lambda: flow.restarts == 1)
    assert flow.pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_wrong_configuration_is_not_tried_again() -> None:
    code = f"import os\nif os.environ['JOB_COMPLETION_INDEX'] == '0': raise SystemExit(2)\n{WAIT}"
    flow = cluster(code, Clock(), workers=2)
    poll_until([flow], lambda: flow.exit_code is not None)
    assert (flow.exit_code, flow.restarts, flow.pids) == (2, 0, [])


def test_each_process_is_told_its_place_and_the_addresses_of_all(tmp_path: Path) -> None:
    names = ["ORDERFLOW__WORKERS", "JOB_COMPLETION_INDEX", "ORDERFLOW__WORKERS__ADDRESSES", "ORDERFLOW_SUPERVISOR"]
    code = (
        f"import os; from pathlib import Path; told = [os.environ[n] for n in {names!r}]\n"
        f"Path({str(tmp_path)!r}, told[1]).write_text(' '.join(told))"
    )
    flow = cluster(code, Clock(), workers=2)
    poll_until([flow], lambda: flow.exit_code == 0)
    told = [(tmp_path / str(index)).read_text().split() for index in range(2)]
    assert [(each[0], each[1], each[3]) for each in told] == [("2", str(i), str(os.getpid())) for i in range(2)]
    assert told[0][2] == told[1][2]
    assert len(set(told[0][2].split(","))) == 2


def test_a_cluster_asked_to_end_is_done_even_if_the_signal_found_it_starting() -> None:
    flow = cluster(WAIT, Clock())
    flow.poll()
    flow.terminate()
    poll_until([flow], lambda: flow.exit_code is not None)
    assert (flow.exit_code, flow.restarts) == (0, 0)


def test_a_cluster_that_fails_after_it_was_asked_to_end_is_not_started_again(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import signal, sys, time, pathlib\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        f"pathlib.Path({str(ready)!r}).touch()\ntime.sleep(60)"
    )
    flow = cluster(code, Clock())
    poll_until([flow], ready.exists)
    flow.terminate()
    poll_until([flow], lambda: flow.exit_code is not None)
    assert (flow.exit_code, flow.restarts, flow.pids) == (1, 0, [])


def test_a_cluster_asked_to_end_while_it_waits_is_done_at_once() -> None:
    flow = cluster("raise SystemExit(1)", Clock())
    poll_until([flow], lambda: flow.restarts == 1)
    flow.terminate()
    assert flow.exit_code == 0


def test_supervising_ends_with_the_first_failure_and_leaves_no_process() -> None:
    waiting, failing = cluster(WAIT, Clock()), cluster("raise SystemExit(2)", Clock())
    assert supervise([waiting, failing], lambda: False) == 2
    assert (waiting.pids, failing.pids) == ([], [])


def test_supervising_asks_to_end_and_kills_what_does_not_in_its_grace(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import signal, pathlib\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n{WAIT}"
    )
    stubborn = cluster(code, Clock())
    assert supervise([stubborn], ready.exists, grace_s=0.0) == 1
    assert stubborn.pids == []


def test_free_addresses_are_different_ports_of_this_host() -> None:
    addresses = free_addresses(3)
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


FAILS = """
import os
from config.errors import PeerGoneError, ReadStalledError
from flows.failure import tell_supervisor
cause = os.environ["JOB_COMPLETION_INDEX"] == "1"
tell_supervisor(ReadStalledError("stuck") if cause else PeerGoneError("gone"), os.environ)
raise SystemExit({code})
"""


def test_a_restart_is_told_once_with_its_cause_and_the_process_that_had_it(tmp_path: Path) -> None:
    """Whichever process ends first: the one that has lost its peer waits here until the other has told."""
    told = tmp_path / "told"
    code = FAILS.format(code=1).replace("raise", f"(Path({str(told)!r}).touch() if cause else wait())\nraise")
    wait = f"def wait():\n    while not Path({str(told)!r}).exists(): time.sleep(0.005)\n"
    flow = cluster(f"import time\nfrom pathlib import Path\n{wait}{code}", Clock(), workers=2)
    with capture_logs() as logs:
        poll_until([flow], lambda: flow.restarts == 1)
    [line] = logs
    assert (line["process"], line["error"], line["reason"]) == (1, "ReadStalledError", "stuck")


def test_a_failure_for_good_is_an_error_with_the_words_of_the_process_that_had_it() -> None:
    flow = cluster(FAILS.format(code=2), Clock())
    poll_until([flow], lambda: flow.exit_code is not None)
    error = flow.error()
    assert isinstance(error, ConfigurationError)
    assert str(error) == "gone"
    assert cluster("", Clock()).error() is None


TAKEN_OVER = """
import os
from config.errors import TakenOverError
from flows.failure import tell_supervisor
tell_supervisor(TakenOverError("taken over by process 7"), os.environ)
raise SystemExit(1)
"""


def test_what_another_process_has_taken_over_is_not_taken_back() -> None:
    flow = cluster(TAKEN_OVER, Clock(), workers=2)
    poll_until([flow], lambda: flow.exit_code is not None)
    assert (flow.exit_code, flow.restarts, flow.pids) == (1, 0, [])
    assert "taken over by process 7" in str(flow.error())
