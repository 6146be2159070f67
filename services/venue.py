"""The simulated venues with their gateway: approved orders become execution reports on orders.executions.

Reports are acknowledgements, trades (one to six per order, over several venues that number executions alike), cancels,
rejects, the nights of orders that live for several days, reductions, busts and corrections, and answers to cancels that
came too late; some reports are sent twice, some come late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from operators.model.events import VERSION
from services.agenda import Intent, Planned, Plans
from services.life import VENUES, Amendment, Fill, Life
from services.sessions import trade_date_days
from services.simulated import SimulatedService
from services.worked import is_parent

SOURCE = "gateway-1"
CANCEL_ANSWER_MICROS: Final = 1_000
INTERRUPTED: Final = 1_000_000
"""Reports after an interruption are numbered from here on by their time, since others may have been sent meanwhile."""


class _Told(NamedTuple):
    """One report before it is numbered. `answers` marks what answers the client's cancel."""

    at: int
    exec_type: str
    status: str
    exec_id: str
    filled: int
    quantity: int
    published: int
    answers: bool = False
    resent: int | None = None
    more: Mapping[str, Any] = {}


def planned_reports(intent: Intent, life: Life) -> list[Planned]:
    """Reports of an order apart from the answer to a cancel, each with the time of its publication."""
    return _planned(intent, life, answers=None)


def planned_cancel_reports(intent: Intent, cancel: Intent, life: Life) -> list[Planned]:
    """The venue's answer to a cancel: CANCELED, or a cancel reject if the order was over before."""
    return _planned(intent, life, answers=cancel)


def planned_request_reject(intent: Intent, request: Intent, life: Life) -> list[Planned]:
    """The reject of a request that changes nothing: a cancel nobody foresaw and that is too late, or a replace."""
    if life.silent or is_parent(intent):
        return []
    at = request["occurredAt"] + CANCEL_ANSWER_MICROS - intent["occurredAt"]
    published = [fill for fill in life.fills if fill.published <= at]
    filled = sum(fill.quantity for fill in published)
    status = life.ending if at >= life.ended else _status_of(filled, intent["quantity"])
    text = "too late to cancel" if request["eventType"] == "CANCEL_REQUESTED" else "this venue takes no replaces"
    told = _Told(at, "CANCEL_REJECTED", status, f"J{at}", filled, _quantity(intent, life, at), at, more={"text": text})
    report = _report(intent, told, sequence=INTERRUPTED + at)
    return [(intent["occurredAt"] + at, _answer(report, request))]


class Venue(SimulatedService):
    """The venues as one service: reads risk.outcome, writes orders.executions, exactly once."""

    name = "venue"
    source = SOURCE
    output_topic = "orders.executions"
    plans = Plans(planned_reports, planned_cancel_reports, request_reject=planned_request_reject)


def _planned(intent: Intent, life: Life, *, answers: Intent | None) -> list[Planned]:
    """The reports that answer a cancel, or all others; numbered together, in the order of their publication."""
    if life.silent or is_parent(intent):
        return []
    start, planned = intent["occurredAt"], []
    script = sorted(_script(intent, life), key=lambda told: told.published)
    for sequence, told in enumerate(script, start=1):
        if told.answers != (answers is not None):
            continue
        undisturbed = life.interrupted is None or told.published < life.interrupted
        report = _report(intent, told, sequence=sequence if undisturbed else INTERRUPTED + told.published)
        if answers is not None:
            report = _answer(report, answers)
        planned.append((start + told.published, report))
        if told.resent is not None:
            planned.append((start + told.resent, report))
    return planned


def _script(intent: Intent, life: Life) -> list[_Told]:
    """All that the venue ever reports of the order."""
    ordered = intent["quantity"]
    if life.ending == "REJECTED":
        more = {"text": "venue rejects"}
        return [_Told(life.ended, "REJECTED", "REJECTED", "R", 0, ordered, life.ended, more=more)]
    script = [_Told(life.acknowledged, "NEW", "NEW", "N", 0, ordered, life.acknowledged)]
    return [*script, *_trades(intent, life), *_nights(intent, life), *_reductions(life), *_end(intent, life),
            *_amendments(intent, life)]  # fmt: skip


def _trades(intent: Intent, life: Life) -> list[_Told]:
    trades, filled = [], 0
    for fill in life.fills:
        filled += fill.quantity
        ordered = _quantity(intent, life, fill.at)
        more = _last(fill, fill.quantity, fill.price)
        trades.append(
            _Told(
                fill.at, "TRADE", _status_of(filled, ordered), str(fill.ordinal // 2), filled, ordered,
                fill.published, resent=fill.resent, more=more,
            )
        )  # fmt: skip
    return trades


def _nights(intent: Intent, life: Life) -> list[_Told]:
    nights = []
    for number, night in enumerate(life.nights):
        filled, ordered = _filled(life, night.done), _quantity(intent, life, night.done)
        renewed = {"restatementReason": "GT_RENEWAL"}
        nights += [
            _Told(night.done, "DONE_FOR_DAY", "DONE_FOR_DAY", f"D{number}", filled, ordered, night.done),
            _Told(
                night.renewed, "RESTATED", _status_of(filled, ordered), f"G{number}", filled, ordered, night.renewed,
                more=renewed,
            ),
        ]  # fmt: skip
    return nights


def _reductions(life: Life) -> list[_Told]:
    reductions = []
    for at, quantity, reason in life.reductions:
        filled = _filled(life, at)
        more = {"restatementReason": "PARTIAL_DECLINE", "text": reason}
        reductions.append(
            _Told(at, "RESTATED", _status_of(filled, quantity), f"P{at}", filled, quantity, at, more=more)
        )
    return reductions


def _end(intent: Intent, life: Life) -> list[_Told]:
    """CANCELED, asked for or not; or the reject of a cancel that came too late. An expiry is the engine's to tell."""
    asked, ordered = life.cancel_requested, _quantity(intent, life, life.ended)
    if life.ending == "CANCELED":
        more = {"text": life.reason} if life.reason else {}
        return [
            _Told(
                life.ended, "CANCELED", "CANCELED", "C", life.filled, ordered, life.ended,
                answers=asked is not None, more=more,
            )
        ]  # fmt: skip
    if asked is None:
        return []
    at, more = asked + CANCEL_ANSWER_MICROS, {"text": "too late to cancel"}
    return [_Told(at, "CANCEL_REJECTED", "FILLED", "J", life.filled, ordered, at, answers=True, more=more)]


def _amendments(intent: Intent, life: Life) -> list[_Told]:
    """Busts and corrections, in the order of the fills; what is open after them only counts while the order lives."""
    filled, amendments, ordered = life.filled, [], _quantity(intent, life, life.ended)
    for fill in life.fills:
        amendment = fill.amendment
        if amendment is None:
            continue
        filled += fill.final_quantity - fill.quantity
        status = life.ending if life.ending != "FILLED" else _status_of(filled, ordered)
        more = {
            **_last(fill, amendment.quantity, amendment.price),
            "execRefId": f"{intent['orderId']}-{fill.ordinal // 2}",
        }
        amendments.append(_amended(amendment, status, f"A{fill.ordinal}", filled, ordered, more))
    return amendments


def _amended(
    amendment: Amendment, status: str, exec_id: str, filled: int, ordered: int, more: Mapping[str, Any]
) -> _Told:
    return _Told(amendment.at, amendment.kind, status, exec_id, filled, ordered, amendment.at, more=more)


def _last(fill: Fill, quantity: int, price: int) -> dict[str, Any]:
    return {"venue": fill.venue, "lastQuantity": quantity, "lastPrice": price, "liquidity": fill.liquidity}


def _filled(life: Life, at: int) -> int:
    return sum(fill.quantity for fill in life.fills if fill.at <= at)


def _quantity(intent: Intent, life: Life, at: int) -> int:
    """What the order is for at that time."""
    quantity: int = intent["quantity"]
    for reduction in life.reductions:
        quantity = reduction.quantity if reduction.at <= at else quantity
    return quantity


def _status_of(filled: int, ordered: int) -> str:
    if filled >= ordered:
        return "FILLED"
    return "PARTIALLY_FILLED" if filled else "NEW"


def _answer(report: dict[str, Any], request: Intent) -> dict[str, Any]:
    """The report as the answer to a request."""
    event_type = "CANCEL_REJECTED" if report["execType"] == "CANCEL_REJECTED" else report["eventType"]
    answered = {"clOrdId": request["clOrdId"], "origClOrdId": request["origClOrdId"], "eventType": event_type}
    return {**report, **answered}


def _report(intent: Intent, told: _Told, *, sequence: int) -> dict[str, Any]:
    ended = told.status in ("CANCELED", "EXPIRED", "REJECTED")
    occurred_at = intent["occurredAt"] + told.at
    return {
        "eventType": "EXECUTION_REPORTED",
        "version": VERSION,
        "occurredAt": occurred_at,
        "key": intent["key"],
        "clOrdId": intent["clOrdId"],
        "origClOrdId": None,
        "venueOrderId": f"V{intent['orderId']}",
        "venue": intent["venue"] or VENUES[0],
        "tradeDate": trade_date_days(occurred_at),
        "execId": f"{intent['orderId']}-{told.exec_id}",
        "execRefId": None,
        "execType": told.exec_type,
        "ordStatus": told.status,
        "symbol": intent["symbol"],
        "side": intent["side"],
        "orderQuantity": told.quantity,
        "price": intent["limitPrice"],
        "timeInForce": intent["timeInForce"],
        "lastQuantity": 0,
        "lastPrice": None,
        "liquidity": None,
        "cumQuantity": told.filled,
        "leavesQuantity": 0 if ended else told.quantity - told.filled,
        "text": None,
        "correlationId": intent["correlationId"],
        "sequence": sequence,
        "source": SOURCE,
        **told.more,
    }
