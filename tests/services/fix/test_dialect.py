"""Every row of every mapping table, the dialects, what may be missing, and events back from their messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.model.events import DayQuantities, ExecType, ExecutionReport, OrderIntent, OrdStatus
from services.fix import words
from services.fix.dialect import Envelope, KnownOrder, Refusal, execution_of, intent_of
from services.fix.framing import Frame, frames
from services.fix.message import Message, parse

ENVELOPE = Envelope(sequence=4, source="test", session="XNYS->DESK", user_token="U", correlation_id="DESK:C1")
Fields = dict[str, str]


def known(**more: Any) -> KnownOrder:
    return KnownOrder(key="ALPHA|C1", account_id="ALPHA", order_id="C1", venue="XNYS", **more)


def report(fields: Mapping[str, str], order: KnownOrder | None = None) -> ExecutionReport:
    event = execution_of(fields, order or known(), ENVELOPE)
    assert isinstance(event, ExecutionReport), event
    return event


def intent(fields: Mapping[str, str], order: KnownOrder | None = None) -> OrderIntent:
    event = intent_of(fields, order or known(), ENVELOPE)
    assert isinstance(event, OrderIntent), event
    return event


def refused(fields: Mapping[str, str]) -> str:
    event = execution_of(fields, known(), ENVELOPE) if fields["35"] in "89" else intent_of(fields, known(), ENVELOPE)
    assert isinstance(event, Refusal), event
    return event.reason


def without(fields: Fields, *tags: str) -> Fields:
    return {tag: value for tag, value in fields.items() if tag not in tags}


def test_a_fill_becomes_an_execution_report(fill: Fields) -> None:
    event = report({**fill, "30": "ARCX", "851": "2", "59": "1", "44": "150.30", "58": "hello", "75": "20261119"})
    assert event == ExecutionReport(
        event_type="EXECUTION_REPORTED",
        occurred_at=1_795_185_000_118_000,
        key="ALPHA|C1",
        sequence=4,
        source="test",
        cl_ord_id="C1",
        venue_order_id="N1",
        venue="ARCX",
        trade_date=20_776,
        exec_id="E1",
        session="XNYS->DESK",
        exec_type="TRADE",
        ord_status="PARTIALLY_FILLED",
        symbol="IBM",
        side="BUY",
        order_quantity=300,
        price=150_300_000,
        time_in_force="GOOD_TILL_CANCEL",
        last_quantity=100,
        last_price=150_250_000,
        liquidity="REMOVED",
        cum_quantity=100,
        leaves_quantity=200,
        avg_price=150_250_000,
        text="hello",
        correlation_id="DESK:C1",
    )


@pytest.mark.parametrize(("code", "name"), words.EXECUTION_TYPES.items())
def test_every_execution_type(fill: Fields, code: str, name: str) -> None:
    assert report({**fill, "150": code}).exec_type == name == ExecType(name)


@pytest.mark.parametrize(("code", "name"), words.EXECUTION_TRANSACTION_TYPES.items())
@pytest.mark.parametrize("exec_type", ["0", "1", "2", "F"])
def test_until_fix_4_2_the_transaction_type_overrides(fill: Fields, code: str, name: str, exec_type: str) -> None:
    event = report({**fill, "8": "FIX.4.2", "20": code, "150": exec_type, "19": "E0"})
    assert event.exec_type == name
    assert event.exec_ref_id == (None if name == "ORDER_STATUS" else "E0")


@pytest.mark.parametrize(("code", "status"), [("1", "PARTIALLY_FILLED"), ("2", "FILLED")])
def test_a_new_fill_of_fix_4_2_is_a_trade(fill: Fields, code: str, status: str) -> None:
    event = report({**fill, "8": "FIX.4.2", "20": "0", "150": code, "39": code})
    assert (event.exec_type, event.ord_status) == ("TRADE", status)


def test_before_fix_4_1_the_order_status_says_what_happened(fill: Fields) -> None:
    old = without({**fill, "8": "FIX.4.0", "20": "0"}, "150", "151")
    assert report({**old, "39": "1"}).exec_type == "TRADE"
    assert report({**old, "39": "1"}).leaves_quantity == 200
    assert report({**old, "39": "4"}).exec_type == "CANCELED"
    assert report({**old, "39": "4"}).leaves_quantity == 0


@pytest.mark.parametrize(("code", "name"), words.ORDER_STATUSES.items())
def test_every_order_status(fill: Fields, code: str, name: str) -> None:
    assert report({**fill, "39": code}).ord_status == name == OrdStatus(name)


def test_the_tables_have_every_word_of_the_contract() -> None:
    assert set(words.ORDER_STATUSES.values()) == {status.value for status in OrdStatus}
    assert {*words.EXECUTION_TYPES.values(), "CANCEL_REJECTED"} == {kind.value for kind in ExecType}


@pytest.mark.parametrize(("code", "name"), words.SIDES.items())
def test_every_side(fill: Fields, request_new: Fields, code: str, name: str) -> None:
    assert report({**fill, "54": code}).side == intent({**request_new, "54": code}).side == name


@pytest.mark.parametrize(("code", "name"), words.ORDER_TYPES.items())
def test_every_order_type(request_new: Fields, code: str, name: str) -> None:
    assert intent({**request_new, "40": code}).order_type == name


@pytest.mark.parametrize(("code", "name"), words.TIMES_IN_FORCE.items())
def test_every_time_in_force(fill: Fields, request_new: Fields, code: str, name: str) -> None:
    assert report({**fill, "59": code}).time_in_force == intent({**request_new, "59": code}).time_in_force == name


@pytest.mark.parametrize(("code", "name"), [*words.LIQUIDITY.items(), ("7", None)])
def test_every_liquidity(fill: Fields, code: str, name: str | None) -> None:
    assert report({**fill, "851": code}).liquidity == name


@pytest.mark.parametrize(("code", "name"), [*words.RESTATEMENT_REASONS.items(), ("77", "CODE_77")])
def test_every_restatement_reason(fill: Fields, code: str, name: str) -> None:
    assert report({**fill, "150": "D", "378": code}).restatement_reason == name


@pytest.mark.parametrize(("code", "name"), [*words.ORDER_REJECT_REASONS.items(), ("77", "CODE_77")])
def test_every_reason_to_reject_an_order(fill: Fields, code: str, name: str) -> None:
    assert report({**fill, "150": "8", "39": "8", "103": code}).reject_reason == name


@pytest.mark.parametrize(("code", "name"), [*words.CANCEL_REJECT_REASONS.items(), ("77", "CODE_77")])
def test_every_reason_to_reject_a_cancel(fill: Fields, code: str, name: str) -> None:
    order = known(symbol="IBM", side="SELL", quantity=300, filled=100, price=5, average=7, time_in_force="DAY")
    event = report({**without(fill, "55", "54", "17"), "35": "9", "11": "C2", "41": "C1", "102": code}, order)
    assert (event.event_type, event.exec_type, event.reject_reason) == ("CANCEL_REJECTED", "CANCEL_REJECTED", name)
    assert (event.exec_id, event.cl_ord_id, event.orig_cl_ord_id) == ("reject-of-C2", "C2", "C1")
    assert (event.symbol, event.side, event.order_quantity, event.cum_quantity) == ("IBM", "SELL", 300, 100)
    assert (event.leaves_quantity, event.ord_status, event.last_quantity) == (200, "PARTIALLY_FILLED", 0)


def test_a_correction_and_a_bust_without_market_are_where_the_execution_was(fill: Fields) -> None:
    order = known(markets={"E1": "ARCX"})
    for kind in "GH":
        assert report({**fill, "150": kind, "17": "E2", "19": "E1"}, order).venue == "ARCX"
        assert report({**fill, "150": kind, "17": "E2", "19": "E1", "30": "XBOS"}, order).venue == "XBOS"
        assert report({**fill, "150": kind, "17": "E2", "19": "E0"}, order).venue == "XNYS"


def test_day_quantities(fill: Fields) -> None:
    event = report({**fill, "424": "250", "425": "50", "426": "150.2", "75": "20261120"})
    expected = DayQuantities(trade_date=20_777, order_quantity=250, filled_quantity=50, avg_price=150_200_000)
    assert event.day == expected
    assert report({**fill, "424": "250", "425": "0", "426": "0"}).day == msgspec.structs.replace(
        expected, filled_quantity=0, avg_price=None
    )
    assert report({**fill, "424": "250"}).day is None


@pytest.mark.parametrize("flag", ["43", "97"])
def test_either_flag_says_that_a_message_may_be_a_repetition(fill: Fields, request_new: Fields, flag: str) -> None:
    assert report({**fill, flag: "Y"}).poss_resend is intent({**request_new, flag: "Y"}).poss_resend is True
    assert report({**fill, flag: "N"}).poss_resend is None


def test_without_transaction_time_a_resent_message_has_the_time_it_was_first_sent(fill: Fields) -> None:
    resent = {**without(fill, "60"), "52": "20261121-09:00:00", "122": "20261120-14:30:00.118", "43": "Y"}
    assert (report(resent).occurred_at, report(resent).trade_date) == (1_795_185_000_118_000, 20_777)
    assert report(without(resent, "122")).trade_date == 20_778


def test_what_a_report_leaves_out_is_taken_from_the_order_or_follows_from_the_rest(fill: Fields) -> None:
    order = known(symbol="IBM", side="BUY", quantity=300, filled=50)
    event = report(without(fill, "55", "54", "38", "14", "151"), order)
    assert (event.symbol, event.side, event.order_quantity) == ("IBM", "BUY", 300)
    assert (event.cum_quantity, event.leaves_quantity) == (150, 150)
    assert report(without(fill, "38")).order_quantity == 300


def test_a_symbol_suffix_makes_another_instrument(fill: Fields) -> None:
    assert report({**fill, "55": "BRK", "65": "B"}).symbol == "BRK.B"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"150": "Z"}, "ExecType(150)=Z is unknown"),
        ({"20": "9"}, "ExecTransType(20)=9 is unknown"),
        ({"39": "Z"}, "OrdStatus(39)=Z is not one that the rules know"),
        ({"54": "8"}, "Side(54)=8 is not one that the rules know"),
        ({"32": "0.5"}, "tag 32: '0.5' is no whole number of units"),
        ({"31": "1e2"}, "tag 31: '1e2' is no decimal number"),
        ({"60": "today"}, "tag 60: 'today' is no time in UTC, YYYYMMDD-HH:MM:SS"),
        ({"75": "today"}, "tag 75: 'today' is no date, YYYYMMDD"),
        ({"32": ""}, "a fill without LastQty(32)"),
        ({"31": ""}, "a TRADE without LastPx(31)"),
        ({"150": "G", "31": ""}, "a TRADE_CORRECT without LastPx(31)"),
        ({"17": ""}, "ExecID(17) is missing"),
        ({"39": ""}, "OrdStatus(39) is missing"),
        ({"55": ""}, "Symbol(55) is missing, and the order is not known from before"),
        ({"38": "", "151": ""}, "neither OrderQty(38) nor LeavesQty(151), and the order is not known from before"),
        ({"60": "", "52": ""}, "none of TransactTime(60), OrigSendingTime(122) and SendingTime(52)"),
        ({"35": "9"}, None),
        ({"35": "9", "11": ""}, "ClOrdID(11) is missing"),
    ],
)
def test_what_no_event_can_be_made_of_is_refused_with_its_tag(
    fill: Fields, changed: Fields, reason: str | None
) -> None:
    fields = {**fill, **changed}
    if reason is None:
        assert report(fields).exec_type == "CANCEL_REJECTED"
    else:
        assert refused(fields) == reason


def test_a_new_order_becomes_an_intent(request_new: Fields) -> None:
    assert intent({**request_new, "99": "149", "100": "ARCX"}) == OrderIntent(
        event_type="ORDER_SUBMITTED",
        occurred_at=1_795_185_000_099_000,
        key="ALPHA|C1",
        sequence=4,
        source="test",
        account_id="ALPHA",
        order_id="C1",
        cl_ord_id="C1",
        user_token="U",
        symbol="IBM",
        side="BUY",
        quantity=300,
        order_type="LIMIT",
        limit_price=150_250_000,
        stop_price=149_000_000,
        time_in_force="DAY",
        venue="ARCX",
        session="XNYS->DESK",
        correlation_id="DESK:C1",
    )


def test_a_price_of_zero_is_no_limit_unless_the_order_has_one(fill: Fields, request_new: Fields) -> None:
    assert intent({**request_new, "40": "1", "44": "0"}).limit_price is None
    assert intent({**request_new, "40": "2", "44": "0"}).limit_price == 0
    assert report({**fill, "44": "0.00"}).price is None


def test_cancel_and_replace_name_the_request_before_and_know_the_order(request_new: Fields) -> None:
    order = known(symbol="IBM", side="BUY", quantity=300, order_type="LIMIT", time_in_force="GOOD_TILL_CANCEL")
    cancel = intent({**without(request_new, "38", "40", "44"), "35": "F", "11": "C2", "41": "C1"}, order)
    assert (cancel.event_type, cancel.orig_cl_ord_id, cancel.quantity) == ("CANCEL_REQUESTED", "C1", 300)
    assert (cancel.order_type, cancel.time_in_force) == ("LIMIT", "GOOD_TILL_CANCEL")
    replace = intent({**request_new, "35": "G", "11": "C2", "41": "C1", "38": "500"}, order)
    assert (replace.event_type, replace.quantity) == ("REPLACE_REQUESTED", 500)
    unknown = intent({**without(request_new, "38", "40", "44"), "35": "F", "11": "C2", "41": "C1"})
    assert (unknown.quantity, unknown.order_type) == (0, "UNKNOWN")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"38": ""}, "OrderQty(38) is missing"),
        ({"40": None}, "OrdType(40) is missing"),
        ({"11": ""}, "ClOrdID(11) is missing"),
        ({"35": "F"}, "OrigClOrdID(41) is missing"),
        ({"35": "G"}, "OrigClOrdID(41) is missing"),
        ({"44": "0.0000001"}, "tag 44: '0.0000001' is finer than a millionth"),
    ],
)
def test_a_request_that_says_too_little_is_refused(
    request_new: Fields, changed: dict[str, str | None], reason: str
) -> None:
    fields = {tag: value for tag, value in {**request_new, **changed}.items() if value is not None}
    assert refused(fields) == reason


CODES = {
    name: {word: code for code, word in table.items()}
    for name, table in {
        "type": words.EXECUTION_TYPES,
        "status": words.ORDER_STATUSES,
        "side": words.SIDES,
        "time": words.TIMES_IN_FORCE,
        "liquidity": words.LIQUIDITY,
        "restated": words.RESTATEMENT_REASONS,
    }.items()
}
# On the wire text has no separator; in a log that shows it as `|`, neither may hold the other.
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\x01|;^\r\n=\x00", categories=("L", "N", "P")), min_size=1
)
amounts = st.integers(0, 10**9)
prices = st.integers(1, 10**12)


@st.composite
def reports(draw: st.DrawFn) -> ExecutionReport:
    kind = draw(st.sampled_from(sorted(CODES["type"])))
    about_fill = kind in ("TRADE", "TRADE_CORRECT", "TRADE_CANCEL")
    at = draw(st.integers(10**15, 4 * 10**15))
    trade_date = draw(st.integers(10_000, 40_000))
    cumulative = draw(amounts)
    day = st.builds(
        DayQuantities,
        trade_date=st.just(trade_date),
        order_quantity=amounts,
        filled_quantity=st.integers(1, 10**9),
        avg_price=st.none() | prices,
    )
    return ExecutionReport(
        event_type="EXECUTION_REPORTED",
        occurred_at=at,
        key="ALPHA|C1",
        sequence=4,
        source="test",
        cl_ord_id=draw(st.none() | texts),
        orig_cl_ord_id=draw(st.none() | texts),
        venue_order_id=draw(st.none() | texts),
        venue=draw(st.sampled_from(["XNYS", "ARCX"])),
        trade_date=trade_date,
        exec_id=draw(texts),
        exec_ref_id=draw(st.none() | texts) if about_fill else None,
        session="XNYS->DESK",
        exec_type=kind,
        ord_status=draw(st.sampled_from(sorted(CODES["status"]))),
        symbol=draw(texts),
        side=draw(st.sampled_from(sorted(CODES["side"]))),
        order_quantity=draw(amounts),
        price=draw(st.none() | prices),
        time_in_force=draw(st.none() | st.sampled_from(sorted(CODES["time"]))),
        last_quantity=draw(st.integers(1, 10**9)) if about_fill else 0,
        last_price=draw(prices) if about_fill else None,
        liquidity=draw(st.none() | st.sampled_from(sorted(CODES["liquidity"]))),
        cum_quantity=cumulative,
        leaves_quantity=draw(amounts),
        avg_price=draw(st.none() | prices) if cumulative else None,
        day=draw(st.none() | day),
        text=draw(st.none() | texts),
        restatement_reason=draw(st.none() | st.sampled_from(sorted(CODES["restated"]))),
        poss_resend=draw(st.sampled_from([None, True])),
        correlation_id="DESK:C1",
    )


def fields_of(event: ExecutionReport) -> list[tuple[str, str]]:
    """The FIX 4.4 message that a venue would send for an event, written independently of the reader."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.occurred_at)
    day = event.day
    values: dict[str, object] = {
        "11": event.cl_ord_id,
        "41": event.orig_cl_ord_id,
        "37": event.venue_order_id,
        "30": event.venue,
        "75": (datetime(1970, 1, 1) + timedelta(days=event.trade_date)).strftime("%Y%m%d"),
        "17": event.exec_id,
        "19": event.exec_ref_id,
        "150": CODES["type"][event.exec_type],
        "39": CODES["status"][event.ord_status],
        "55": event.symbol,
        "54": CODES["side"][event.side],
        "38": event.order_quantity,
        "44": _decimal(event.price),
        "59": CODES["time"].get(event.time_in_force or ""),
        "32": event.last_quantity or None,
        "31": _decimal(event.last_price),
        "851": CODES["liquidity"].get(event.liquidity or ""),
        "14": event.cum_quantity,
        "151": event.leaves_quantity,
        "6": _decimal(event.avg_price),
        "424": day and day.order_quantity,
        "425": day and day.filled_quantity,
        "426": day and _decimal(day.avg_price),
        "58": event.text,
        "378": CODES["restated"].get(event.restatement_reason or ""),
        "97": "Y" if event.poss_resend else None,
        "60": at.strftime("%Y%m%d-%H:%M:%S.%f"),
    }
    head = [("8", "FIX.4.4"), ("35", "8"), ("34", "1"), ("49", "XNYS"), ("56", "DESK")]
    return head + [(tag, str(value)) for tag, value in values.items() if value is not None]


def _decimal(micros: int | None) -> str | None:
    return None if micros is None else f"{Decimal(micros).scaleb(-6):f}"


@given(
    event=reports(),
    separator=st.sampled_from([b"\x01", b"|", b";", b"^A"]),
    prefix=st.sampled_from([b"", b"20261120-14:30:00.118 : ", b"<IN> ", b"2026-11-20 INFO [x] (XNYS) - "]),
    ending=st.sampled_from([b"", b"\n", b"\r\n", b")\n"]),
)
def test_every_event_comes_back_from_its_message_in_any_log(
    build: Callable[..., bytes], event: ExecutionReport, separator: bytes, prefix: bytes, ending: bytes
) -> None:
    log = iter([prefix + build(fields_of(event), separator) + ending])
    [frame] = [piece for piece in frames(lambda _: next(log, b"")) if isinstance(piece, Frame)]
    message = parse(frame.content, frame.separator)
    assert isinstance(message, Message)
    assert (frame.length_ok, message.checksum_ok) == (True, True)
    assert execution_of(message.fields, known(), ENVELOPE) == event


TAGS = """
    11 41 37 17 20 150 39 1 55 54 38 32 31 14 151 6 60 75 424 425
"""


@given(st.dictionaries(st.sampled_from(TAGS.split()), st.text(max_size=6)))
def test_any_fields_give_an_event_or_a_reason(fields: Fields) -> None:
    for kind in "89":
        assert isinstance(execution_of({"35": kind, **fields}, known(), ENVELOPE), ExecutionReport | Refusal)
    for kind in "DFG":
        assert isinstance(intent_of({"35": kind, **fields}, known(), ENVELOPE), OrderIntent | Refusal)
