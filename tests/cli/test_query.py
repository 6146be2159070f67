"""`orderflow query` on what the flows made of some orders."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.day import generate_events

ORDERS = 40


@pytest.fixture
def filled(run, start, write_events, monkeypatch, tmp_path):
    """The views of a small day."""
    write_events(ORDERS)
    for flow in ("order_status", "views"):
        process = start("run", flow, "--until-end")
        assert process.wait(timeout=90) == 0, process.stderr.read()
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))


@pytest.fixture
def fills():
    """What traded and still stands, each execution once and as corrected."""
    standing = {}
    for _, record in generate_events(ORDERS, 1):
        match record.get("execType"):
            case "TRADE":
                standing.setdefault((record["key"], record["venue"], record["execId"]), record)
            case "TRADE_CANCEL":
                del standing[record["key"], record["venue"], record["execRefId"]]
            case "TRADE_CORRECT":
                standing[record["key"], record["venue"], record["execRefId"]] = record
    return list(standing.values())


def lines(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line, parse_float=Decimal) for line in result.stdout.splitlines()]


def test_positions_add_up_to_the_fills_with_money_as_decimals(filled, run, fills):
    rows = lines(run("query", "positions", "--format", "json"))
    assert sum(row["tradedQuantity"] for row in rows) == sum(fill["lastQuantity"] for fill in fills)
    notional = sum(Decimal(fill["lastQuantity"] * fill["lastPrice"]) for fill in fills)
    assert sum(row["tradedNotional"] for row in rows) == notional / 1_000_000
    account = rows[0]["accountId"]
    of_account = lines(run("query", "positions", account, "--format", "json"))
    assert of_account == [row for row in rows if row["accountId"] == account]


def test_a_timeline_lists_every_event_of_the_order_in_order(filled, run, fills):
    amended = {record["key"] for _, record in generate_events(ORDERS, 1) if record.get("execRefId")}
    key = next(fill["key"] for fill in fills if fill["key"] not in amended)
    rows = lines(run("query", "timeline", key, "--format", "json"))
    assert sorted(row["index"] for row in rows) == list(range(len(rows)))
    assert [row["occurredAt"] for row in rows] == sorted(row["occurredAt"] for row in rows)
    assert {row["origin"] for row in rows} == {"ENGINE", "CONSOLIDATED", "VENUE", "ENRICHMENT"}
    enriched = [row for row in rows if row["origin"] == "ENRICHMENT"]
    assert len(enriched) == sum(fill["key"] == key for fill in fills)
    assert enriched[0]["occurredAt"].startswith("2026-06-11T")


def test_the_dashboard_shows_the_newest_windows(filled, run):
    rows = lines(run("query", "dashboard", "--last", 1_000, "--format", "json"))
    starts = sorted({row["start"] for row in rows})
    newest = lines(run("query", "dashboard", "--last", 2, "--format", "json"))
    assert newest == [row for row in rows if row["start"] in starts[-2:]]
    symbol = rows[0]["symbol"]
    of_symbol = lines(run("query", "dashboard", "--symbol", symbol, "--last", 1_000, "--format", "json"))
    assert of_symbol == [row for row in rows if row["symbol"] == symbol]


def test_hopping_windows_count_what_five_tumbling_ones_do(filled, run):
    tumbling = lines(run("query", "dashboard", "--last", 10_000, "--format", "json"))
    hopping = lines(run("query", "dashboard", "--window", "5m", "--last", 10_000, "--format", "json"))
    assert sum(row["fills"] for row in hopping) == 5 * sum(row["fills"] for row in tumbling)


def test_a_table_has_a_line_per_position_under_a_header(filled, run):
    rows = lines(run("query", "positions", "--format", "json"))
    header, *table = run("query", "positions").stdout.splitlines()
    assert header.split()[:3] == ["ACCOUNTID", "SYMBOL", "QUANTITY"]
    assert [line.split()[:2] for line in table] == [[row["accountId"], row["symbol"]] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["positions", "NOBODY"], "account NOBODY has no position"),
        (["timeline", "ACC1|NONE"], "nothing is known of order ACC1|NONE"),
        (["dashboard", "--symbol", "NONE"], "no windows of NONE"),
    ],
)
def test_an_unknown_key_is_no_wrong_usage_and_the_error_names_it_and_how_far_the_view_is(
    filled, run, arguments, message
):
    result = run("query", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "(as of 2026-06-11T" in result.stderr
    assert "views is 0 records behind" in result.stderr
    assert result.stdout == ""


def test_what_is_no_order_key_is_wrong_usage(filled, run):
    result = run("query", "timeline", "NONE")
    assert (result.exit_code, "accountId|orderId" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("view", "feeds"), [("positions", lambda record: record.get("execType") == "TRADE"), ("dashboard", lambda _: True)]
)
def test_an_answer_says_up_to_which_event_time_it_is(filled, run, view, feeds):
    newest = max(record["occurredAt"] for _, record in generate_events(ORDERS, 1) if feeds(record))
    expected = (
        f"{datetime.fromtimestamp(newest // 1_000 / 1e3, UTC):%Y-%m-%dT%H:%M:%S}.{newest // 1_000 % 1_000:03d}000Z"
    )
    assert {row["asOf"] for row in lines(run("query", view, "--format", "json"))} == {expected}
    table = run("query", view)
    assert table.stderr.startswith(f"as of {expected} (event time); written ")
    assert "ASOF" not in table.stdout


def test_without_stores_the_error_says_where_they_were_looked_for(run, monkeypatch, tmp_path):
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "elsewhere"))
    result = run("query", "positions")
    assert result.exit_code == 1
    assert str(tmp_path / "elsewhere") in result.stderr


def test_open_positions_are_valued_at_the_last_fill_or_at_the_reference_price(filled, run):
    rows = lines(run("query", "positions", "--format", "json"))
    for row in rows:
        assert row["mark"] == row["lastPrice"]
        assert row["realised"] + row["unrealised"] == row["fifoRealised"] + row["fifoUnrealised"]
        assert row["unrealised"] == row["quantity"] * row["mark"] - row["costBasis"]
    assert run("reference", "publish").exit_code == 0
    references = {
        record["key"]: record["referencePrice"]
        for record in lines(run("reference", "show"))
        if "referencePrice" in record
    }
    marked = lines(run("query", "positions", "--mark", "reference", "--format", "json"))
    assert [row["mark"] for row in marked] == [references[row["symbol"]] for row in marked]
    assert all(row["unrealised"] == row["quantity"] * row["mark"] - row["costBasis"] for row in marked)


def test_fees_by_month_and_by_day_add_up_to_those_of_the_positions(filled, run, fills):
    months = lines(run("query", "fees", "--format", "json"))
    positions = lines(run("query", "positions", "--format", "json"))
    assert sum(row["exactTotal"] for row in months) == sum(row["fees"] for row in positions)
    assert sum(row["shares"] for row in months) == sum(fill["lastQuantity"] for fill in fills)
    days = lines(run("query", "fees", "--by", "day", "--format", "json"))
    assert sum(row["billedTotal"] for row in days) == sum(row["billedTotal"] for row in months)
    assert all(Decimal(row["billedTotal"]) * 100 % 1 == 0 for row in days)
    account = months[0]["accountId"]
    assert lines(run("query", "fees", account, "--format", "json")) == [
        row for row in months if row["accountId"] == account
    ]
    assert run("query", "fees", "NOBODY").exit_code == 1


def test_an_answer_says_when_it_was_written_and_how_far_the_flow_is_behind(filled, run, log, tmp_path):
    [*_, up_to_date] = lines(run("query", "positions", "--format", "json"))
    assert up_to_date["lagRecords"] == 0
    files = (tmp_path / "state" / "views" / "positions").glob("*/data.mdb")
    newest = max(file.stat().st_mtime for file in files)
    assert datetime.fromisoformat(up_to_date["writtenAt"]).timestamp() == pytest.approx(newest, abs=1e-5)
    with closing(log.producer("test")) as producer:
        for _ in range(3):
            producer.send("orders.enrichment", b"ACC1|ORD1", b"not read yet")
    assert lines(run("query", "positions", "--format", "json"))[-1]["lagRecords"] == 3
    assert "views is 3 records behind" in run("query", "positions").stderr


def test_a_view_whose_log_is_gone_is_still_read(filled, run, monkeypatch, tmp_path):
    monkeypatch.setenv("ORDERFLOW__LOG__PATH", str(tmp_path / "another"))
    result = run("query", "positions")
    assert result.exit_code == 0
    assert "how far views is behind is not known" in result.stderr
    assert len(result.stdout.splitlines()) > 1


@pytest.mark.parametrize("query", [["positions"], ["dashboard"], ["fees"], ["fees", "--by", "day"], ["timeline"]])
def test_a_table_fits_the_terminal_and_wide_has_every_column(filled, run, fills, monkeypatch, query):
    arguments = [*query, fills[0]["key"]] if query == ["timeline"] else query
    every = lines(run("query", *arguments, "--format", "json"))
    monkeypatch.setenv("COLUMNS", "100")
    narrow = run("query", *arguments)
    assert max(map(len, narrow.stdout.splitlines())) <= 100
    assert "more columns: --wide" in narrow.stderr
    header, *table = run("query", *arguments, "--wide").stdout.splitlines()
    assert len(table) == len(every)
    told = {name for row in every for name, value in row.items() if value not in (None, "", [], {})}
    assert {name.upper() for name in told} - {"ASOF", "WRITTENAT", "LAGRECORDS"} <= set(header.split())
    assert set(narrow.stdout.splitlines()[0].split()) < set(header.split())


def test_percentiles_of_nothing_are_a_dash(filled, run):
    table = run("query", "dashboard", "--last", 1_000).stdout
    assert "=-" not in table
