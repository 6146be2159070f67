"""The JSON form: exact both ways, and every refusal names the field."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from config.errors import InvalidRecordError
from operators.codec.json_form import dumps, from_json, loads, to_json

FOLDER = Path(__file__).parents[3] / "config" / "schemas"
TOPICS = sorted(subject.name.removesuffix("-value") for subject in FOLDER.glob("*-value"))


@pytest.fixture
def document(documents):
    return documents["orders.status"]


@pytest.fixture
def form(document, status) -> dict:
    return to_json(document, status)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_record_survives_the_way_through_json_text(topic, documents, records_of) -> None:
    @settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(records_of(topic, nan=False))
    def check(record) -> None:
        assert from_json(documents[topic], loads(dumps(to_json(documents[topic], record)))) == record

    check()


def test_the_form_has_decimals_and_iso_times(document, status) -> None:
    assert dumps(to_json(document, status)).decode() == (
        '{"eventType":"ORDER_STATUS_CHANGED","version":2,"occurredAt":"2026-11-20T14:30:02.118204Z",'
        '"key":"ACC00042|ORD00001234",'
        '"order":{"id":"ORD00001234","parentId":null,"symbol":"MSFT","side":"SELL","quantity":300,"clOrdId":"CL1",'
        '"limitPrice":412,"timeInForce":"DAY","isParent":null},'
        '"status":{"code":"PARTIALLY_FILLED","reason":null,"filledQuantity":120,"leavesQuantity":180,"avgPrice":412.355,'
        '"day":{"tradeDate":"2026-11-20","orderQuantity":200,"filledQuantity":20,"avgPrice":412.36}},'
        '"sequence":4,"source":"order-engine-1","venue":"XNAS","arrivalPrice":412.3,"decisionPrice":null,'
        '"market":{"price":412.31,"volume":1000,"turnover":null},"correlationId":"C-1"}'
    )


def test_a_date_is_an_iso_date(documents, records_of) -> None:
    field = next(f for f in documents["orders.executions"]["fields"] if f["name"] == "tradeDate")
    schema = {"type": "record", "name": "R", "fields": [field]}
    assert to_json(schema, {"tradeDate": 20_777}) == {"tradeDate": "2026-11-20"}
    assert from_json(schema, {"tradeDate": "2026-11-20"}) == {"tradeDate": 20_777}


def test_money_is_marked_in_every_contract(documents) -> None:
    marked = set()

    def collect(document) -> None:
        if isinstance(document, dict):
            if document.get("unit") == "millionths":
                marked.add(document["name"])
            for value in document.values():
                collect(value)
        elif isinstance(document, list):
            for item in document:
                collect(item)

    collect(documents)
    money = {"limitPrice", "stopPrice", "arrivalPrice", "lastPrice", "avgPrice", "notional", "amount", "totalFees"}
    assert marked >= money


@pytest.mark.parametrize(
    ("price", "micros"),
    [
        ("412.355", 412_355_000),
        ("0.000001", 1),
        ("-1", -1_000_000),
        ("1e2", 100_000_000),
        ("9223372036854.775807", 2**63 - 1),
    ],
)
def test_prices_are_read_exactly(document, form, price, micros) -> None:
    assert from_json(document, {**form, "arrivalPrice": loads(price)})["arrivalPrice"] == micros


def test_a_time_of_another_zone_is_read_as_utc(document, form, status) -> None:
    assert from_json(document, {**form, "occurredAt": "2026-11-20T09:30:02.118204-05:00"}) == status


def test_missing_fields_take_their_defaults(document, form) -> None:
    del form["venue"], form["status"]["avgPrice"]
    record = from_json(document, form)
    assert record["venue"] is None
    assert record["status"]["avgPrice"] is None


def test_a_number_that_json_has_not_is_a_word(documents) -> None:
    field = next(f for f in documents["orders.enrichment"]["fields"] if f["name"] == "slippageBps")
    schema = {"type": "record", "name": "R", "fields": [field]}
    for value, word in ((float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity")):
        form = to_json(schema, {"slippageBps": value})
        assert form == {"slippageBps": word}
        assert str(from_json(schema, form)["slippageBps"]) == str(value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("order", "quantity"), "300", "order.quantity: '300', expected an integer"),
        (("order", "quantity"), True, "order.quantity: True, expected an integer"),
        (("order", "quantity"), Decimal("1.5"), "order.quantity: Decimal"),
        (("order", "quantity"), 2**63, "order.quantity: 9223372036854775808 does not fit 64 bits"),
        (("version",), 2**31, "version: 2147483648 does not fit 32 bits"),
        (("order", "symbol"), None, "order.symbol: None, expected string"),
        (("order", "symbol"), "\ud800", "order.symbol: "),
        (("order",), [], "order: \\[\\], expected an object"),
        (("order", "colour"), "red", "order.colour: OrderSummary has no such field"),
        (("arrivalPrice",), Decimal("1.0000001"), "arrivalPrice: .* at most six places"),
        (("arrivalPrice",), Decimal("1." + "0" * 100 + "1"), "arrivalPrice: .* at most six places"),
        (("arrivalPrice",), Decimal("1e30"), "arrivalPrice: "),
        (("arrivalPrice",), Decimal("1e999999999"), "arrivalPrice: "),
        (("arrivalPrice",), Decimal("1e-999999999"), "arrivalPrice: "),
        (("arrivalPrice",), 412.3, "arrivalPrice: 412.3, expected a decimal number"),
        (("occurredAt",), "2026-11-20T14:30:02.1182041Z", "occurredAt: .* at most microseconds"),
        (("occurredAt",), "2026-11-20T14:30:02", "occurredAt: .*with zone"),
        (("occurredAt",), "2026-13-20T14:30:02Z", "occurredAt: "),
        (("occurredAt",), None, "occurredAt: None"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(document, form, path, value, message) -> None:
    holder = form
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    with pytest.raises(InvalidRecordError, match=f"^{message}"):
        from_json(document, form)


def test_a_missing_field_and_a_form_that_is_no_object_are_refused(document, form) -> None:
    del form["order"]["symbol"]
    with pytest.raises(InvalidRecordError, match=r"^order\.symbol: missing"):
        from_json(document, form)
    with pytest.raises(InvalidRecordError, match=r"^record: 3, expected an object"):
        from_json(document, 3)


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": Infinity}', "[" * 100_000])
def test_what_is_not_json_is_refused(text) -> None:
    with pytest.raises(InvalidRecordError, match="not JSON"):
        loads(text)
