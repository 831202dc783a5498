"""Quality of the day-0 release on the shipped demo shop: the last order of each household, before it is made.

All orders are replayed in time order through the profile, the aggregates and the ranking that answer HTTP.
Before a household's last order is applied, each method gives ten items; a hit is a household with at least
one of them in that order. Aggregates are as old as a day at most. Nothing is hidden. The blend's few
weights were chosen on these same households, so `for_you` is no blind test. One JSON object a line.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks._measure import emit, note
from services.kernel.contributions import contributions_of
from services.kernel.event_type import EventType, EventTypes
from services.kernel.ids import event_hash, item_key
from services.kernel.item import encode_item, parse_item
from services.kernel.position import Position
from services.kernel.profile import SEEN_BOUGHT, Change, Line, Profile, ProfileRules
from services.local.demo_shop import read_shop
from services.ranking.aggregates import (
    COVISIT_HALF_LIFE_S,
    POPULAR_HALF_LIFE_S,
    TREND_HALF_LIFE_S,
    Aggregates,
    Scores,
)
from services.ranking.catalogue import Catalogue
from services.ranking.inputs import ModelQuestion
from services.ranking.model import OnnxModel
from services.ranking.rank import rank
from services.ranking.state import FOR_YOU, POPULAR, TRENDING, RankingState, RankRequest
from services.release.files import Release, open_release
from services.trainer.day0 import build_day0

N = 10
DAY_S = 86_400
TTL_MS = 90 * DAY_S * 1000  # the default of FRESHET_PROFILE_TTL_DAYS
SAMPLES = 1000  # of the bootstrap
NONE = {"similarity": 0.0, "popularity": 0.0, "covisitation": 0.0, "repeat": 0.0, "session": 0.0}
METHODS: Mapping[str, Mapping[str, float] | str] = {
    "trending": TRENDING,
    "popularity": POPULAR,
    "metadata": {**NONE, "similarity": 1.0},
    "repeat_purchase": {**NONE, "repeat": 1.0, "popularity": 0.001},
    "metadata_and_popularity": {**NONE, "similarity": 0.35, "popularity": 1.0},
    "without_repeats": {"repeat": 0.0},
    "without_covisitation": {"covisitation": 0.0},
    "for_you": {},
}


class Decayed(defaultdict[int, float]):
    """log2 of decayed sums by key, as the profiler keeps them."""

    def __init__(self, half_life_s: float) -> None:
        super().__init__(lambda: -math.inf)
        self._half_life_s = half_life_s

    def add(self, key: int, weight: float, time_s: float) -> None:
        """Add one event."""
        self[key] = float(np.logaddexp2(self[key], math.log2(weight) + time_s / self._half_life_s))

    def scores(self) -> Scores:
        """A snapshot."""
        return Scores(
            np.fromiter(self, np.uint64, len(self)), np.fromiter(self.values(), np.float64, len(self))
        )


class Shop:
    """Profiles and aggregates of the replay."""

    def __init__(self, release: Release) -> None:
        self.space = release.space.at(0)
        self._weights = EventTypes(weights=release.event_weights)
        self._rules = ProfileRules(self.space, release.vector_of, self._weights.weight, TTL_MS, 512)
        self.profiles: dict[str, Profile] = {}
        self.trend, self.popular = Decayed(TREND_HALF_LIFE_S), Decayed(POPULAR_HALF_LIFE_S)
        self.covisits: defaultdict[int, Decayed] = defaultdict(lambda: Decayed(COVISIT_HALF_LIFE_S))

    def apply(self, order: Mapping[str, Any], offset: int) -> None:
        """One order: into the profile, then into the aggregates."""
        time_s = int(order["timestamp"])
        weight = self._weights.weight(EventType.PURCHASE)
        keys = [item_key(line["item_id"]) for line in order["items"]]
        profile = self.profiles.setdefault(order["user_id"], Profile.empty(self.space))
        lines = tuple(Line(key, weight, math.nan) for key in keys)
        change = Change(
            Position(1, 0, offset),
            event_hash(order["event_id"]),
            time_s * 1000,
            time_s,
            EventType.PURCHASE,
            SEEN_BOUGHT,
            lines,
        )
        for one in contributions_of(profile, change, self._weights.weight, TTL_MS):
            self.trend.add(one.item, one.weight, time_s)
            self.popular.add(one.item, one.weight, time_s)
            for partner in one.partners:
                self.covisits[one.item].add(partner, one.weight, time_s)
                self.covisits[partner].add(one.item, one.weight, time_s)
        profile.apply(change, self._rules)

    def aggregates(self) -> Aggregates:
        """A snapshot."""
        neighbours = _Neighbours(self.covisits)
        return Aggregates(self.trend.scores(), self.popular.scores(), neighbours)


class _Neighbours(dict[int, Scores]):
    """Rows made when they are asked for: the best 64."""

    def __init__(self, covisits: Mapping[int, Decayed]) -> None:
        super().__init__()
        self._covisits = covisits

    def get(self, key: int, default: Any = None) -> Any:
        """See Mapping."""
        if key not in self:
            row = self._covisits.get(key)
            if not row:
                return default
            best = sorted(row.items(), key=lambda pair: (-pair[1], pair[0]))[:64]
            self[key] = Scores(
                np.array([pair[0] for pair in best], np.uint64), np.array([pair[1] for pair in best])
            )
        return self[key]


def replay(release: Release, households: int) -> dict[str, list[bool]]:
    """Hit or miss of every method for every household with at least two orders."""
    shop = read_shop()
    catalogue = Catalogue(release)
    catalogue.load(encode_item(parse_item(item)) for item in shop.items)
    model = OnnxModel(release)
    orders = sorted(shop.orders, key=lambda order: order["timestamp"])
    last = {order["user_id"]: place for place, order in enumerate(orders)}
    replayed = Shop(release)
    hits: dict[str, list[bool]] = {name: [] for name in METHODS}
    day, aggregates, done = -1, Aggregates.empty(), 0
    for place, order in enumerate(orders):
        if order["timestamp"] // DAY_S != day:
            day, aggregates = order["timestamp"] // DAY_S, replayed.aggregates()
        profile = replayed.profiles.get(order["user_id"])
        if last[order["user_id"]] == place and profile is not None and done < households:
            done += 1
            state = RankingState(catalogue, aggregates, model)
            wanted = {line["item_id"] for line in order["items"]}
            for name, method in METHODS.items():
                hits[name].append(_hit(state, profile, order["timestamp"] * 1000, method, wanted))
        replayed.apply(order, place)
    return hits


def _hit(
    state: RankingState, profile: Profile, now_ms: int, method: Mapping[str, float] | str, wanted: set[str]
) -> bool:
    assert state.model is not None
    release = state.model.release
    scenario = method if isinstance(method, str) else FOR_YOU
    answer = state.model.run([ModelQuestion(profile, now_ms)])[0] if scenario == FOR_YOU else None
    blend = {} if isinstance(method, str) else dict(method)
    release.manifest = msgspec.structs.replace(release.manifest, blend=blend)
    ranking = rank(state, profile, RankRequest(now_ms, scenario, N), answer)
    return any(item.item_id in wanted for item in ranking.items)


def main() -> None:
    """Build the release, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=10**9, help="evaluate so many at most")
    arguments = parser.parse_args()
    items = [parse_item(item) for item in read_shop().items]
    with tempfile.TemporaryDirectory() as folder:
        hits = replay(open_release(build_day0(items, Path(folder))), arguments.households)
    generator = np.random.default_rng(7)
    note(f"demo shop, {len(hits['for_you'])} households, HR@{N} of the last order")
    for name, found in hits.items():
        values = np.array(found, dtype=np.float64)
        draws = generator.integers(0, len(values), (SAMPLES, len(values)))
        low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
        interval = [round(float(low), 4), round(float(high), 4)]
        emit(f"demo_hr_at_{N}_{name}", [float(values.mean())], "share", 4, interval=interval)


if __name__ == "__main__":
    main()
