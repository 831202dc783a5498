"""What is popular in a segment, from bounded rows, against an exact count of a real shop's purchases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pytest

from services.kernel.covisits import (
    COVISIT_ROW,
    NEIGHBOUR,
    POPULAR_HALF_LIFE_S,
    SEGMENT_ROW,
    RowBound,
    add_neighbour,
    log_add,
    term,
)
from services.kernel.ids import item_key
from services.local.demo_shop import read_shop
from services.ranking.aggregates import Scores

PARTITIONS = 12
# Shares of the users, in percent: a large country, and four of which the smallest has a hundred users.
COUNTRIES = {"DE": 55, "AT": 20, "CH": 12, "FR": 8, "LU": 5}
TOP = 20


class Bought(NamedTuple):
    """One line of an order, or a view."""

    partition: int
    country: str
    item: int
    time_s: int
    weight: float = 5.0


@pytest.fixture(scope="module")
def purchases() -> list[Bought]:
    """All purchases of the demo shop; which country a household lives in is made up."""
    found: list[Bought] = []
    for order in read_shop().orders:
        number = int.from_bytes(blake2b(order["user_id"].encode(), digest_size=4).digest(), "little")
        place = number // PARTITIONS % 100
        shares = np.cumsum(list(COUNTRIES.values()))
        country = list(COUNTRIES)[int(np.searchsorted(shares, place, side="right"))]
        found += [
            Bought(number % PARTITIONS, country, item_key(line["item_id"]), order["timestamp"])
            for line in order["items"]
        ]
    return found


def rows_of(purchases: Iterable[Bought], bound: RowBound) -> dict[str, Scores]:
    """As the recommender merges them from the partitions."""
    rows: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)
    for one in purchases:
        added = term(one.weight, one.time_s, POPULAR_HALF_LIFE_S)
        add_neighbour(rows[one.country, one.partition], one.item.to_bytes(8, "little"), added, bound)
    assert max(len(row) for row in rows.values()) <= bound.entries * NEIGHBOUR.itemsize
    parts: defaultdict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for (country, _), row in rows.items():
        entries = np.frombuffer(bytes(row), NEIGHBOUR)
        parts[country].append((entries["item"], entries["score"]))
    return {country: Scores.merge(some) for country, some in parts.items()}


def exact(purchases: Iterable[Bought]) -> dict[str, dict[int, float]]:
    """log2 scores without a bound."""
    totals: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for one in purchases:
        scores = totals[one.country]
        scores[one.item] = log_add(
            scores.get(one.item, -np.inf), term(one.weight, one.time_s, POPULAR_HALF_LIFE_S)
        )
    return totals


def found_of_top(rows: dict[str, Scores], totals: dict[str, dict[int, float]]) -> dict[str, int]:
    """How many of the truly most popular items stand at the top of each country's row."""
    return {
        country: len(
            set(rows[country].top(TOP)) & set(sorted(scores, key=scores.__getitem__, reverse=True)[:TOP])
        )
        for country, scores in totals.items()
    }


def test_nearly_all_of_the_true_top_are_found_and_none_is_overstated(purchases: list[Bought]) -> None:
    totals, rows = exact(purchases), rows_of(purchases, SEGMENT_ROW)
    found = found_of_top(rows, totals)
    print(found)
    assert set(found) == set(COUNTRIES)
    assert min(found.values()) >= 18
    assert sum(found.values()) >= 19 * len(found)
    for country, row in rows.items():
        for key, score in zip(row.keys.tolist(), row.scores.tolist(), strict=True):
            assert score <= totals[country][key] + 1e-9


def test_rows_as_short_as_those_of_neighbours_would_find_fewer(purchases: list[Bought]) -> None:
    totals = exact(purchases)
    short = found_of_top(rows_of(purchases, COVISIT_ROW), totals)
    print(short)
    assert sum(short.values()) < sum(found_of_top(rows_of(purchases, SEGMENT_ROW), totals).values())


def test_what_is_only_viewed_and_comes_late_enters_a_full_row(purchases: list[Bought]) -> None:
    """One line in twenty from the last fifth on; a row that lets only the lowest go never takes it in."""
    late = 4 * len(purchases) // 5
    hot = item_key("hot")
    viewed = Bought(0, "DE", hot, 0, weight=1.0)
    log: list[Bought] = []
    for at, one in enumerate(purchases):
        log.append(one._replace(partition=0, country="DE"))
        if at >= late and at % 20 == 0:
            log.append(viewed._replace(time_s=one.time_s))
    total = exact(log)["DE"][hot]
    row = rows_of(log, SEGMENT_ROW)["DE"]
    assert hot in row.top(TOP)
    assert total - 0.2 < float(row.of(np.array([hot], dtype=np.uint64))[0]) <= total
    assert hot not in rows_of(log, RowBound(256, 256))["DE"].keys
