"""`orderflow import`: a file of market data, and what the flows make of the imported day."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

import config

SAMPLE = Path(__file__).parents[1] / "data" / "ABC_2026-06-11_34200000_57600000_message_10.csv"


@pytest.fixture
def topics(run):
    assert run("topics", "create").exit_code == 0


def test_an_imported_day_runs_through_order_status_and_views_exactly(
    topics, run, start, verdict, monkeypatch, tmp_path
):
    result = run("import", "lobster", SAMPLE)
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["statuses"], summary["executions"], summary["malformed"]) == (9, 5, 3)
    for flow in ("order_status", "views"):
        process = start("run", flow, "--until-end")
        assert process.wait(timeout=90) == 0, process.stderr.read()
    judged = verdict()
    assert judged.exact, judged.as_json()["differences"]
    assert judged.counts["enriched"] == summary["executions"]
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))
    assert "ABC" in run("query", "positions").stdout
    last = {
        event["key"]: event["status"]["code"]
        for event in map(json.loads, run("consume", "orders.status", "--until-end").stdout.splitlines())
        if event["eventType"] == "ORDER_STATUS_CONSOLIDATED"
    }
    [figures] = map(json.loads, run("query", "dashboard", "--format", "json").stdout.splitlines())
    ended = {code: list(last.values()).count(code) for code in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")}
    # Order 900 was never submitted: its trades fill all that is known of it, and then the rest is deleted.
    assert {code: figures[code.lower()] for code in ended} == {**ended, "FILLED": ended["FILLED"] + 1}
    assert (figures["orders"], figures["openChange"], figures["reopened"]) == (6, 1, 1)


def test_a_compressed_file_gives_the_same_summary(topics, run, tmp_path):
    compressed = tmp_path / f"{SAMPLE.name}.gz"
    compressed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    plain = json.loads(run("import", "lobster", SAMPLE).stdout)
    assert json.loads(run("import", "lobster", compressed).stdout) == plain


def test_a_day_before_all_fee_tables_is_replayed_with_a_topology_that_charges_nothing(topics, run, start, tmp_path):
    assert run("import", "lobster", SAMPLE, "--date", "2012-06-21", "--symbol", "ABC").exit_code == 0
    document = yaml.safe_load((Path(config.__file__).parent / "topologies" / "order_status.yaml").read_text())
    document["steps"][0]["options"]["fees"] = "free"
    topology = tmp_path / "order_status.yaml"
    topology.write_text(yaml.safe_dump(document))
    process = start("run", topology, "--until-end")
    assert process.wait(timeout=90) == 0, process.stderr.read()
    assert run("dlq", "list", "--format", "json").stdout == ""
    enriched = [json.loads(line) for line in run("consume", "orders.enrichment", "--until-end").stdout.splitlines()]
    assert enriched
    assert all(not record["fees"] for record in enriched)


def test_an_itch_file_that_is_damaged_before_its_first_order_is_read_up_to_the_damage_and_a_failure(
    topics, run, tmp_path
):
    file = tmp_path / "01302019.NASDAQ_ITCH50"
    file.write_bytes(b"\x00\x0cS" + bytes(11) + b"\x00\x05?")
    result = run("import", "itch", file)
    assert result.exit_code == 1
    assert "there is no ITCH message of an order in it, only 1 message(s)" in result.stderr
    summary = json.loads(result.stdout)
    assert summary["messages"] == {"S": 1}
    assert summary["malformed"] == 1


def test_without_date_in_name_or_option_it_is_an_error(topics, run, tmp_path):
    file = tmp_path / "messages.csv"
    file.write_text("")
    result = run("import", "lobster", file)
    assert result.exit_code == 2
    assert "symbol and date" in result.stderr


def test_without_topics_it_says_how_to_create_them(run):
    result = run("import", "lobster", SAMPLE)
    assert result.exit_code == 2
    assert "orderflow topics create" in result.stderr


@pytest.mark.parametrize("kind", ["itch", "lobster"])
def test_a_file_of_another_kind_is_a_failure_that_says_what_it_has(topics, run, kind):
    file = Path(__file__).parents[2] / "README.md"
    arguments = ["--symbol", "ABC"] if kind == "lobster" else []
    result = run("import", kind, file, "--date", "2026-06-11", *arguments)
    assert result.exit_code == 1
    assert f"{file}: there is no {kind.upper()} message " in result.stderr
    assert "damaged piece(s), the first: " in result.stderr
    assert json.loads(result.stdout)["statuses"] == 0
