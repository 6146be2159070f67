"""BACKWARD_TRANSITIVE: each rule of Avro's schema resolution that a new version can break."""

import pytest

from operators.codec.compatibility import folder_problems, incompatibilities
from operators.codec.sources import FolderSchemas


def record(*fields, name="R", **attributes):
    return {"type": "record", "name": name, "fields": [dict(field) for field in fields], **attributes}


def enum(*symbols, **attributes):
    return {"type": "enum", "name": "E", "symbols": list(symbols), **attributes}


def a(avro_type, **attributes):
    return {"name": "a", "type": avro_type, **attributes}


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
TREE = record(a(["null", "R"]), {"name": "b", "type": "int"})


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (record(a("int")), record(a("int"))),
        (record(a("long")), record(a("int"))),
        (record(a("double")), record(a("long"))),
        (record(a("bytes")), record(a("string"))),
        (record(a(["null", "int"])), record(a("int"))),
        (record(a(["null", "long"])), record(a(["int", "null"]))),
        (record(a("int", default=1)), record()),
        (record(), record(a("int"))),
        (record({"name": "z", "type": "int", "aliases": ["a"]}), record(a("int"))),
        (record(a("int"), name="New", aliases=["R"]), record(a("int"))),
        (record(a(enum("X", "Y"))), record(a(enum("X")))),
        (record(a(enum("X", default="X"))), record(a(enum("X", "Y")))),
        (record(a({"type": "array", "items": "long"})), record(a({"type": "array", "items": "int"}))),
        (TREE, TREE),
    ],
)
def test_what_avro_resolves_is_compatible(reader, writer) -> None:
    assert incompatibilities(reader, writer) == []


@pytest.mark.parametrize(
    ("reader", "writer", "problem"),
    [
        (record(a("int")), record(a("long")), "a: long cannot be read as int"),
        (record(a("string")), record(a("int")), "a: int cannot be read as string"),
        (record(a("int")), record(), "a: is new and has no default"),
        (record(a("int")), record(a(["null", "int"])), "a: null cannot be read as int"),
        (record(a(["null", "int"])), record(a("string")), "a: no branch of the union reads string"),
        (record(a("int"), name="New"), record(a("int")), "the record: R cannot be read as New"),
        (record(a(enum("X"))), record(a(enum("X", "Y"))), "a: symbol Y is gone"),
        (
            record(a({"type": "fixed", "name": "F", "size": 4})),
            record(a({"type": "fixed", "name": "F", "size": 5})),
            "a: fixed of 5 bytes cannot be read as 4",
        ),
        (record(a({"type": "array", "items": "int"})), record(a({"type": "array", "items": "long"})), r"a[]: long"),
        (record(a({"type": "map", "values": "int"})), record(a({"type": "map", "values": "long"})), "a{}: long"),
        (record(a(record(a("int"), name="N"))), record(a(record(name="N"))), "a.a: is new"),
        (record(a(MICROS)), record(a(MILLIS)), "a: logicalType was timestamp-millis, is timestamp-micros"),
        (record(a("long", unit="millionths")), record(a("long")), "a: unit was None, is millionths"),
        (TREE, record(a(["null", "R"]), {"name": "b", "type": "long"}), "b: long cannot be read as int"),
    ],
)
def test_what_breaks_old_records_is_named_with_its_path(reader, writer, problem) -> None:
    problems = incompatibilities(reader, writer)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_version_is_checked_against_all_older_ones_and_named_by_its_file(folder, evolve) -> None:
    evolve("orders.status-value", 106, lambda d: d["fields"].append({"name": "note", "type": "string", "default": ""}))
    evolve("orders.status-value", 107, lambda d: d["fields"][-1].pop("default"))
    problems = folder_problems(FolderSchemas(folder))
    assert len(problems) == 2, "version 4 reads version 3, where the field is, but neither version 1 nor 2"
    for version, problem in enumerate(problems, 1):
        assert str(problem.file).endswith("orders.status-value/v4.avsc")
        assert problem.message == (
            f"cannot read what orders.status-value/v{version}.avsc wrote: note: is new and has no default"
        )
