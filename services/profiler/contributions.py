"""Adding what the records of one batch contribute to the aggregates of their partition."""

from __future__ import annotations

from typing import NamedTuple

from services.kernel.contributions import Contribution, add_to_rows, row_keys
from services.kernel.covisits import POPULAR_HALF_LIFE_S, TREND_HALF_LIFE_S, log_add, term
from services.store.aggregates import Rows


class Folded(NamedTuple):
    """Absolute new values, as AggregateWrite takes them."""

    trend: dict[int, float]
    popular: dict[int, float]
    neighbours: dict[int, bytes]


def touched(contributions: list[Contribution]) -> tuple[list[int], list[int]]:
    """(items whose scores change, items whose rows change), each once, in order of appearance."""
    scored = dict.fromkeys([one.item for one in contributions])
    visited: dict[int, None] = {}
    for one in contributions:
        for key in row_keys(one):
            visited[key] = None
    return list(scored), list(visited)


def fold(contributions: list[Contribution], scored: list[int], visited: list[int], rows: Rows) -> Folded:
    """Add the contributions one by one, in log order, to what is stored: any cut gives the same."""
    trend = dict(zip(scored, rows.trend.tolist(), strict=True))
    popular = dict(zip(scored, rows.popular.tolist(), strict=True))
    neighbours = {key: bytearray(row or b"") for key, row in zip(visited, rows.neighbours, strict=True)}
    for one in contributions:
        item, weight, time_s = one.item, one.weight, one.time_s
        trend[item] = log_add(trend[item], term(weight, time_s, TREND_HALF_LIFE_S))
        long_term = term(weight, time_s, POPULAR_HALF_LIFE_S)
        popular[item] = log_add(popular[item], long_term)
        add_to_rows(one, long_term, neighbours)
    return Folded(trend, popular, {key: bytes(row) for key, row in neighbours.items()})
