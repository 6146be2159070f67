"""Trading sessions of New York: 9:30 to 16:00 on weekdays. Exchange holidays are not known here."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

OPEN_MINUTES: Final = 9 * 60 + 30
CLOSE_MINUTES: Final = 16 * 60
DAY_MICROS: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
_SATURDAY: Final = 5


def opening_micros(day: date) -> int:
    """9:30 in New York on the day, in microseconds UTC."""
    return _minute_of_day(day, OPEN_MINUTES)


def closing_micros(day: date) -> int:
    """16:00 in New York on the day, in microseconds UTC."""
    return _minute_of_day(day, CLOSE_MINUTES)


def trade_date_days(occurred_at: int) -> int:
    """The UTC date of an event in days since 1970; American sessions lie within one UTC day."""
    return occurred_at // DAY_MICROS


def trade_date(occurred_at: int) -> date:
    """The same as a date."""
    return _EPOCH + timedelta(days=trade_date_days(occurred_at))


def day_end_micros(occurred_at: int) -> int:
    """The last microsecond of the event's UTC date."""
    return (trade_date_days(occurred_at) + 1) * DAY_MICROS - 1


def next_session(day: date) -> date:
    """The weekday after it."""
    day += timedelta(days=1)
    while day.weekday() >= _SATURDAY:
        day += timedelta(days=1)
    return day


def _minute_of_day(day: date, minutes: int) -> int:
    local = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=ZoneInfo("America/New_York"))
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
