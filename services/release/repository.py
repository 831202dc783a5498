"""Writing releases: publish a directory, promote one to live, list what is there, remove what is not live."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.kernel.release import (
    CHECKSUMS_FILE,
    LIVE_FILE,
    MANIFEST_FILE,
    NAME_PATTERN,
    LivePointer,
    Manifest,
    ReleaseError,
    decode_manifest,
)
from services.release.files import open_release, read_manifest, verify_files
from services.release.pack import settle
from services.release.place import LocalPlace, Place, open_place
from services.release.source import decode_pointer, fetch_release


class Listed(NamedTuple):
    """One release as `freshet release list` shows it."""

    name: str
    kind: str
    items: int
    created_at_ms: int
    live: bool


def publish(directory: Path, url: str) -> str:
    """Copy a release directory below `url`, whole or not at all; answers its name.

    One that is there already is left as it is. Raises ReleaseError where the directory breaks the contract.
    """
    manifest = open_release(directory).manifest
    place = open_place(url)
    if place.read(f"{manifest.name}/{MANIFEST_FILE}") is not None:
        return manifest.name
    if isinstance(place, LocalPlace):
        _publish_locally(directory, manifest, place.root)
    else:
        for artefact in manifest.artefacts.values():
            place.put(directory / artefact.file, f"{manifest.name}/{artefact.file}")
        for name in (CHECKSUMS_FILE, MANIFEST_FILE):  # the manifest last: what has one is complete
            if (directory / name).exists():
                place.put(directory / name, f"{manifest.name}/{name}")
    return manifest.name


def _publish_locally(directory: Path, manifest: Manifest, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".publish-", dir=root))
    try:
        fetch_release(LocalPlace(directory), "", manifest.name, draft)
        settle(draft, root / manifest.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def promote(url: str, name: str, now_ms: int) -> None:
    """Point `live` at a published release. Raises ReleaseError where it is not there or is broken."""
    place = open_place(url)
    manifest = _manifest(place, name)
    if manifest is None:
        there = ", ".join(listed.name for listed in list_releases(url)) or "nothing"
        raise ReleaseError(f"there is no release {name[:64]!r} at {place.url}; there is {there}")
    if isinstance(place, LocalPlace):
        verify_files(place.root / name, manifest)
    place.write(LIVE_FILE, msgspec.json.encode(LivePointer(name, now_ms)) + b"\n")


def list_releases(url: str) -> list[Listed]:
    """The releases below `url`, oldest first; none is live where the pointer is broken.

    Raises ReleaseError.
    """
    place = open_place(url)
    raw = place.read(LIVE_FILE)
    live = None
    if raw is not None:
        with contextlib.suppress(ReleaseError):  # a list is what mends it; `pointer_trouble` has the reason
            live = decode_pointer(raw, place.url).release
    found = []
    for name in place.folders():
        try:
            manifest = _manifest(place, name)
        except ReleaseError:  # `check` says what is wrong with it; a list shows what can be served
            continue
        if manifest is not None:
            found.append(
                Listed(name, manifest.kind, manifest.items, manifest.created_at_ms, manifest.name == live)
            )
    return sorted(found, key=lambda listed: (listed.created_at_ms, listed.name))


def pointer_trouble(url: str) -> str | None:
    """Why the pointer to the live release cannot be followed; None where it can be, or there is none."""
    place = open_place(url)
    raw = place.read(LIVE_FILE)
    if raw is None:
        return None
    try:
        name = decode_pointer(raw, place.url).release
    except ReleaseError as error:
        return str(error)
    try:
        if _manifest(place, name) is None:
            return f"the pointer {LIVE_FILE!r} at {place.url} names {name}, which is not there"
    except ReleaseError as error:
        return f"the pointer {LIVE_FILE!r} at {place.url} names {name}, which cannot be read: {error}"
    return None


def remove(url: str, name: str) -> None:
    """Take a release away; services that have it open keep it until they swap. A half-published one goes too.

    Raises ReleaseError for the live one, and where there is none of that name.
    """
    place = open_place(url)
    if not NAME_PATTERN.match(name) or name not in place.folders():
        there = ", ".join(listed.name for listed in list_releases(url)) or "nothing"
        raise ReleaseError(f"there is no release {name[:64]!r} at {place.url}; there is {there}")
    raw = place.read(LIVE_FILE)
    if raw is not None and decode_pointer(raw, place.url).release == name:
        raise ReleaseError(f"{name} is live: promote another one first (`freshet release promote`)")
    place.remove(name)


def _manifest(place: Place, name: str) -> Manifest | None:
    if not NAME_PATTERN.match(name):
        return None
    raw = place.read(f"{name}/{MANIFEST_FILE}")
    if raw is None:
        return None
    manifest = decode_manifest(raw)
    if manifest.name != name:
        raise ReleaseError(f"folder {name} holds release {manifest.name}")
    return manifest


def check(directory: Path) -> Manifest:
    """Check a release directory: manifest, hashes, id table, arrays. The graph is checked by ranking.

    Raises ReleaseError that names what does not fit.
    """
    manifest = read_manifest(directory)
    release = open_release(directory)
    if len(release.item_ids) != len(release.item_keys):
        raise ReleaseError(f"{directory.name}: id table and keys differ in length")
    return manifest
