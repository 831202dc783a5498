"""How far an import has come, in a file that survives a kill at any line.

Rows travel in lanes: a subject always takes the same lane, and a lane has one request under way, so "every
row of this lane below n is acknowledged" is one number a lane. What was sent and not yet noted is sent again
with the same event ids; that is at most one request a lane, fewer events of a subject than a profile
remembers, so nothing counts twice.

A file is known by its content, under any name. One that has grown since (rows were appended) is known by the
content that it had: only its new rows are sent.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from services.cli.failure import CommandError
from services.cli.rows import RowFile


class Checkpoint(msgspec.Struct):
    """The state of one import. `lane_rows[lane]`: rows of that lane below this number are done."""

    identity: str  # names the events that this file becomes; part of their ids
    told: str  # hash of mapping and server: another mapping makes other events
    name: str
    lane_rows: list[int]
    contents: list[
        tuple[int, str]
    ]  # (bytes, hash) of the file whenever it was imported; each a prefix of the next
    accepted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0
    finished: bool = False


class CheckpointFile:
    """Where a checkpoint is kept; replaced as a whole, so a reader never sees half of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def encode(state: Checkpoint) -> bytes:
        """What `save` takes; made first, so that the state may move on while it is written."""
        return msgspec.json.encode(state)

    def save(self, encoded: bytes) -> None:
        """Replace the stored state; it is on the disk when this returns."""
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as out:
            out.write(encoded)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only one process at a time. Raises CommandError."""
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CommandError("another import of this file is running; let it end, or stop it") from None
            yield


def open_checkpoint(
    directory: Path, source: RowFile, told: str, lanes: int, *, restart: bool = False
) -> tuple[CheckpointFile, Checkpoint]:
    """The state that an earlier import of this content (or of its beginning) left, or a fresh one.

    `restart` forgets it. Raises CommandError for a file that is no checkpoint.
    """
    directory.mkdir(parents=True, exist_ok=True)
    known = [
        (path, state) for path in sorted(directory.glob("*.json")) if (state := _load(path)).told == told
    ]
    sizes = [size for _, state in known for size, _ in state.contents]
    hashes = source.prefix_hashes([source.size_bytes, *sizes])
    matching = [
        (size, path, state)
        for path, state in known
        for size, content in state.contents
        if hashes.get(size) == content and len(state.lane_rows) == lanes
    ]
    if restart:
        for _, path, _ in matching:
            path.unlink(missing_ok=True)
        matching = []
    whole = (source.size_bytes, hashes[source.size_bytes])
    if not matching:
        identity = hashlib.blake2b(f"{whole[1]} {told}".encode(), digest_size=8).hexdigest()
        fresh = Checkpoint(identity, told, source.name, [0] * lanes, [whole])
        return CheckpointFile(directory / f"{identity}.json"), fresh
    size, path, state = max(matching, key=lambda match: match[0])
    if size < source.size_bytes:
        state.contents.append(whole)
        state.finished = False
    return CheckpointFile(path), state


def _load(path: Path) -> Checkpoint:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except (OSError, msgspec.MsgspecError) as error:
        raise CommandError(
            f"{path}: not a checkpoint of an import ({error}); remove it to start over"
        ) from None
