"""Bad values cost only themselves, outputs that do not fit are named, evolved schemas stay readable both ways."""

import pyarrow as pa
import pytest

from config.errors import ConfigurationError, DecodeError, EncodeError, UnknownSchemaError
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.codec.wire import header

STATUS = "orders.status"
EXECUTIONS = "orders.executions"
SUBJECT = "orders.status-value"


@pytest.fixture
def values(codec, status) -> list:
    return codec.encode_records(STATUS, [{**status, "sequence": i} for i in range(1000)])


def bad_bodies(good: bytes) -> dict[str, tuple[bytes | None, str]]:
    """Every way in which a value can be bad, with what the error must mention."""
    text = good.index(b"ORDER_STATUS")
    return {
        "null": (None, "null"),
        "empty": (b"", "0 bytes"),
        "header only": (good[:5], "0 bytes"),
        "part of a header": (good[:3], "3 bytes"),
        "wrong magic": (b"\x01" + good[1:], "0x01"),
        "unknown id": (header(99) + good[5:], "99"),
        "negative id": (header(-1) + good[5:], "-1"),
        "truncated": (good[:-4], "OrderStatusChanged"),
        "random": (good[:5] + bytes(range(200, 255)), "OrderStatusChanged"),
        "invalid UTF-8": (good[:text] + b"\xff" + good[text + 1 :], "utf-8"),
        "huge length": (good[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + good[6:], "OrderStatusChanged"),
        "negative length": (good[:5] + b"\x01" + good[6:], "OrderStatusChanged"),
        "another contract": (header(2) + good[5:], "ExecutionReport"),
    }


def test_every_kind_of_bad_value_is_an_error_that_says_what_is_wrong(codec, values) -> None:
    bad = bad_bodies(values[0])
    decoded = codec.decode(STATUS, [value for value, _ in bad.values()] + values[:1])
    assert decoded.rows.tolist() == [len(bad)]
    assert [i for i, _ in decoded.bad] == list(range(len(bad)))
    for (_, error), (name, (_, mentioned)) in zip(decoded.bad, bad.items(), strict=True):
        assert isinstance(error, DecodeError), name
        assert mentioned in str(error), name


def test_an_unknown_schema_id_can_be_told_from_malformed_bytes(codec, values) -> None:
    decoded = codec.decode(STATUS, [header(99) + values[0][5:]])
    assert [type(error) for _, error in decoded.bad] == [UnknownSchemaError]


def test_each_bad_value_in_a_batch_of_a_thousand_costs_only_itself(codec, values) -> None:
    bad = list(bad_bodies(values[0]).values())
    places = {7 + 70 * i: value for i, (value, _) in enumerate(bad)}
    decoded = codec.decode(STATUS, [places.get(i, value) for i, value in enumerate(values)])
    good = [i for i in range(1000) if i not in places]
    assert [i for i, _ in decoded.bad] == sorted(places)
    assert decoded.rows.tolist() == good
    assert decoded.batch.column("sequence").to_pylist() == good


def test_a_batch_of_nothing_but_bad_values_is_an_empty_batch_of_the_right_columns(codec, values) -> None:
    decoded = codec.decode(STATUS, [value[:-3] for value in values])
    assert len(decoded.bad) == 1000
    assert decoded.batch.num_rows == 0
    assert decoded.batch.schema == codec.arrow_schema(STATUS)


def test_an_int_beyond_32_bits_is_refused_and_not_cut(codec, values) -> None:
    place = 5 + 1 + len("ORDER_STATUS_CHANGED")
    assert values[0][place] == 2 << 1, "version 2 in Avro"
    too_big = values[0][:place] + b"\x82\x80\x80\x80\x20" + values[0][place + 1 :]
    decoded = codec.decode(STATUS, [too_big, values[1]])
    assert decoded.rows.tolist() == [1]
    assert "version" in str(decoded.bad[0][1])
    with pytest.raises(DecodeError, match="version"):
        codec.decode_record(STATUS, too_big)


def test_bytes_after_the_datum_are_ignored_by_both_ways_of_reading(codec, status, values) -> None:
    padded = values[4] + b"\xff\x00junk"
    assert codec.decode(STATUS, [padded]).batch.to_pylist() == [status]
    assert codec.decode_record(STATUS, padded) == status


def test_times_are_integers_in_columns_and_timestamps_are_accepted_for_them(codec, values) -> None:
    batch = codec.decode(STATUS, values).batch
    assert batch.schema.field("occurredAt").type == pa.int64()
    assert codec.arrow_schema(EXECUTIONS).field("tradeDate").type == pa.int32()
    times = batch.column("occurredAt").cast(pa.timestamp("us", "UTC"))
    as_times = batch.set_column(batch.schema.get_field_index("occurredAt"), "occurredAt", times)
    assert codec.encode(STATUS, as_times).to_pylist() == values


def test_columns_are_found_by_name_and_others_are_left_out(codec, values) -> None:
    batch = codec.decode(STATUS, values).batch
    shuffled = batch.select(batch.schema.names[::-1]).append_column("scratch", pa.array(range(1000)))
    assert codec.encode(STATUS, shuffled).to_pylist() == values


def replaced(batch, name: str, column) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), name, column)


@pytest.mark.parametrize(
    ("name", "change", "row", "message"),
    [
        (
            "key",
            lambda rows: pa.array([r["key"] if i != 3 else None for i, r in enumerate(rows)]),
            3,
            "row 3: key is null",
        ),
        (
            "status",
            lambda rows: pa.array([{**r["status"], "code": None if i == 5 else "NEW"} for i, r in enumerate(rows)]),
            5,
            "row 5: status.code is null",
        ),
        (
            "order",
            lambda rows: pa.array([None if i == 9 else r["order"] for i, r in enumerate(rows)]),
            9,
            "row 9: order",
        ),
        ("key", lambda _: pa.array(range(10)), None, "column key is int64, expected string"),
        ("sequence", lambda _: pa.array(["1"] * 10), None, "column sequence is string, expected int64"),
        ("occurredAt", lambda _: pa.array(range(10), pa.timestamp("ns")), None, "occurredAt is timestamp"),
        ("version", lambda _: pa.array([2**40] * 10), None, "column version is int64, expected int32"),
    ],
)
def test_an_output_that_does_not_fit_names_its_row_and_field(codec, values, name, change, row, message) -> None:
    batch = codec.decode(STATUS, values[:10]).batch
    with pytest.raises(EncodeError, match=message) as caught:
        codec.encode(STATUS, replaced(batch, name, change(batch.to_pylist())))
    assert caught.value.row == row


def test_a_null_inside_a_list_of_records_names_the_row_that_holds_it(codec) -> None:
    empty = codec.decode("orders.enrichment", []).batch
    fee = {"kind": "SEC", "amount": 1}
    filler = {pa.string(): "x", pa.int64(): 0, pa.int32(): 0, pa.float64(): 0.0}
    row = {f.name: filler.get(f.type) for f in empty.schema}
    rows = [{**row, "fees": fees} for fees in ([], [fee, fee], [fee, {"kind": "SEC", "amount": None}])]
    with pytest.raises(EncodeError, match=r"row 2: fees\[\]\.amount is null"):
        codec.encode("orders.enrichment", pa.RecordBatch.from_pylist(rows, schema=empty.schema))


def test_a_null_inside_a_record_that_may_be_missing_names_its_row(codec) -> None:
    empty = codec.decode("orders.enrichment", []).batch
    shortfall = {"decisionPrice": 1, "delay": 1, "execution": 1, "opportunity": None, "fees": 1, "total": 1}
    filler = {pa.string(): "x", pa.int64(): 0, pa.int32(): 0, pa.float64(): 0.0}
    row = {**{f.name: filler.get(f.type) for f in empty.schema}, "fees": []}

    def encode(*given: dict | None) -> None:
        rows = [{**row, "shortfall": each} for each in given]
        codec.encode("orders.enrichment", pa.RecordBatch.from_pylist(rows, schema=empty.schema))

    encode(None, None)
    encode(None, shortfall, shortfall)
    for before in ([], [None], [shortfall], [None, shortfall]):
        with pytest.raises(EncodeError, match=rf"row {len(before)}: shortfall\.total is null"):
            encode(*before, {**shortfall, "total": None})


def test_a_missing_column_is_named(codec, values) -> None:
    batch = codec.decode(STATUS, values[:2]).batch
    with pytest.raises(EncodeError, match="no column source"):
        codec.encode(STATUS, batch.drop_columns(["source"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": "four"}, "sequence is 'four', expected an integer"),
        ({"sequence": 1.5}, "sequence is 1.5, expected an integer"),
        ({"sequence": True}, "sequence is True, expected an integer"),
        ({"sequence": 2**63}, "too large"),
        ({"version": 2**31}, "version is 2147483648, which does not fit 32 bits"),
        ({"key": None}, "on field key"),
        ({"arrivalPrice": 1.5}, "on field arrivalPrice"),
        ({"order": {"id": "1", "symbol": "A", "side": "BUY", "quantity": 0.5}}, "order.quantity is 0.5"),
    ],
)
def test_a_record_that_does_not_fit_is_named_and_never_bent(codec, status, change, message) -> None:
    """Left alone, fastavro writes 1 for 1.5 and 33 bits into an int."""
    with pytest.raises(EncodeError, match=f"row 1 .*{message}") as caught:
        codec.encode_records(STATUS, [status, {**status, **change}])
    assert caught.value.row == 1


def test_missing_fields_of_a_record_take_their_defaults(codec, status) -> None:
    short = {name: value for name, value in status.items() if name not in ("venue", "arrivalPrice")}
    (value,) = codec.encode_records(STATUS, [short])
    assert codec.decode_record(STATUS, value) == {**status, "venue": None, "arrivalPrice": None}


def test_a_list_of_numbers_is_checked_through(codec) -> None:
    columns = codec.arrow_schema("orders.enrichment")
    record = {f.name: "x" if f.type == pa.string() else 0 for f in columns} | {"fees": [{"kind": "SEC", "amount": 0.1}]}
    with pytest.raises(EncodeError, match=r"fees\[\]\.amount is 0\.1"):
        codec.encode_records("orders.enrichment", [{**record, "slippageBps": 0.0}])


def test_a_schema_id_that_is_no_record_is_the_values_fault(folder, status) -> None:
    """A registry also holds schemas of keys, such as a plain string."""
    (folder / "keys-key").mkdir()
    (folder / "keys-key" / "v1.avsc").write_text('"string"')
    with (folder / "index.yaml").open("a") as index:
        index.write("- {id: 200, subject: keys-key, version: 1}\n")
    codec = Codec.latest(FolderSchemas(folder), [STATUS])
    decoded = codec.decode(STATUS, [header(200) + b"\x02a", *codec.encode_records(STATUS, [status])])
    assert decoded.rows.tolist() == [1]
    assert "expected the record orders.OrderStatusChanged" in str(decoded.bad[0][1])


def test_a_topic_without_schema_is_a_configuration_error(codec) -> None:
    with pytest.raises(ConfigurationError, match=r"reference\.fees"):
        codec.decode("reference.fees", [])


def add_optional_field(document) -> None:
    document["fields"].insert(2, {"name": "strategy", "type": ["null", "string"], "default": None})


def test_old_and_new_records_in_one_batch_are_readable_by_old_and_new_readers(folder, evolve, status) -> None:
    old_text = FolderSchemas(folder).latest(SUBJECT).text
    evolve(SUBJECT, 106, add_optional_field)
    schemas = FolderSchemas(folder)
    old, new = Codec(schemas, {STATUS: old_text}), Codec.latest(schemas, [STATUS])
    mixed = []
    for i in range(20):
        mixed += old.encode_records(STATUS, [{**status, "sequence": 2 * i}])
        mixed += new.encode_records(STATUS, [{**status, "sequence": 2 * i + 1, "strategy": "VWAP"}])
    mixed[5] = mixed[5][:-3]
    left = [i for i in range(40) if i != 5]
    by_old, by_new = old.decode(STATUS, mixed), new.decode(STATUS, mixed)
    for decoded in (by_old, by_new):
        assert [i for i, _ in decoded.bad] == [5]
        assert decoded.rows.tolist() == left
        assert decoded.batch.column("sequence").to_pylist() == left
    assert by_old.batch.schema == old.arrow_schema(STATUS)
    assert by_new.batch.column("strategy").to_pylist() == ["VWAP" if i % 2 else None for i in left]
    for codec, decoded in ((old, by_old), (new, by_new)):
        assert [codec.decode_record(STATUS, mixed[i]) for i in left] == decoded.batch.to_pylist()


def widen(document) -> None:
    document["fields"][1]["type"] = "long"


def make_optional(document) -> None:
    document["fields"][1]["type"] = ["null", "int"]


def rename_with_alias(document) -> None:
    document["fields"][3] |= {"name": "recordKey", "aliases": ["key"]}


def reorder(document) -> None:
    document["fields"].reverse()


def nest(document) -> None:
    order = document["fields"][4]["type"]["fields"]
    del order[2]
    order.append({"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["a"]})
    order.append({"name": "lots", "type": "long", "default": 7})


def union_in_the_middle(document) -> None:
    """No column form: `quantity` may be either of two types in new records, so these are read one by one."""
    document["fields"][4]["type"]["fields"][4]["type"] = ["int", "long"]


@pytest.mark.parametrize("change", [add_optional_field, widen, make_optional, rename_with_alias, reorder, nest])
def test_a_changed_schema_reads_old_values_in_columns_as_fastavro_does(folder, evolve, status, values, change) -> None:
    evolve(SUBJECT, 106, change)
    codec = Codec.latest(FolderSchemas(folder), [STATUS])
    decoded = codec.decode(STATUS, values)
    assert decoded.bad == []
    assert decoded.batch.schema == codec.arrow_schema(STATUS)
    assert decoded.batch.to_pylist() == [codec.decode_record(STATUS, value) for value in values]


def test_a_writer_that_has_no_column_form_is_read_record_by_record(folder, evolve, status, values) -> None:
    text = FolderSchemas(folder).latest(SUBJECT).text
    document = evolve(SUBJECT, 106, union_in_the_middle)
    schemas = FolderSchemas(folder)
    with pytest.raises(ConfigurationError, match="has no columns"):
        Codec.latest(schemas, [STATUS])
    codec = Codec(schemas, {STATUS: text})
    assert document["fields"][4]["name"] == "order"
    place = values[4].index(b"SELL") + 4
    new = header(106) + values[4][5:place] + b"\x02" + values[4][place:]
    decoded = codec.decode(STATUS, [values[4], new, new[:-3], values[4]])
    assert [i for i, _ in decoded.bad] == [2]
    assert decoded.batch.to_pylist() == [status] * 3
    assert codec.decode(STATUS, [new, values[4]]).batch.to_pylist() == [status] * 2


def test_a_null_where_the_reader_wants_a_value_is_bad_and_the_rest_is_read(folder, evolve, status) -> None:
    text = FolderSchemas(folder).latest(SUBJECT).text
    evolve(SUBJECT, 106, make_optional)
    schemas = FolderSchemas(folder)
    written = Codec.latest(schemas, [STATUS]).encode_records(STATUS, [status, {**status, "version": None}, status])
    decoded = Codec(schemas, {STATUS: text}).decode(STATUS, written)
    assert [i for i, _ in decoded.bad] == [1]
    assert decoded.batch.to_pylist() == [status, status]


@pytest.mark.parametrize("schema_id", [128, 255, 0x7F80, 0x0001807F, 0x00FF80FF, 2**31 - 1])
def test_any_schema_id_survives_the_columns_bit_for_bit(folder, status, schema_id) -> None:
    """The id travels as the bits of a float, some of which spell infinity and not-a-number."""
    index = folder / "index.yaml"
    index.write_text(index.read_text().replace("{id: 9,", f"{{id: {schema_id},"))
    codec = Codec.latest(FolderSchemas(folder), [STATUS])
    values = codec.encode_records(STATUS, [status] * 3)
    decoded = codec.decode(STATUS, values)
    assert decoded.batch.to_pylist() == [status] * 3
    assert codec.encode(STATUS, decoded.batch).to_pylist() == values
    assert values[0][:5] == header(schema_id)


@pytest.mark.parametrize(
    ("name", "arrow_type"),
    [
        ("eventType", pa.dictionary(pa.int32(), pa.string())),
        ("eventType", pa.large_string()),
        ("version", pa.int64()),
        ("sequence", pa.int32()),
    ],
)
def test_columns_that_hold_the_same_values_in_another_form_are_accepted(codec, values, name, arrow_type) -> None:
    batch = codec.decode(STATUS, values).batch
    assert codec.encode(STATUS, replaced(batch, name, batch.column(name).cast(arrow_type))).to_pylist() == values


def test_a_column_of_nothing_but_nulls_needs_no_type(codec, status) -> None:
    values = codec.encode_records(STATUS, [{**status, "venue": None}] * 3)
    batch = codec.decode(STATUS, values).batch
    assert codec.encode(STATUS, replaced(batch, "venue", pa.nulls(3))).to_pylist() == values
