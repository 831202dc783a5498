"""Which items of events are in no catalogue: seen once, looked for again, and cheap where all are known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from services.profiler.item_lookup import ItemLookup


class Catalogue:
    """The reading half that ItemLookup needs, counting what it is asked."""

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self.keys = set(keys)
        self.asked: list[list[int]] = []

    async def item_ids(self, epoch: int, item_keys: Sequence[int]) -> dict[int, str]:
        self.asked.append(sorted(item_keys))
        return {key: f"i{key}" for key in item_keys if key in self.keys}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def lookup(catalogue: Any, clock: Clock) -> ItemLookup:
    return ItemLookup(catalogue, None, clock)


def prepared(items: ItemLookup, keys: set[int]) -> tuple[set[int], set[int]]:
    """(due for a registry entry, in no catalogue)."""
    due = asyncio.run(items.prepare(1, keys))
    items.registered(due)
    return due, set(items.unlisted(keys))


def test_what_is_in_no_catalogue_is_registered_once_and_counted_each_time() -> None:
    catalogue, clock = Catalogue([1, 2]), Clock()
    items = lookup(catalogue, clock)
    assert prepared(items, {1, 2, 3}) == ({3}, {3})
    assert prepared(items, {1, 2, 3}) == (set(), {3})
    assert prepared(items, {1, 2}) == (set(), set())
    assert catalogue.asked == [[1, 2, 3]], "one read, then memory"


def test_an_item_that_comes_into_the_catalogue_is_known_some_seconds_later() -> None:
    catalogue, clock = Catalogue(), Clock()
    items = lookup(catalogue, clock)
    assert prepared(items, {3, 4}) == ({3, 4}, {3, 4})
    catalogue.keys.add(3)
    clock.now_s += 9
    assert prepared(items, {3, 4}) == (set(), {3, 4})
    clock.now_s += 2
    assert prepared(items, {3, 4}) == (set(), {4}), "looked for again, not registered again"
    assert prepared(items, {3}) == (set(), set())


def test_a_store_that_may_have_lost_everything_is_asked_again() -> None:
    catalogue, clock = Catalogue([1]), Clock()
    items = lookup(catalogue, clock)
    prepared(items, {1, 3})
    items.forget()
    assert items.unlisted({1, 3}) == frozenset()
    assert prepared(items, {1, 3}) == ({3}, {3})
