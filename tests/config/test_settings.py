"""Settings come from defaults, file and environment, and everything that is wrong is told at once."""

import pickle
from pathlib import Path

import pytest

from config.errors import ConfigurationError
from config.reference import reference_markdown, shown_value
from config.settings import Settings, load_settings, load_settings_and_places, options


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "orderflow.yaml"
        file.write_text(text)
        return file

    return write


def problems_of(file, environment=None):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, environment or {})
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_without_file_and_environment_the_defaults_hold():
    settings = load_settings(None, {"PATH": "/bin", "HOME": "/root"})
    assert settings == Settings()
    assert settings.log.kind == "embedded"
    assert settings.state.cache_rows == 500_000


def test_the_environment_overrides_the_file_and_the_file_the_defaults(write):
    file = write("engine: {epoch_ms: 50, collect_ms: 20}\nlog: {path: /data/log}\n")
    settings, places = load_settings_and_places(file, {"ORDERFLOW__ENGINE__EPOCH_MS": "25"})
    assert (settings.engine.epoch_ms, settings.engine.collect_ms, settings.engine.poll_records) == (25, 20, 32_000)
    assert settings.log.path == Path("/data/log")
    assert str(places["engine.epoch_ms"]) == "ORDERFLOW__ENGINE__EPOCH_MS"
    assert str(places["engine.collect_ms"]) == f"{file}:1"
    assert str(places["log.path"]) == f"{file}:2"


def test_every_kind_of_option_can_come_from_the_environment():
    settings = load_settings(
        None,
        {
            "ORDERFLOW__LOG__KIND": "kafka",
            "ORDERFLOW__LOG__DURABLE": "true",
            "ORDERFLOW__KAFKA__BOOTSTRAP_SERVERS": "one:9092, two:9092",
            "ORDERFLOW__KAFKA__OPTIONS": '{linger.ms: "5"}',
            "ORDERFLOW__STATE__DIR": "/state",
            "ORDERFLOW__APPLICATION__PREFIX": "123",
            "ORDERFLOW__METRICS__PORT": "off",
        },
    )
    assert settings.kafka.bootstrap_servers == ("one:9092", "two:9092")
    assert settings.kafka.client_options() == {"linger.ms": "5", "security.protocol": "PLAINTEXT"}
    assert (settings.log.durable, settings.state.dir, settings.metrics.port) == (True, Path("/state"), None)
    assert settings.application.prefix == "123"


def test_a_pod_gets_index_and_count_under_the_names_that_kubernetes_and_the_manifests_use():
    environment = {
        "JOB_COMPLETION_INDEX": "1",
        "ORDERFLOW__WORKERS": "2",
        "ORDERFLOW__WORKERS__ADDRESSES": "a-0.a:2101,a-1.a:2101",
    }
    workers = load_settings(None, environment).workers
    assert (workers.index, workers.count, workers.addresses) == (1, 2, ("a-0.a:2101", "a-1.a:2101"))
    assert load_settings(None, environment | {"ORDERFLOW__WORKERS__INDEX": "0"}).workers.index == 0


def test_all_problems_of_file_and_environment_are_told_at_once_each_with_its_place(write):
    file = write(
        "log:\n"
        "  kind: kafak\n"
        "  pth: /data\n"
        "engine:\n"
        "  epoch_ms: 0\n"
        "  collect_ms: fast\n"
        "metricks: {port: 1}\n"
        "logs: loud\n"
        "kafka: {options: {linger.ms: 5}}\n"
    )
    assert problems_of(file, {"ORDERFLOW__STATE__CASH_ROWS": "5", "ORDERFLOW__STATE__CACHE_ROWS": "many"}) == [
        "ORDERFLOW__STATE__CASH_ROWS: no such option; did you mean 'ORDERFLOW__STATE__CACHE_ROWS'?",
        "2: 'kafak' is not one of embedded, kafka",
        "3: unknown field 'pth'; did you mean 'path'?",
        "5: 0 is below the minimum of 1 ms",
        "6: expected integer, found 'fast'",
        "7: unknown field 'metricks'; did you mean 'metrics'?",
        "8: expected a mapping, found a single value",
        "9: expected text, found '5'; put it in quotes",
        "ORDERFLOW__STATE__CACHE_ROWS: expected integer, found 'many'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log: {kind: kafka}", "1: log.kind is kafka, so kafka.bootstrap_servers must be given"),
        ("schemas: {source: registry}", "1: schemas.source is registry, so schemas.registry_url must be given"),
        ("schemas: {registry_url: localhost}", "1: 'localhost' does not match (https?://\\S+)?"),
        ("workers: {index: 1}", "1: workers.index 1 must be below workers.count 1"),
        ("workers: {count: 2, addresses: [a]}", "1: 1 workers.addresses for workers.count 2"),
        ("workers: {count: 2, index: 0}", "1: workers.index with several workers needs workers.addresses"),
        ("engine: {collect_ms: 20}", "1: engine.collect_ms is above engine.epoch_ms: every epoch would end late"),
        (
            "workers:\n  restart_backoff_min_ms: 20000",
            "2: restart_backoff_min_ms is above restart_backoff_max_ms",
        ),
        (
            "kafka: {security_protocol: SASL_SSL}",
            "1: a SASL protocol needs kafka.sasl_username and kafka.sasl_password",
        ),
        ("application: {prefix: a b}", "1: 'a b' does not match [A-Za-z0-9._-]{0,60}"),
    ],
)
def test_rules_between_options_and_of_text_are_checked(write, text, problem):
    assert problems_of(write(text)) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log: {kind: embedded", "1: is not valid YAML: expected ',' or '}', but got '<stream end>'"),
        ("log: {kind: kafka, kind: embedded}", "1: 'kind' is given twice, first in line 1"),
        ("- log", "1: a mapping of keys to values is expected here"),
        ("a: &a [*a]", "1: an alias may not refer to what contains it"),
        ("log: {kind: !secret x}", "could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_proper_yaml_is_refused_with_its_line(write, text, problem):
    assert problem in "\n".join(problems_of(write(text)))


def test_a_missing_file_is_refused(tmp_path):
    assert problems_of(tmp_path / "none.yaml") == [" cannot be read: No such file or directory"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "log:\n#  kind: kafka\n"])
def test_an_empty_file_and_an_empty_section_change_nothing(write, text):
    assert load_settings(write(text), {}) == Settings()


def test_names_known_to_the_log_start_with_the_prefix():
    application = load_settings(None, {"ORDERFLOW__APPLICATION__PREFIX": "eu-"}).application
    assert application.group_of("views") == "eu-views"
    assert application.transactional_id_of("views") == "eu-views"
    assert application.changelog_of("order_status", "join") == "eu-order_status-join-changelog"
    assert application.client_id_of("views", "lane-0") == "eu-views-lane-0"


def test_secrets_are_shown_nowhere():
    environment = {
        "ORDERFLOW__KAFKA__SASL_PASSWORD": "hunter2",
        "ORDERFLOW__KAFKA__OPTIONS": "{ssl.key.password: hunter2, linger.ms: '5'}",
    }
    settings = load_settings(None, environment)
    shown = {item.path: shown_value(item, settings) for item in options()}
    assert shown["kafka.sasl_password"] == "***"
    assert shown["kafka.options"] == {"ssl.key.password": "***", "linger.ms": "5"}
    assert "sasl_password" not in repr(settings)


def test_settings_can_be_handed_to_another_process():
    settings = load_settings(None, {"ORDERFLOW__KAFKA__OPTIONS": '{linger.ms: "5"}'})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_every_option_says_what_it_is_for():
    assert [item.path for item in options() if not item.declaration.reason.endswith((".", "?"))] == []


def test_the_reference_page_is_current():
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == reference_markdown(), "run: orderflow config reference > docs/configuration.md"
