"""Times as clients send them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.timestamps import TimestampError, read_timestamp_ms

# In s, ms and µs the magnitudes of these years do not meet.
_MOMENTS = st.integers(200_000_000, 4_000_000_000)


@given(_MOMENTS)
def test_seconds_milliseconds_and_microseconds_mean_the_same(moment_s: int) -> None:
    moment_ms = moment_s * 1000
    for spelling in (moment_s, float(moment_s), str(moment_s), moment_ms, str(moment_ms), moment_ms * 1000):
        assert read_timestamp_ms(spelling) == moment_ms


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_rfc_3339_with_and_without_an_offset(moment: datetime, offset_min: int) -> None:
    utc = moment.replace(tzinfo=UTC)
    expected_ms = (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    there = utc.astimezone(timezone(timedelta(minutes=offset_min)))
    for spelling in (
        moment.isoformat(),
        moment.isoformat() + "Z",
        there.isoformat(),
        f" {moment.isoformat(' ')} ",
    ):
        assert read_timestamp_ms(spelling) == expected_ms


@pytest.mark.parametrize(
    "raw",
    [
        True, False, None, [], {}, math.nan, math.inf, -math.inf, -1, -0.001, 10**17, 1e300, 10**400, "",
        "soon", "1" * 41, "9" * 40, "1969-12-31T23:59:59Z", "2026-13-01", "nan", "-5",
        "0001-01-01T00:00:00+23:59",
        "٣٣٣٣٣٣٣٣٣٣", "2026-01-01T00:00:00\x00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_told_what_is(raw: object) -> None:
    with pytest.raises(TimestampError, match="use Unix time in s, ms or µs, or RFC 3339"):
        read_timestamp_ms(raw)


def test_zero_is_1970() -> None:
    assert read_timestamp_ms(0) == 0
    assert read_timestamp_ms("1970-01-01") == 0
