"""From a row of a user's file to the JSON that ingest takes: names by `--map`, constants by `--set`, numbers
out of text, dotted columns (`context.country`) into objects.

What an event may hold is not decided here: ingest says why it rejects one.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.cli.failure import CommandError
from services.cli.rows import Row

# Milliseconds in one unit of --timestamp-unit.
TIMESTAMP_UNITS_MS: Mapping[str, float] = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
MILLISECONDS_FROM = 10**11  # ingest reads smaller numbers as seconds
_TIMES = frozenset({"timestamp", "published_at", "expires_at"})
_NUMBERS = _TIMES | {"value", "price", "list_price", "quantity", "rating", "progress", "group_order"}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BOOLEAN_NAMES = frozenset({"available"})
# Text in these is JSON when it looks like it: a list of order lines, an object of properties.
_JSON_OPENINGS = ("[", "{")
_LIST_NAMES = frozenset({"categories", "tags", "image_urls"})
LIST_SEPARATOR = "|"
_SEPARATORS = (";", "\t", "|", ",")  # of CSV files that were read with another one


@dataclass(frozen=True)
class ColumnMapping:
    """What the flags said. `columns`: our name → the file's column; `constants`: our name → value."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    timestamp_unit: str | None = None

    def identity(self) -> list[Any]:
        """What distinguishes this mapping from another one, as plain JSON."""
        return [sorted(self.columns.items()), sorted(self.constants.items(), key=str), self.timestamp_unit]


def parse_mapping(
    columns: Sequence[str], constants: Sequence[str], timestamp_unit: str | None = None
) -> ColumnMapping:
    """The mapping behind `--map name=column` and `--set name=value`. Raises CommandError."""
    return ColumnMapping(
        dict(_pair(text, "--map", "item_id=sku") for text in columns),
        {
            name: _typed(name, value)
            for name, value in (_pair(t, "--set", "event_type=view") for t in constants)
        },
        timestamp_unit,
    )


def mapper(mapping: ColumnMapping) -> Callable[[Row], dict[str, Any]]:
    """A function from a readable row to the object to send. It raises ValueError with the reason."""
    ours_of: dict[str, list[str]] = {}
    for ours, column in mapping.columns.items():
        ours_of.setdefault(column, []).append(ours)
    factor = TIMESTAMP_UNITS_MS.get(mapping.timestamp_unit or "")
    replaced = mapping.columns.keys() | mapping.constants.keys()

    def names_of(column: str) -> list[str]:
        """A mapped column has the names it was given; any other its own, unless the flags gave it away."""
        if column not in ours_of:
            ours_of[column] = [] if column in replaced else [column]
        return ours_of[column]

    def convert(row: Row) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for column, value in (row.values or {}).items():
            for ours in names_of(column):
                if value is not None and ours not in mapping.constants:
                    _place(found, ours, _typed(ours, value, factor))
        for ours, value in mapping.constants.items():
            _place(found, ours, value)
        return found

    return convert


def check_columns(
    mapping: ColumnMapping, columns: Sequence[str], needed: Sequence[Sequence[str]] = ()
) -> None:
    """Raise CommandError when a mapped column is not in the file, or nothing gives a name that is `needed`
    (of each group, one), naming the columns that are there.

    `columns` is empty where the rows need not all have the same (NDJSON); then nothing can be said.
    """
    if not columns:
        return
    absent = [column for column in mapping.columns.values() if column not in columns]
    if absent:
        raise CommandError(
            f"--map names {', '.join(absent)}, which the file does not have; it has {', '.join(columns)}"
        )
    given = {*mapping.columns, *mapping.constants, *(set(columns) - set(mapping.columns.values()))}
    for names in needed:
        if given.isdisjoint(names):
            raise CommandError(_without(names, columns))


def _without(names: Sequence[str], columns: Sequence[str]) -> str:
    separator = next((mark for mark in _SEPARATORS if mark in columns[0]), "") if len(columns) == 1 else ""
    if separator:
        return f"the first line, {columns[0]!r}, is a single column; say --delimiter '{separator}'"
    constant = " or, for all rows, --set event_type=view" if "event_type" in names else ""
    return (
        f"no column is {' or '.join(names)}; the file has {', '.join(columns)}. "
        f"Say which it is: --map {names[0]}=COLUMN{constant}"
    )


def _pair(text: str, flag: str, example: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip() or not value:
        raise CommandError(f"{flag} takes name=value, for instance {flag} {example}; not {text!r}")
    return name.strip(), value


def _place(found: dict[str, Any], name: str, value: Any) -> None:
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


def _typed(name: str, value: Any, factor: float | None = None) -> Any:
    """A value as JSON has it; text becomes a number, a list or an object where the name asks for one."""
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


def _said_ms(time_ms: int) -> int | str:
    """A time whose unit was said: below 1973 a number of ms would be read as seconds, so it goes as text."""
    if 0 <= time_ms < MILLISECONDS_FROM:
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
        return [part.strip() for part in text.split(LIST_SEPARATOR) if part.strip()]
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
