"""The logs that tests run on: a fresh embedded one for each test, one real Kafka broker for the whole session."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from broker.embedded import EmbeddedLog
from broker.server.server import missing_programs, start

TOOLS_DIR = Path(__file__).parents[1] / ".tools" / "kafka"

# How long an example takes says something about the machine, not about the product.
hypothesis.settings.register_profile("orderflow", deadline=None)
hypothesis.settings.load_profile("orderflow")


@pytest.fixture
def embedded_log(tmp_path: Path) -> EmbeddedLog:
    return EmbeddedLog(tmp_path / "log")


@pytest.fixture(scope="session")
def kafka_tools_dir() -> Path:
    """Where brokers are installed. Without Java or Maven the test is skipped, except in CI, where nothing may be."""
    missing = missing_programs()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"needs a Kafka broker, and {' and '.join(missing)} is not installed")
    return TOOLS_DIR


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_tools_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that all tests of the session share: use names of your own."""
    broker = start(tmp_path_factory.mktemp("kafka"), tools_dir=kafka_tools_dir)
    yield broker.bootstrap
    broker.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: there, everything that a test can need must be there."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longreprtext or report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that would be skipped."""
    report = yield
    if os.environ.get("CI") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
