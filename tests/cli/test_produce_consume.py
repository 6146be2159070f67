"""JSON lines go into a topic and come out the same; what is bad on either side is reported and stops nothing."""

import json

import pytest

STATUS = {
    "eventType": "ORDER_STATUS_CHANGED",
    "version": 2,
    "occurredAt": "2026-11-20T14:30:02.118204Z",
    "key": "ACC00042|ORD00001234",
    "order": {
        "id": "ORD00001234",
        "parentId": None,
        "symbol": "MSFT",
        "side": "SELL",
        "quantity": 300,
        "clOrdId": "CL1",
        "limitPrice": 412,
        "timeInForce": None,
        "isParent": None,
    },
    "status": {
        "code": "PARTIALLY_FILLED",
        "reason": None,
        "filledQuantity": 120,
        "leavesQuantity": 180,
        "avgPrice": 412.355,
        "day": {"tradeDate": "2026-11-20", "orderQuantity": 200, "filledQuantity": 20, "avgPrice": 412.36},
    },
    "sequence": 4,
    "source": "order-engine-1",
    "venue": "XNAS",
    "arrivalPrice": 412.3,
    "decisionPrice": None,
    "market": None,
    "correlationId": "C-1",
}


def lines_of(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def status(**changes):
    return STATUS | changes


def numbered(count):
    return [status(sequence=number) for number in range(1, count + 1)]


@pytest.fixture
def topics(run):
    assert run("topics", "create").exit_code == 0


@pytest.mark.usefixtures("topics")
class TestRoundTrip:
    def test_a_file_comes_out_as_it_went_in(self, run, tmp_path):
        file = tmp_path / "statuses.jsonl"
        file.write_text(lines_of(*numbered(5)))
        produced = run("produce", "orders.status", file)
        assert (produced.exit_code, produced.stdout) == (0, "")
        assert produced.stderr == "orders.status: 5 produced, 0 refused\n"
        consumed = run("consume", "orders.status", "--until-end")
        assert consumed.exit_code == 0
        assert [json.loads(line) for line in consumed.stdout.splitlines()] == numbered(5)

    def test_standard_input_is_read_without_a_file(self, run):
        assert run("produce", "orders.status", stdin=lines_of(STATUS)).exit_code == 0
        assert json.loads(run("consume", "orders.status", "--until-end").stdout) == STATUS

    def test_fields_that_a_contract_has_since_its_second_version_may_be_left_out(self, run):
        record = {name: value for name, value in STATUS.items() if name not in ("decisionPrice", "market")}
        assert run("produce", "orders.status", stdin=lines_of(record)).exit_code == 0
        assert json.loads(run("consume", "orders.status", "--until-end").stdout) == STATUS

    def test_the_record_key_is_that_of_the_event(self, run, log):
        run("produce", "orders.status", stdin=lines_of(STATUS))
        admin = log.admin()
        reader = log.reader("test")
        from broker.contract import TopicPartition

        reader.assign({TopicPartition("orders.status", number): 0 for number in range(admin.topics()["orders.status"])})
        (record,) = reader.read(10, 5.0)
        reader.close()
        admin.close()
        assert record.key() == b"ACC00042|ORD00001234"


@pytest.mark.usefixtures("topics")
class TestBadInput:
    def test_a_bad_line_is_named_and_the_others_are_written(self, run, tmp_path):
        file = tmp_path / "statuses.jsonl"
        good = lines_of(STATUS)
        file.write_text(
            good
            + "{nonsense\n"
            + "\n"
            + lines_of({"key": "a"})
            + lines_of(status(key=""))
            + lines_of(status(sequence="x"))
            + good
        )
        result = run("produce", "orders.status", file)
        assert result.exit_code == 1
        reports = result.stderr.splitlines()
        assert [report.split(": ")[0].removeprefix(f"{file}:") for report in reports[:-1]] == ["2", "4", "5", "6"]
        assert "not JSON" in reports[0]
        assert "expected the record's key" in reports[2]
        assert "sequence" in reports[3]
        assert reports[-1] == "orders.status: 2 produced, 4 refused"
        assert len(run("consume", "orders.status", "--until-end").stdout.splitlines()) == 2

    def test_a_line_that_is_no_utf8_is_refused(self, run):
        result = run("produce", "orders.status", stdin=b'{"key": "\xff"}\n')
        assert result.exit_code == 1
        assert result.stderr.startswith("<stdin>:1: ")

    def test_a_record_that_cannot_be_decoded_is_reported_with_its_place(self, run, log):
        producer = log.producer("test")
        producer.send("orders.status", b"k", b"\x07garbage", partition=2)
        producer.flush()
        producer.close()
        run("produce", "orders.status", stdin=lines_of(STATUS))
        result = run("consume", "orders.status", "--until-end")
        assert result.exit_code == 0
        assert [json.loads(line) for line in result.stdout.splitlines()] == [STATUS]
        assert result.stderr.startswith("orders.status-2-0: the first byte is 0x07")


@pytest.mark.usefixtures("topics")
class TestWhereToStartAndStop:
    def test_at_most_so_many_records_are_printed(self, run):
        run("produce", "orders.status", stdin=lines_of(*numbered(5)))
        result = run("consume", "orders.status", "--max", 3)
        assert [json.loads(line)["sequence"] for line in result.stdout.splitlines()] == [1, 2, 3]

    def test_from_the_latest_to_the_end_there_is_nothing(self, run):
        run("produce", "orders.status", stdin=lines_of(*numbered(5)))
        assert run("consume", "orders.status", "--from", "latest", "--until-end").stdout == ""

    def test_an_empty_topic_ends_at_once(self, run):
        assert run("consume", "orders.status", "--until-end").stdout == ""

    def test_aborted_records_are_not_shown(self, run, log):
        transaction = log.transaction("t", "g")
        transaction.begin()
        transaction.send("orders.status", b"k", b"never")
        transaction.abort()
        transaction.close()
        result = run("consume", "orders.status", "--until-end")
        assert result.output == ""


@pytest.mark.parametrize("command", [("produce",), ("consume", "--until-end")])
def test_a_topic_of_bytes_has_no_json_form(run, command):
    result = run(*command, "orders.dlq", stdin="")
    assert result.exit_code == 2
    assert "`orderflow dlq` shows them" in result.stderr


def test_a_topic_that_does_not_exist_is_named(run):
    result = run("consume", "orders.status", "--until-end")
    assert result.exit_code == 2
    assert "`orderflow topics create`" in result.stderr


def test_a_topic_nobody_has_a_schema_for_is_refused(run):
    result = run("produce", "orders.nothing", stdin="")
    assert result.exit_code == 2
    assert "orders.nothing-value" in result.stderr


@pytest.mark.parametrize("command", ["consume", "produce"])
def test_a_misspelled_topic_is_told_with_the_nearest_one(run, command):
    assert run("topics", "create").exit_code == 0
    result = run(command, "orders.stauts", stdin="")
    assert result.exit_code == 2
    assert (
        "there is no schema of a topic 'orders.stauts', subject orders.stauts-value; did you mean 'orders.status'?"
        in result.stderr
    )
