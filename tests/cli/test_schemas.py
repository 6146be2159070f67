"""Schemas are checked, listed and registered from the folder."""

import shutil
from pathlib import Path

import pytest

import config

FOLDER = Path(config.__file__).parent / "schemas"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    copy = tmp_path / "schemas"
    shutil.copytree(FOLDER, copy)
    monkeypatch.setenv("ORDERFLOW__SCHEMAS__FOLDER", str(copy))
    return copy


def test_the_schemas_that_ship_are_compatible_and_complete(run):
    result = run("schemas", "check")
    assert result.exit_code == 0, result.stderr
    assert "orders.status-value: 2 versions, compatible" in result.stdout


def test_list_shows_subject_version_id_and_record(run):
    lines = [line.split() for line in run("schemas", "list").stdout.splitlines()]
    assert ["orders.status-value", "1", "1", "OrderStatusChanged"] in lines


def test_a_version_that_cannot_read_its_predecessor_fails_the_check(run, folder):
    old = (folder / "orders.status-value" / "v1.avsc").read_text()
    new = old.replace('"name": "sequence", "type": "long"', '"name": "sequence", "type": "string"')
    assert new != old
    (folder / "orders.status-value" / "v99.avsc").write_text(new)
    with (folder / "index.yaml").open("a") as index:
        index.write("- {id: 999, subject: orders.status-value, version: 99}\n")
    result = run("schemas", "check")
    assert result.exit_code == 2
    assert "v99.avsc: cannot read what orders.status-value/v1.avsc wrote: sequence" in result.stderr


def test_a_topic_without_schema_fails_the_check(run, folder):
    index = folder / "index.yaml"
    index.write_text("".join(line for line in index.read_text().splitlines(True) if "orders.enrichment" not in line))
    result = run("schemas", "check")
    assert result.exit_code == 2
    assert "topic orders.enrichment has no schema" in result.stderr


def test_registering_needs_a_registry(run):
    result = run("schemas", "register")
    assert result.exit_code == 2
    assert "set schemas.registry_url" in result.stderr
