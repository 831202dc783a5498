"""Catalogues that nobody sold: releases, items, users and aggregates of any size, the same for the same seed.

Vectors stand in clusters, as learned ones do: about one cluster for 64 items, their sizes falling with the
square root of their rank; the spread of the numbers falls in the same way, so that half of it lies in an
eighth of them. A user's history comes from one to three clusters.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.change import weight_of
from services.kernel.event_type import DEFAULT_WEIGHTS, EventType, EventTypes
from services.kernel.item import encode_item, parse_item
from services.kernel.position import Position
from services.kernel.profile import SEEN_VIEWED, Change, Line, Profile, ProfileRules
from services.kernel.release import TensorSpec, VectorSpace
from services.ranking.aggregates import POPULAR_HALF_LIFE_S, TREND_HALF_LIFE_S, Aggregates, Scores
from services.release.files import Release
from services.release.pack import Draft, finish, save_array, save_ids, space_name
from services.trainer.scoring_graph import (
    EXACT_NUMBERS_MAX,
    constant,
    save_scored_model,
    scoring_nodes,
)

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int64]

NOW_S: Final = 1_700_000_000
ITEMS_PER_CLUSTER: Final = 64
NOISE: Final = 0.6  # of an item beside its cluster's centre
HIDDEN: Final = 512  # width of the two hidden layers
CATEGORIES: Final = 200
POPULAR_ITEMS: Final = 20_000  # that somebody wanted
NEIGHBOUR_ROWS: Final = 5_000  # items that have neighbours
NEIGHBOURS: Final = 64


class Catalogue(NamedTuple):
    """Unit vectors f32[items, d], and the cluster of each item."""

    vectors: FloatArray
    cluster: RowArray

    @property
    def clusters(self) -> int:
        """How many there are."""
        return int(self.cluster.max()) + 1


def catalogue_of(items: int, d: int, seed: int) -> Catalogue:
    """Items in clusters."""
    rng = np.random.default_rng(seed)
    clusters = max(8, items // ITEMS_PER_CLUSTER)
    share = (1.0 + np.arange(clusters)) ** -0.5
    cluster = rng.choice(clusters, items, p=share / share.sum())
    spread = ((1.0 + np.arange(d)) ** -0.5).astype(np.float32)
    vectors = rng.standard_normal((clusters, d), dtype=np.float32)[cluster]
    vectors += np.float32(NOISE) * rng.standard_normal((items, d), dtype=np.float32)
    vectors *= spread
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Catalogue(vectors, cluster)


def make_release(folder: Path, catalogue: Catalogue, seed: int, *, exact: bool = False) -> Path:
    """A release directory as the trainer makes it. `exact`: all scores f32, whatever the size."""
    items, d = catalogue.vectors.shape
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    save_ids(draft, [f"item-{index:07}" for index in range(items)])
    save_array(draft, "item_vectors.npy", catalogue.vectors)
    name = space_name("bench", (catalogue.vectors,), DEFAULT_GAMMAS)
    space = VectorSpace(name, d, len(DEFAULT_GAMMAS), DEFAULT_GAMMAS)
    nodes, constants = network(d, seed)
    graph = save_scored_model(
        draft,
        "bench",
        nodes=nodes,
        initializers=constants,
        inputs=(
            TensorSpec("bank", "float32", ("B", space.k, d)),
            TensorSpec("bank_weight", "float32", ("B", space.k)),
        ),
        part=scoring_nodes(draft, items, d, exact_numbers_max=2**62 if exact else EXACT_NUMBERS_MAX),
        d=d,
    )
    return finish(draft, Draft("bench", space, items, dict(DEFAULT_WEIGHTS), {"model": graph}), 1)


def network(d: int, seed: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants from bank and bank_weight to user_vector, in the shape of the default model.

    x = LN(concat(S_k/W_k)·√d); u = unit(LN(skip·x + MLP(x))), two hidden layers. Nothing is trained: `skip`
    is the mean over the K decays, so that u lies near what the user has seen, and the MLP adds some noise.
    """
    rng = np.random.default_rng(seed)
    inputs = len(DEFAULT_GAMMAS) * d

    def weight(rows: int, columns: int, scale: float) -> FloatArray:
        drawn: FloatArray = (rng.standard_normal((rows, columns)) * scale).astype(np.float32)
        return drawn

    skip = np.tile(np.eye(d), (len(DEFAULT_GAMMAS), 1)) / len(DEFAULT_GAMMAS)
    constants = [
        constant("tiny", 1e-12, np.float32),
        constant("last_axis", [2], np.int64),
        constant("flat", [0, inputs], np.int64),
        constant("root", math.sqrt(d), np.float32),
        constant("in_gain", np.ones(inputs), np.float32),
        constant("out_gain", np.ones(d), np.float32),
        constant("w1", weight(inputs, HIDDEN, (2 / inputs) ** 0.5), np.float32),
        constant("w2", weight(HIDDEN, HIDDEN, (2 / HIDDEN) ** 0.5), np.float32),
        constant("w3", weight(HIDDEN, d, 0.3 / HIDDEN**0.5), np.float32),
        constant("skip", skip, np.float32),
    ]
    node = helper.make_node
    nodes = [
        node("Max", ["bank_weight", "tiny"], ["weight"]),
        node("Unsqueeze", ["weight", "last_axis"], ["weight_column"]),
        node("Div", ["bank", "weight_column"], ["means"]),
        node("Reshape", ["means", "flat"], ["concatenated"]),
        node("Mul", ["concatenated", "root"], ["grown"]),
        node("LayerNormalization", ["grown", "in_gain"], ["x"], axis=-1),
        node("MatMul", ["x", "w1"], ["h1"]),
        node("Sigmoid", ["h1"], ["g1"]),
        node("Mul", ["h1", "g1"], ["a1"]),
        node("MatMul", ["a1", "w2"], ["h2"]),
        node("Sigmoid", ["h2"], ["g2"]),
        node("Mul", ["h2", "g2"], ["a2"]),
        node("MatMul", ["a2", "w3"], ["h3"]),
        node("MatMul", ["x", "skip"], ["skipped"]),
        node("Add", ["h3", "skipped"], ["out"]),
        node("LayerNormalization", ["out", "out_gain"], ["normal"], axis=-1),
        node("ReduceL2", ["normal"], ["length"], axes=[1], keepdims=1),
        node("Max", ["length", "tiny"], ["safe_length"]),
        node("Div", ["normal", "safe_length"], ["user_vector"]),
    ]
    return nodes, constants


def raw_items(catalogue: Catalogue) -> list[bytes]:
    """The items as the store has them, a category for neighbouring clusters."""
    return [
        encode_item(
            parse_item(
                {
                    "item_id": f"item-{index:07}",
                    "title": f"Item {index}",
                    "categories": [f"Shelf {cluster % CATEGORIES % 20} > Board {cluster % CATEGORIES}"],
                    "price": 1.0 + index % 97,
                }
            )
        )
        for index, cluster in enumerate(catalogue.cluster.tolist())
    ]


def profiles_of(release: Release, cluster: RowArray, count: int, seed: int) -> list[Profile]:
    """Users with 3 to 20 views of items from one to three clusters, the last one a minute ago."""
    rng = np.random.default_rng(seed)
    types = EventTypes()
    space = release.space.at(1)
    rules = ProfileRules(space, release.vector_of, weight_of(types), 10**12, 512)
    keys = release.item_keys
    members = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[members], np.arange(int(cluster.max()) + 2))
    profiles = []
    for _ in range(count):
        liked = cluster[rng.integers(0, len(cluster), rng.integers(1, 4))]
        profile = Profile.empty(space)
        events = int(rng.integers(3, 21))
        for place in range(events):
            which = int(rng.choice(liked))
            row = int(members[rng.integers(starts[which], starts[which + 1])])
            time_s = NOW_S - 60 * (events - place)
            view = int(EventType.VIEW)
            line = Line(int(keys[row]), types.weight(view), math.nan)
            change = Change(
                Position(1, 0, place), place + 1, time_s * 1000, time_s, view, SEEN_VIEWED, (line,)
            )
            profile.apply(change, rules)
        profiles.append(profile)
    return profiles


def aggregates_of(release: Release, seed: int) -> Aggregates:
    """What all users did: counts that fall with their rank, and neighbours of the most wanted items."""
    rng = np.random.default_rng(seed)
    keys = release.item_keys[rng.permutation(len(release.item_keys))[:POPULAR_ITEMS]]
    counts = 10_000.0 / (1.0 + np.arange(len(keys)))
    neighbours: Mapping[int, Scores] = {
        key: _scores(rng.choice(keys, NEIGHBOURS, replace=False), 20.0 / (1.0 + np.arange(NEIGHBOURS)), 30)
        for key in keys[:NEIGHBOUR_ROWS].tolist()
    }
    day, month = TREND_HALF_LIFE_S / 86_400, POPULAR_HALF_LIFE_S / 86_400
    return Aggregates(_scores(keys, counts, day), _scores(keys, counts, month), neighbours)


def _scores(keys: NDArray[np.uint64], counts: NDArray[np.floating], half_life_days: float) -> Scores:
    order = np.argsort(keys)
    return Scores(keys[order], (np.log2(counts) + NOW_S / (half_life_days * 86_400))[order])
