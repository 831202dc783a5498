"""The day-0 release: made from the catalogue alone, nothing trained.

1. Hash every item's metadata to a sparse row (`services.release.item_features`).
2. Truncated SVD: the Gram matrix of all rows (512 × 512, added up in pieces) has the same right singular
   vectors as the rows themselves, exactly, in bounded memory.
3. Item vectors by the release's own encoder, so that a new item gets what it would have got here.
4. The graph: bank → mean over K → unit vector → scores over all items → TopK.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.event_type import DEFAULT_WEIGHTS
from services.kernel.item import Item, encode_item
from services.kernel.release import ReleaseError, VectorSpace
from services.release.item_features import (
    DIMENSIONS,
    EncoderConfig,
    ItemEncoder,
    document_counts,
    hashed_features,
)
from services.release.pack import Draft, finish, save_array, save_ids, space_name
from services.release.repository import promote, publish
from services.trainer.day0_graph import save_graph

FloatArray = NDArray[np.float32]

D_DEFAULT: Final = 64  # a full profile stays below 9 KB; 128 gives a third of what is lost to 512 back
CHUNK_ITEMS: Final = 4096  # rows that are dense at once: 8 MB
# How much each decay (0, .5, .8, .92, .98, 1) counts in the user's vector. Tuned on the demo shop: the long
# memory carries most, the short one keeps a single event visible.
BLEND_OF_DECAYS: Final = (0.5, 0.5, 1.0, 1.0, 2.0, 2.0)
# Singular values below this share of the largest are rounding; their directions would be noise.
RANK_TOLERANCE: Final = 1e-5


def build_day0(items: Iterable[Item], out_dir: Path, *, d: int = D_DEFAULT, now_ms: int = 0) -> Path:
    """Build a release directory below `out_dir` and answer its path; its name is a hash of its content.

    Same catalogue, same name, whatever the order of the items; `now_ms` only stands in the manifest. Of items
    with one id the last counts. Memory: the items, 25 hashes each, and 4 d bytes each. Raises ReleaseError
    for no items.
    """
    by_id = {item.item_id: item for item in items}
    if not by_id:
        raise ReleaseError("a release needs items: the catalogue is empty")
    ordered = [by_id[item_id] for item_id in sorted(by_id)]
    out_dir.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".day0-", dir=out_dir))
    try:
        return _build(ordered, directory, d, now_ms)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _build(items: list[Item], directory: Path, d: int, now_ms: int) -> Path:
    vectors, projection = save_metadata(items, directory, d)
    space = VectorSpace(
        name=space_name("day0", (vectors, projection), DEFAULT_GAMMAS),
        d=d,
        k=len(DEFAULT_GAMMAS),
        gammas=DEFAULT_GAMMAS,
    )
    graph = save_graph(directory, vectors.shape[0], space, BLEND_OF_DECAYS)
    draft = Draft("day0", space, len(items), dict(DEFAULT_WEIGHTS), {"model": graph})
    return finish(directory, draft, now_ms)


def save_metadata(items: Sequence[Item], directory: Path, d: int) -> tuple[FloatArray, FloatArray]:
    """Write all files of a release that come from the items alone, in their order: ids, vectors, encoder,
    catalogue.

    Answers (vectors f32[items, d], projection f32[DIMENSIONS, d]). Raises ReleaseError for ids that are there
    twice.
    """
    features = [hashed_features(item) for item in items]
    counts = document_counts(features)
    config = EncoderConfig(documents=len(items))
    projection = _projection(features, ItemEncoder(np.zeros((DIMENSIONS, d), np.float32), counts, config), d)
    encoder = ItemEncoder(projection, counts, config)
    vectors = np.zeros((len(items), d), dtype=np.float32)
    for index, found in enumerate(features):
        vector = encoder.project(encoder.row_of(found))
        if vector is not None:
            vectors[index] = vector
    del features
    save_ids(directory, [item.item_id for item in items])
    save_array(directory, "item_vectors.npy", vectors)
    save_array(directory, "item_projection.npy", projection)
    save_array(directory, "item_document_counts.npy", counts)
    (directory / "item_features.json").write_bytes(msgspec.json.encode(config, order="sorted"))
    (directory / "metrics.json").write_bytes(b"{}\n")
    with (directory / "catalogue.ndjson").open("wb") as file:
        file.writelines(encode_item(item) + b"\n" for item in items)
    return vectors, projection


def _projection(features: list[dict[int, str]], encoder: ItemEncoder, d: int) -> FloatArray:
    """The first d right singular vectors of all rows, f32[DIMENSIONS, d]; zeros where the rank is smaller."""
    gram = np.zeros((DIMENSIONS, DIMENSIONS), dtype=np.float64)
    dense = np.empty((CHUNK_ITEMS, DIMENSIONS), dtype=np.float32)
    for start in range(0, len(features), CHUNK_ITEMS):
        piece = features[start : start + CHUNK_ITEMS]
        dense[:] = 0.0
        for line, found in zip(dense, piece, strict=False):
            row = encoder.row_of(found)
            if row:
                line[list(row)] = list(row.values())
        gram += dense.T @ dense
    values, axes = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1][:d]
    axes = axes[:, order]
    # The sign of a singular vector is arbitrary: the largest entry is made positive.
    axes *= np.where(axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    axes *= values[order] > RANK_TOLERANCE**2 * max(float(values[order[0]]), 1e-12)
    projection = np.zeros((DIMENSIONS, d), dtype=np.float32)
    projection[:, : axes.shape[1]] = axes
    return projection


def init_release(url: str, items: Iterable[Item], now_ms: int) -> str:
    """`freshet release init`: build, publish and promote; answers the name. Raises ReleaseError."""
    with tempfile.TemporaryDirectory(prefix="freshet-day0-") as scratch:
        built = build_day0(items, Path(scratch), now_ms=now_ms)
        name = publish(built, url)
    promote(url, name, now_ms)
    return name
