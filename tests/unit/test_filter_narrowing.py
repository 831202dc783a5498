"""Where a filter has let in few rows, its other clauses are asked of those alone: the answer is the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from services.kernel.item import Item
from services.ranking import filter_masks, kept_masks
from services.ranking.catalogue import Catalogue
from services.ranking.filter_json import parse_filter
from services.ranking.filter_masks import NO_VARIABLES
from services.ranking.filters import Filter, FilterError

ITEMS = 900


def clause(rng: random.Random) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [
        {"brand": f"brand {rng.randrange(40)}"},
        {"brand": {"ne": f"brand {rng.randrange(40)}"}},
        {"categories": {"under": f"Shelf {rng.randrange(20)}"}},
        {"price": {"gte": rng.randrange(100), "lt": rng.randrange(100, 120)}},
        {"price": {"exists": rng.random() < 0.5}},
        {"tags": [f"tag {rng.randrange(12)}", "no such tag"]},
        {"properties.rating": {"lt": rng.randrange(1, 6)}},
        {"item_id": [f"i{rng.randrange(ITEMS)}" for _ in range(60)]},
    ]
    return rng.choice(kinds)


def a_filter(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    if not depth:
        return clause(rng)
    kind = rng.choice(("all", "all", "any", "not"))
    if kind == "not":
        return {"not": a_filter(rng, depth - 1)}
    return {kind: [a_filter(rng, rng.randrange(depth)) for _ in range(rng.randint(2, 4))]}


@pytest.fixture
def catalogue() -> Catalogue:
    rng = random.Random(1)
    made = Catalogue()
    for number in range(ITEMS):
        made.upsert(
            Item(
                item_id=f"i{number}",
                categories=[["All", f"Shelf {rng.randrange(20)}"][rng.randrange(2) :]],
                brand=f"brand {rng.randrange(40)}" if rng.random() < 0.8 else None,
                price=float(rng.randrange(120)) if rng.random() < 0.9 else None,
                tags=[f"tag {tag}" for tag in range(12) if rng.random() < 0.1],
                properties={"rating": rng.randrange(6)} if rng.random() < 0.5 else {},
            )
        )
    return made


def test_few_rows_asked_alone_give_the_same_mask(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    asked = 0
    many = filter_masks._Evaluation._several

    def counted(self: Any, parts: Any, together: bool, negated: bool) -> Any:
        nonlocal asked
        asked += self._length < ITEMS
        return many(self, parts, together, negated)

    monkeypatch.setattr(filter_masks._Evaluation, "_several", counted)
    for _ in range(50):
        raw = {"all": [a_filter(rng, 1) if rng.random() < 0.5 else clause(rng), a_filter(rng), clause(rng)]}
        try:
            wanted = parse_filter(raw)
        except FilterError:  # what no item can pass
            continue
        found = catalogue.columns.mask(wanted, NO_VARIABLES).mask[:ITEMS]
        one_by_one = [catalogue.columns.matches(wanted, NO_VARIABLES, row) for row in range(ITEMS)]
        assert np.array_equal(found, one_by_one), raw
    assert asked, "no filter let in few rows"


def test_what_is_known_of_one_value_alone_follows_the_catalogue(catalogue: Catalogue) -> None:
    """A filter is made of the masks of its values; items that come, change and go change them as well."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    listed = 0
    for _ in range(150):
        for _ in range(rng.choice((0, 1, 30))):
            number = rng.randrange(ITEMS + 20)
            if rng.random() < 0.3:
                catalogue.delete(f"i{number}")
            else:
                brand, shelf = f"brand {rng.randrange(3)}", f"Shelf {rng.randrange(3)}"
                catalogue.upsert(
                    Item(item_id=f"i{number}", brand=brand, categories=[["All", shelf]], price=1.0)
                )
        parts = [
            {"brand": f"brand {rng.randrange(3)}"},
            {"categories": {"under": f"All > Shelf {rng.randrange(3)}"}},
            {"price": {"lt": rng.random() * 200}},
            {"tags": {"ne": f"tag {rng.randrange(12)}"}},
        ]
        wanted = parse_filter({"all": rng.sample(parts, rng.randint(2, 4))})
        masked = catalogue.columns.mask(wanted, NO_VARIABLES)
        matching = [
            row for row in range(catalogue.row_count) if catalogue.columns.matches(wanted, NO_VARIABLES, row)
        ]
        assert np.flatnonzero(masked.mask).tolist() == masked.rows.tolist() == matching, wanted.to_json()
        assert masked.count == len(matching)
        if masked.few is not None:  # others have it too
            listed += 1
            assert not masked.few.flags.writeable
    assert listed > 10, "no filter had a value that few items have"


def test_masks_of_single_values_are_kept_within_a_bound(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = catalogue.columns._masks._clauses
    for bound in (3, 1):
        monkeypatch.setattr(kept_masks, "CLAUSES_BYTES", bound * len(catalogue.columns._changes.alive))
        for number in range(10):
            asked = {"brand": f"brand {number}", "categories": ["All", "Shelf 1"], "price": {"gt": number}}
            catalogue.columns.mask(parse_filter(asked), NO_VARIABLES)
            assert len(kept) <= bound
        assert kept


def test_masks_of_long_lists_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends another thousand ids with each request must not fill the memory."""
    catalogue = Catalogue()
    catalogue.upsert(Item(item_id="a", brand="Acme"))

    def long(number: int) -> Filter:
        return parse_filter({"item_id": [f"{number}-{at}-{'x' * 100}" for at in range(1000)]})

    acme = parse_filter({"brand": "Acme"})
    first = catalogue.columns.mask(acme, NO_VARIABLES)
    monkeypatch.setattr(kept_masks, "FILTERS_BYTES", 3 * long(0).size_bytes)
    assert long(0).size_bytes > 100_000
    for number in range(10):
        assert catalogue.columns.mask(long(number), NO_VARIABLES).count == 0
        assert catalogue.columns.mask(acme, NO_VARIABLES) is first  # used all the time
    assert len(catalogue.columns._masks._kept) == 3  # two of them, and the short one
    monkeypatch.setattr(kept_masks, "FILTERS_BYTES", 1)
    assert catalogue.columns.mask(long(11), NO_VARIABLES) is catalogue.columns.mask(long(11), NO_VARIABLES)


def test_of_few_rows_that_are_left_nothing_else_becomes_known(catalogue: Catalogue) -> None:
    """Many values that hardly come again would cost a pass over all items each, and drive the others out."""
    kept = catalogue.columns._masks._clauses

    def asked(shelf: int) -> None:
        raw = {"categories": {"under": f"Shelf {shelf}"}, "brand": "brand 7", "price": {"lt": 50}}
        catalogue.columns.mask(parse_filter(raw), NO_VARIABLES)

    catalogue.columns.mask(parse_filter({"brand": "brand 7", "price": {"lt": 60}}), NO_VARIABLES)
    assert [clause.field for clause in kept] == ["brand"]
    for shelf in range(9):
        asked(shelf)
    assert [clause.field for clause in kept] == ["brand"]


def test_the_bound_of_long_lists_holds_whatever_makes_columns() -> None:
    """A first filter by a property makes its column, and all masks are forgotten in the middle of one."""
    catalogue = Catalogue()
    catalogue.upsert(Item(item_id="a", properties={f"p{number}": 1 for number in range(9)}))
    masks = catalogue.columns._masks
    for number in range(9):
        for _ in range(2):
            catalogue.columns.mask(parse_filter({"item_id": "a", f"properties.p{number}": 1}), NO_VARIABLES)
        assert masks._filters_bytes == sum(filter.size_bytes for filter in masks._kept) > 0
