"""A Confluent-compatible schema registry as a source of schemas, over its REST interface.

The registry's own Python client is not used: it needs four more packages, and what is needed of it is three questions.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import fastavro
import structlog
from fastavro.schema import SchemaParseException, UnknownType

from config.errors import (
    ConfigurationError,
    DecodeError,
    OrderflowError,
    Problem,
    RegistryUnavailableError,
    UnknownSchemaError,
)
from operators.codec.schema import AvroType, Schema, inline

_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_NO_SUCH_SCHEMA, _NO_SUCH_SUBJECT = 40403, 40401
_RETRIED_STATUSES = (408, 429)

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How to reach a registry. `ca_file` is for a private certificate authority; waits double from first to longest."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    timeout_s: float = 5.0
    wait_first_s: float = 0.5
    wait_max_s: float = 30.0


class RegistrySchemas:
    """Schemas of a registry. What was found is kept for ever: an id never changes its meaning.

    While the registry does not answer, calls wait and log, so an outage delays records and dead-letters none. An answer
    that no waiting mends, such as refused credentials, is a `RegistryUnavailableError`. Nothing is registered unasked.
    Safe to use from several threads.
    """

    def __init__(self, options: RegistryOptions, *, sleep: Callable[[float], None] = time.sleep) -> None:
        if urllib.parse.urlsplit(options.url).scheme not in ("http", "https"):
            raise ConfigurationError([Problem(f"schema registry address {options.url!r} is not an http or https URL")])
        self._options = options
        self._sleep = sleep
        self._tls = ssl.create_default_context(cafile=options.ca_file)
        self._by_id: dict[int, Schema] = {}
        self._lock = threading.Lock()

    def by_id(self, schema_id: int) -> Schema:
        """The schema of this id; `UnknownSchemaError` if there is none."""
        with self._lock:
            if schema_id not in self._by_id:
                self._by_id[schema_id] = self._waiting(lambda: self._fetch(schema_id))
            return self._by_id[schema_id]

    def latest(self, subject: str) -> Schema:
        """The newest version; `ConfigurationError` if the subject is unknown."""
        return self._waiting(lambda: self._version(subject, "latest"))

    def registered(self, subject: str, text: str) -> Schema:
        """The version equal to the text; `ConfigurationError` if there is none."""
        wanted = json.loads(text)
        for version in reversed(self._waiting(lambda: self._versions(subject))):
            schema = self._waiting(lambda number=version: self._version(subject, number))  # type: ignore[misc] # binds now
            if schema.document == wanted:
                return schema
        raise ConfigurationError(
            [Problem(f"no version of subject {subject} in the schema registry equals the schema in use: register it")]
        )

    def register(self, subject: str, text: str) -> int:
        """Adds a version to a subject, or finds the equal one; the schema's id. For the command, not for flows.

        Does not wait. `ConfigurationError` if the registry finds the schema invalid or incompatible.
        """
        path = f"/subjects/{_quoted(subject)}/versions"
        try:
            return int(self._call(path, {"schema": text, "schemaType": "AVRO"})["id"])
        except _OutageError as outage:
            raise RegistryUnavailableError(
                f"the schema registry at {self._options.url} does not answer: {outage}; check that it runs, and "
                "schemas.registry_url"
            ) from outage
        except _RefusedError as refused:
            raise ConfigurationError([Problem(f"{subject}: the schema registry refuses it: {refused}")]) from refused

    def _fetch(self, schema_id: int) -> Schema:
        try:
            answer = self._call(f"/schemas/ids/{schema_id}")
        except _RefusedError as refused:
            if refused.code == _NO_SUCH_SCHEMA:
                raise UnknownSchemaError(f"schema id {schema_id} is unknown to the schema registry") from refused
            raise self._unusable(refused) from refused
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise DecodeError(f"schema id {schema_id} is {answer['schemaType']}, expected AVRO")
        return self._schema(schema_id, None, answer)

    def _versions(self, subject: str) -> list[int]:
        try:
            return sorted(self._call(f"/subjects/{_quoted(subject)}/versions"))
        except _RefusedError as refused:
            raise self._unknown_subject(subject, refused) from refused

    def _version(self, subject: str, version: int | str) -> Schema:
        try:
            answer = self._call(f"/subjects/{_quoted(subject)}/versions/{version}")
        except _RefusedError as refused:
            raise self._unknown_subject(subject, refused) from refused
        return self._schema(int(answer["id"]), subject, answer)

    def _schema(self, schema_id: int, subject: str | None, answer: Any) -> Schema:
        try:
            document = self._self_contained(answer)
            fastavro.parse_schema(document)
        except (ValueError, SchemaParseException, UnknownType) as error:
            raise DecodeError(f"schema id {schema_id} is not a valid Avro schema: {error!r}") from error
        return Schema(schema_id, subject, json.dumps(document))

    def _self_contained(self, answer: Any) -> AvroType:
        """The schema of an answer with everything it refers to inlined."""
        named = {}
        for reference in answer.get("references", ()):
            path = f"/subjects/{_quoted(reference['subject'])}/versions/{reference['version']}"
            named[reference["name"]] = self._self_contained(self._call(path))
        return inline(json.loads(answer["schema"]), named)

    def _waiting(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, however long the registry is away."""
        wait_s = self._options.wait_first_s
        while True:
            try:
                return ask()
            except _OutageError as outage:
                log.warning(
                    "schema registry does not answer; waiting until it does", url=self._options.url, reason=str(outage),
                    next_try_s=wait_s, check="that it runs, and schemas.registry_url",
                )  # fmt: skip
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, self._options.wait_max_s)

    def _unknown_subject(self, subject: str, refused: _RefusedError) -> OrderflowError:
        if refused.code == _NO_SUCH_SUBJECT:
            return ConfigurationError(
                [Problem(f"the schema registry has no subject {subject}: `orderflow schemas register` registers ours")]
            )
        return self._unusable(refused)

    def _unusable(self, refused: _RefusedError) -> RegistryUnavailableError:
        """For answers that blame no record and pass with no time: wrong address, wrong credentials."""
        return RegistryUnavailableError(
            f"the schema registry at {self._options.url} refuses to answer: {refused}; check schemas.registry_url and "
            "the user and password"
        )

    def _call(self, path: str, body: Any = None) -> Any:
        """One request. `_RefusedError` if the registry says no, `_OutageError` if it says nothing sensible."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": _CONTENT_TYPE, "Content-Type": _CONTENT_TYPE}
        if self._options.username is not None:
            credentials = f"{self._options.username}:{self._options.password or ''}"
            headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        address = self._options.url.rstrip("/") + path
        request = urllib.request.Request(address, data, headers)  # noqa: S310 # the scheme is checked at construction
        try:
            with urllib.request.urlopen(request, timeout=self._options.timeout_s, context=self._tls) as response:  # noqa: S310
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code >= 500 or error.code in _RETRIED_STATUSES:
                    raise _OutageError(f"HTTP status {error.code}") from error
                raise _refusal(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _OutageError(_plain(error)) from error


def _plain(error: Exception) -> str:
    """What went wrong with a request in the words of whoever noticed: the resolver, the connection, TLS, JSON."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ValueError):
        return f"what answers there is no schema registry: {cause}"
    return str(cause) or type(cause).__name__


class _RefusedError(Exception):
    """The registry answered with an error of its own; `code` is its five-digit code, 0 if there was none."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _OutageError(RegistryUnavailableError):
    """No sensible answer now; there may be one later."""


def _refusal(error: urllib.error.HTTPError) -> _RefusedError:
    try:
        answer = json.loads(error.read())
        return _RefusedError(f"{answer['message']} (HTTP status {error.code})", int(answer["error_code"]))
    except (ValueError, KeyError, TypeError):
        return _RefusedError(f"HTTP status {error.code}", 0)


def _quoted(subject: str) -> str:
    return urllib.parse.quote(subject, safe="")
