"""Metrics are declared once, named by the rules, and counted in the registry they are given."""

import pytest

from config.metrics import COMMIT_SECONDS, DEAD_LETTERS, LAG_RECORDS, METRICS, Metrics

BOUNDED = {"flow", "step", "topic", "partition", "stream", "reason", "kind"}


def test_names_are_unique_and_end_in_their_unit():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith("orderflow_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")


def test_labels_are_bounded():
    assert {label for metric in METRICS for label in metric.labels} <= BOUNDED


def test_metrics_are_counted_by_label():
    metrics = Metrics()
    metrics.counter(DEAD_LETTERS, flow="views", step="timeline", reason="DecodeError").inc(3)
    metrics.gauge(LAG_RECORDS, flow="views", topic="orders.status", partition="0").set(7)
    metrics.histogram(COMMIT_SECONDS, flow="views").observe(0.004)
    value = metrics.registry.get_sample_value
    labels = {"flow": "views", "step": "timeline", "reason": "DecodeError"}
    assert value("orderflow_dead_letters_total", labels) == 3
    assert value("orderflow_lag_records", {"flow": "views", "topic": "orders.status", "partition": "0"}) == 7
    assert value("orderflow_commit_seconds_bucket", {"flow": "views", "le": "0.0025"}) == 0
    assert value("orderflow_commit_seconds_bucket", {"flow": "views", "le": "0.005"}) == 1


def test_two_processes_in_one_interpreter_do_not_share_counts():
    first, second = Metrics(), Metrics()
    first.counter(DEAD_LETTERS, flow="f", step="s", reason="r").inc()
    labels = {"flow": "f", "step": "s", "reason": "r"}
    assert second.registry.get_sample_value("orderflow_dead_letters_total", labels) is None


def test_a_metric_is_not_taken_for_one_of_another_kind():
    with pytest.raises(AssertionError):
        Metrics().gauge(DEAD_LETTERS, flow="f", step="s", reason="r")
