"""From a row of a user's file to the JSON that ingest takes: names by `--map`, constants by `--set`, numbers
out of text, dotted columns (`context.country`) into objects.

What an event may hold is not decided here: ingest says why it rejects one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.cli.failure import CommandError
from services.cli.rows import Row
from services.kernel.cells import TIMESTAMP_UNITS_MS, place_cell, typed_cell, without_decimal_comma

_SEPARATORS = (";", "\t", "|", ",")  # of CSV files that were read with another one


@dataclass(frozen=True)
class ColumnMapping:
    """What the flags said. `columns`: our name → the file's column; `constants`: our name → value."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    timestamp_unit: str | None = None
    decimal_comma: bool = False

    def identity(self) -> list[Any]:
        """What distinguishes this mapping from another one, as plain JSON."""
        said = [sorted(self.columns.items()), sorted(self.constants.items(), key=str), self.timestamp_unit]
        return [*said, "decimal comma"] if self.decimal_comma else said


def parse_mapping(
    columns: Sequence[str],
    constants: Sequence[str],
    timestamp_unit: str | None = None,
    *,
    decimal_comma: bool = False,
) -> ColumnMapping:
    """The mapping behind `--map name=column` and `--set name=value`. Raises CommandError."""
    return ColumnMapping(
        dict(_pair(text, "--map", "item_id=sku") for text in columns),
        {
            name: typed_cell(name, value)
            for name, value in (_pair(t, "--set", "event_type=view") for t in constants)
        },
        timestamp_unit,
        decimal_comma,
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
                    cell = without_decimal_comma(ours, value) if mapping.decimal_comma else value
                    place_cell(found, ours, typed_cell(ours, cell, factor))
        for ours, value in mapping.constants.items():
            place_cell(found, ours, value)
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
    if absent and (separator := _other_separator(columns)):
        raise CommandError(_one_column(columns[0], separator))
    if absent:
        raise CommandError(
            f"--map names {', '.join(absent)}, which the file does not have; it has {', '.join(columns)}"
        )
    given = {*mapping.columns, *mapping.constants, *(set(columns) - set(mapping.columns.values()))}
    for names in needed:
        if given.isdisjoint(names):
            raise CommandError(_without(names, columns))


def _without(names: Sequence[str], columns: Sequence[str]) -> str:
    if separator := _other_separator(columns):
        return _one_column(columns[0], separator)
    constant = " or, for all rows, --set event_type=view" if "event_type" in names else ""
    return (
        f"no column is {' or '.join(names)}; the file has {', '.join(columns)}. "
        f"Say which it is: --map {names[0]}=COLUMN{constant}"
    )


def _other_separator(columns: Sequence[str]) -> str:
    """What seems to separate the columns of a file that was read with another mark; else nothing."""
    return next((mark for mark in _SEPARATORS if mark in columns[0]), "") if len(columns) == 1 else ""


def _one_column(column: str, separator: str) -> str:
    return f"the first line, {column!r}, is a single column; say --delimiter '{separator}'"


def _pair(text: str, flag: str, example: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip() or not value:
        raise CommandError(f"{flag} takes name=value, for instance {flag} {example}; not {text!r}")
    return name.strip(), value
