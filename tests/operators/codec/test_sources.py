"""The schema folder: what it holds, and every way in which it can be wrong."""

import pytest

from config.errors import ConfigurationError, UnknownSchemaError
from operators.codec.compatibility import folder_problems
from operators.codec.sources import FolderSchemas


@pytest.mark.parametrize(
    ("schema_id", "subject", "record"),
    [
        (1, "orders.status-value", "OrderStatusChanged"),
        (2, "orders.executions-value", "ExecutionReport"),
        (3, "orders.enrichment-value", "OrderEnriched"),
        (4, "orders.input-value", "OrderIntent"),
        (5, "risk.outcome-value", "RiskOutcome"),
    ],
)
def test_ids_of_the_first_versions_never_change(schemas, schema_id, subject, record) -> None:
    """They stand in stored records."""
    schema = schemas.by_id(schema_id)
    assert (schema.subject, schema.document["name"]) == (subject, record)


def test_a_referenced_type_is_inlined(schemas) -> None:
    outcome, intent = schemas.latest("risk.outcome-value"), schemas.latest("orders.input-value")
    assert {field["name"]: field["type"] for field in outcome.document["fields"]}["intent"] == intent.document


def test_all_versions_in_the_repository_read_what_older_ones_wrote(schemas) -> None:
    assert folder_problems(schemas) == []


def test_an_unknown_id_is_an_error_that_names_the_known_ones(schemas) -> None:
    with pytest.raises(UnknownSchemaError, match="id 77 is unknown, expected one of 1, 2, 3"):
        schemas.by_id(77)


def test_an_unknown_subject_and_an_unregistered_text_are_configuration_errors(schemas) -> None:
    with pytest.raises(ConfigurationError, match="no schema for subject nothing"):
        schemas.latest("nothing")
    with pytest.raises(ConfigurationError, match="no version of subject"):
        schemas.registered("orders.status-value", '"string"')


def test_a_newer_version_is_the_latest_and_the_old_text_keeps_its_id(folder, evolve) -> None:
    old = FolderSchemas(folder).latest("orders.status-value")
    evolve("orders.status-value", 106, lambda document: document.update(doc="changed"))
    schemas = FolderSchemas(folder)
    assert schemas.latest("orders.status-value").id == 106
    assert schemas.registered("orders.status-value", old.text).id == old.id == 9


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("- {id: 1, subject: orders.input-value, version: 1}\n", "id 1 is given twice"),
        ("- {id: 108, subject: orders.input-value, version: 1}\n", "orders.input-value version 1 is listed twice"),
        ("- {id: 108, subject: orders.input-value, version: 99}\n", r"v99\.avsc: not a schema"),
        ("- {id: eight, subject: orders.input-value, version: 2}\n", "not an index"),
        ("- {id: 108, subject: x, version: 1, colour: red}\n", "not an index"),
        ("][", "not an index"),
    ],
)
def test_a_wrong_index_is_refused_with_its_place(folder, lines, message) -> None:
    with (folder / "index.yaml").open("a") as index:
        index.write(lines)
    with pytest.raises(ConfigurationError, match=message):
        FolderSchemas(folder)


def test_all_unreadable_files_are_reported_together(folder) -> None:
    (folder / "orders.status-value" / "v1.avsc").write_text("{")
    (folder / "orders.input-value" / "v1.avsc").unlink()
    with pytest.raises(ConfigurationError) as caught:
        FolderSchemas(folder)
    assert len(caught.value.problems) == 2


def test_a_file_that_is_not_avro_is_refused(folder) -> None:
    file = folder / "orders.status-value" / "v1.avsc"
    file.write_text(file.read_text().replace('"long"', '"lang"'))
    with pytest.raises(ConfigurationError, match="not a valid Avro schema"):
        FolderSchemas(folder)


def test_a_dangling_reference_is_refused(folder) -> None:
    index = folder / "index.yaml"
    index.write_text(
        index.read_text().replace(
            "orders.OrderIntent, subject: orders.input-value, version: 1", "o, subject: s, version: 1"
        )
    )
    with pytest.raises(ConfigurationError, match="refers to s version 1"):
        FolderSchemas(folder)
