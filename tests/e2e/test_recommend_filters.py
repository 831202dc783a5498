"""Filters, context and rules over HTTP, on a shop of four shelves and seven brands."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.kernel.item import Item
from tests.e2e.recommender_shop import Shop, eventually, ids_of, ready, recommender, shop_items
from tests.servers import ValkeyServer

LICENSED = [
    Item(
        item_id=f"film {number}",
        title=f"Cheese the movie, part {number}",
        categories=[["Films"]],
        properties={"territories": ["PT", "ES"] if number % 2 else ["US"], "min_age": 6 * (number % 3)},
    )
    for number in range(12)
]


@pytest.fixture(scope="module")
def shop(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("releases"))
    shop.open()
    shop.put([*shop_items(), *LICENSED])
    shop.release([*shop_items(), *LICENSED])
    shop.event("cheese", "p0", age_s=60)
    shop.event("cheese", "p4", age_s=30)
    shop.aggregate({"p1": 3.0, "p2": 2.0, "p3": 1.0}, neighbours={"p0": ["p8", "p12"]})
    return shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop) as client:
        ready(client)
        eventually(lambda: client.get("/items?limit=1").status_code == 200, why="the catalogue is whole")
        yield client


def asked(client: httpx.Client, path: str = "/recommend/cheese", **parameters: Any) -> dict[str, Any]:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def posted(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def refusal(answer: httpx.Response, code: str) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == code, answer.text
    return str(answer.json()["detail"])


@pytest.mark.parametrize("scenario", ["for_you", "trending", "popular", "similar"])
def test_every_item_of_a_list_passes_its_filter(client: httpx.Client, scenario: str) -> None:
    content = asked(
        client,
        scenario=scenario,
        n=50,
        filter="categories:Food > Bread,Food > Tea;price:10..80;!brand:brand 1",
        fields="categories,price,brand",
    )
    for item in content["items"]:
        assert item["categories"][0] in (["Food", "Bread"], ["Food", "Tea"])
        assert 10 <= item["price"] <= 80
        assert item["brand"] != "brand 1"
    expected = [
        item
        for item in shop_items()
        if item.categories[0][1] in {"Bread", "Tea"}
        and item.brand != "brand 1"
        and 10 <= (item.price or 0) <= 80
    ]
    assert content["filter"] == {"matched": len(expected)}
    assert len(content["items"]) == len(expected)


def test_text_and_json_are_the_same_filter(client: httpx.Client) -> None:
    short = "brand:brand 2,brand 3;price:..60"
    said = {"brand": ["brand 2", "brand 3"], "price": {"lte": 60}}
    lists = [
        asked(client, n=30, filter=short),
        posted(client, {"user_id": "cheese", "n": 30, "filter": said}),
        posted(client, {"user_id": "cheese", "n": 30, "filter": short}),
    ]
    assert ids_of(lists[0]) == ids_of(lists[1]) == ids_of(lists[2])
    assert ids_of(lists[0])


AGED_7: dict[str, Any] = {"context.age": 7}


def test_territory_rights_and_kids_mode_by_context(client: httpx.Client) -> None:
    rights = "properties.territories:$context.country;properties.min_age:..$context.age"
    both = asked(client, n=20, filter=rights, country="PT", **AGED_7)
    assert set(ids_of(both)) == {"film 1", "film 3", "film 7", "film 9"}
    body = {"n": 20, "filter": rights, "context": {"country": ["PT", "US"], "age": 0}}
    assert set(ids_of(posted(client, body))) == {"film 0", "film 3", "film 6", "film 9"}
    nobody_knows = asked(client, n=20, filter=rights, country="PT")
    assert nobody_knows["items"] == []
    assert nobody_knows["filter"] == {"matched": 0, "missing": ["context.age"]}


def test_the_same_brand_as_the_item_of_the_page(client: httpx.Client) -> None:
    content = asked(
        client,
        "/recommend",
        scenario="similar",
        item_id="p3",
        n=40,
        filter="brand:$item.brand",
        fields="brand",
    )
    assert {item["brand"] for item in content["items"]} == {"brand 3"}
    assert "p3" not in ids_of(content)


def test_nothing_left_is_said_with_what_was_probably_meant(client: httpx.Client) -> None:
    content = asked(client, filter="brand:brnad 3")
    assert (content["items"], content["next_cursor"]) == ([], None)
    (unknown,) = content["filter"]["unknown"]
    assert (content["filter"]["matched"], unknown["field"], unknown["value"]) == (0, "brand", "brnad 3")
    assert "did you mean 'brand" in unknown["problem"]


def test_a_filter_is_relaxed_in_the_order_that_was_stated(client: httpx.Client) -> None:
    narrow = "categories:Food > Wine;brand:brand 2;price:2..4"
    assert ids_of(asked(client, filter=narrow, n=5)) == ["p2"]
    wider = asked(client, filter=narrow, n=5, relax="price,brand", at_least=4, fields="brand")
    assert wider["filter"]["relaxed"] == ["price"]
    assert {item["brand"] for item in wider["items"]} == {"brand 2"}
    widest = asked(client, filter=narrow, n=50, relax="price,brand", at_least=20, fields="categories")
    assert widest["filter"]["relaxed"] == ["price", "brand"]
    assert {str(item["categories"]) for item in widest["items"]} == {"[['Food', 'Wine']]"}


def test_boosts_pins_caps_and_diversity_are_seen_in_explain(client: httpx.Client) -> None:
    body = {
        "user_id": "cheese",
        "n": 12,
        "boosts": [{"filter": "categories:Food > Tea", "by": 3}],
        "pins": [{"item": "p41", "slot": 2}],
        "caps": [{"field": "brand", "most": 2}],
        "diversity": 0.2,
        "explain": True,
        "fields": ["brand", "categories"],
    }
    items = posted(client, body)["items"]
    assert items[1]["item_id"] == "p41"
    assert items[1]["explain"]["pinned"] == 2
    tea = [item for item in items if item["categories"] == [["Food", "Tea"]] and item["item_id"] != "p41"]
    assert tea[0]["explain"]["boosts"] == [{"filter": {"categories": "Food > Tea"}, "by": 3.0}]
    assert all("diversity" in item["explain"] for item in tea)
    brands = [item["brand"] for item in items if item["brand"]]
    assert max(map(brands.count, brands)) <= 2
    silent = posted(client, {**body, "explain": False})["items"]
    assert not any("explain" in item for item in silent)


def test_rows_have_filters_of_their_own_beside_that_of_the_page(client: httpx.Client) -> None:
    body = {
        "user_id": "cheese",
        "n": 6,
        "filter": {"price": {"lte": 50}},
        "fields": ["price", "categories"],
        "rows": [
            {"id": "tea", "filter": "categories:Food > Tea"},
            {"id": "wine", "scenario": "popular", "filter": {"categories": "Food > Wine"}, "n": 4},
            {"id": "all"},
        ],
    }
    rows = {row["id"]: row for row in posted(client, body)["rows"]}
    assert [len(rows[name]["items"]) for name in ("tea", "wine", "all")] == [6, 4, 6]
    assert {str(item["categories"]) for item in rows["tea"]["items"]} == {"[['Food', 'Tea']]"}
    assert {str(item["categories"]) for item in rows["wine"]["items"]} == {"[['Food', 'Wine']]"}
    everything = [item for row in rows.values() for item in row["items"]]
    assert all(item["price"] <= 50 for item in everything)
    assert len({item["item_id"] for item in everything}) == len(everything)


def test_candidates_and_a_filter_hold_together(client: httpx.Client) -> None:
    candidates = ["p5", "p9", "p0", "p1", "nowhere"]
    content = posted(
        client, {"user_id": "cheese", "candidates": candidates, "filter": "categories:Food > Bread"}
    )
    assert set(ids_of(content)) == {"p5", "p9", "p1"}


def test_a_visitor_without_any_id_is_known_by_recent_items(client: httpx.Client) -> None:
    body = {"recent_items": ["p2", {"item_id": "p6", "event_type": "cart_add"}], "n": 8}
    content = posted(client, {**body, "filter": "categories:Food"})
    assert (content["user_id"], content["anonymous_id"], content["strategy"]) == (None, None, "model")
    assert wine_in(content) > wine_in(posted(client, {"n": 8, "filter": "categories:Food"}))


def wine_in(content: dict[str, Any]) -> int:
    wine = {item.item_id for item in shop_items() if item.categories == [["Food", "Wine"]]}
    return len(wine & set(ids_of(content)))


def test_a_stream_obeys_filters_too(client: httpx.Client, shop: Shop) -> None:
    parameters: dict[str, Any] = {
        "n": 5,
        "filter": "categories:Food > Tea",
        "diversity": 0.5,
        "fields": "categories",
    }
    with client.stream("GET", "/recommend/streamer/stream", params=parameters) as stream:
        lists = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        first = next(lists)
        shop.event("streamer", "p3")
        second = next(lists)
    for content in (first, second):
        assert len(content["items"]) == 5
        assert {str(item["categories"]) for item in content["items"]} == {"[['Food', 'Tea']]"}
    assert second["profile_events"] == 1


def test_mistakes_are_told_with_the_field_and_the_nearest_name(client: httpx.Client) -> None:
    detail = refusal(client.get("/recommend?filter=brnad:x"), "unknown_field")
    assert "filter.brnad" in detail
    assert "did you mean 'brand'?" in detail
    body: dict[str, Any] = {"rows": [{}, {"filter": {"price": {"gte": "5"}}}]}
    assert "rows[1].filter.price.gte" in refusal(client.post("/recommend", json=body), "invalid_value")
    refusal(client.get("/recommend?filter=price:9..5"), "contradictory_filter")
    body = {"filter": {"brand": "a"}, "rows": [{"filter": {"brand": "b"}}]}
    assert "rows[0].filter.brand" in refusal(client.post("/recommend", json=body), "contradictory_filter")
    answer = client.post("/recommend", json={"diversity": 7, "caps": [{"field": "brand"}]})
    refusal(answer, "invalid_rule")
    assert [problem["where"] for problem in answer.json()["problems"]] == ["caps[0]", "diversity"]
    assert "$context" in refusal(client.get("/items?filter=brand:$context.brand"), "invalid_value")


def test_items_by_filter_page_by_page(client: httpx.Client) -> None:
    expected = sorted(item.item_id for item in shop_items() if (item.price or 0) > 30 and "p" in item.item_id)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(
            "/items", params={"filter": "price:30.5..", "limit": 7, "cursor": cursor, "fields": "price"}
        ).json()
        assert page["total"] == len(expected)
        assert page["filter"] == {"matched": len(expected)}
        assert all(set(item) == {"item_id", "price"} for item in page["items"])
        found += [item["item_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == expected
    (film,) = client.get("/items", params={"filter": "item_id:film 5"}).json()["items"]
    assert film["properties"]["territories"] == ["PT", "ES"]
    none = client.get("/items?filter=tags:sale").json()
    assert (none["items"], none["total"], none["next_cursor"]) == ([], 0, None)
    assert none["filter"]["unknown"][0]["field"] == "tags"
    assert "did you mean 'title'" in refusal(client.get("/items?fields=titel"), "unknown_field")
    assert "did you mean 'limit'" in refusal(client.get("/items?limt=3"), "unknown_parameter")


def test_a_stream_follows_the_scenario_file(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "scenarios.toml"
    scenario = (
        '[scenarios.shelf]\nsources = ["popular"]\nfill = ["catalogue"]\nfilter = {{ categories = "{}" }}\n'
    )
    file.write_text(scenario.format("Food > Tea"))
    with recommender(shop, scenarios=str(file)) as client:
        ready(client)
        parameters = {"scenario": "shelf", "n": "3", "fields": "categories"}
        with client.stream("GET", "/recommend/follower/stream", params=parameters) as stream:
            lists = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
            assert shelf_of(next(lists)) == "Tea"
            file.write_text(scenario.format("Food > Wine"))
            eventually(lambda: "Wine" in client.get("/scenarios").text, why="the new version serves")
            shop.event("follower", "p3")
            assert shelf_of(next(lists)) == "Wine"
            file.write_text("# no more")
            eventually(lambda: "shelf" not in client.get("/scenarios").text, why="the scenario is gone")
            shop.event("follower", "p7")
            assert shelf_of(next(lists)) == "Wine", "to the end of the stream"


def shelf_of(content: dict[str, Any]) -> str:
    (shelf,) = {item["categories"][0][1] for item in content["items"]}
    return str(shelf)
