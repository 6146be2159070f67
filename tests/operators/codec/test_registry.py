"""A registry as a source: found once, waited for while it is down, never asked to register by a flow."""

import json
import threading

import pytest
from structlog.testing import capture_logs

from config.errors import ConfigurationError, DecodeError, RegistryUnavailableError, UnknownSchemaError
from operators.codec.codec import Codec
from operators.codec.registry import RegistryOptions, RegistrySchemas
from operators.codec.wire import header

STATUS = "orders.status"
SUBJECT = "orders.status-value"


@pytest.fixture
def client(registry) -> RegistrySchemas:
    return RegistrySchemas(RegistryOptions(registry.url, timeout_s=5.0, wait_first_s=0.01, wait_max_s=0.02))


@pytest.fixture
def filled(registry, schemas):
    """The registry with the status contract under id 41."""
    registry.add(SUBJECT, 41, schemas.latest(SUBJECT).text)
    return registry


def test_a_codec_works_with_a_registry_as_with_the_folder(filled, client, status) -> None:
    codec = Codec.latest(client, [STATUS])
    values = codec.encode_records(STATUS, [status, status])
    assert values[0][:5] == header(41)
    assert codec.decode(STATUS, values).batch.to_pylist() == [status, status]


def test_a_schema_is_asked_for_once(filled, client) -> None:
    assert client.by_id(41) is client.by_id(41)
    assert filled.requests == ["/schemas/ids/41"]


def test_a_schema_with_references_is_made_self_contained(registry, client, folder, schemas) -> None:
    text = (folder / "risk.outcome-value" / "v2.avsc").read_text()
    registry.add("orders.input-value", 1, (folder / "orders.input-value" / "v2.avsc").read_text())
    reference = {"name": "orders.OrderIntent", "subject": "orders.input-value", "version": 1}
    registry.add("risk.outcome-value", 2, text, references=[reference])
    wanted = schemas.latest("risk.outcome-value")
    assert client.by_id(2).document == wanted.document
    assert client.registered("risk.outcome-value", wanted.text).id == 2


def test_an_older_version_is_found_by_its_text(filled, client, schemas) -> None:
    text = schemas.latest(SUBJECT).text
    newer = json.loads(text)
    newer["fields"].append({"name": "note", "type": "string", "default": ""})
    filled.add(SUBJECT, 42, json.dumps(newer))
    assert client.latest(SUBJECT).id == 42
    assert client.registered(SUBJECT, text).id == 41


def test_an_unregistered_schema_is_a_configuration_error_and_is_not_registered(filled, client, status) -> None:
    changed = json.loads(filled.versions[SUBJECT][0][1]["schema"])
    changed["fields"].append({"name": "note", "type": "string", "default": ""})
    codec = Codec(client, {STATUS: json.dumps(changed)})
    with pytest.raises(ConfigurationError, match="register it"):
        codec.encode_records(STATUS, [status])
    with pytest.raises(ConfigurationError, match="no subject nothing"):
        client.latest("nothing")
    assert len(filled.versions[SUBJECT]) == 1


def test_an_unknown_id_is_the_records_fault(filled, client) -> None:
    with pytest.raises(UnknownSchemaError, match="id 7 is unknown"):
        client.by_id(7)


@pytest.mark.parametrize(
    ("text", "attributes"), [("syntax = 'proto3';", {"schemaType": "PROTOBUF"}), ("{", {}), ('{"type": "lang"}', {})]
)
def test_a_schema_that_is_not_avro_is_the_records_fault(registry, client, text, attributes) -> None:
    registry.add(SUBJECT, 9, text, **attributes)
    with pytest.raises(DecodeError, match="schema id 9 is"):
        client.by_id(9)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_that_blames_no_record_stops_the_flow(filled, client, status) -> None:
    """A wrong address answers 404 as well, but without the registry's own code for an unknown id."""
    filled.failing = status
    with pytest.raises(RegistryUnavailableError, match=f"HTTP status {status}"):
        client.by_id(41)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failing_registry_is_asked_again_with_growing_pauses(filled, status) -> None:
    pauses = []

    def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 4:
            filled.failing = None

    filled.failing = status
    options = RegistryOptions(filled.url, wait_first_s=0.5, wait_max_s=2.0)
    assert RegistrySchemas(options, sleep=sleep).by_id(41).id == 41
    assert pauses == [0.5, 1.0, 2.0, 2.0]


def test_records_wait_for_a_registry_that_is_down_and_none_is_dead_lettered(filled, schemas, status) -> None:
    text = schemas.latest(SUBJECT).text
    waits = threading.Event()

    def sleep(pause_s: float) -> None:
        waits.set()
        threading.Event().wait(pause_s)

    client = RegistrySchemas(RegistryOptions(filled.url, wait_first_s=0.01, wait_max_s=0.02), sleep=sleep)
    codec = Codec(client, {STATUS: text})
    values = [header(41) + value[5:] for value in Codec.latest(schemas, [STATUS]).encode_records(STATUS, [status] * 50)]
    filled.stop()
    results = []
    reader = threading.Thread(target=lambda: results.append(codec.decode(STATUS, values)))
    reader.start()
    assert waits.wait(10)
    assert results == []
    filled.start()
    reader.join(10)
    assert results[0].bad == []
    assert results[0].batch.to_pylist() == [status] * 50


def test_registering_is_idempotent_and_an_incompatible_schema_is_refused(filled, client, schemas) -> None:
    text = schemas.latest(SUBJECT).text
    assert client.register(SUBJECT, text) == 41
    assert client.register("orders.input-value", schemas.latest("orders.input-value").text) == 42
    broken = json.loads(text)
    broken["fields"].append({"name": "note", "type": "string"})
    with pytest.raises(ConfigurationError, match="incompatible"):
        client.register(SUBJECT, json.dumps(broken))


def test_registering_does_not_wait_for_a_registry_that_is_down(registry, client, schemas) -> None:
    registry.stop()
    with pytest.raises(RegistryUnavailableError):
        client.register(SUBJECT, schemas.latest(SUBJECT).text)


def test_an_address_that_is_no_url_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="not an http or https URL"):
        RegistrySchemas(RegistryOptions("registry:8081"))


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(RegistryOptions("http://registry", "flow", "secret"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "Connection refused"), ("http://no-such-host.invalid", "not known")],
)
def test_waiting_says_for_whom_why_and_that_it_has_no_end(url, reason) -> None:
    class EnoughError(Exception):
        pass

    def stop(_seconds: float) -> None:
        raise EnoughError

    with capture_logs() as logs, pytest.raises(EnoughError):
        RegistrySchemas(RegistryOptions(url), sleep=stop).latest(SUBJECT)
    [line] = logs
    assert (line["url"], line["check"]) == (url, "that it runs, and schemas.registry_url")
    assert "waiting until it does" in line["event"]
    assert reason in line["reason"]
    assert "URLError" not in line["reason"]


def test_registering_where_nobody_answers_does_not_wait_and_names_the_address() -> None:
    client = RegistrySchemas(RegistryOptions("http://127.0.0.1:1"))
    with pytest.raises(RegistryUnavailableError, match=r"at http://127\.0\.0\.1:1 does not answer: .*refused; check"):
        client.register(SUBJECT, "{}")
