"""How far an import has come, in a file that survives a kill at any line.

Rows travel in lanes: a subject always takes the same lane, and a lane has one request under way, so "every
row of this lane below n is acknowledged" is one number a lane. What was sent and not yet noted is sent again
with the same event ids; that is at most one request a lane, fewer events of a subject than a profile
remembers, so nothing counts twice.

A file is known by its content, under any name. One that has grown since (rows were appended) is known by the
content that it had: only its new rows are sent. Two files may have grown from the same beginning (a monthly
export that starts with last month's rows, a first line alone); the second one forks off where they part.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.cli.failure import CommandError
from services.cli.rows import RowFile


class Content(msgspec.Struct, array_like=True):
    """What a file held when it was imported. `rows`: how many, once all of them are done; -1 before that."""

    bytes: int
    hash: str
    rows: int = -1


class Checkpoint(msgspec.Struct):
    """The state of one import. `lane_rows[lane]`: rows of that lane below this number are done."""

    identity: str  # names the events that this file becomes; part of their ids
    told: str  # hash of mapping and server: another mapping makes other events
    name: str
    lane_rows: list[int]
    contents: list[Content]  # the file whenever it was imported; each a prefix of the next
    accepted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0

    @property
    def finished(self) -> bool:
        """Every row of the last content has an answer."""
        return self.contents[-1].rows >= 0

    def finish(self) -> None:
        """All rows are done."""
        self.contents[-1].rows = max(self.lane_rows)


class CheckpointFile:
    """Where a checkpoint is kept; replaced as a whole, so a reader never sees half of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found = self._content()

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
            if self._content() != self._found:
                raise CommandError("another import of this file has just ended; run the same command again")
            yield

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""


def open_checkpoint(
    directory: Path, source: RowFile, told: str, lanes: int, *, restart: bool = False
) -> tuple[CheckpointFile, Checkpoint]:
    """The state that an earlier import of this content (or of its beginning) left, or a fresh one.

    `restart` forgets it. Raises CommandError for a file that is no checkpoint, and where it cannot be known
    which rows an earlier import has sent.
    """
    directory.mkdir(parents=True, exist_ok=True)
    known = [
        (path, state)
        for path in sorted(directory.glob("*.json"))
        if (state := _load(path)).told == told and len(state.lane_rows) == lanes
    ]
    sizes = [content.bytes for _, state in known for content in state.contents]
    hashes = source.prefix_hashes([source.size_bytes, *sizes])
    whole = Content(source.size_bytes, hashes[source.size_bytes])
    matches = [_Match(path, state, place) for path, state in known if (place := _common(state, hashes)) >= 0]
    if restart:
        for match in matches:
            if match.is_last or match.content.bytes == whole.bytes:
                match.path.unlink(missing_ok=True)
        matches = []
    if not matches:
        return _fresh(directory, source, told, [whole], [0] * lanes)
    best = max(matches, key=lambda match: (match.content.bytes, match.is_last))
    if best.is_last:
        if best.content.bytes < whole.bytes:
            best.state.contents.append(whole)
        return CheckpointFile(best.path), best.state
    past = best.state.contents[: best.place + 1]
    if best.content.bytes == whole.bytes and (best.content.rows >= 0 or best.state.finished):
        past[-1].rows = max(0, past[-1].rows)
        return CheckpointFile(best.path), msgspec.structs.replace(best.state, contents=past)
    if best.content.rows < 0:
        raise CommandError(
            f"{source.name} begins like {best.state.name}, whose import was stopped and then went on with "
            "other rows; how many they share is not known. --restart sends all of it"
        )
    return _fresh(directory, source, told, [*past, whole], [best.content.rows] * lanes)


class _Match(NamedTuple):
    """A state whose content number `place` the file begins with."""

    path: Path
    state: Checkpoint
    place: int

    @property
    def content(self) -> Content:
        return self.state.contents[self.place]

    @property
    def is_last(self) -> bool:
        return self.place == len(self.state.contents) - 1


def _common(state: Checkpoint, hashes: dict[int, str]) -> int:
    """The last content of a state that the file begins with; -1 for none."""
    return max(
        (place for place, found in enumerate(state.contents) if hashes.get(found.bytes) == found.hash),
        default=-1,
    )


def _fresh(
    directory: Path, source: RowFile, told: str, contents: list[Content], lane_rows: list[int]
) -> tuple[CheckpointFile, Checkpoint]:
    identity = hashlib.blake2b(f"{contents[-1].hash} {told}".encode(), digest_size=8).hexdigest()
    return (
        CheckpointFile(directory / f"{identity}.json"),
        Checkpoint(identity, told, source.name, lane_rows, contents),
    )


def _load(path: Path) -> Checkpoint:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except (OSError, msgspec.MsgspecError) as error:
        raise CommandError(
            f"{path}: not a checkpoint of an import ({error}); remove it to start over"
        ) from None
