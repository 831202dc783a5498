"""Next pages over HTTP: nothing comes twice, whatever happens between two of them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.kernel.item import Item
from tests.e2e.recommender_shop import Shop, eventually, ids_of, ready, recommender, shop_items
from tests.servers import ValkeyServer

COUNT = 600


@pytest.fixture(scope="module")
def shop(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("releases"))
    shop.open()
    shop.put(shop_items(COUNT))
    shop.release(shop_items(COUNT))
    shop.event("ada", "p0", age_s=60)
    shop.aggregate({f"p{number}": float(number) for number in range(40)})
    return shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop) as client:
        ready(client)
        eventually(lambda: client.get("/items?limit=1").status_code == 200, why="the catalogue is whole")
        yield client


def listed(client: httpx.Client, user_id: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(f"/recommend/{user_id}", params=parameters)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def posted(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


@pytest.mark.parametrize("scenario", ["for_you", "trending", "popular"])
def test_five_pages_of_twenty_without_a_repetition_while_events_arrive(
    client: httpx.Client, shop: Shop, scenario: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    user = f"pager of {scenario}"
    shop.event(user, "p8", age_s=90)
    shown: list[str] = []
    cursor = ""
    for page in range(5):
        content = listed(client, user, scenario=scenario, n=20, cursor=cursor)
        assert len(content["items"]) == 20, page
        shown += ids_of(content)
        cursor = content["next_cursor"]
        position = shop.event(user, f"p{rng.randrange(COUNT)}", "cart_add")
        shop.aggregate({f"p{rng.randrange(COUNT)}": 60.0 + page})
        assert listed(client, user, n=1, after=str(position))["fresh"] is True
    assert len(set(shown)) == 100, sorted(one for one in shown if shown.count(one) > 1)


def test_without_a_cursor_the_first_page_comes_again(client: httpx.Client) -> None:
    first = listed(client, "ada", n=20)
    assert ids_of(listed(client, "ada", n=20)) == ids_of(first)
    assert not set(ids_of(first)) & set(ids_of(listed(client, "ada", n=20, cursor=first["next_cursor"])))


def test_a_category_page_of_500_candidates_is_ranked_to_its_end(client: httpx.Client) -> None:
    candidates = [f"p{number}" for number in range(50, 550)]
    body = {"user_id": "ada", "candidates": candidates, "n": 120}
    shown: list[str] = []
    pages = 0
    while True:
        content = posted(client, body)
        shown += ids_of(content)
        pages += 1
        if content["next_cursor"] is None:
            break
        body["cursor"] = content["next_cursor"]
    assert pages == 5
    assert sorted(shown) == sorted(candidates)
    cheese = [int(item_id[1:]) % 4 == 0 for item_id in shown]
    assert sum(cheese[:100]) > 1.5 * sum(cheese[-100:]), "she looked at cheese"


def test_pages_of_a_narrow_filter_end(client: httpx.Client) -> None:
    asked = {"filter": "categories:Food > Tea;brand:brand 3", "n": 10}
    expected = {
        item.item_id
        for item in shop_items(COUNT)
        if item.brand == "brand 3" and item.categories == [["Food", "Tea"]]
    }
    shown: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        content = listed(client, "ada", **asked, cursor=cursor)
        shown += ids_of(content)
        cursor = content["next_cursor"]
    assert len(shown) == len(set(shown))
    assert set(shown) == expected


def test_each_row_has_its_next_page_and_none_repeats_another(client: httpx.Client) -> None:
    rows = [{"id": "top", "scenario": "trending", "n": 8}, {"id": "yours", "scenario": "for_you", "n": 8}]
    shown: list[str] = []
    for _ in range(4):
        content = posted(client, {"user_id": "ada", "rows": rows})
        for row, made in zip(rows, content["rows"], strict=True):
            shown += ids_of(made)
            row["cursor"] = made["next_cursor"]
    assert len(shown) == len(set(shown)) == 64
    only_one = posted(client, {"user_id": "ada", "rows": rows[:1]})["rows"][0]
    assert len(only_one["items"]) == 8
    assert not set(ids_of(only_one)) & set(shown[:8])


def test_pinned_items_and_other_sizes_stand_on_the_first_page_only(client: httpx.Client, shop: Shop) -> None:
    shop.put([Item(item_id=f"coat {size}", title="Coat", brand="coats", group_id="coat") for size in "SML"])
    body: dict[str, Any] = {
        "user_id": "ada",
        "n": 5,
        "pins": [{"item": "p599", "slot": 3}],
        "boosts": [{"filter": {"brand": "coats"}, "by": 10}],
    }
    coats = {"coat S", "coat M", "coat L"}

    eventually(lambda: client.get("/items?limit=1").json()["total"] == COUNT + 4, why="the coats are there")
    content = posted(client, body)
    assert ids_of(content)[2] == "p599"
    assert len(coats & set(ids_of(content))) == 1
    shown = ids_of(content)
    for _ in range(3):
        content = posted(client, {**body, "cursor": content["next_cursor"]})
        assert not coats & set(ids_of(content))
        shown += ids_of(content)
    assert len(shown) == len(set(shown)) == 20


@pytest.mark.parametrize("cursor", ["AAAA", "next", "AQ", "%00", "€", "A" * 12000])
def test_a_cursor_of_somebody_else_is_refused(client: httpx.Client, cursor: str) -> None:
    answer = client.get("/recommend/ada", params={"cursor": cursor})
    if cursor == "AQ":  # of a page that showed nothing
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")
    assert "`next_cursor` of the page before" in answer.json()["detail"]
