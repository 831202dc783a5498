"""An archive of events: Parquet parts and `archive.json`, which says what counts.

The manifest is written last and replaced as a whole. A part that it does not list is not there for anybody:
it is what a killed export has left, and the next one removes it. So a kill at any line leaves the archive as
it was before or as it is after a step, and every position is in exactly one listed part.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from services.kernel.position import Position
from services.trainer.archive_place import ArchiveError, ArchivePlace

MANIFEST_NAME: Final = "archive.json"
_FORMAT: Final = "freshet-archive"
_VERSION: Final = 1
# Generation, partition, first and last offset, a token of the run that wrote it: no two runs write one name.
_PART_NAME: Final = re.compile(r"^events-g\d+-p\d+-\d+-\d+-[0-9a-f]{8}\.parquet$")
_DRAFT_NAME: Final = re.compile(r"^\.(events-g\d|archive\.json-)")


class Mark(msgspec.Struct, frozen=True):
    """A partition is archived below offset `next`. `check` is a hash of the last record read."""

    generation: int
    partition: int
    next: int
    check: str = ""


class Part(msgspec.Struct, frozen=True):
    """One Parquet file: events of one partition with offsets first ≤ x ≤ last, in rising order."""

    file: str
    generation: int
    partition: int
    first: int
    last: int
    rows: int
    bytes: int


class Gap(msgspec.Struct, frozen=True):
    """Offsets first ≤ x < end that the log no longer held when they were to be archived."""

    generation: int
    partition: int
    first: int
    end: int


class PendingDeletion(msgspec.Struct, frozen=True):
    """A user deletion, or a withdrawal of consent, whose earlier events may still stand in parts; readers
    leave them out."""

    subject: str
    generation: int
    partition: int
    offset: int


class Manifest(msgspec.Struct, kw_only=True):
    """What `archive.json` says. `writer` changes with every write."""

    format: str = _FORMAT
    version: int = _VERSION
    namespace: str = ""
    writer: str = ""
    marks: list[Mark] = []
    parts: list[Part] = []
    gaps: list[Gap] = []
    deletions: list[PendingDeletion] = []
    refusals: bytes = b""  # of those who deny personalisation (refusals.py); base64 in the file
    poison: int = 0  # records that are no events, not archived

    def mark(self, generation: int, partition: int) -> Mark | None:
        """How far a partition is archived; None for one never seen."""
        for mark in self.marks:
            if (mark.generation, mark.partition) == (generation, partition):
                return mark
        return None

    def set_mark(self, mark: Mark) -> None:
        """Replace a partition's mark."""
        place = (mark.generation, mark.partition)
        self.marks = sorted(
            [kept for kept in self.marks if (kept.generation, kept.partition) != place] + [mark],
            key=lambda entry: (entry.generation, entry.partition),
        )

    def pending(self) -> dict[str, Position]:
        """The pending deletions by subject."""
        return {
            entry.subject: Position(entry.generation, entry.partition, entry.offset)
            for entry in self.deletions
        }

    def set_pending(self, deletions: Mapping[str, Position]) -> None:
        """Replace the pending deletions."""
        self.deletions = [PendingDeletion(subject, *position) for subject, position in deletions.items()]

    @property
    def events(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)


class Archive:
    """An archive and its manifest as this process last saw it."""

    def __init__(self, place: ArchivePlace) -> None:
        """Read the manifest, where there is one. Raises ArchiveError for one that cannot be read."""
        self.place = place
        self._seen = place.read(MANIFEST_NAME)
        self.exists = self._seen is not None
        self.manifest = decode_manifest(self._seen, place.url) if self._seen is not None else Manifest()
        self._token = secrets.token_hex(4)
        self._written = 0

    def save(self) -> None:
        """Write the manifest. Raises ArchiveError when somebody else has written it meanwhile."""
        self.check_unchanged()
        self._written += 1
        self.manifest.writer = f"{self._token}-{self._written}"
        encoded = msgspec.json.format(msgspec.json.encode(self.manifest), indent=1)
        self.place.write(MANIFEST_NAME, encoded)
        self._seen = encoded
        self.exists = True

    def check_unchanged(self) -> None:
        """Raise ArchiveError when the manifest is not the one that this process has last read or written."""
        if self.place.read(MANIFEST_NAME) != self._seen:
            raise ArchiveError(
                f"another export has written to {self.place.url} meanwhile; nothing is lost: run the export "
                "again when it has ended, and only one at a time"
            )

    def part_name(self, generation: int, partition: int, first: int, last: int) -> str:
        """A name for a new part of this run. Offsets have 19 digits at most, so that names sort by them."""
        return f"events-g{generation}-p{partition}-{first:019d}-{last:019d}-{secrets.token_hex(4)}.parquet"

    def is_orphaned(self) -> bool:
        """Whether there are parts and no manifest; a draft of the very first manifest is no part."""
        return not self.exists and any(map(_PART_NAME.match, self.place.names(deep=False)))

    def leftovers(self) -> list[str]:
        """Parts and drafts that the manifest does not list."""
        listed = {part.file for part in self.manifest.parts}
        return [
            name
            for name in self.place.names(deep=False)
            if name not in listed and (_PART_NAME.match(name) or _DRAFT_NAME.match(name))
        ]


def ordered(parts: list[Part]) -> list[Part]:
    """Parts in the order of the log: each partition's are read one after the other."""
    return sorted(parts, key=lambda part: (part.generation, part.partition, part.first))


def decode_manifest(raw: bytes, url: str) -> Manifest:
    """Read `archive.json`. Raises ArchiveError."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{url}/{MANIFEST_NAME} cannot be read: {error}") from None
    if manifest.format != _FORMAT or manifest.version != _VERSION:
        raise ArchiveError(
            f"{url}/{MANIFEST_NAME} is {manifest.format!r} version {manifest.version}; this Freshet reads "
            f"{_FORMAT!r} version {_VERSION}: use the Freshet that wrote it, or a newer one"
        )
    return manifest
