"""An open release directory: its manifest, id table and item vectors. What the profiler needs, and no more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.release import (
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    Manifest,
    ReleaseError,
    VectorSpace,
    decode_manifest,
)

if TYPE_CHECKING:
    from services.release.item_features import ItemEncoder

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]

READ_BYTES = 1 << 20  # how much of a file is hashed at once; keeps the memory of a check flat


class Release:
    """A checked release on local disk. Cheap to keep: vectors are mapped, not read.

    `space` is the manifest's; `item_vectors` f32[items, d], read-only; `item_keys` u64[items], both in the order
    of the id table. Immutable, so any thread may read it.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.name: str = manifest.name
        self.space: VectorSpace = manifest.space
        self.event_weights: Mapping[str, float] = manifest.event_weights
        self.item_vectors: FloatArray = self._vectors()
        self.item_keys: KeyArray = self._keys()

    def file(self, role: str) -> Path:
        """The path of an artefact. Raises ReleaseError where the release has none in that role."""
        return self.path / self.manifest.artefact(role).file

    @cached_property
    def item_ids(self) -> list[str]:
        """The id table: item ids in index order."""
        raise NotImplementedError

    def index_of(self, key: int) -> int:
        """Index of an item key (u64), -1 where the release does not know it."""
        raise NotImplementedError

    def indices_of(self, keys: KeyArray) -> IndexArray:
        """Indices of many item keys, -1 where unknown; same shape."""
        raise NotImplementedError

    def has(self, key: int) -> bool:
        """Whether the release holds a vector for this item key."""
        return self.index_of(key) >= 0

    def vector_of(self, key: int) -> FloatArray | None:
        """f32[d] of an item key, read-only, or None where the release does not know it."""
        raise NotImplementedError

    @cached_property
    def encoder(self) -> ItemEncoder | None:
        """What gives a new item its vector, or None where the release carries no projection."""
        raise NotImplementedError

    def _vectors(self) -> FloatArray:
        raise NotImplementedError

    def _keys(self) -> KeyArray:
        raise NotImplementedError


def open_release(path: Path, *, verify: bool = True) -> Release:
    """Open a release directory.

    With `verify` every file is hashed first (about 1 s a GB). Raises ReleaseError that names the file, what was
    found and what was expected.
    """
    raise NotImplementedError
