"""Reading the times that clients send: s, ms or µs by magnitude, or RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

from services.kernel.ids import json_type

# Each bound lies far from the real times on both sides: 1e11 s is the year 5138, 1e11 ms is 1973.
_SECONDS_BELOW: Final = 10**11
_MILLISECONDS_BELOW: Final = 10**14
_MICROSECONDS_BELOW: Final = 10**17
_MAX_TEXT: Final = 40  # RFC 3339 with nanoseconds and an offset has 35 characters
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EXPECTED: Final = "use Unix time in s, ms or µs, or RFC 3339 such as 2026-01-31T12:00:00Z"


class TimestampError(ValueError):
    """A value is no time; the message says what is."""


def read_timestamp_ms(raw: object) -> int:
    """Unix time in ms of a number (s, ms or µs by magnitude), a string of digits, or an RFC 3339 string.

    Without an offset a string is UTC. Raises TimestampError for all else: booleans, NaN, times before 1970.
    """
    if isinstance(raw, str):
        return _read_text(raw)
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise TimestampError(f"is {json_type(raw)}; {_EXPECTED}")
    return _read_number(raw)


def _read_number(number: float) -> int:
    if isinstance(number, float) and not isfinite(number):
        raise TimestampError(f"is not a finite number; {_EXPECTED}")
    if number < 0:
        raise TimestampError(f"lies before 1970; {_EXPECTED}")
    if number < _SECONDS_BELOW:
        return int(number * 1000)
    if number < _MILLISECONDS_BELOW:
        return int(number)
    if number < _MICROSECONDS_BELOW:
        return int(number // 1000)
    raise TimestampError(f"is too large; {_EXPECTED}")


def _read_text(raw: str) -> int:
    text = raw.strip()
    if len(text) > _MAX_TEXT or not text.isprintable():  # fromisoformat stops reading at a NUL
        raise TimestampError(f"cannot be read; {_EXPECTED}")
    if text.isascii() and text.isdigit():
        return _read_number(int(text))
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        number_ms = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise TimestampError(f"cannot be read; {_EXPECTED}") from None
    if number_ms < 0:
        raise TimestampError(f"lies before 1970; {_EXPECTED}")
    return number_ms
