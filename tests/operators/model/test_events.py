"""The events are the contracts, word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from config.errors import InvalidRecordError
from operators.model import events
from operators.model.money import Rate, fitting, to_decimal, to_micros
from operators.model.orders import schemas as order_schemas

SCHEMAS = Path(__file__).resolve().parents[3] / "config" / "schemas"
CONTRACTS = {
    events.OrderIntent: "orders.input-value",
    events.RiskOutcome: "risk.outcome-value",
    events.OrderStatusChanged: "orders.status-value",
    events.OrderEnriched: "orders.enrichment-value",
    events.ExecutionReport: "orders.executions-value",
    events.OrderAnomaly: "orders.anomalies-value",
}


def contract(subject: str) -> dict[str, Any]:
    newest = max((SCHEMAS / subject).glob("*.avsc"), key=lambda path: (len(path.stem), path.stem))
    schema = json.loads(newest.read_text())
    assert isinstance(schema, dict)
    return schema


def record_of(avro: Any) -> dict[str, Any] | None:
    """The record in an Avro type, if there is one."""
    if isinstance(avro, list):
        return next((found for branch in avro if (found := record_of(branch)) is not None), None)
    if isinstance(avro, dict) and avro["type"] == "record":
        return avro
    return record_of(avro["items"]) if isinstance(avro, dict) and avro["type"] == "array" else None


def struct_of(annotation: Any) -> Any:
    """The struct in a field's type, if there is one."""
    if isinstance(annotation, msgspec.inspect.ListType):
        return struct_of(annotation.item_type)
    if isinstance(annotation, msgspec.inspect.UnionType):
        return next((found for part in annotation.types if (found := struct_of(part)) is not None), None)
    return annotation.cls if isinstance(annotation, msgspec.inspect.StructType) else None


def assert_same(struct: Any, schema: dict[str, Any]) -> None:
    fields = {field.encode_name: field for field in msgspec.inspect.type_info(struct).fields}
    assert set(fields) == {field["name"] for field in schema["fields"]}
    for avro in schema["fields"]:
        optional = isinstance(avro["type"], list)
        union = getattr(fields[avro["name"]].type, "types", ())
        assert optional == any(isinstance(part, msgspec.inspect.NoneType) for part in union), avro["name"]
        if nested := record_of(avro["type"]):
            assert_same(struct_of(fields[avro["name"]].type), nested)


@pytest.mark.parametrize("struct", list(CONTRACTS), ids=lambda struct: struct.__name__)
def test_a_struct_has_the_fields_of_its_contract(struct: Any) -> None:
    assert_same(struct, contract(CONTRACTS[struct]))


@pytest.mark.parametrize(
    ("columns", "subject"),
    [
        (order_schemas.CONSOLIDATED, "orders.status-value"),
        (order_schemas.ENRICHED, "orders.enrichment-value"),
        (order_schemas.ANOMALY, "orders.anomalies-value"),
    ],
)
def test_output_columns_are_those_of_the_contract_in_its_order(columns: Any, subject: str) -> None:
    schema = contract(subject)
    assert columns.names == [field["name"] for field in schema["fields"]]
    assert [field.nullable for field in columns] == [isinstance(field["type"], list) for field in schema["fields"]]
    for field, avro in zip(columns, schema["fields"], strict=True):
        if pa.types.is_struct(field.type):
            nested = record_of(avro["type"])
            assert nested is not None
            assert [part.name for part in field.type] == [part["name"] for part in nested["fields"]]


def test_a_key_is_account_and_order() -> None:
    key = events.order_key("ACC1", "ORD|1")
    assert (events.account_of(key), events.order_of(key)) == ("ACC1", "ORD|1")


@pytest.mark.parametrize("key", ["", "ACC1", "|ORD1", "ACC1|"])
def test_a_broken_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidRecordError):
        events.order_of(key)


@pytest.mark.parametrize(("account", "order"), [("", "1"), ("A", ""), ("A|B", "1")])
def test_no_key_is_made_that_could_not_be_taken_apart(account: str, order: str) -> None:
    with pytest.raises(InvalidRecordError):
        events.order_key(account, order)


def test_amounts_are_exact() -> None:
    assert to_micros("412.355") == 412_355_000
    assert str(to_decimal(412_355_000)) == "412.355"
    assert str(to_decimal(0)) == "0"
    assert Rate.per_unit("0.0000195").of(3) == 58
    assert Rate.per_unit("-0.0000005").of(1) == -1
    with pytest.raises(ValueError, match="finer"):
        to_micros("0.0000001")
    with pytest.raises(InvalidRecordError, match="64 bits"):
        fitting(2**63, "sum")
