"""Checking what clients send as free JSON and as numbers, against bounds."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

import msgspec

from services.kernel.ids import json_type

_INT_BOUND: Final = 2**63  # what every JSON reader on the way can hold


class BoundError(ValueError):
    """A value lies outside its bounds; the message says which bounds."""


def read_number(raw: object, low: float, high: float) -> float:
    """A finite number, low ≤ x ≤ high. Raises BoundError; booleans and strings are no numbers."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        hint = "; leave the quotes out" if isinstance(raw, str) else ""
        raise BoundError(f"must be a number, not {json_type(raw)}{hint}")
    if not low <= raw <= high:  # false for NaN too
        raise BoundError(f"must lie between {low:g} and {high:g}")
    return float(raw)


def read_text(raw: object, max_bytes: int) -> str:
    """A string of at most `max_bytes` bytes of UTF-8. Raises BoundError."""
    if not isinstance(raw, str):
        raise BoundError(f"must be a string, not {json_type(raw)}")
    if len(raw) > max_bytes:
        raise BoundError(f"is longer than {max_bytes} bytes")
    try:
        size = len(raw.encode())
    except UnicodeEncodeError:
        raise BoundError("holds half of a surrogate pair, which is no character") from None
    if size > max_bytes:
        raise BoundError(f"is longer than {max_bytes} bytes")
    return raw


def read_object(raw: object, max_bytes: int, max_depth: int) -> dict[str, Any]:
    """A JSON object of at most `max_depth` levels and `max_bytes` bytes once encoded. Raises BoundError."""
    if not isinstance(raw, dict):
        raise BoundError(f"must be an object, not {json_type(raw)}")
    check_json(raw, max_depth)
    try:
        size = len(msgspec.json.encode(raw))
    except UnicodeEncodeError:
        raise BoundError("holds half of a surrogate pair, which is no character") from None
    if size > max_bytes:
        raise BoundError(f"is larger than {max_bytes} bytes")
    return raw


def check_json(raw: object, max_depth: int) -> None:
    """Raise BoundError unless `raw` is plain JSON of at most `max_depth` levels, finite numbers, 64 bits."""
    kind = type(raw)
    if kind is str or kind is bool or raw is None:
        return
    if kind is int:
        if not -_INT_BOUND <= raw < _INT_BOUND:  # type: ignore[operator]
            raise BoundError("holds an integer beyond 64 bits; send it as a string")
    elif kind is float:
        if not isfinite(raw):  # type: ignore[arg-type]
            raise BoundError("holds NaN or Infinity; leave the field out")
    elif max_depth <= 0:
        raise BoundError("is nested too deeply")
    elif isinstance(raw, dict):
        for key, value in raw.items():
            if not isinstance(key, str):
                raise BoundError("has a key that is no string")
            check_json(value, max_depth - 1)
    elif isinstance(raw, (list, tuple)):
        for value in raw:
            check_json(value, max_depth - 1)
    else:
        raise BoundError(f"holds a {kind.__name__}, which is not JSON")
