"""How far an import has come, in a file that survives a kill at any line.

Rows travel in lanes: a subject always takes the same lane, and a lane has one request under way, so "every
row of this lane below n is acknowledged" is one number a lane. What was sent and not yet noted is sent again
with the same event ids; that is at most one request a lane, fewer events of a subject than a profile
remembers, so nothing counts twice.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from services.cli.failure import CommandError


class Checkpoint(msgspec.Struct):
    """The state of one import. `lane_rows[lane]`: rows of that lane below this number are done."""

    name: str
    lane_rows: list[int]
    accepted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0
    finished: bool = False

    @property
    def started(self) -> bool:
        """Some rows are done."""
        return any(self.lane_rows)


class CheckpointFile:
    """Where a checkpoint is kept; replaced as a whole, so a reader never sees half of it."""

    def __init__(self, path: Path, name: str, lanes: int) -> None:
        self.path = path
        self._fresh = Checkpoint(name, [0] * lanes)

    def load(self) -> Checkpoint:
        """The stored state, or a fresh one. Raises CommandError for a file that is something else."""
        try:
            stored = msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
        except FileNotFoundError:
            return msgspec.structs.replace(self._fresh, lane_rows=list(self._fresh.lane_rows))
        except (OSError, msgspec.MsgspecError) as error:
            raise CommandError(
                f"{self.path}: not a checkpoint of an import ({error}); remove it to start over"
            ) from None
        if len(stored.lane_rows) != len(self._fresh.lane_rows):
            raise CommandError(f"{self.path}: written by another version of Freshet; remove it to start over")
        return stored

    @staticmethod
    def encode(state: Checkpoint) -> bytes:
        """What `save` takes; made first, so that the state may move on while it is written."""
        return msgspec.json.encode(state)

    def save(self, encoded: bytes) -> None:
        """Replace the stored state; it is on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as out:
            out.write(encoded)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self.path)

    def remove(self) -> None:
        """Forget the state."""
        self.path.unlink(missing_ok=True)
