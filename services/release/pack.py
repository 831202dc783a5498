"""Finishing a release directory: its files in place, then manifest, checksums and name."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.release import (
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    Artefact,
    Graph,
    Manifest,
    ReleaseError,
    VectorSpace,
    check_manifest,
    content_name,
    encode_manifest,
)
from services.release.files import checksums_text, moments_of, sha256_of

# Arrays start on a page of their own file, so that a runtime can map them where they lie.
ALIGN_BYTES: Final = 4096


class Draft(NamedTuple):
    """What a builder knows of a release beside its files."""

    kind: str
    space: VectorSpace
    items: int
    event_weights: dict[str, float]
    graphs: Mapping[str, Graph]
    blend: Mapping[str, float] = {}
    features: Sequence[str] = ()


def save_array(directory: Path, file: str, array: NDArray[Any]) -> None:
    """Write an array as .npy whose numbers start at ALIGN_BYTES."""
    array = np.ascontiguousarray(array)
    shape = f"({', '.join(str(size) for size in array.shape)}{',' if array.ndim == 1 else ''})"
    head = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    magic = b"\x93NUMPY\x01\x00" + (ALIGN_BYTES - 10).to_bytes(2, "little")
    with (directory / file).open("wb") as out:
        out.write(magic + head.ljust(ALIGN_BYTES - 11) + b"\n")
        out.write(array.data)


def save_ids(directory: Path, item_ids: Sequence[str]) -> None:
    """Write the id table (`item_ids.json`) and the keys in its order. Raises ReleaseError for a collision."""
    keys = np.array([item_key(item_id) for item_id in item_ids], dtype=np.uint64)
    if len(np.unique(keys)) != len(keys):
        raise ReleaseError("two items of the catalogue have the same id, or ids with the same 64-bit key")
    (directory / "item_ids.json").write_bytes(msgspec.json.encode(list(item_ids)))
    save_array(directory, "item_keys.npy", keys)


def space_name(kind: str, arrays: Sequence[NDArray[Any]], gammas: Sequence[float]) -> str:
    """`<kind>-<12 hex>` of all that makes a vector space: shapes, numbers, decays."""
    digest = hashlib.sha256(repr([float(gamma) for gamma in gammas]).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"{kind}-{digest.hexdigest()[:12]}"


def finish(directory: Path, draft: Draft, now_ms: int) -> Path:
    """Write manifest and checksums, make all durable, and rename the directory to the release's name.

    Every file in it becomes an artefact whose role is its name without the ending. Raises ReleaseError where
    the result breaks the contract. A directory of that name is the same release, and stays.
    """
    _save_derived(directory)
    files = sorted(path for path in directory.iterdir() if path.is_file())
    roles = [path.name.split(".", 1)[0] for path in files]
    if twice := sorted({role for role in roles if roles.count(role) > 1}):
        raise ReleaseError(f"two files of the release have the role {twice[0]!r}: rename one of them")
    artefacts = {
        path.name.split(".", 1)[0]: Artefact(path.name, sha256_of(path), path.stat().st_size)
        for path in files
    }
    bare = Manifest(
        name="",
        kind=draft.kind,
        space=draft.space,
        items=draft.items,
        catalogue_hash=artefacts["item_ids"].sha256,
        artefacts=artefacts,
        graphs=dict(draft.graphs),
        created_at_ms=now_ms,
        event_weights=draft.event_weights,
        blend=dict(draft.blend),
        features=tuple(draft.features),
    )
    manifest = msgspec.structs.replace(bare, name=content_name(bare))
    check_manifest(manifest)
    (directory / MANIFEST_FILE).write_bytes(encode_manifest(manifest))
    names = [path.name for path in files] + [MANIFEST_FILE]
    (directory / CHECKSUMS_FILE).write_text(checksums_text(directory, names))
    directory.chmod(0o755)  # mkdtemp's 0700 would lock out the services that run as somebody else
    return settle(directory, directory.parent / manifest.name)


def _save_derived(directory: Path) -> None:
    """What each start would work out anew: the order of the keys, the spread of the scores."""
    if (keys := directory / "item_keys.npy").exists():
        save_array(directory, "item_order.npy", np.argsort(np.load(keys), kind="stable").astype(np.int64))
    if (vectors := directory / "item_vectors.npy").exists():
        save_array(directory, "item_moments.npy", moments_of(np.load(vectors, mmap_mode="r")))


def settle(directory: Path, target: Path) -> Path:
    """Make a directory durable and give it its name in one step; one that is there already stays."""
    for path in (*directory.iterdir(), directory):
        sync(path)
    try:
        directory.rename(target)
    except OSError:
        if not (target / MANIFEST_FILE).exists():
            raise
        shutil.rmtree(directory)
    sync(target.parent)
    return target


def sync(path: Path) -> None:
    """fsync a file or directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
