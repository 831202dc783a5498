"""Masks hold what an item by item reading of the same JSON says, whatever was added, changed and deleted."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.item import Item
from services.ranking.catalogue import Catalogue
from services.ranking.filter_json import parse_filter
from services.ranking.filter_masks import Variables
from services.ranking.filter_text import parse_short
from services.ranking.filters import Filter, FilterError, both
from tests.unit.naive_filter import passes

WORDS = ["Acme", "Zenith", "$ign", ""]
NAMES = ["a", "b", "c"]
DATES = ["2020-01-01T00:00:00Z", "2021-06-01T00:00:00Z", "2022-01-01T00:00:00Z"]
MOMENTS = [1_577_836_800_000, 1_622_505_600_000, 1_640_995_200_000]
NUMBERS = st.sampled_from([0, 1, 2.5, 5, 7])
MAYBE = st.none()
SCALARS = st.one_of(st.sampled_from(["x", "y", "1"]), NUMBERS, st.booleans())
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "free": st.one_of(SCALARS, st.lists(st.one_of(SCALARS, MAYBE), max_size=3), st.just({"deep": "x"})),
        "frame": st.fixed_dictionaries({}, optional={"size": SCALARS}),
        'od"d': SCALARS,
    },
)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)


def items(ids: st.SearchStrategy[str]) -> st.SearchStrategy[Item]:
    return st.builds(
        Item,
        item_id=ids,
        title=st.sampled_from([None, "T1", "T2"]),
        categories=st.lists(PATHS, max_size=2),
        brand=st.sampled_from([None, *WORDS]),
        tags=st.lists(st.sampled_from(WORDS), max_size=3),
        price=st.one_of(MAYBE, NUMBERS.map(float)),
        group_id=st.sampled_from([None, "g1", "g2"]),
        available=st.booleans(),
        published_at=st.sampled_from([None, *MOMENTS]),
        expires_at=st.sampled_from([None, *MOMENTS]),
        properties=PROPERTIES,
    )


def written(name: str, values: st.SearchStrategy[Any], ordered: bool = False) -> st.SearchStrategy[Any]:
    """Clauses about one field."""
    context = name.replace('"', "")
    variables = st.sampled_from(
        [f"$context.{context}", f"$context.{context}?", f"$item.{name}", f"$item.{name}?"]
    )
    escaped = values.map(lambda value: f"${value}" if str(value).startswith("$") else value)
    one = st.one_of(escaped, escaped, variables)
    many = st.lists(one, min_size=1, max_size=3)
    optional: dict[str, st.SearchStrategy[Any]] = {
        "eq": one,
        "ne": one,
        "in": many,
        "nin": many,
        "exists": st.booleans(),
    }
    if ordered:
        bounds = st.one_of(NUMBERS, variables) if name != "published_at" else one
        optional |= {"gt": bounds, "lte": bounds}
    objects = st.fixed_dictionaries({}, optional=optional).filter(lambda raw: 0 < len(raw) < 3)
    return st.one_of(one, many, objects).map(lambda raw: {name: raw})


CLAUSES = st.one_of(
    written("brand", st.sampled_from(WORDS)),
    written("tags", st.sampled_from(WORDS)),
    written("title", st.sampled_from(["T1", "T2", "T3"])),
    written("group_id", st.sampled_from(["g1", "g2", "g3"])),
    written("item_id", st.sampled_from(["i0", "i1", "i99"])),
    written("price", NUMBERS, ordered=True),
    written("published_at", st.sampled_from(DATES), ordered=True),
    written("available", st.booleans()),
    written("properties.free", SCALARS, ordered=True),
    written("properties.frame.size", SCALARS, ordered=True),
    written('properties.od"d', SCALARS),
    written("properties.nobody", SCALARS),
    written("categories", PATHS.map(" > ".join)),
)
FILTERS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    CLAUSES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=5,
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "brand": st.sampled_from(WORDS[:3]),
        "tags": st.lists(st.sampled_from(WORDS[:3]), max_size=2),
        "price": NUMBERS,
        "available": st.booleans(),
        "categories": st.sampled_from(["a", "a > b"]),
        "group_id": st.just("g1"),
        "properties.free": st.sampled_from(["x", "y"]),
    },
)
IDS = st.integers(0, 9).map("i{}".format)
STEPS = st.lists(st.one_of(items(IDS), IDS), min_size=1, max_size=12)


def checked(raw: dict[str, Any]) -> tuple[Filter | None, FilterError | None]:
    """The filter, or why no item can pass it; any other trouble fails the test."""
    try:
        return parse_filter(raw), None
    except FilterError as error:
        if error.code != "contradictory_filter":
            raise
        return None, error


def is_odd(raw: object) -> bool:
    """What the reading in the test does not care for: text variables asked for a range of properties."""
    return isinstance(raw, dict) and any(
        (name in {"gt", "lte"} and isinstance(value, str) and "properties" in value)
        or any(is_odd(one) for one in (value if isinstance(value, list) else [value]))
        for name, value in raw.items()
    )


@settings(max_examples=400, deadline=None)
@given(
    st.lists(FILTERS, min_size=1, max_size=3),
    STEPS,
    CONTEXTS,
    st.one_of(MAYBE, items(st.just("p"))),
    st.data(),
)
def test_masks_say_what_every_item_says(
    raws: list[dict[str, Any]],
    steps: list[Item | str],
    context: dict[str, Any],
    page: Item | None,
    data: st.DataObject,
) -> None:
    filters = []
    for raw in raws:
        if not is_odd(raw):
            found, _ = checked(raw)
            if found is not None:
                filters.append((raw, found))
    catalogue = Catalogue()
    variables = Variables(context, page)
    for step in steps:
        if isinstance(step, str):
            catalogue.delete(step)
        else:
            catalogue.upsert(step)
        if data.draw(st.booleans(), "ask"):
            for raw, found in filters:
                hold(catalogue, raw, found, variables)
    for raw, found in filters:
        hold(catalogue, raw, found, variables)
        again = parse_filter(found.to_json())
        assert again == found
        assert (hash(again), again.fields(), again.needs()) == (hash(found), found.fields(), found.needs())


def hold(catalogue: Catalogue, raw: dict[str, Any], found: Any, variables: Variables) -> None:
    masked = catalogue.columns.mask(found, variables)
    rows = [row for row in range(catalogue.row_count) if catalogue.row_of(catalogue.id_of(row)) == row]
    wanted = {row for row in rows if passes(raw, catalogue.item(row), variables.context, variables.item)}
    assert set(np.flatnonzero(masked.mask).tolist()) == wanted, (raw, variables)
    assert masked.count == len(wanted)
    assert not masked.mask.flags.writeable
    assert len(masked.mask) >= catalogue.row_count
    for row in range(catalogue.row_count):
        assert catalogue.columns.matches(found, variables, row) is (row in wanted)


@settings(max_examples=300, deadline=None)
@given(st.lists(CLAUSES, min_size=2, max_size=4), st.lists(items(st.just("i0")), min_size=1, max_size=8))
def test_what_is_called_contradictory_lets_no_item_through(
    raws: list[dict[str, Any]], some: list[Item]
) -> None:
    raw = {"all": raws}
    _, trouble = checked(raw)
    if trouble is not None:
        assert not any(passes(raw, item, {}, None) for item in some), (raw, str(trouble))


@settings(max_examples=200, deadline=None)
@given(CLAUSES, CLAUSES, items(st.just("i0")))
def test_both_is_what_each_lets_through(left: dict[str, Any], right: dict[str, Any], item: Item) -> None:
    catalogue = Catalogue()
    row = catalogue.upsert(item)
    first, second = checked(left)[0], checked(right)[0]
    if first is None or second is None:
        return
    together = both(first, second)
    assert together is not None
    none = Variables()
    columns = catalogue.columns
    each = columns.matches(first, none, row) and columns.matches(second, none, row)
    assert columns.matches(together, none, row) is each
    assert both(first, None) is first
    assert both(None, second) is second
    assert both(None, None) is None


def mask_of(
    catalogue: Catalogue, text: str, context: dict[str, Any] | None = None, page: Item | None = None
) -> Any:
    return catalogue.columns.mask(parse_short(text), Variables(context or {}, page))


def ids_of(
    catalogue: Catalogue, text: str, context: dict[str, Any] | None = None, page: Item | None = None
) -> set[str]:
    return {
        catalogue.id_of(row) for row in np.flatnonzero(mask_of(catalogue, text, context, page).mask).tolist()
    }


def films() -> Catalogue:
    catalogue = Catalogue()
    rights: dict[str, list[str]] = {"everywhere": ["WORLD"], "german": ["DE", "AT"], "french": ["FR"]}
    for name, territories in rights.items():
        catalogue.upsert(
            Item(item_id=name, brand=name[0], properties={"territories": territories, "age": 12})
        )
    catalogue.upsert(Item(item_id="unsaid"))
    return catalogue


def test_territory_rights_let_nothing_through_where_the_country_is_unknown() -> None:
    catalogue = films()
    rights = "properties.territories:$context.country,WORLD"
    assert ids_of(catalogue, rights, {"country": "AT"}) == {"everywhere", "german"}
    assert ids_of(catalogue, rights) == set()
    assert mask_of(catalogue, rights).missing == ("context.country",)
    assert mask_of(catalogue, rights, {"country": "AT"}).missing == ()
    assert ids_of(catalogue, "!properties.territories:$context.country", {"country": "AT"}) == {
        "everywhere",
        "french",
        "unsaid",
    }
    assert ids_of(catalogue, "!properties.territories:$context.country") == set()


def test_a_question_mark_leaves_the_clause_out() -> None:
    catalogue = films()
    assert ids_of(catalogue, "properties.territories:$context.country?", {"country": "FR"}) == {"french"}
    assert len(ids_of(catalogue, "properties.territories:$context.country?")) == 4
    assert ids_of(catalogue, "properties.territories:$context.country?,WORLD") == {"everywhere"}
    assert ids_of(catalogue, "properties.territories:$context.country?;brand:f") == {"french"}
    assert mask_of(catalogue, "properties.territories:$context.country?").missing == ()


def test_variables_from_a_query_string_are_read_as_the_field_asks() -> None:
    catalogue = films()
    assert len(ids_of(catalogue, "properties.age:..$context.age", {"age": "12"})) == 3
    assert len(ids_of(catalogue, "properties.age:$context.age", {"age": "12"})) == 3
    assert ids_of(catalogue, "properties.age:..$context.age", {"age": "eleven"}) == set()
    assert mask_of(catalogue, "properties.age:..$context.age", {"age": "eleven"}).missing == ("context.age",)


def test_a_variable_within_an_object_of_the_context() -> None:
    rights = "properties.territories:$context.geo.country"
    assert ids_of(films(), rights, {"geo": {"country": "FR"}}) == {"french"}
    assert mask_of(films(), rights, {"geo": "FR"}).missing == ("context.geo.country",)


def test_the_item_of_the_page_lends_its_values() -> None:
    catalogue = Catalogue()
    for number in range(4):
        catalogue.upsert(
            Item(item_id=f"i{number}", brand="AB"[number % 2], tags=[f"t{number}", "all"][: 1 + number // 2])
        )
    catalogue.upsert(Item(item_id="new", published_at=1_000, price=3.0))
    catalogue.upsert(Item(item_id="newer", published_at=2_000, price=2.0))
    assert ids_of(catalogue, "brand:$item.brand", page=catalogue.get("i0")) == {"i0", "i2"}
    assert ids_of(catalogue, "tags:$item.tags", page=catalogue.get("i2")) == {"i2", "i3"}
    assert ids_of(catalogue, "published_at:$item.published_at..", page=catalogue.get("newer")) == {"newer"}
    assert ids_of(catalogue, "price:..$item.price", page=catalogue.get("newer")) == {"newer"}
    assert ids_of(catalogue, "brand:$item.brand", page=catalogue.get("new")) == set()
    assert mask_of(catalogue, "brand:$item.brand").missing == ("item.brand",)
