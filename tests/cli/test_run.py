"""`orderflow run`, and Bytewax's own runner on the same flows."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

import config
from broker.contract import TopicPartition
from operators.state.reader import StoreReader

INPUTS = ("orders.status", "orders.executions")


@pytest.mark.parametrize("workers", [1, 2])
def test_until_end_processes_and_commits_everything_there_is_and_ends(start, write_events, verdict, workers):
    write_events(60)
    process = start("run", "order_status", "--until-end", "--workers", workers)
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert output == ""
    judged = verdict()
    assert judged.exact, judged.as_json()["differences"]
    assert judged.counts["enriched"] > 60


@pytest.mark.parametrize("workers", [1, 2])
def test_at_its_end_a_run_says_on_standard_error_what_it_did(start, write_events, log, environment, workers):
    environment["ORDERFLOW__LOGS__LEVEL"] = "info"
    write_events(10)
    with closing(log.producer("test")) as producer:
        producer.send("orders.executions", b"ACC1|ORD1", b"no Avro", partition=1)
    with closing(log.admin()) as admin:
        partitions = [TopicPartition(topic, number) for topic in INPUTS for number in range(admin.topics()[topic])]
        there = sum(admin.ends(partitions).values())
    process = start("run", "order_status", "--until-end", "--workers", workers)
    output, errors = process.communicate(timeout=90)
    assert (process.returncode, output) == (0, ""), errors
    told = [json.loads(line) for line in errors.splitlines() if "all is committed" in line]
    assert sorted(line["process"] for line in told) == list(range(workers))
    [committed] = [line for line in told if line["process"] == 0]
    with closing(log.admin()) as admin:
        enriched = [TopicPartition("orders.enrichment", n) for n in range(admin.topics()["orders.enrichment"])]
        made = sum(admin.ends(partitions).values()) - there + sum(admin.ends(enriched).values())
    assert sum(line["records_in"] for line in told) >= there  # what the flow wrote to its own input may be read as well
    assert (committed["records_out"], committed["dead_letters"]) == (made, 1)
    assert committed["epochs"] >= 1


def test_a_second_run_goes_on_where_the_first_ended(start, write_events, verdict):
    for seed in (1, 2):
        write_events(20, seed=seed)
        process = start("run", "order_status", "--until-end")
        assert process.wait(timeout=90) == 0
    assert verdict().exact


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_flow_well_after_it_has_committed_what_it_read(start, write_events, verdict, caught_up, number):
    write_events(20)
    process = start("run", "order_status")
    caught_up("order_status", *INPUTS)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, ""), errors
    assert "panicked" not in errors
    assert verdict().exact


def test_the_endpoint_of_a_running_flow_tells_how_much_state_it_holds(
    start, environment, write_events, caught_up, tmp_path
):
    write_events(60)
    port = _free_port()
    environment |= {"ORDERFLOW__METRICS__PORT": str(port), "ORDERFLOW__STATE__FLUSH_INTERVAL_MS": "100"}
    process = start("run", "order_status")
    caught_up("order_status", *INPUTS)
    told = _state_told_by(port, until=lambda told: (told.get("rows"), told.get("unflushed_rows")) == (60, 0))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0, process.stderr.read()
    folders = list((tmp_path / "state" / "order_status" / "join").iterdir())
    kept = 0
    for folder in folders:
        with StoreReader(folder) as store:
            kept += sum(1 for _ in store.scan())
    assert kept == 60
    assert 0 < told["bytes"] <= sum((folder / "data.mdb").stat().st_size for folder in folders)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _state_told_by(port, until, timeout_s=60.0):
    """The figures of the join's state on the endpoint, as soon as they are so."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            found = re.findall(
                r'^orderflow_state_(\w+)\{flow="order_status",step="join"\} (\S+)$', answer.read().decode(), re.M
            )
        told = {name: float(figure) for name, figure in found}
        if until(told):
            return told
        time.sleep(0.05)
    raise AssertionError(f"the endpoint still tells {told}")


def test_a_wrong_topology_is_refused_with_file_and_line(run, tmp_path):
    topology = tmp_path / "wrong.yaml"
    topology.write_text(
        "flow: wrong\n"
        "key_groups: 8\n"
        "sources:\n"
        "  status: {topic: orders.status}\n"
        "steps:\n"
        "  - {id: join, operator: no_such_operator, from: [status], key: order}\n"
        "outputs: []\n"
        "on_error: {decode: dead_letter, process: dead_letter, topic: orders.dlq}\n"
    )
    result = run("run", topology)
    assert result.exit_code == 2
    assert f"{topology}:6: unknown operator 'no_such_operator'" in result.stderr


def test_missing_topics_are_an_error_that_says_how_to_create_them(run):
    result = run("run", "order_status")
    assert result.exit_code == 2
    assert "config/topologies/order_status.yaml:5: there is no topic orders.status" in result.stderr
    assert "orderflow topics create" in result.stderr


def test_an_unknown_flow_is_an_error(run):
    result = run("run", "order_statos")
    assert result.exit_code == 2
    assert "order_status" in result.stderr


def test_the_runner_of_bytewax_runs_a_flow_until_it_is_interrupted(start, write_events, verdict, caught_up):
    write_events(20)
    process = start("flows.order_status", module="bytewax.run")
    caught_up("order_status", *INPUTS)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, ""), errors
    assert "panicked" not in errors
    assert verdict().exact
    # What it left behind is a log and stores on which the next start goes on.
    write_events(20, seed=2)
    assert start("run", "order_status", "--until-end").wait(timeout=90) == 0
    assert verdict().exact


def test_of_a_cluster_the_cause_of_a_failure_is_told_and_which_process_had_it(start, write_events, log, tmp_path):
    """Bytewax tells every process, the failing one too, no more than that another one is gone."""
    write_events(5)
    with closing(log.producer("test")) as producer:
        producer.send("orders.executions", b"ACC1|ORD1", b"no Avro", partition=1)
    shipped = Path(config.__file__).parent / "topologies" / "order_status.yaml"
    topology = tmp_path / "strict.yaml"
    topology.write_text(shipped.read_text().replace("decode: dead_letter", "decode: stop"))
    process = start("run", topology, "--workers", 2)
    lines = []
    while not lines or "a process failed, the flow restarts" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    told = json.loads(lines[-1])
    assert (told["process"], told["error"]) == (1, "BrokenWorldError")
    assert "orders.executions-1@" in told["reason"]
    assert not [line for line in lines if line.startswith("error: ")]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode in (0, 1)


def test_a_cluster_with_a_wrong_topology_says_so_once(start, tmp_path):
    process = start("run", "order_status", "--workers", 2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.count("config/topologies/order_status.yaml:5: there is no topic orders.status") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_run_of_a_flow_that_runs_here_is_refused_and_the_first_goes_on(
    start, write_events, verdict, caught_up, workers
):
    write_events(10)
    first = start("run", "order_status")
    caught_up("order_status", *INPUTS)
    second = start("run", "order_status", "--workers", workers)
    output, errors = second.communicate(timeout=90)
    assert (second.returncode, output) == (1, "")
    assert "the flow order_status runs on this host already, with the same state folder" in errors
    assert f"process {first.pid}, since" in errors
    write_events(10, seed=2)
    caught_up("order_status", *INPUTS)
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=30)
    assert first.returncode == 0, errors
    assert verdict().exact


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_with_stores_elsewhere_takes_over_and_both_say_so(
    start, environment, write_events, verdict, caught_up, tmp_path, workers
):
    write_events(10)
    first = start("run", "order_status", "--workers", workers)
    caught_up("order_status", *INPUTS)
    environment["ORDERFLOW__STATE__DIR"] = str(tmp_path / "elsewhere")
    second = start("run", "order_status")
    for line in second.stderr:
        if "taking over from a process that runs" in line:
            break
    write_events(10, seed=2)
    # Only a holder that has something to commit learns that it holds nothing more.
    _, errors = first.communicate(timeout=90)
    assert first.returncode == 1
    assert f"transactional id order_status was taken over by process {second.pid} on host" in errors
    assert "restarts" not in errors
    caught_up("order_status", *INPUTS)
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=30)
    assert second.returncode == 0
    assert verdict().exact
