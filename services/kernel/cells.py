"""Cells of a table (CSV, Parquet, NDJSON) as JSON has them: numbers out of text, dotted columns into objects.

What an event or an item may hold is not decided here: its parser says why it refuses one.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

# Milliseconds in one unit of a numeric timestamp.
TIMESTAMP_UNITS_MS: Final[Mapping[str, float]] = MappingProxyType(
    {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
)
_MILLISECONDS_FROM: Final = 10**11  # smaller numbers are read as seconds (kernel/timestamps.py)
_TIMES = frozenset({"timestamp", "published_at", "expires_at"})
_AMOUNTS = frozenset({"value", "price", "list_price", "quantity", "rating", "progress", "group_order"})
_NUMBERS = _TIMES | _AMOUNTS
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BOOLEAN_NAMES = frozenset({"available"})
# Text in these is JSON when it looks like it: a list of order lines, an object of properties.
_JSON_OPENINGS = ("[", "{")
_LIST_NAMES = frozenset({"categories", "tags", "image_urls"})
_LIST_SEPARATOR = "|"
_WITH_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?")  # points stand before three digits
_SHOWN_CHARS: Final = 40  # of a cell in an error; a cell may hold a megabyte


def place_cell(found: dict[str, Any], name: str, value: Any) -> None:
    """Put a value under a name; a dotted name (`context.country`) goes into an object. None is left out.

    Raises ValueError where a name and a part of it both have a value.
    """
    if value is None:
        return
    head, dot, tail = name.partition(".")
    if not dot:
        found[name] = value
        return
    inner = found.setdefault(head, {})
    if not isinstance(inner, dict):
        raise ValueError(f"{name} and {head} cannot both have a value")
    inner[tail] = value


def typed_cell(name: str, value: Any, factor: float | None = None) -> Any:
    """A value as JSON has it; text becomes a number, a list or an object where the name asks for one.

    `factor`: milliseconds in one unit of a numeric `timestamp`; None leaves the unit to its magnitude.
    """
    if isinstance(value, str):
        value = _from_text(name, value)
    elif isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return _said_ms(int(zoned.timestamp() * 1000)) if name == "timestamp" else zoned.isoformat()
    elif isinstance(value, datetime.date):
        value = value.isoformat()
    elif isinstance(value, decimal.Decimal):
        value = float(value)
    elif isinstance(value, float) and math.isnan(value):
        return None  # Parquet files written by pandas say NaN where there is nothing
    elif isinstance(value, float) and value.is_integer() and name.endswith("_id"):
        value = int(value)  # ids that a missing neighbour turned into floats
    if factor is not None and name == "timestamp" and isinstance(value, int | float):
        return _said_ms(int(value * factor))
    return value


def without_decimal_comma(name: str, value: Any) -> Any:
    """`1.234,50` under the name of a number as `1234.50`; anything else, `4.50` too, as it is."""
    if name in _AMOUNTS and isinstance(value, str) and _WITH_COMMA.fullmatch(value.strip()):
        return value.replace(".", "").replace(",", ".")
    return value


def check_cells(found: Mapping[str, Any], fields: Collection[str]) -> None:
    """Raise ValueError, with what to write instead, where text stayed that must be a number or yes or no.

    `fields`: the names that have a meaning here; any other is somebody's own and may hold any text.
    """
    for name, value in found.items():
        if not isinstance(value, str) or name not in fields:
            continue
        if name in _AMOUNTS:
            comma = "; --decimal-comma reads 4,50" if _WITH_COMMA.fullmatch(value.strip()) else ""
            raise ValueError(f"{name} is {value[:_SHOWN_CHARS]!r}; write a number such as 4.50{comma}")
        if name in _BOOLEAN_NAMES:
            raise ValueError(f"{name} is {value[:_SHOWN_CHARS]!r}; write yes or no, true or false, 1 or 0")


def _said_ms(time_ms: int) -> int | str:
    """A time whose unit was said: below 1973 a number of ms would be read as seconds, so it goes as text."""
    if 0 <= time_ms < _MILLISECONDS_FROM:
        return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).isoformat()
    return time_ms


def _from_text(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return _number(text)
    if name in _BOOLEAN_NAMES:
        return _BOOLEANS.get(text.strip().lower(), text)
    if text.startswith(_JSON_OPENINGS):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    if name in _LIST_NAMES:
        return [part.strip() for part in text.split(_LIST_SEPARATOR) if part.strip()]
    return text


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text  # an RFC 3339 time, or something that ingest rejects with a reason
    return number if math.isfinite(number) else text
