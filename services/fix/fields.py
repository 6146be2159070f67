"""Fields of a message by tag, read as values; what is wrong with one is a `ValueError` that names its tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.fix.values import date_days, days_of_micros, price, quantity, utc_micros

Fields = Mapping[str, str]


def poss_resend(fields: Fields) -> bool:
    """PossResend(97), or PossDupFlag(43): either way the message may have been received before."""
    return fields.get("97") == "Y" or fields.get("43") == "Y"


def occurred_micros(fields: Fields) -> int:
    """TransactTime(60), else when it was first sent: OrigSendingTime(122) of a resent message, else SendingTime(52)."""
    for tag in ("60", "122", "52"):
        text = fields.get(tag)
        if text:
            return _read(utc_micros, tag, text)
    raise ValueError("none of TransactTime(60), OrigSendingTime(122) and SendingTime(52)")


def trade_date_days(fields: Fields, occurred_at: int) -> int:
    """TradeDate(75), else the UTC day of the event."""
    text = fields.get("75")
    return _read(date_days, "75", text) if text else days_of_micros(occurred_at)


def required(fields: Fields, tag: str, name: str) -> str:
    """A field that no event can do without."""
    text = fields.get(tag)
    if not text:
        raise ValueError(f"{name}({tag}) is missing")
    return text


def coded(fields: Fields, tag: str, name: str, table: Mapping[str, str]) -> str:
    """The word for a field's code, which the rules must know."""
    code = required(fields, tag, name)
    named = table.get(code)
    if named is None:
        raise ValueError(f"{name}({tag})={code} is not one that the rules know")
    return named


def quantity_of(fields: Fields, tag: str) -> int | None:
    """A Qty field; None if it is missing or empty."""
    text = fields.get(tag)
    if not text:
        return None
    try:
        return quantity(text)
    except ValueError as error:
        raise ValueError(f"tag {tag}: {error}") from None


def price_of(fields: Fields, tag: str, *, round_off: bool = False) -> int | None:
    """A Price field in millionths; None if it is missing or empty."""
    text = fields.get(tag)
    if not text:
        return None
    try:
        return price(text, round_off=round_off)
    except ValueError as error:
        raise ValueError(f"tag {tag}: {error}") from None


def _read(reader: Callable[[str], int], tag: str, text: str) -> int:
    try:
        return reader(text)
    except ValueError as error:
        raise ValueError(f"tag {tag}: {error}") from None
