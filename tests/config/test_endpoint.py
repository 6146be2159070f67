"""A process answers for its metrics, its liveness and its readiness over HTTP."""

import urllib.error
import urllib.request

import pytest

from config.endpoint import Endpoint, Health
from config.errors import ConfigurationError
from config.metrics import EPOCHS, Metrics


class Clock:
    """Time that passes when the test says so."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def health(metrics, clock):
    return Health(metrics, stalled_after_s=10, clock=clock)


@pytest.fixture
def endpoint(metrics, health):
    with Endpoint("127.0.0.1", 0, metrics, health) as endpoint:
        yield endpoint


def get(endpoint, path):
    try:
        with urllib.request.urlopen(endpoint.url + path, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_free_port_is_taken_and_told(endpoint):
    assert endpoint.port > 0
    assert endpoint.url == f"http://127.0.0.1:{endpoint.port}"


def test_metrics_are_served(endpoint, metrics):
    metrics.counter(EPOCHS, flow="views").inc(5)
    status, text = get(endpoint, "/metrics")
    assert status == 200
    assert 'orderflow_epochs_total{flow="views"} 5.0' in text


def test_a_process_is_ready_while_it_says_so(endpoint, health):
    assert get(endpoint, "/readyz") == (503, "not ready\n")
    health.set_ready(True)
    assert get(endpoint, "/readyz") == (200, "ready\n")
    assert "orderflow_ready 1.0" in get(endpoint, "/metrics")[1]
    health.set_ready(False)
    assert get(endpoint, "/readyz") == (503, "not ready\n")


def test_a_process_whose_loop_stalls_is_neither_live_nor_ready(endpoint, health, clock):
    health.set_ready(True)
    health.beat()
    clock.now_s = 9.9
    assert get(endpoint, "/healthz") == (200, "live\n")
    clock.now_s = 10.0
    assert get(endpoint, "/healthz") == (503, "stalled\n")
    assert get(endpoint, "/readyz") == (503, "not ready\n")
    health.beat()
    assert get(endpoint, "/healthz") == (200, "live\n")


def test_other_paths_are_not_found(endpoint):
    assert get(endpoint, "/")[0] == 404


def test_a_port_that_is_taken_is_a_problem_of_configuration(endpoint, metrics, health):
    with pytest.raises(ConfigurationError, match=f"metrics.port {endpoint.port} on 127.0.0.1 cannot be listened on"):
        Endpoint("127.0.0.1", endpoint.port, metrics, health)
