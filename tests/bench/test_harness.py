"""The harness runs ours and finds its work correct, and finds fault with wrong work."""

from pathlib import Path

import pytest

from bench.engines import kafka_streams, ours
from bench.peers.harness.drain import drain
from bench.peers.harness.load import load
from bench.peers.harness.verify import verify
from bench.peers.harness.workload import expected, generate


@pytest.mark.kafka
def test_our_drain_of_a_small_backlog_is_correct(kafka_bootstrap: str, tmp_path: Path) -> None:
    truth = load(kafka_bootstrap, 2_000, 4, 1, tmp_path / "truth.json")
    result = drain(kafka_bootstrap, truth, ours().command, 120.0, tmp_path / "job.log")
    assert result["correct"], (result, (tmp_path / "job.log").read_text()[-3_000:])
    assert result["enriched_visible"] == truth["enriched"]
    assert result["input_records_per_cpu_s_with_start"] > 0


def test_no_output_at_all_is_not_correct() -> None:
    verdict = verify(expected(generate(100, 1)), [], [])
    assert not verdict["correct"]
    assert not verdict["checks"]["enriched_count"]


def test_the_command_of_an_engine_leaves_only_the_harness_placeholders_open() -> None:
    for engine in (ours(2), kafka_streams(2)):
        filled = engine.command.replace("{bootstrap}", "b").replace("{run}", "r").replace("{dir}", "d")
        assert "{" not in filled
