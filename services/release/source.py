"""Where the live release is: follows the pointer at a path or URL and brings the release to local disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from services.release.files import BOOT_FILE, check_sizes, read_manifest, sha256_of, verify_files
from services.release.place import LocalPlace, Place, open_place

# The live one, the one before it (still mapped while a swap runs), and one to go back to.
KEPT_RELEASES: Final = 3
_DRAFT: Final = ".fetch-"
# A draft this young may not have its lock yet; an older one without a lock was left by a process that died.
_DRAFT_AGE_S: Final = 60.0
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ReleaseSource:
    """Releases behind a URL: a root with a `live` pointer, or one pinned release.

    A local path (or file:// URL) is used where it lies; a release from anywhere else is copied once into
    `cache_dir` under its name, which is a content hash. Blocking: call it from a thread.
    """

    def __init__(self, url: str, cache_dir: Path | str | None = None) -> None:
        """`cache_dir` (FRESHET_CACHE_DIR) is by default `freshet/releases` in the user's cache. Raises
        ReleaseError for a bad URL.
        """
        self._place = open_place(url)
        self.url = self._place.url  # without the password: for messages
        self._cache_dir = Path(cache_dir).expanduser() if cache_dir else _default_cache()

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
        """The copy in the cache. Files are hashed when they are copied, and again only after the machine was
        started anew: until then the system answers for them, and a cold start need not wait for the disk. A
        copy that is not whole is made anew. Raises ReleaseError, for a disk that is full or may not be
        written too.
        """
        target = self._cache_dir / name
        try:
            if not _is_whole(target):
                shutil.rmtree(target, ignore_errors=True)
                self._cache_dir.mkdir(parents=True, exist_ok=True)
                _sweep(self._cache_dir)
                with _draft(self._cache_dir) as draft:
                    fetch_release(self._place, folder, name, draft)
                    _note_boot(draft)
                    _give_name(draft, target)
        except OSError as error:
            raise self._unwritable(error) from error
        except ReleaseError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _DISK_FULL:
                raise self._unwritable(cause) from error
            raise
        with contextlib.suppress(OSError):  # a cache that came with an image may be read-only
            os.utime(target)
            self._prune(name)
        return target

    def _unwritable(self, error: OSError) -> ReleaseError:
        what = "is full" if error.errno in _DISK_FULL else "cannot be written"
        return ReleaseError(
            f"{self._cache_dir}, where releases from {self.url} are copied to, {what} "
            f"({error.strerror or error}): make room, or set FRESHET_CACHE_DIR to a directory that this user "
            "may write"
        )

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
    with ThreadPoolExecutor(
        1, thread_name_prefix="hash"
    ) as aside:  # one file is hashed as the next one comes
        hashes = {}
        for role, artefact in manifest.artefacts.items():
            local = target / artefact.file
            local.parent.mkdir(parents=True, exist_ok=True)
            place.fetch(prefix + artefact.file, local)
            hashes[role] = aside.submit(sha256_of, local)
        sound = all(found.result() == manifest.artefacts[role].sha256 for role, found in hashes.items())
    if not sound:
        verify_files(target, manifest)  # says which, and what was expected
    checksums = place.read(prefix + CHECKSUMS_FILE)
    if checksums is not None:
        (target / CHECKSUMS_FILE).write_bytes(checksums)
    (target / MANIFEST_FILE).write_bytes(raw)
    target.chmod(0o755)
    return manifest


def _is_whole(directory: Path) -> bool:
    """Whether a copy is there, each file as long as its manifest says; from before the machine was started,
    or of another machine: with the right hash too.
    """
    if not (directory / MANIFEST_FILE).exists():
        return False
    try:
        manifest = read_manifest(directory)
        check_sizes(directory, manifest)
        if not _is_of_this_boot(directory):
            verify_files(directory, manifest)
            with contextlib.suppress(OSError):  # it may be read-only; then it is hashed each time
                _note_boot(directory)
    except ReleaseError:
        return False
    return True


def _is_of_this_boot(directory: Path) -> bool:
    boot = _boot_id()
    try:
        return bool(boot) and (directory / BOOT_FILE).read_text() == boot
    except (OSError, UnicodeDecodeError):
        return False


def _note_boot(directory: Path) -> None:
    (directory / BOOT_FILE).write_text(_boot_id())


def _boot_id() -> str:
    """What Linux calls this start of the machine, containers on it too; nothing elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _give_name(draft: Path, target: Path) -> None:
    """In one step; where another process was faster, its copy stays."""
    try:
        draft.rename(target)
    except OSError:
        if not (target / MANIFEST_FILE).exists():
            raise


@contextlib.contextmanager
def _draft(cache_dir: Path) -> Iterator[Path]:
    """A directory to fetch into, locked as long as this process lives, gone at the end."""
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=cache_dir))
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield draft
    finally:
        os.close(descriptor)
        shutil.rmtree(draft, ignore_errors=True)


def _sweep(cache_dir: Path) -> None:
    """Remove drafts whose process was killed: the kernel has let go of their lock."""
    for path in cache_dir.glob(f"{_DRAFT}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _DRAFT_AGE_S:
                continue
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if _lock(descriptor):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the file is ours alone now."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "freshet" / "releases"
