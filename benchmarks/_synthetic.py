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
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.change import weight_of
from services.kernel.event_type import DEFAULT_WEIGHTS, EventType, EventTypes
from services.kernel.item import encode_item, parse_item
from services.kernel.position import Position
from services.kernel.profile import SEEN_VIEWED, Change, Line, Profile, ProfileRules
from services.kernel.release import VectorSpace
from services.ranking.aggregates import POPULAR_HALF_LIFE_S, TREND_HALF_LIFE_S, Aggregates, Scores
from services.ranking.features import FEATURES
from services.release.files import Release
from services.release.pack import Draft, finish, save_array, save_ids, space_name
from services.trainer.learn_ranker import HIDDEN as RANKER_HIDDEN
from services.trainer.network import NetworkShape, first_params
from services.trainer.scoring_graph import EXACT_NUMBERS_MAX
from services.trainer.sequences import Sequences
from services.trainer.trained_graph import save_model, save_ranker
from services.trainer.transition_counts import save_transitions

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
TABLES_MAX: Final = 100_000  # items up to which there are transitions: what ranks is measured no further
WALK: Final = 8
LINES_PER_ITEM: Final = 20


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
    """A release directory by the trainer's own builders. `exact`: all scores f32, whatever the size.

    Network and ranker have the default shapes and random numbers, which cost what trained ones cost.
    """
    items, d = catalogue.vectors.shape
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    save_ids(draft, [f"item-{index:07}" for index in range(items)])
    save_array(draft, "item_vectors.npy", catalogue.vectors)
    name = space_name("bench", (catalogue.vectors,), DEFAULT_GAMMAS)
    space = VectorSpace(name, d, len(DEFAULT_GAMMAS), DEFAULT_GAMMAS)
    params = network(catalogue.vectors, seed)
    most = 2**62 if exact else EXACT_NUMBERS_MAX
    graphs = {"model": save_model(draft, params, space, exact_numbers_max=most)}
    graphs["ranker"] = save_ranker(draft, ranker(seed))
    if items <= TABLES_MAX:
        save_transitions(draft, walks_of(catalogue, seed), items)
    made = Draft("bench", space, items, dict(DEFAULT_WEIGHTS), graphs, features=FEATURES)
    return finish(draft, made, 1)


def network(vectors: FloatArray, seed: int) -> dict[str, NDArray[Any]]:
    """Parameters of the default model. `skip` is the mean over the K decays, so that the user's vector lies
    near what the user has seen; the MLP adds some noise.
    """
    d = vectors.shape[1]
    params = first_params(NetworkShape(8, d, DEFAULT_GAMMAS, HIDDEN), seed)
    found = {key: np.asarray(value) for key, value in params.items()}
    found["skip"] = np.tile(np.eye(d), (len(DEFAULT_GAMMAS), 1)) / len(DEFAULT_GAMMAS)
    found["w3"] = found["w3"] * 0.6
    return found | {"items": vectors}


def ranker(seed: int) -> dict[str, NDArray[Any]]:
    """Parameters of a ranker that reads every feature."""
    rng = np.random.default_rng(seed)
    width = len(FEATURES)
    sizes = {"w1": (width, RANKER_HIDDEN), "w2": (RANKER_HIDDEN, RANKER_HIDDEN), "w3": (RANKER_HIDDEN, 1)}
    made = {key: (0.1 * rng.standard_normal(size)).astype(np.float32) for key, size in sizes.items()}
    zeros = {"b1": np.zeros(RANKER_HIDDEN), "b2": np.zeros(RANKER_HIDDEN), "mean": np.zeros(width)}
    return made | zeros | {"linear": np.ones((width, 1)), "spread": np.ones(width)}


def walks_of(catalogue: Catalogue, seed: int) -> Sequences:
    """What people did: WALK items of one cluster each, LINES_PER_ITEM lines an item in all."""
    rng = np.random.default_rng(seed)
    items = len(catalogue.cluster)
    count = items * LINES_PER_ITEM // WALK
    members = np.argsort(catalogue.cluster, kind="stable")
    starts = np.searchsorted(catalogue.cluster[members], np.arange(catalogue.clusters + 1))
    first = rng.integers(0, items, count)
    begin, end = (starts[catalogue.cluster[first] + more] for more in (0, 1))
    chosen = (begin[:, None] + rng.random((count, WALK)) * (end - begin)[:, None]).astype(np.int64)
    lines = members[np.minimum(chosen, (end - 1)[:, None])].ravel().astype(np.int32)
    times_s = np.repeat(NOW_S - 60 * np.arange(count, 0, -1), WALK) + np.tile(np.arange(WALK), count)
    return Sequences(
        lines,
        np.ones(len(lines), np.float32),
        np.arange(0, len(lines) + 1, WALK, dtype=np.int64),
        np.tile(np.arange(WALK), count).astype(np.int32),
        np.ones(len(lines), np.bool_),
        times_s,
        np.arange(count, dtype=np.int32),
    )


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
