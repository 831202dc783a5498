"""An open release directory: manifest, id table, item vectors. What the profiler needs, and no more."""

from __future__ import annotations

import contextlib
import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.release import (
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    Manifest,
    ReleaseError,
    VectorSpace,
    decode_manifest,
)
from services.release.item_features import ItemEncoder

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]

READ_BYTES = 1 << 20  # how much of a file is hashed at once; keeps the memory of a check flat
MANIFEST_MAX_BYTES = 1 << 20  # a manifest is a few KB; whatever is larger is something else
# In a copy of a release: the start of the machine since which its hashes are known to be right (source.py).
BOOT_FILE = ".boot"
# The roles of the files that make up a new item's vector.
ENCODER_ROLES = ("item_projection", "item_document_counts", "item_features")
# What `Release` itself reads: all that whoever keeps profiles has to know to be whole.
ITEM_ROLES = ("item_ids", "item_keys", "item_order", "item_vectors", *ENCODER_ROLES)


class Release:
    """A checked release on local disk. Cheap to keep: vectors are mapped, not read.

    `space` is the manifest's; `item_vectors` f32[items, d], read-only; `item_keys` u64[items], both in the
    order of the id table. Immutable, so any thread may read it.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Map the files of a directory whose manifest is checked. Raises ReleaseError."""
        self.path = path
        self.manifest = manifest
        self.name: str = manifest.name
        self.space: VectorSpace = manifest.space
        self.event_weights: Mapping[str, float] = manifest.event_weights
        self.item_vectors: FloatArray = self._array(
            "item_vectors", np.float32, (manifest.items, manifest.space.d)
        )
        # Optional ones are mapped here too: an open release survives its directory.
        items, d = manifest.items, manifest.space.d
        self._keys: KeyArray | None = self._array_if_any("item_keys", np.uint64, (items,))
        self._order: IndexArray | None = self._array_if_any("item_order", np.int64, (items,))
        self._moments: NDArray[np.float64] | None = self._array_if_any("item_moments", np.float64, (1 + d, d))

    def file(self, role: str) -> Path:
        """The path of an artefact. Raises ReleaseError where the release has none in that role."""
        return self.path / self.manifest.artefact(role).file

    @cached_property
    def item_ids(self) -> list[str]:
        """The id table: item ids in index order."""
        path = self.file("item_ids")
        try:
            ids = msgspec.json.decode(path.read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError) as error:
            raise ReleaseError(f"{path.name} of {self.name} cannot be read: {error}") from None
        if len(ids) != self.manifest.items:
            raise ReleaseError(
                f"{path.name} of {self.name} holds {len(ids)} ids, expected {self.manifest.items}"
            )
        return ids

    @cached_property
    def item_keys(self) -> KeyArray:
        """Item keys in index order, u64[items]."""
        if self._keys is not None:
            return self._keys
        return np.array([item_key(item_id) for item_id in self.item_ids], dtype=np.uint64)

    @cached_property
    def _by_key(self) -> tuple[IndexArray, KeyArray]:
        order = self._order
        if order is None:
            order = np.argsort(self.item_keys, kind="stable").astype(np.int64, copy=False)
        return order, np.ascontiguousarray(self.item_keys[order])

    @cached_property
    def _ordered(self) -> tuple[memoryview, memoryview]:
        """`_by_key` for one key after the other. A search takes 0.5 µs; a dict of Python's integers would be
        faster, and take 15 MB and 35 ms for 100,000 items.
        """
        order, ordered = self._by_key
        return order.data, ordered.data

    @cached_property
    def by_fingerprint(self) -> tuple[IndexArray, NDArray[np.uint32]]:
        """(indices, fingerprints u32) by rising fingerprint: what a profile's seen list is looked up in."""
        fingerprints = self.item_keys.astype(np.uint32)
        order = np.argsort(fingerprints, kind="stable")
        return order.astype(np.int64, copy=False), np.ascontiguousarray(fingerprints[order])

    def index_of(self, key: int) -> int:
        """Index of an item key (u64), -1 where the release does not know it."""
        order, ordered = self._ordered
        at = bisect_left(ordered, key)
        return order[at] if at < len(ordered) and ordered[at] == key else -1

    def indices_of(self, keys: KeyArray) -> IndexArray:
        """Indices of many item keys, -1 where unknown; same shape."""
        order, ordered = self._by_key
        at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
        return np.where(ordered[at] == keys, order[at], np.int64(-1))

    def warm_up(self) -> None:
        """Make what is made at first use: look-ups, the encoder. For a thread beside the serving one."""
        self.index_of(0)
        _ = self.encoder

    @cached_property
    def item_moments(self) -> NDArray[np.float64]:
        """`moments_of` its vectors."""
        return moments_of(self.item_vectors) if self._moments is None else self._moments

    def has(self, key: int) -> bool:
        """Whether the release holds a vector for this item key."""
        return self.index_of(key) >= 0

    def vector_of(self, key: int) -> FloatArray | None:
        """f32[d] of an item key, read-only, or None where the release does not know it."""
        index = self.index_of(key)
        return self.item_vectors[index] if index >= 0 else None

    @cached_property
    def encoder(self) -> ItemEncoder | None:
        """What gives a new item its vector, or None where the release carries no projection."""
        if not all(role in self.manifest.artefacts for role in ENCODER_ROLES):
            return None
        encoder = ItemEncoder.open(*(self.file(role) for role in ENCODER_ROLES))
        if encoder.d != self.space.d:
            raise ReleaseError(
                f"the item projection of {self.name} gives d {encoder.d}, expected {self.space.d}"
            )
        return encoder

    def _array_if_any(
        self, role: str, dtype: type[np.generic], shape: tuple[int, ...]
    ) -> NDArray[Any] | None:
        return self._array(role, dtype, shape) if role in self.manifest.artefacts else None

    def _array(self, role: str, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.file(role)
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ReleaseError(f"{path.name} of {self.name} cannot be read: {error}") from None
        if array.dtype != dtype or array.shape != shape:
            raise ReleaseError(
                f"{path.name} of {self.name} is {array.dtype}{list(array.shape)}, "
                f"expected {np.dtype(dtype)}{list(shape)}"
            )
        # A plain view: numpy's memmap class costs a µs on every slice.
        return array.view(np.ndarray)


def moments_of(vectors: FloatArray) -> NDArray[np.float64]:
    """f64[1 + d, d]: the mean of all vectors, and below it their covariance. One pass in pieces."""
    items, d = vectors.shape
    total, squares = np.zeros(d), np.zeros((d, d))
    for start in range(0, items, 8192):
        piece = np.asarray(vectors[start : start + 8192])
        total += piece.sum(axis=0, dtype=np.float64)
        squares += piece.T @ piece
    mean = total / items
    return np.vstack([mean[None], squares / items - np.outer(mean, mean)])


def read_manifest(path: Path) -> Manifest:
    """The checked manifest of a directory. Raises ReleaseError."""
    try:
        with (path / MANIFEST_FILE).open("rb") as file:
            raw = file.read(MANIFEST_MAX_BYTES + 1)
    except OSError as error:
        raise ReleaseError(f"no release at {path}: {MANIFEST_FILE}: {error.strerror}") from None
    if len(raw) > MANIFEST_MAX_BYTES:
        raise ReleaseError(f"{path / MANIFEST_FILE} is larger than {MANIFEST_MAX_BYTES} bytes, no manifest")
    return decode_manifest(raw)


def open_release(path: Path, *, verify: bool | Iterable[str] = True) -> Release:
    """Open a release directory.

    With `verify` every file is hashed first (about 1.4 s a GB), or those in the roles named; what is not
    hashed has at least the size that the manifest says, so that none of it is missing under a mapping. Raises
    ReleaseError that names the file, what was found and what was expected.
    """
    manifest = read_manifest(path)
    check_sizes(path, manifest)
    if verify:
        verify_files(path, manifest, None if verify is True else verify)
    return Release(path, manifest)


def check_sizes(path: Path, manifest: Manifest) -> None:
    """Compare the size of every file with the manifest. Raises ReleaseError."""
    for artefact in manifest.artefacts.values():
        try:
            size = (path / artefact.file).stat().st_size
        except OSError as error:
            raise ReleaseError(f"{artefact.file} of {manifest.name}: {error.strerror}") from None
        if size != artefact.bytes:
            raise ReleaseError(
                f"{artefact.file} of {manifest.name} has {size} bytes, expected {artefact.bytes}"
            )


def verify_files(path: Path, manifest: Manifest, roles: Iterable[str] | None = None) -> None:
    """Hash the files of a release (None: all of them) and compare. Raises ReleaseError with file, found and
    expected; a copy in a cache is then not taken for whole any more, and fetched anew by whoever asks next.
    """
    check_sizes(path, manifest)
    wanted = manifest.artefacts.keys() if roles is None else manifest.artefacts.keys() & set(roles)
    for role in sorted(wanted):
        artefact = manifest.artefacts[role]
        try:
            found = sha256_of(path / artefact.file)
        except OSError as error:
            raise ReleaseError(f"{artefact.file} of {manifest.name}: {error.strerror}") from None
        if found != artefact.sha256:
            with contextlib.suppress(OSError):  # it is no copy, or may not be written
                (path / BOOT_FILE).unlink()
            raise ReleaseError(
                f"{artefact.file} of {manifest.name} has sha256 {found}, expected {artefact.sha256}"
            )


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def checksums_text(path: Path, files: list[str]) -> str:
    """`checksums`: what `sha256sum -c` reads, one line a file."""
    return "".join(f"{sha256_of(path / name)}  {name}\n" for name in sorted(files) if name != CHECKSUMS_FILE)
