"""The nearest of a few names, for error texts that suggest what was meant."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_LEAST_LIKENESS: Final = 0.2  # of 0.5; "colour" shares less with every field of an item


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that shares most pairs of letters with `word`; the first one when none shares any.

    Clients choose `word`, a thousand of them per request: a few µs per name, where difflib takes twenty.
    """
    pairs = _pairs(word[:64])
    return max(names, key=lambda name: _likeness(pairs, _pairs(name)))


def likely_meant(word: str, names: Iterable[str]) -> str | None:
    """The nearest name where it is near enough to be what was meant."""
    best = nearest(word, names)
    return best if _likeness(_pairs(word[:64]), _pairs(best)) >= _LEAST_LIKENESS else None


def _likeness(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / (len(left) + len(right))


@lru_cache(maxsize=4096)  # twice what a filter is looked for among; 8 MB
def _pairs(word: str) -> frozenset[str]:
    padded = f" {word} "
    return frozenset(padded[i : i + 2] for i in range(len(padded) - 1))
