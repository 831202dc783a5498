"""Adding what the records of one batch contribute to the aggregates of their partition."""

from __future__ import annotations

from typing import NamedTuple

from services.kernel.contributions import Contribution
from services.kernel.covisits import (
    POPULAR_HALF_LIFE_S,
    TREND_HALF_LIFE_S,
    add_neighbour,
    log_add,
    term,
)
from services.store.aggregates import Rows


class Folded(NamedTuple):
    """Absolute new values, as AggregateWrite takes them."""

    trend: dict[int, float]
    popular: dict[int, float]
    neighbours: dict[int, bytes]


def touched(contributions: list[Contribution]) -> tuple[list[int], list[int]]:
    """(items whose scores change, items whose rows change), each once, in order of appearance."""
    scored = dict.fromkeys(one.item for one in contributions)
    visited: dict[int, None] = {}
    for one in contributions:
        if one.partners:
            visited[one.item] = None
            visited.update(dict.fromkeys(one.partners))
    return list(scored), list(visited)


def fold(contributions: list[Contribution], scored: list[int], visited: list[int], rows: Rows) -> Folded:
    """Add the contributions one by one, in log order, to what is stored: any cut gives the same."""
    trend = dict(zip(scored, rows.trend.tolist(), strict=True))
    popular = dict(zip(scored, rows.popular.tolist(), strict=True))
    neighbours = {item: bytearray(row or b"") for item, row in zip(visited, rows.neighbours, strict=True)}
    packed = {item: item.to_bytes(8, "little") for item in visited}
    for item, weight, time_s, partners in contributions:
        trend[item] = log_add(trend[item], term(weight, time_s, TREND_HALF_LIFE_S))
        long_term = term(weight, time_s, POPULAR_HALF_LIFE_S)
        popular[item] = log_add(popular[item], long_term)
        if partners:
            row, key = neighbours[item], packed[item]
            for partner in partners:
                add_neighbour(row, packed[partner], long_term)
                add_neighbour(neighbours[partner], key, long_term)
    return Folded(trend, popular, {item: bytes(row) for item, row in neighbours.items()})
