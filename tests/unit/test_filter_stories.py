"""What shops ask for, on the products of the demo shop."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from services.kernel.item import Item, encode_item
from services.local.demo_shop import read_films, read_shop
from services.ranking.catalogue import Catalogue
from services.ranking.filter_json import parse_filter
from services.ranking.filter_masks import Variables
from services.ranking.filter_text import parse_short
from services.ranking.filters import both
from tests.unit.shop import demo_items


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    catalogue.load([encode_item(item) for item in demo_items(len(read_shop().items) - len(read_films()))])
    return catalogue


def found(catalogue: Catalogue, written: str | dict[str, Any], page: Item | None = None) -> list[Item]:
    asked = parse_short(written) if isinstance(written, str) else parse_filter(written)
    mask = catalogue.columns.mask(asked, Variables({}, page)).mask
    return [catalogue.item(row) for row in np.flatnonzero(mask).tolist()]


def everything(catalogue: Catalogue) -> list[Item]:
    return [catalogue.item(row) for row in range(catalogue.row_count)]


def test_a_shelf_within_a_budget(catalogue: Catalogue) -> None:
    items = found(catalogue, "categories:Grocery;price:2..5;brand:Private")
    assert {item.item_id for item in items} == {
        item.item_id
        for item in everything(catalogue)
        if item.categories[0][0] == "Grocery" and item.price is not None and 2 <= item.price <= 5
        and item.brand == "Private"
    }  # fmt: skip
    assert len(items) > 50


def test_one_shelf_of_a_department(catalogue: Catalogue) -> None:
    wanted = ["Grocery", "Cold cereal"]
    assert {tuple(item.categories[0]) for item in found(catalogue, "categories:Grocery > Cold cereal")} == {
        tuple(wanted)
    }
    assert found(catalogue, {"categories": {"under": wanted}}) == found(
        catalogue, {"categories": " > ".join(wanted)}
    )
    rest = found(catalogue, {"categories": {"eq": "Grocery", "ne": wanted}})
    assert len(rest) + len(found(catalogue, {"categories": {"eq": wanted}})) == len(
        found(catalogue, "categories:Grocery")
    )


def test_the_same_maker_but_cheaper_than_the_item_of_the_page(catalogue: Catalogue) -> None:
    makers = Counter(item.properties["manufacturer"] for item in everything(catalogue))
    maker, _ = makers.most_common(1)[0]
    page = max(
        (item for item in everything(catalogue) if item.properties["manufacturer"] == maker),
        key=lambda item: item.price or 0.0,
    )
    written = {
        "properties.manufacturer": "$item.properties.manufacturer",
        "price": {"lt": "$item.price"},
        "item_id": {"ne": "$item.item_id"},
    }
    items = found(catalogue, written, page)
    assert 0 < len(items) < makers[maker]
    assert all(
        item.properties["manufacturer"] == maker and (item.price or 0) < (page.price or 0) for item in items
    )
    assert found(catalogue, written) == []  # no item, no page of it


def test_a_slip_of_the_pen_is_answered_with_what_there_is(catalogue: Catalogue) -> None:
    masked = catalogue.columns.mask(
        parse_filter({"brand": "Privat", "categories": "Grocery > Cold cereals", "properties.maker": "69"}),
        Variables(),
    )
    assert masked.count == 0
    assert [(one.field, one.value, one.nearest) for one in masked.unknown] == [
        ("brand", "Privat", "Private"),
        ("categories", "Grocery > Cold cereals", "Grocery > Cold cereal"),
        ("properties.maker", None, "properties.manufacturer"),
    ]


def test_a_filter_that_leaves_nothing_is_relaxed_clause_by_clause(catalogue: Catalogue) -> None:
    scenario = parse_short("categories:Grocery > Cold cereal;available:true")
    asked = both(scenario, parse_short("brand:Private;price:..0.01"))
    assert asked is not None
    counts = []
    for field in ("price", "brand", "categories", "available"):
        counts.append(catalogue.columns.mask(asked, Variables()).count)
        asked = asked.without(field)
        if asked is None:
            break
    assert asked is None
    assert counts[0] == 0
    assert 0 < counts[1] < counts[2] < counts[3] == len(catalogue)


def test_a_changed_price_counts_at_once() -> None:
    catalogue = Catalogue()
    catalogue.load([encode_item(item) for item in demo_items(100)])
    cheap = len(found(catalogue, "price:..3"))
    (item, *_) = found(catalogue, "price:3.01..")
    catalogue.upsert(Item(item_id=item.item_id, categories=item.categories, price=0.5))
    assert len(found(catalogue, "price:..3")) == cheap + 1
    catalogue.delete(item.item_id)
    assert len(found(catalogue, "price:..3")) == cheap
