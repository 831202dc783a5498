"""The arrivals that `freshet cost` simulates: the demo shop's orders, a file, or an archive of events."""

from __future__ import annotations

import argparse
from array import array
from typing import TYPE_CHECKING, Any

from services.cli.failure import CommandError
from services.cli.mapping import check_columns, mapper, parse_mapping
from services.cli.output import say
from services.cli.rows import open_rows
from services.kernel.timestamps import read_timestamp_ms

if TYPE_CHECKING:
    from services.cost.trace import Trace


def read_trace(arguments: argparse.Namespace) -> Trace:
    """The trace that the command line names. Raises CommandError, CostError."""
    import numpy as np

    from services.cost.trace import trace_of

    if arguments.trace == "demo":
        from services.local.demo_shop import read_shop

        return trace_of(np.array([order["timestamp"] for order in read_shop().orders], np.float64))
    times_ms = _archive_ms(arguments.trace) or _file_ms(arguments)
    return trace_of(np.frombuffer(times_ms, np.float64) / 1000)


def _archive_ms(url: str) -> array[float] | None:
    """When the events of an archive happened, Unix ms; None where there is no archive."""
    if url == "-":
        return None
    import numpy as np

    try:
        from services.trainer.archive import MANIFEST_NAME, Archive, ordered
        from services.trainer.archive_place import ArchiveError, open_archive_place
        from services.trainer.archive_rows import row_groups
    except ModuleNotFoundError:  # no pyarrow: then there is no archive, but there may be a CSV file
        return None
    try:
        place = open_archive_place(url)
        if place.is_file() or place.read(MANIFEST_NAME) is None:
            return None
        times = array("d")
        for part in ordered(Archive(place).manifest.parts):
            with place.open(part.file) as file:
                for rows in row_groups(file, ["timestamp"]):
                    moments = rows.column("timestamp").to_numpy().astype("datetime64[ms]")
                    times.extend(moments.astype(np.float64).tolist())
    except ArchiveError as error:
        raise CommandError(str(error)) from None
    return times


def _file_ms(arguments: argparse.Namespace) -> array[float]:
    """The timestamps of a file, Unix ms; rows without one are left out and counted."""
    source = open_rows(arguments.trace, arguments.format, arguments.delimiter)
    mapping = parse_mapping(arguments.map, [], arguments.timestamp_unit)
    convert = mapper(mapping)
    times, refused, reason = array("d"), 0, ""
    try:
        for row in source.rows():
            if row.number == 0:
                check_columns(mapping, source.columns, [("timestamp",)])
            try:
                if row.values is None:
                    raise ValueError(row.error)
                found: Any = convert(row).get("timestamp")
                if found is None:
                    raise ValueError("has no timestamp; say which column it is: --map timestamp=COLUMN")
                times.append(float(read_timestamp_ms(found)))
            except (ValueError, TypeError, OverflowError) as error:
                refused, reason = refused + 1, reason or f"row {row.number}: {error}"
    finally:
        source.discard()
    if not times:
        raise CommandError(f"{source.name}: no row has a time" + (f"; {reason}" if reason else ""))
    if refused:
        say(f"{refused:,} of {refused + len(times):,} rows have no time and were left out, as {reason}")
    return times
