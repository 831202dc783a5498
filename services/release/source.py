"""Where the live release is: follows the pointer at a path or URL and brings the release to local disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from services.kernel.release import (
    CHECKSUMS_FILE,
    LIVE_FILE,
    MANIFEST_FILE,
    NAME_PATTERN,
    LivePointer,
    Manifest,
    NoReleaseError,
    ReleaseError,
    decode_manifest,
)
from services.release.files import verify_files
from services.release.pack import settle
from services.release.place import LocalPlace, Place, open_place

# The live one, the one before it (still mapped while a swap runs), and one to go back to.
KEPT_RELEASES: Final = 3


class ReleaseSource:
    """Releases behind a URL: a root with a `live` pointer, or one pinned release.

    A local path (or file:// URL) is used where it lies; anything else goes through fsspec, and a release is
    copied once into `cache_dir` under its name, which is a content hash. Blocking: call it from a thread.
    """

    def __init__(self, url: str, cache_dir: Path | None = None) -> None:
        """`cache_dir` is by default `freshet/releases` in the user's cache. Raises ReleaseError for a bad
        URL.
        """
        self.url = url
        self._place = open_place(url)
        self._cache_dir = cache_dir if cache_dir is not None else _default_cache()

    def live_name(self) -> str:
        """Name of the live release: one or two small reads, to poll with. Raises NoReleaseError,
        ReleaseError.
        """
        return self._live()[0]

    def live(self) -> Path:
        """Local directory of the live release, fetched and verified if it is remote and new.

        Raises NoReleaseError where nothing is live yet, ReleaseError where the pointer or the release is
        broken.
        """
        name, folder = self._live()
        if isinstance(self._place, LocalPlace):
            return self._place.root / folder if folder else self._place.root
        return self._cached(name, folder)

    def _live(self) -> tuple[str, str]:
        """(name, its folder below the root; nothing for a pinned release)."""
        raw = self._place.read(LIVE_FILE)
        if raw is not None:
            name = decode_pointer(raw, self.url).release
            return name, name
        manifest = self._place.read(MANIFEST_FILE)
        if manifest is None:
            raise NoReleaseError(
                f"no release is live at {self.url}: run `freshet release init`, or promote one with "
                "`freshet release promote`"
            )
        return decode_manifest(manifest).name, ""

    def _cached(self, name: str, folder: str) -> Path:
        """The copy in the cache. Files are verified when they are copied, and again when they are opened."""
        target = self._cache_dir / name
        if not (target / MANIFEST_FILE).exists():
            self._cache_dir.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".fetch-", dir=self._cache_dir))
            try:
                fetch_release(self._place, folder, name, draft)
                target = settle(draft, target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        os.utime(target)
        self._prune(name)
        return target

    def _prune(self, live: str) -> None:
        """Keep the KEPT_RELEASES used last. A mapped file that is unlinked stays readable until it is let
        go.
        """
        kept = [path for path in self._cache_dir.iterdir() if NAME_PATTERN.match(path.name)]
        kept.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[KEPT_RELEASES:]:
            if path.name != live:
                shutil.rmtree(path, ignore_errors=True)


def decode_pointer(raw: bytes, url: str) -> LivePointer:
    """Read `live`. Raises ReleaseError."""
    try:
        pointer = msgspec.json.decode(raw, type=LivePointer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"the pointer {LIVE_FILE!r} at {url} cannot be read: {error}") from None
    if not NAME_PATTERN.match(pointer.release):
        raise ReleaseError(f"the pointer {LIVE_FILE!r} at {url} names no release: {pointer.release[:64]!r}")
    return pointer


def fetch_release(place: Place, folder: str, name: str, target: Path) -> Manifest:
    """Copy a release from `folder` of a place into an empty directory, and verify it. Raises ReleaseError."""
    prefix = f"{folder}/" if folder else ""
    raw = place.read(prefix + MANIFEST_FILE)
    if raw is None:
        raise ReleaseError(f"release {name} at {place.url} has no {MANIFEST_FILE}")
    manifest = decode_manifest(raw)
    if manifest.name != name:
        raise ReleaseError(f"{folder or place.url} holds release {manifest.name}, expected {name}")
    for artefact in manifest.artefacts.values():
        local = target / artefact.file
        local.parent.mkdir(parents=True, exist_ok=True)
        place.fetch(prefix + artefact.file, local)
    verify_files(target, manifest)
    checksums = place.read(prefix + CHECKSUMS_FILE)
    if checksums is not None:
        (target / CHECKSUMS_FILE).write_bytes(checksums)
    (target / MANIFEST_FILE).write_bytes(raw)
    target.chmod(0o755)
    return manifest


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "freshet" / "releases"
