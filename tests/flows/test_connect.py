"""From settings to what they name: files that are not there are told by the name of their option."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.embedded import EmbeddedLog
from config.errors import ConfigurationError, UsageError
from config.settings import Settings
from flows.connect import open_log, open_registry, require_topics


def test_a_certificate_file_that_is_not_there_is_told_by_its_option(tmp_path: Path) -> None:
    settings, missing = Settings(), tmp_path / "ca.pem"
    kafka = replace(settings.kafka, bootstrap_servers=("127.0.0.1:1",), ssl_ca_location=missing)
    on_kafka = replace(settings, log=replace(settings.log, kind="kafka"), kafka=kafka)
    with pytest.raises(ConfigurationError, match=f"kafka.ssl_ca_location: there is no file {missing}"):
        open_log(on_kafka)
    registry = replace(settings.schemas, registry_url="https://127.0.0.1:1", registry_ca_location=missing)
    with pytest.raises(ConfigurationError, match=f"schemas.registry_ca_location: there is no file {missing}"):
        open_registry(registry)


def test_topics_that_are_not_there_are_named_with_how_to_create_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no topic a or b: run `orderflow topics create`"):
        require_topics(EmbeddedLog(tmp_path), ["b", "a"])
    require_topics(EmbeddedLog(tmp_path), [])
