"""The catalogue in memory: any order of changes ends like a fresh load."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.event import PoisonError
from services.kernel.ids import item_key
from services.kernel.item import Item, encode_item
from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import ITEMS_KEPT, NEAREST_KEPT, Catalogue
from services.ranking.demand import demand_of
from services.ranking.extras import Extras
from services.ranking.state import RankingState
from services.release.files import Release, open_release
from services.trainer.day0 import build_day0
from tests.unit.shop import NOW_MS, Items, aggregates_of

CHANGE = st.tuples(
    st.sampled_from(["put", "put", "delete", "hide", "prepare", "bind", "swap"]), st.integers(0, 29)
)


@pytest.fixture(scope="module")
def small(shop_items: Items, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of twenty of thirty items."""
    return open_release(build_day0(shop_items[:20], tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="module")
def other(shop_items: Items, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of other twenty."""
    return open_release(build_day0(shop_items[10:30], tmp_path_factory.mktemp("other")))


def seen_from_outside(catalogue: Catalogue, names: list[str]) -> dict[str, object]:
    """All that ranking can learn of each item."""
    facts: dict[str, object] = {"length": len(catalogue)}
    for name in names:
        row = catalogue.row_of(name)
        assert row == catalogue.row_of_key(item_key(name))
        if row < 0:
            continue
        rows = np.array([row])
        vectors, has = catalogue.vectors(rows)
        facts[name] = (
            catalogue.item(row),
            bool(catalogue.servable(rows, NOW_MS)[0]),
            vectors.tobytes() if has[0] else None,
            row in catalogue.new_rows(),
            bool(catalogue.category[row]),
        )
    release = catalogue.release
    if release is not None:
        found = catalogue.rows_of_indices(np.arange(release.manifest.items))
        facts["index"] = [catalogue.item(row).item_id if row >= 0 else None for row in found.tolist()]
    facts["new"] = sorted(catalogue.item(row).item_id for row in catalogue.newest().tolist())
    return facts


@settings(max_examples=120)
@given(changes=st.lists(CHANGE, max_size=40))
def test_changes_one_by_one_equal_a_fresh_load(
    shop_items: Items, small: Release, other: Release, changes: list[tuple[str, int]]
) -> None:
    items = shop_items[:30]
    names = [item.item_id for item in items]
    catalogue, held = Catalogue(small), dict[str, Item]()
    target = small
    prepared = catalogue.prepare(small)
    for change, at in changes:
        match change:
            case "put" | "hide":
                held[names[at]] = msgspec.structs.replace(items[at], available=change == "put")
                catalogue.upsert(held[names[at]])
            case "delete":
                assert catalogue.delete(names[at]) == (held.pop(names[at], None) is not None)
            case "prepare":
                target = other if target is small else small
                prepared = catalogue.prepare(target)
            case "bind":
                catalogue.bind(prepared)
                prepared = catalogue.prepare(target)
            case _:
                target = small if at % 2 else other
                catalogue.bind(target)
                prepared = catalogue.prepare(target)
    fresh = Catalogue(catalogue.release)
    fresh.load([encode_item(item) for item in held.values()])
    assert seen_from_outside(catalogue, names) == seen_from_outside(fresh, names)


def test_rows_do_not_depend_on_the_order_of_a_load(shop_items: Items, release: Release) -> None:
    raws = [encode_item(item) for item in shop_items]
    one, other = Catalogue(release), Catalogue(release)
    one.load(raws)
    random.Random(3).shuffle(raws)
    other.load(raws)
    assert one.keys.tolist() == other.keys.tolist()
    rows, after = one.in_order(0, NOW_MS)
    assert (len(rows), after) == (len(shop_items), -1)


def test_bytes_that_are_no_item_are_refused(release: Release) -> None:
    with pytest.raises(PoisonError):
        Catalogue(release).load([b"{}"])


def test_nearest_are_the_nearest(shop_items: Items, release: Release) -> None:
    catalogue = Catalogue(release)
    catalogue.load([encode_item(item) for item in shop_items])
    row = catalogue.row_of(shop_items[4].item_id)
    vectors, _ = catalogue.vectors(np.arange(len(shop_items)))
    exact = np.sort(vectors @ vectors[row])[::-1][:NEAREST_KEPT]
    for _ in range(2):  # the second time from what was kept
        found = catalogue.nearest(row)
        np.testing.assert_allclose(vectors[found] @ vectors[row], exact, atol=1e-6)


def test_nearest_of_a_new_item_follow_its_vector(shop_items: Items, small: Release) -> None:
    catalogue = Catalogue(small)
    catalogue.load([encode_item(item) for item in shop_items[:20]])
    for source in (shop_items[0], shop_items[9]):
        row = catalogue.upsert(msgspec.structs.replace(source, item_id="new"))
        alike = catalogue.row_of(source.item_id)
        vectors, _ = catalogue.vectors(catalogue.nearest(row))
        mine = catalogue.vector(row)
        assert mine is not None
        assert np.all(np.diff(vectors @ mine) < 1e-6)
        assert alike in catalogue.nearest(row)[:3]


def test_extras_find_grow_and_forget() -> None:
    extras = Extras(8)
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((300, 8)).astype(np.float32)
    for row, vector in enumerate(vectors):
        extras.put(row, vector)
    for row in range(0, 300, 3):
        extras.remove(row)
    extras.put(1, None)
    left = [row for row in range(300) if row % 3 and row != 1]
    scores = vectors[left] @ vectors[7]
    expected = [left[at] for at in np.argsort(-scores)[:10]]
    assert extras.nearest(vectors[7], 10).tolist() == expected
    assert extras.get(1) is None
    assert next(extras.newest()) == 299
    assert len(extras) == 200
    extras.put(900, vectors[7])
    assert 900 in extras.nearest(vectors[7], 2).tolist()


def test_an_open_release_survives_its_directory(shop_items: Items, tmp_path: Path) -> None:
    import shutil

    folder = build_day0(shop_items[:50], tmp_path)
    release = open_release(folder)
    keys = release.item_keys.tolist()
    shutil.rmtree(folder)
    assert float(release.item_vectors.sum()) != 0.0
    assert release.vector_of(keys[3]) is not None


def test_an_item_read_before_it_changed_is_the_new_one_after(
    shop_items: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ITEMS_KEPT > 3
    monkeypatch.setattr("services.ranking.catalogue.ITEMS_KEPT", 3)
    catalogue, held = Catalogue(), shop_items[:8]
    for title in ("one", "two"):
        for item in held:
            catalogue.upsert(msgspec.structs.replace(item, title=title))
        rows = [catalogue.row_of(item.item_id) for item in held]
        assert [catalogue.item(row).title for row in rows] == [title] * 8
        assert [catalogue.id_of(row) for row in rows] == [item.item_id for item in held]
    catalogue.delete(held[7].item_id)
    with pytest.raises(KeyError):
        catalogue.item(rows[7])


def test_demand_follows_snapshots_and_layouts(shop_items: Items, small: Release) -> None:
    names = [item.item_id for item in shop_items[:30]]
    catalogue = Catalogue(small)
    catalogue.load([encode_item(item) for item in shop_items[:10]])
    popular = {name: 2.0 + place for place, name in enumerate(names)}
    state = RankingState(catalogue, aggregates_of({names[0]: 9.0}, popular))

    def check(aggregates: Aggregates) -> None:
        state.aggregates = aggregates
        found, fresh = demand_of(state), Catalogue(catalogue.release)
        fresh.load([encode_item(item) for item in (catalogue.get(name) for name in names) if item])
        expected = demand_of(RankingState(fresh, aggregates))
        held = [name for name in names if catalogue.row_of(name) >= 0]
        mine, others = (np.array([side.row_of(name) for name in held]) for side in (catalogue, fresh))
        for _ in range(2):  # looked up, then kept
            np.testing.assert_allclose(found.popularity(mine), expected.popularity(others))
        assert found.least[mine].tolist() == expected.least[others].tolist()
        for marked, wanted in ((found.trending, expected.trending), (found.popular, expected.popular)):
            assert [row in marked for row in mine.tolist()] == [row in wanted for row in others.tolist()]

    first = state.aggregates
    check(first)
    for item in shop_items[10:30]:
        catalogue.upsert(item)
    check(first)
    catalogue.delete(names[3])
    check(first)
    catalogue.bind(None)
    check(first)
    check(aggregates_of({names[5]: 1.0}, {names[7]: 3.0}))
    check(Aggregates.empty())
