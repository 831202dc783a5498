"""Columns and masks as the catalogue changes: what is kept, what is made anew, what nobody has."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from services.kernel.item import Item, encode_item
from services.kernel.nearest import likely_meant
from services.ranking import column_kinds, column_numbers, columns, filter_masks, filter_nearest, kept_masks
from services.ranking.catalogue import FIRST_CAPACITY, Catalogue
from services.ranking.columns import PROPERTIES_MAX, PROPERTY_NAMES_MAX
from services.ranking.filter_json import parse_filter
from services.ranking.filter_masks import Masked, Variables
from services.ranking.filter_text import parse_short
from tests.unit.naive_filter import passes

NONE = Variables()


def catalogue_of(items: Iterable[Item]) -> Catalogue:
    catalogue = Catalogue()
    catalogue.load([encode_item(item) for item in items])
    return catalogue


def asked(catalogue: Catalogue, text: str) -> Masked:
    return catalogue.columns.mask(parse_short(text), NONE)


def ids(catalogue: Catalogue, text: str) -> list[str]:
    return [catalogue.id_of(row) for row in np.flatnonzero(asked(catalogue, text).mask).tolist()]


def shop(count: int = 20) -> Catalogue:
    return catalogue_of(
        Item(
            item_id=f"i{number:04d}",
            title=f"Thing {number}",
            brand=["Acme", "Zenith"][number % 2],
            price=float(number),
            categories=[["Food", ["Cheese", "Wine", "Bread"][number % 3]]],
            tags=[f"t{number % 4}"],
            properties={"season": ["winter", "summer"][number % 2], "size": number % 5},
        )
        for number in range(count)
    )


def test_an_answer_is_looked_up_until_the_catalogue_changes() -> None:
    catalogue = shop()
    first = asked(catalogue, "brand:Acme")
    assert asked(catalogue, "brand:Acme") is first
    catalogue.upsert(Item(item_id="new", brand="Acme"))
    after = asked(catalogue, "brand:Acme")
    assert after.count == first.count + 1
    assert not first.mask[catalogue.row_of("new")]  # who holds the old answer holds it unchanged
    catalogue.delete("new")
    assert asked(catalogue, "brand:Acme").count == first.count


def test_only_what_changed_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = shop(200)
    asked(catalogue, "price:..50")
    lengths: list[int] = []
    evaluated = filter_masks.evaluated

    def spy(node: Any, column_of: Any, rows: Any, length: int) -> Any:
        lengths.append(length)
        return evaluated(node, column_of, rows, length)

    monkeypatch.setattr(kept_masks, "evaluated", spy)
    for number in (3, 3, 4):
        catalogue.upsert(Item(item_id=f"i{number:04d}", price=1000.0))
    assert asked(catalogue, "price:..50").count == 49
    assert lengths == [2]
    for number in range(kept_masks.JOURNAL_ROWS + 1):
        catalogue.upsert(Item(item_id="i0003", price=float(number)))
    assert asked(catalogue, "price:..50").count == 49
    assert lengths == [2, 200]


def test_rows_beyond_the_first_room() -> None:
    catalogue = shop(FIRST_CAPACITY - 1)
    texts = ["brand:Acme", "properties.size:3", "available:true", "!item_id:i0000", "title:Thing 5,late 1"]
    before = [asked(catalogue, text).count for text in texts]
    for number in range(3):
        catalogue.upsert(
            Item(item_id=f"late{number}", brand="Acme", title=f"late {number}", properties={"size": 3})
        )
    assert [asked(catalogue, text).count for text in texts] == [
        count + more for count, more in zip(before, [3, 3, 3, 3, 1], strict=True)
    ]
    assert all(len(asked(catalogue, text).mask) >= catalogue.row_count for text in texts)


def test_values_that_no_item_has_are_named_with_the_nearest() -> None:
    catalogue = shop()
    unknown = asked(catalogue, "brand:Acm,Zenith").unknown
    assert [(one.field, one.value, one.nearest) for one in unknown] == [("brand", "Acm", "Acme")]
    assert str(unknown[0]) == "brand: no item has 'Acm'; did you mean 'Acme'?"
    said = {
        text: [str(one) for one in asked(catalogue, text).unknown]
        for text in (
            "brand:acme",
            "!brand:Acm",
            "brand:qqqqq",
            "categories:Food > Chese",
            "categories:Cheese",
            "properties.season:wintre",
            "properties.size:7",
            "properties.size:3",
            "properties.sizze:3",
            "item_id:i9999",
            "tags:t1;available:false;price:..0.5;published_at:2020-01-01..",
        )
    }
    assert said == {
        "brand:acme": ["brand: no item has 'acme'; did you mean 'Acme'?"],
        "!brand:Acm": ["brand: no item has 'Acm'; did you mean 'Acme'?"],
        "brand:qqqqq": ["brand: no item has 'qqqqq'"],
        "categories:Food > Chese": ["categories: no item has 'Food > Chese'; did you mean 'Food > Cheese'?"],
        "categories:Cheese": ["categories: no item has 'Cheese'; did you mean 'Food > Cheese'?"],
        "properties.season:wintre": ["properties.season: no item has 'wintre'; did you mean 'winter'?"],
        "properties.size:7": ["properties.size: no item has '7'"],
        "properties.size:3": [],  # as a number; the text that it may be too is no mistake
        "properties.sizze:3": ["properties.sizze: no item has it; did you mean 'properties.size'?"],
        "item_id:i9999": ["item_id: no item has 'i9999'; did you mean 'i0009'?"],
        "tags:t1;available:false;price:..0.5;published_at:2020-01-01..": [],
    }


def test_what_was_meant_is_looked_for_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brands that somebody follows are no mistakes, and looking among all brands for each takes long."""
    catalogue = shop()
    looked: list[str] = []

    def spy(text: str, names: Iterable[str]) -> str | None:
        looked.append(text)
        return likely_meant(text, names)

    monkeypatch.setattr(filter_nearest, "likely_meant", spy)
    words = [f"Acm{number}" for number in range(kept_masks.UNKNOWN_MAX)]
    said = [str(one) for one in asked(catalogue, f"brand:{','.join(words)}").unknown]
    assert looked == words[: filter_masks.MEANT_MAX]
    assert [line.endswith("did you mean 'Acme'?") for line in said] == [word in looked for word in words]
    looked.clear()
    for value in (1, 2):  # a property is looked for once, whatever it is compared with
        assert asked(catalogue, f"properties.sizze:{value}").unknown[0].nearest == "properties.size"
    assert looked == ["sizze"]


@pytest.mark.parametrize("seed", range(3))
def test_many_values_are_found_as_few_are(seed: int) -> None:
    chance = random.Random(seed)
    drawn = [None, *(chance.choice([0.0, 0.1, 5.0, chance.randrange(2000) / 100]) for _ in range(300))]
    catalogue = catalogue_of(
        Item(
            item_id=f"i{at:03d}",
            price=price,
            group_order=None if price is None else -price,
            published_at=None if price is None else int(price * 100_000),
            group_id=None if price is None else f"g{price}",
        )
        for at, price in enumerate(drawn)
    )
    prices = sorted({chance.randrange(2000) / 100 for _ in range(200)} | {0.0})
    lists: dict[str, list[Any]] = {
        "price": prices,
        "group_order": [-price for price in prices],
        "published_at": [int(price * 100_000) / 1000 for price in prices],  # s
        "group_id": [f"g{price}" for price in prices],
    }
    for name, values in lists.items():
        masked = catalogue.columns.mask(parse_filter({name: values}), NONE)
        assert np.flatnonzero(masked.mask).tolist() == [
            at for at, price in enumerate(drawn) if price in prices
        ], (seed, name)
        if name != "published_at":
            strangers = [value for price, value in zip(prices, values, strict=True) if price not in drawn]
            assert [one.value for one in masked.unknown] == strangers[: kept_masks.UNKNOWN_MAX], (seed, name)


def test_many_numbers_are_told_apart() -> None:
    random_numbers = np.random.default_rng(3)
    numbers = random_numbers.integers(0, 10**6, 50_000) / 100
    numbers[::7] = np.nan
    wanted = random_numbers.choice(numbers[~np.isnan(numbers)], 900).tolist()
    assert np.array_equal(column_numbers.among(numbers, wanted), np.isin(numbers, wanted))


def test_a_value_is_unknown_once_its_last_item_is_gone() -> None:
    catalogue = catalogue_of([Item(item_id="a", brand="Acme", price=5.0, group_id="g", tags=["t"])])
    texts = ["brand:Acme", "price:5", "group_id:g", "tags:t", "item_id:a"]
    assert [asked(catalogue, text).unknown for text in texts] == [()] * 5
    catalogue.delete("a")
    assert [len(asked(catalogue, text).unknown) for text in texts] == [1] * 5
    catalogue.upsert(Item(item_id="a", brand="Acme", price=5.0, group_id="g", tags=["t"]))
    assert [asked(catalogue, text).unknown for text in texts] == [()] * 5


def test_a_property_that_comes_later_is_found() -> None:
    catalogue = shop(3)
    assert asked(catalogue, "properties.colour:red").unknown[0].value is None
    assert asked(catalogue, "!properties.colour:red").count == 3
    catalogue.upsert(Item(item_id="red", properties={"colour": "red", "frame": {"size": 5}}))
    assert ids(catalogue, "properties.colour:red") == ["red"]
    assert asked(catalogue, "!properties.colour:red").count == 3
    assert ids(catalogue, "properties.frame.size:4..6") == ["red"]
    assert ids(catalogue, "properties.frame:*") == ["red"]
    assert str(asked(catalogue, "properties.frame.colour:x").unknown[0]).startswith(
        "properties.frame.colour: no"
    )


def test_more_properties_than_are_kept_are_said() -> None:
    names = [f"p{number}" for number in range(PROPERTIES_MAX + 1)]
    catalogue = catalogue_of([Item(item_id="a", properties=dict.fromkeys(names, "x") | {"deep": {"a": 1}})])
    for name in names[:-1]:
        assert ids(catalogue, f"properties.{name}:x") == ["a"]
    for text in (f"properties.{names[-1]}:x", f"!properties.{names[-1]}:y"):
        late = asked(catalogue, text)
        assert late.count == 0
        assert "64 properties, or 1,000,000 different values, are filtered by already" in str(late.unknown[0])
        assert late.unknown[0].nearest is None


def test_more_values_of_properties_than_are_kept_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "PROPERTY_VALUES_MAX", 15)
    catalogue = shop()  # winter, summer, and five sizes
    for number in range(20):
        catalogue.upsert(Item(item_id=f"s{number}", properties={"sku": f"sku-{number}", "late": "x"}))
    assert ids(catalogue, "properties.sku:sku-7") == ["s7"]
    assert "or 1,000,000 different values" in str(asked(catalogue, "properties.late:x").unknown[0])


def test_long_texts_are_compared_by_their_hash() -> None:
    long = "x" * 100
    item = Item(
        item_id="a", title=long, description=long, url=long, image_urls=[long, "u"],
        properties={"note": long, "notes": [long, "short"]},
    )  # fmt: skip
    catalogue = catalogue_of([item, Item(item_id="b", title="y", properties={"note": "z" * 100})])
    for name in ("title", "description", "url", "image_urls", "properties.note", "properties.notes"):
        assert ids(catalogue, f"{name}:{long}") == ["a"], name
        assert asked(catalogue, f"{name}:{long}").unknown == (), name
        other = asked(catalogue, f"{name}:{long}x")
        assert other.count == 0
        assert [(one.value, one.nearest) for one in other.unknown][:1] in (
            [(f"{long}x", None)],
            [(f"{long}x", "short")],
        ), name
    assert ids(catalogue, "image_urls:u") == ["a"]
    assert ids(catalogue, "title:*") == ["a", "b"]
    assert ids(catalogue, "!description:*") == ["b"]


def test_what_no_item_has_takes_no_place() -> None:
    catalogue = catalogue_of([Item(item_id="a", properties={"deep": {"x": 1}, "late": "x"})])
    for number in range(PROPERTIES_MAX):
        assert asked(catalogue, f"properties.deep.no{number}:x").count == 0
    assert ids(catalogue, "properties.late:x") == ["a"]


def test_names_within_an_object_are_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over all items for each name that somebody makes up would cost everybody else."""
    frame = {"colour": "red", "size": {"cm": 52}}
    catalogue = catalogue_of([Item(item_id="a", properties={"frame": frame, "a.b": 1})])
    for text in ("frame.colour:red", "frame.size.cm:52", "a.b:1"):
        assert ids(catalogue, f"properties.{text}") == ["a"], text
    built: list[str] = []
    build = columns.Columns.build

    def spy(self: columns.Columns, fields: Iterable[str]) -> columns.Built:
        built.extend(names := list(fields))
        return build(self, names)

    monkeypatch.setattr(columns.Columns, "build", spy)
    for text in ("frame.colou:red", "frame.size.cm.x:1", "a.c:1"):
        found = asked(catalogue, f"properties.{text}")
        assert (found.count, len(found.unknown)) == (0, 1), text
    assert not built
    catalogue.upsert(Item(item_id="b", properties={"frame": {"colou": "red"}}))
    assert ids(catalogue, "properties.frame.colou:red") == ["b"]


def test_more_names_than_are_remembered() -> None:
    catalogue = Catalogue()
    for number in range(0, PROPERTY_NAMES_MAX + 200, 100):
        names = [f"p{at}" for at in range(number, number + 100)]
        catalogue.upsert(Item(item_id=f"i{number}", properties=dict.fromkeys(names, 1)))
    assert asked(catalogue, f"properties.p{PROPERTY_NAMES_MAX + 150}:1").count == 1
    assert asked(catalogue, "properties.q:1").count == 0


@pytest.mark.parametrize("seed", range(3))
def test_columns_are_numbered_anew_when_most_values_are_gone(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_kinds, "GARBAGE_MIN", 8)
    monkeypatch.setattr(column_kinds, "LISTS_SHARED", 4)
    chance = random.Random(seed)
    catalogue = Catalogue()
    raws: list[dict[str, Any]] = [
        {"brand": "b3"}, {"tags": "t3"}, {"categories": "c3"}, {"properties.p": {"gte": 3}},
        {"properties.p": 3}, {"tags": {"nin": ["t1", "t2"]}}, {"title": ["x1", "x200"]},
    ]  # fmt: skip
    for step in range(600):
        number = chance.randrange(12)
        if chance.random() < 0.2:
            catalogue.delete(f"i{number}")
        else:
            drawn = [chance.randrange(6) for _ in range(3)]
            wide = chance.randrange(10**6)
            catalogue.upsert(
                Item(
                    item_id=f"i{number}",
                    title=f"x{step}",
                    brand=f"b{drawn[0] if drawn[0] else wide}",
                    tags=[f"t{one}" for one in [*drawn, wide]],
                    categories=[[f"c{drawn[1]}", f"d{wide}"]],
                    properties={"p": [drawn[0], wide] if drawn[1] else drawn[0]},
                )
            )
        if step % 7 == 0:
            for raw in raws:
                mask = catalogue.columns.mask(parse_filter(raw), NONE).mask
                live = [
                    row for row in range(catalogue.row_count) if catalogue.row_of(catalogue.id_of(row)) == row
                ]
                wanted = [row for row in live if passes(raw, catalogue.item(row), {}, None)]
                assert np.flatnonzero(mask).tolist() == wanted, (seed, step, raw)
    for name in ("brand", "tags", "categories", "properties.p"):
        column = catalogue.columns._columns[name]
        assert isinstance(column, column_kinds.CodeColumn)
        assert len(column._uses) < 60, name  # 600 values have come and gone


@pytest.mark.parametrize("more", [3, FIRST_CAPACITY])
def test_a_column_is_made_beside_the_thread_that_ranks(more: int) -> None:
    catalogue = shop()
    short = parse_short("properties.season:winter;title:Thing 2,Thing 4,Thing 6,fresh;tags:t0,t2")
    kept = catalogue.columns
    assert sorted(kept.absent(short)) == ["properties.season", "tags", "title"]
    assert kept.absent(parse_short("properties.nobody:1;brand:Acme")) == []
    built = kept.build(kept.absent(short))
    catalogue.upsert(Item(item_id="i0002", title="Thing 2", properties={"season": "summer"}, tags=["t0"]))
    catalogue.delete("i0004")
    for number in range(more):
        catalogue.upsert(
            Item(item_id=f"z{number}", title="fresh", properties={"season": "winter"}, tags=["t2"])
        )
    kept.adopt(built)
    assert kept.absent(short) == []
    assert kept.mask(short, NONE).count == 1 + more
    assert ids(catalogue, "properties.season:winter;title:Thing 6") == ["i0006"]
    assert kept.in_use() == {"properties.season", "tags", "title"}


def test_what_is_wanted_before_the_first_item_is_filled_as_items_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogue = Catalogue()
    catalogue.columns.want(["properties.size", "tags", "brand"])
    monkeypatch.setattr(columns.Columns, "build", None)  # no pass over all items any more
    for number in range(3):
        catalogue.add(encode_item(Item(item_id=str(number), tags=["t"], properties={"size": number})))
    catalogue.bind(None)
    assert ids(catalogue, "properties.size:1..;tags:t") == ["1", "2"]


def test_a_small_room_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_masks, "MASKS_MAX", 3)
    catalogue = shop()
    first = asked(catalogue, "price:1")
    for number in (2, 3):
        asked(catalogue, f"price:{number}")
        assert asked(catalogue, "price:1") is first  # used last
    for number in range(10):
        assert asked(catalogue, f"price:{number}").count == 1
    assert len(catalogue.columns._masks._kept) == 3


def test_a_catalogue_that_was_replaced_is_gone_at_once() -> None:
    catalogue = shop()
    assert asked(catalogue, "brand:Acm;properties.size:3;title:x").unknown
    gone = weakref.ref(catalogue), weakref.ref(catalogue.columns)
    gc.disable()
    try:
        del catalogue
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
