"""The page of a comparison holds every engine, the ratios, and a warning where the generator was late."""

from bench.compare import Findings, Plan, markdown
from bench.summary import Run


def drain_run(engine: str, per_cpu_s: int) -> Run:
    return Run(engine, {"inputs": 1_000, "input_records_per_cpu_s": per_cpu_s, "input_records_per_s": 1})


def latency_run(engine: str, *, kept_up: bool) -> Run:
    return Run(engine, {"generator_kept_up": kept_up, "p50_ms": 40.0, "p99_ms": 80.0})


def test_the_ratios_are_ours_to_the_peer_and_two_workers_to_one() -> None:
    runs = [drain_run("orderflow-1", 60), drain_run("kafka-streams-1", 30), drain_run("orderflow-2", 54)]
    page = markdown(Plan(), {"cores": "2"}, Findings(runs, {}))
    assert "| orderflow, 1 worker / Kafka Streams, 1 thread | 1.00 | 2.00 |" in page
    assert "| orderflow, 2 workers / orderflow, 1 worker | 1.00 | 0.90 |" in page


def test_a_late_generator_is_told() -> None:
    runs = [latency_run("orderflow-1", kept_up=True), latency_run("kafka-streams-1", kept_up=False)]
    assert "late in 1 of 2 runs" in markdown(Plan(), {}, Findings([], {2_000: runs}))
    assert "late in" not in markdown(Plan(), {}, Findings([], {2_000: runs[:1]}))


def test_what_was_not_run_is_not_on_the_page() -> None:
    page = markdown(Plan(), {}, Findings())
    assert "Throughput" not in page
    assert "Latency" not in page
