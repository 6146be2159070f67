"""Schemas, a codec, records of every contract, and a stand-in for a Confluent-compatible registry server."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import strategies as st

from operators.codec.codec import Codec
from operators.codec.compatibility import incompatibilities
from operators.codec.schema import kind, nullable
from operators.codec.sources import FolderSchemas

FOLDER = Path(__file__).parents[3] / "config" / "schemas"
TOPICS = sorted(subject.name.removesuffix("-value") for subject in FOLDER.glob("*-value"))

TEXT = st.one_of(
    st.just(""), st.text(max_size=12), st.sampled_from(["MSFT", "ACC1|ORD1", "Zürich 東京 🚀", "\0", "a" * 200])
)
NUMBERS = {
    "int": st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0, -(2**31), 2**31 - 1])),
    "long": st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, -(2**63), 2**63 - 1])),
    "double": st.floats(allow_nan=True),
    "boolean": st.booleans(),
}


def strategy(avro_type, *, nan: bool = True) -> st.SearchStrategy:
    """Values of an Avro type as the codec's record form has them."""
    avro_type, optional = nullable(avro_type)
    name = kind(avro_type)
    if name == "record":
        values = st.fixed_dictionaries({f["name"]: strategy(f["type"], nan=nan) for f in avro_type["fields"]})
    elif name == "array":
        values = st.lists(strategy(avro_type["items"], nan=nan), max_size=3)
    elif name == "double" and not nan:
        values = st.floats(allow_nan=False)
    else:
        values = TEXT if name == "string" else NUMBERS[name]
    return st.none() | values if optional else values


@pytest.fixture(scope="session")
def schemas() -> FolderSchemas:
    return FolderSchemas(FOLDER)


@pytest.fixture(scope="session")
def codec(schemas) -> Codec:
    return Codec.latest(schemas, TOPICS)


@pytest.fixture(scope="session")
def documents(schemas) -> dict:
    return {topic: schemas.latest(f"{topic}-value").document for topic in TOPICS}


@pytest.fixture(scope="session")
def records_of(documents):
    """A strategy of records by topic; `nan=False` leaves out what does not equal itself."""
    return lambda topic, nan=True: strategy(documents[topic], nan=nan)


@pytest.fixture(scope="session")
def status() -> dict:
    return {
        "eventType": "ORDER_STATUS_CHANGED",
        "version": 2,
        "occurredAt": 1_795_185_002_118_204,
        "key": "ACC00042|ORD00001234",
        "order": {
            "id": "ORD00001234",
            "parentId": None,
            "symbol": "MSFT",
            "side": "SELL",
            "quantity": 300,
            "clOrdId": "CL1",
            "limitPrice": 412_000_000,
            "timeInForce": "DAY",
            "isParent": None,
        },
        "status": {
            "code": "PARTIALLY_FILLED",
            "reason": None,
            "filledQuantity": 120,
            "leavesQuantity": 180,
            "avgPrice": 412_355_000,
            "day": {"tradeDate": 20_777, "orderQuantity": 200, "filledQuantity": 20, "avgPrice": 412_360_000},
        },
        "sequence": 4,
        "source": "order-engine-1",
        "venue": "XNAS",
        "arrivalPrice": 412_300_000,
        "decisionPrice": None,
        "market": {"price": 412_310_000, "volume": 1_000, "turnover": None},
        "correlationId": "C-1",
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the schema folder that a test may evolve."""
    return Path(shutil.copytree(FOLDER, tmp_path / "schemas"))


@pytest.fixture
def evolve(folder):
    """Adds a version to a subject of the copied folder: `evolve(subject, id, change)`, `change` edits the document."""

    def add(subject: str, schema_id: int, change) -> dict:
        versions = sorted((folder / subject).glob("v*.avsc"))
        document = json.loads(versions[-1].read_text())
        change(document)
        number = len(versions) + 1
        (folder / subject / f"v{number}.avsc").write_text(json.dumps(document))
        with (folder / "index.yaml").open("a") as index:
            index.write(f"- {{id: {schema_id}, subject: {subject}, version: {number}}}\n")
        return document

    return add


class FakeRegistry:
    """The part of a Confluent-compatible registry that the product uses, over HTTP, in this process.

    `failing` is an HTTP status that every request gets instead of an answer; `requests` counts what was asked.
    """

    def __init__(self) -> None:
        self.versions: dict[str, list[tuple[int, dict]]] = {}
        self.failing: int | None = None
        self.requests: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self, None)

            def do_POST(self) -> None:
                registry.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *args: object) -> None:
                """Tests want no access log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def add(self, subject: str, schema_id: int, text: str, **attributes: object) -> None:
        self.versions.setdefault(subject, []).append((schema_id, {"schema": text, **attributes}))

    def answer(self, handler: BaseHTTPRequestHandler, body: dict | None) -> None:
        self.requests.append(handler.path)
        status, answer = (self.failing, {}) if self.failing else self.respond(unquote(handler.path), body)
        payload = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)

    def respond(self, path: str, body: dict | None) -> tuple[int, object]:
        match path.strip("/").split("/"):
            case ["schemas", "ids", number]:
                for versions in self.versions.values():
                    for schema_id, schema in versions:
                        if schema_id == int(number):
                            return 200, schema
                return 404, {"error_code": 40403, "message": "Schema not found"}
            case ["subjects", subject, "versions"] if body is not None:
                return self.registered(subject, body)
            case ["compatibility", "subjects", subject, "versions", _] if body is not None:
                return 200, {"is_compatible": not self.problems(subject, body)}
            case ["subjects", subject, *_] if subject not in self.versions:
                return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
            case ["subjects", subject, "versions"]:
                return 200, list(range(1, len(self.versions[subject]) + 1))
            case ["subjects", subject, "versions", version]:
                number = len(self.versions[subject]) if version == "latest" else int(version)
                schema_id, schema = self.versions[subject][number - 1]
                return 200, {"subject": subject, "version": number, "id": schema_id, **schema}
            case _:
                return 404, {}

    def registered(self, subject: str, body: dict) -> tuple[int, object]:
        for schema_id, schema in self.versions.get(subject, []):
            if json.loads(schema["schema"]) == json.loads(body["schema"]):
                return 200, {"id": schema_id}
        if problems := self.problems(subject, body):
            return 409, {"error_code": 409, "message": f"incompatible: {problems[0]}"}
        schema_id = 1 + max((i for versions in self.versions.values() for i, _ in versions), default=0)
        self.add(subject, schema_id, body["schema"])
        return 200, {"id": schema_id}

    def problems(self, subject: str, body: dict) -> list[str]:
        reader = json.loads(body["schema"])
        older = [json.loads(schema["schema"]) for _, schema in self.versions.get(subject, [])]
        return [problem for writer in older for problem in incompatibilities(reader, writer)]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A running registry without schemas."""
    fake = FakeRegistry()
    fake.start()
    yield fake
    fake.stop()
