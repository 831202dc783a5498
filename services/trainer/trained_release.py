"""Writing a trained release: everything that serves, from arrays to a directory with a manifest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item
from services.kernel.release import Graph, VectorSpace
from services.ranking.features import FEATURES
from services.release.item_features import DIMENSIONS, ItemEncoder, hashed_features
from services.release.pack import Draft, finish, save_array, space_name
from services.trainer.day0 import save_metadata
from services.trainer.sequences import Sequences
from services.trainer.trained_graph import save_model, save_ranker
from services.trainer.transition_counts import save_transitions

FloatArray = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

KIND: Final = "trained"
# An item with fewer events has a vector that is mostly its first random one; its metadata says more.
EVENTS_MIN: Final = 3
# Of the ridge regression from metadata to vectors, in items: fewer examples of a feature are pulled to zero.
RIDGE: Final = 1.0
_ROWS_AT_ONCE: Final = 4096


@dataclass(frozen=True)
class Parts:
    """What a release is made of. `params` are the network's, `ranker` the ranker's (None: no second stage).

    `items` in index order; `sequences` are counted for the transitions and for how well an item is known.
    """

    items: Sequence[Item]
    params: Arrays
    gammas: tuple[float, ...]
    sequences: Sequences
    event_weights: Mapping[str, float]
    ranker: Arrays | None
    metrics: Mapping[str, Any]


def build_trained(parts: Parts, out_dir: Path, now_ms: int) -> Path:
    """Build a release directory below `out_dir` and answer its path. Raises ReleaseError."""
    out_dir.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".trained-", dir=out_dir))
    try:
        return _build(parts, directory, now_ms)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _build(parts: Parts, directory: Path, now_ms: int) -> Path:
    learned = np.asarray(parts.params["items"], dtype=np.float32)
    d = learned.shape[1]
    save_metadata(parts.items, directory, d)
    vectors, projection = _vectors(parts, directory, learned)
    save_array(directory, "item_vectors.npy", vectors)
    save_array(directory, "item_projection.npy", projection)
    save_transitions(directory, parts.sequences, len(parts.items))
    (directory / "metrics.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(dict(parts.metrics)), indent=2) + b"\n"
    )
    space = VectorSpace(
        name=space_name(KIND, (vectors, projection), parts.gammas),
        d=d,
        k=len(parts.gammas),
        gammas=parts.gammas,
    )
    graphs: dict[str, Graph] = {"model": save_model(directory, parts.params, space)}
    if parts.ranker is not None:
        graphs["ranker"] = save_ranker(directory, parts.ranker)
    features = FEATURES if parts.ranker is not None else ()
    draft = Draft(KIND, space, len(parts.items), dict(parts.event_weights), graphs, features=features)
    return finish(directory, draft, now_ms)


def _vectors(parts: Parts, directory: Path, learned: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(unit vectors f32[items, d], projection f32[DIMENSIONS, d] from metadata into their space).

    1. What was learned, made as long as 1.
    2. A ridge regression from the metadata of well-known items to their vectors: the encoder of new items.
    3. Items that hardly anything is known of get what the encoder says; without metadata, zeros.
    """
    # 1.
    vectors = learned / np.maximum(np.linalg.norm(learned, axis=1, keepdims=True), 1e-12)
    counts = np.bincount(parts.sequences.items, minlength=len(learned))
    known = counts >= EVENTS_MIN
    # 2.
    encoder = ItemEncoder.open(
        *(
            directory / name
            for name in ("item_projection.npy", "item_document_counts.npy", "item_features.json")
        )
    )
    rows = [encoder.row_of(hashed_features(item)) for item in parts.items]
    gram = RIDGE * np.eye(DIMENSIONS)
    aims = np.zeros((DIMENSIONS, learned.shape[1]))
    places = np.flatnonzero(known & np.array([bool(row) for row in rows]))
    for start in range(0, len(places), _ROWS_AT_ONCE):
        piece = places[start : start + _ROWS_AT_ONCE]
        dense = np.zeros((len(piece), DIMENSIONS))
        for line, place in zip(dense, piece.tolist(), strict=True):
            line[list(rows[place])] = list(rows[place].values())
        gram += dense.T @ dense
        aims += dense.T @ vectors[piece]
    projection = np.linalg.solve(gram, aims).astype(np.float32)
    # 3.
    guess = ItemEncoder(projection, np.load(directory / "item_document_counts.npy"), encoder.config)
    vectors = vectors.astype(np.float32)
    for place in np.flatnonzero(~known).tolist():
        found = guess.project(rows[place])
        if found is not None:
            vectors[place] = found
        elif not counts[place]:
            vectors[place] = 0.0
    return vectors, projection
