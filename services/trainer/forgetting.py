"""User deletions in an archive: parts that hold earlier events of a deleted user are written anew. Who
withdraws consent is forgotten in the same way (`refusals.py`).

1. The deletion stands in the manifest as pending, with the mark that passes it: no kill can lose it, and
   readers leave the rows out from then on.
2. A part with rows to remove is written anew under another name; the manifest lists the new one for the old
   one; the old one is removed. Killed in between, the next export does that part again.
3. With all parts done the deletion is no longer pending.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from services.kernel.position import Position
from services.trainer.archive import Archive, Part
from services.trainer.archive_rows import SCHEMA, forgotten, part_bytes, row_groups


def forget(archive: Archive, deletions: Mapping[str, Position]) -> int:
    """Steps 2 and 3 for `deletions` (which are pending in the manifest); answers the rows removed.

    Reads the subjects of every part that may hold them, one row group at a time, and whole parts where there
    is something to remove. Blocks. Raises ArchiveError.
    """
    if not deletions:
        return 0
    removed = 0
    for part in list(archive.manifest.parts):
        # 2.
        if _holds(archive, part, deletions):
            removed += _rewrite(archive, part, deletions)
    # 3.
    archive.manifest.set_pending({})
    archive.save()
    return removed


def without_forgotten(
    table: pa.Table, generation: int, partition: int, deletions: Mapping[str, Position]
) -> pa.Table:
    """The rows of one partition that no deletion comes after."""
    gone = forgotten(table, generation, partition, deletions)
    return table if gone is None or not gone.any() else table.filter(pa.array(~gone))


def _holds(archive: Archive, part: Part, deletions: Mapping[str, Position]) -> bool:
    with archive.place.open(part.file) as file:
        for table in row_groups(file, ("subject", "offset")):
            gone = forgotten(table, part.generation, part.partition, deletions)
            if gone is None:
                return False
            if gone.any():
                return True
    return False


def _rewrite(archive: Archive, part: Part, deletions: Mapping[str, Position]) -> int:
    """One part without its forgotten rows; none of it where nothing is left."""
    with archive.place.open(part.file) as file:
        kept = [
            without_forgotten(table, part.generation, part.partition, deletions) for table in row_groups(file)
        ]
    table = pa.concat_tables(kept) if kept else SCHEMA.empty_table()
    parts = archive.manifest.parts
    place = parts.index(part)
    if table.num_rows:
        parts[place] = write_part(archive, table)
    else:
        del parts[place]
    archive.save()
    archive.place.delete(part.file)
    return part.rows - table.num_rows


def write_part(archive: Archive, table: pa.Table) -> Part:
    """Write rows of one partition (at least one) as a part that the manifest does not list yet."""
    offsets = table.column("offset").to_numpy()
    generation, partition = (table.column(name)[0].as_py() for name in ("generation", "partition"))
    first, last = int(np.min(offsets)), int(np.max(offsets))
    name = archive.part_name(generation, partition, first, last)
    data = part_bytes(table)
    archive.place.write(name, data)
    return Part(name, generation, partition, first, last, table.num_rows, len(data))
