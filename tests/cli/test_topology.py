"""Flows are described and validated from the command line."""

from pathlib import Path

import pytest

import config
from config.topology import load_topology, topology_names
from config.topology_text import describe_mermaid, describe_text


def test_describe_prints_one_flow_or_all(run):
    assert run("topology", "describe", "views").stdout == describe_text(load_topology("views")) + "\n"
    everything = run("topology", "describe").stdout
    assert all(f"flow {name}:" in everything for name in topology_names())


def test_describe_prints_mermaid(run):
    result = run("topology", "describe", "--format", "mermaid", "order_status")
    assert result.stdout == describe_mermaid(load_topology("order_status")) + "\n"


@pytest.mark.parametrize("command", ["describe", "validate"])
def test_an_unknown_flow_is_refused(run, command):
    result = run("topology", command, "order_state")
    assert result.exit_code == 2
    assert "did you mean 'order_status'" in result.stderr


def test_validate_accepts_what_ships(run):
    result = run("topology", "validate")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [f"{name}: valid" for name in topology_names()]


def test_validate_tells_the_problems_of_all_files_at_once(run, tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("flow: first\nsources: {}\nsteps: []\nepoch: soon\n")
    second.write_text("flow: Second\nsources: {}\nsteps: []\n")
    result = run("topology", "validate", first, second)
    assert result.exit_code == 2
    assert f"error: {first}:4: 'soon' is not a duration" in result.stderr
    assert f"error: {second}:1: 'Second' does not match" in result.stderr


def test_validate_looks_into_the_fee_tables_that_options_name_and_into_fields_at_once(run, tmp_path):
    shipped = Path(config.__file__).parent / "topologies" / "order_status.yaml"
    fees, topology = tmp_path / "fees.yaml", tmp_path / "order_status.yaml"
    text = shipped.read_text()
    assert "fees: us_equities" in text
    changed = text.replace("fees: us_equities", f"fees: {fees}").replace("where: {eventType", "where: {eventTyp", 1)
    topology.write_text(changed)
    missing = run("topology", "validate", topology)
    assert missing.exit_code == 2
    assert f"{fees}: fee schedule" in missing.stderr
    assert "cannot be read: No such file or directory" in missing.stderr
    assert "have no field 'eventTyp'; did you mean 'eventType'?" in missing.stderr
    fees.write_text("commission: [{from: soon, per_share: 1}]\n")
    wrong = run("topology", "validate", topology)
    assert f"{fees}: fee schedule: " in wrong.stderr
    assert all(line.startswith(f"error: {topology}:") for line in wrong.stderr.splitlines())
    fees.write_bytes(b"\xff\xfe\x00")
    assert f"{fees}: fee schedule {str(fees)!r} is no text" in run("topology", "validate", topology).stderr
