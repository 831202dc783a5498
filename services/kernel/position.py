"""Where a record stands on the log, and where a profile has got to."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """One record's place: the log's generation, the partition, the offset in it.

    Positions of one partition compare by (generation, offset). Positions of different partitions of
    one generation have no order; nobody may compare them (see `Profile.standing`).
    """

    generation: int
    partition: int
    offset: int

    def __str__(self) -> str:
        """The form that clients carry from a 202 to `?after=`; opaque to them."""
        return f"{self.generation}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read the form that `str` wrote. Raises ValueError for anything else."""
        parts = text.split("-")
        if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) <= 19 for p in parts):
            raise ValueError(f"not a position: {text[:64]!r} (take it as it stood in a 202 answer)")
        return cls(*(int(p) for p in parts))
