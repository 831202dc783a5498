"""What the recommender answers over HTTP, from a real store and a real release."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.kernel.recommendation_id import decode_recommendation_id
from services.ranking.scenario_file import built_in
from tests.e2e.recommender_shop import (
    SLASHED,
    Shop,
    eventually,
    ids_of,
    now_ms,
    ready,
    recommender,
    shop_items,
)
from tests.servers import ValkeyServer

UNKNOWN_ITEM = "p_67890"


@pytest.fixture(scope="module")
def shop(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("releases"))
    shop.open(partitions=2)
    shop.put(shop_items())
    shop.release()
    for user in ("cheese", SLASHED, "a/stream", "ü ñ%"):
        shop.event(user, "p0", age_s=60)
        shop.event(user, "p4", age_s=30)
    shop.event("bread", "p1")
    shop.event("u_12345", UNKNOWN_ITEM)
    shop.aggregate({"p1": 3.0, "p2": 2.0, "p3": 1.0}, neighbours={"p0": ["p8", "p12"], "p3": ["p7"]})
    shop.aggregate({"p3": 3.0}, partition=1)
    return shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop) as client:
        ready(client)
        eventually(lambda: trends(client), why="aggregates are in memory")
        yield client


def trends(client: httpx.Client) -> bool:
    return bool(client.get("/recommend?scenario=trending&n=1").json()["strategy"] == "trending")


def listed(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def problem(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    return str(answer.json()["detail"])


def test_the_model_answers_somebody_known(client: httpx.Client) -> None:
    before_ms = now_ms()
    answer = client.get("/recommend/cheese?n=10")
    content = answer.json()
    assert content["strategy"] == "model"
    assert content["release"].startswith("day0-")
    assert content["scenario"] == "for_you"
    assert content["profile_events"] == 2
    assert 0 <= content["profile_age_ms"] < 3_600_000
    assert content["fresh"] is True
    assert [item["rank"] for item in content["items"]] == list(range(1, 11))
    scores = [item["score"] for item in content["items"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids_of(content))) == 10
    assert all(item["reason"]["code"] and item["reason"]["text"] for item in content["items"])
    told = decode_recommendation_id(content["recommendation_id"])
    assert (told.scenario, told.release) == ("for_you", content["release"])
    assert before_ms <= told.time_ms <= now_ms()
    assert answer.headers["cache-control"] == "no-store"
    stages = [stage.split(";")[0] for stage in answer.headers["server-timing"].split(", ")]
    assert stages == ["store", "model", "rank", "total"]


def test_two_users_get_two_lists(client: httpx.Client) -> None:
    assert ids_of(listed(client, "/recommend/cheese")) != ids_of(listed(client, "/recommend/bread"))


@pytest.mark.parametrize("n", [1, 3, 121, 200])
def test_n_is_what_comes_while_the_catalogue_lasts(client: httpx.Client, n: int) -> None:
    assert len(listed(client, f"/recommend/cheese?n={n}")["items"]) == min(n, 121)


@pytest.mark.parametrize("scenario", ["for_you", "similar", "trending", "popular"])
@pytest.mark.parametrize("path", ["/recommend/nobody-knows-me", "/recommend"])
def test_nobody_in_particular_gets_a_full_list(client: httpx.Client, path: str, scenario: str) -> None:
    content = listed(client, f"{path}?scenario={scenario}&n=7")
    assert len(content["items"]) == 7
    assert content["strategy"] in {"trending", "popular", "catalogue"}
    assert content["profile_events"] == 0
    assert content["profile_age_ms"] is None


def test_trending_and_popular_add_up_the_partitions(client: httpx.Client) -> None:
    for scenario in ("trending", "popular"):
        assert ids_of(listed(client, f"/recommend?scenario={scenario}&n=3")) == ["p3", "p1", "p2"]


def test_similar_starts_from_the_item_asked_for(client: httpx.Client) -> None:
    content = listed(client, "/recommend?scenario=similar&item_id=p3&n=10")
    assert "p3" not in ids_of(content)
    assert "p7" in ids_of(content)
    assert {item["reason"].get("item_id") for item in content["items"]} & {"p3"}


def test_an_item_in_no_catalogue_stands_under_recently_viewed(client: httpx.Client) -> None:
    content = listed(client, "/recommend/u_12345?scenario=recently_viewed&fields=title,price")
    assert ids_of(content) == [UNKNOWN_ITEM]
    assert content["items"][0]["title"] is None
    assert len(listed(client, "/recommend/u_12345?n=5")["items"]) == 5


def test_recently_viewed_is_newest_first(client: httpx.Client) -> None:
    assert ids_of(listed(client, "/recommend/cheese?scenario=recently_viewed"))[:2] == ["p4", "p0"]


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("/recommend/gid://shopify/Product/1", SLASHED),
        ("/recommend/gid:%2F%2Fshopify%2FProduct%2F1", SLASHED),
        ("/recommend/gid%3A%2F%2Fshopify%2FProduct%2F1", SLASHED),
        ("/recommend/a%2Fstream", "a/stream"),
        ("/recommend/%C3%BC%20%C3%B1%25", "ü ñ%"),
    ],
)
def test_ids_keep_their_slashes(client: httpx.Client, path: str, user: str) -> None:
    content = listed(client, path)
    assert (content["user_id"], content["profile_events"]) == (user, 2)


@pytest.mark.parametrize("path", ["/items/gid:%2F%2Fshopify%2FProduct%2F1", "/items/gid://shopify/Product/1"])
def test_an_item_with_slashes(client: httpx.Client, path: str) -> None:
    assert listed(client, path)["item_id"] == SLASHED


def test_bad_ids_in_paths(client: httpx.Client) -> None:
    problem(client.get("/recommend/%FF"), 400, "invalid_user_id")
    problem(client.get("/recommend/a%00b"), 400, "invalid_user_id")
    problem(client.get("/recommend/"), 400, "invalid_user_id")
    problem(client.get("/recommend/" + "x" * 257), 400, "invalid_user_id")
    problem(client.get("/items/no-such-item"), 404, "unknown_item")


def test_bad_parameters_say_what_to_change(client: httpx.Client) -> None:
    detail = problem(client.get("/recommend/u?scenario=for-you"), 422, "unknown_scenario")
    assert "'for_you'" in detail
    assert "'n'" in problem(client.get("/recommend/u?limit=5"), 422, "unknown_parameter")
    for n in ("0", "201", "-1", "x"):
        assert "1 to 200" in problem(client.get(f"/recommend/u?n={n}"), 422, "invalid_value")
    problem(client.get("/recommend/u?after=yesterday"), 422, "invalid_position")
    problem(client.get("/recommend/u?exclude=%FF"), 400, "invalid_query")
    problem(client.get("/recommend?" + "&".join(["_a=1"] * 1001)), 400, "invalid_query")
    problem(client.post("/recommend", content=b"{"), 400, "invalid_json")
    problem(client.post("/recommend", content=b"[" * 100_000), 400, "nested_too_deeply")
    problem(client.post("/recommend", content=b'{"user_id": "\xff"}'), 400, "not_utf8")
    problem(client.get("/items?cursor=AAAA"), 422, "invalid_cursor")
    problem(client.post("/recommend", content=b" " * ((1 << 20) + 1)), 413, "body_too_large")
    problem(
        client.post("/recommend", json={"recent_items": [{"item_id": "a", "event_type": "veiw"}]}),
        422,
        "unknown_event_type",
    )
    assert "mean" not in problem(client.get("/nothing/here"), 404, "not_found")
    assert "did you mean /recommend?" in problem(client.get("/recomend/u1"), 404, "not_found")
    assert "takes GET, POST" in problem(client.put("/recommend"), 405, "method_not_allowed")
    assert "takes GET" in problem(client.delete("/recommend/u"), 405, "method_not_allowed")


def test_exclude_and_fields(client: httpx.Client) -> None:
    content = listed(client, "/recommend?scenario=trending&n=4&exclude=p3,p1&fields=title,price,categories")
    assert not {"p3", "p1"} & set(ids_of(content))
    assert content["items"][0] | {"title": "Wine number 2", "price": 3.0} == content["items"][0]
    assert content["items"][0]["categories"] == [["Food", "Wine"]]


def test_an_anonymous_id_alone_and_beside_a_user(client: httpx.Client) -> None:
    alone = listed(client, "/recommend?anonymous_id=cheese&scenario=recently_viewed")
    assert ids_of(alone)[:2] == ["p4", "p0"]
    both = listed(client, "/recommend/bread?anonymous_id=cheese&scenario=recently_viewed")
    assert ids_of(both) == ["p1", "p4", "p0"]
    assert both["profile_events"] == 3
    assert ids_of(listed(client, "/recommend/bread?scenario=recently_viewed")) == ["p1"]
    assert listed(client, "/recommend/bread?anonymous_id=cheese")["strategy"] == "model"


def test_recent_items_count_for_this_answer_only(client: httpx.Client) -> None:
    body = {"user_id": "bread", "scenario": "recently_viewed", "recent_items": ["p2", {"item_id": "p6"}]}
    assert ids_of(client.post("/recommend", json=body).json()) == ["p6", "p2", "p1"]
    assert ids_of(listed(client, "/recommend/bread?scenario=recently_viewed")) == ["p1"]
    unknown = client.post("/recommend", json={"recent_items": ["p2", "p6"]}).json()
    assert unknown["strategy"] == "model"
    assert unknown["profile_events"] == 0


def test_candidates_are_ranked(client: httpx.Client) -> None:
    candidates = ["p5", "p9", "p0", "not-there"]
    content = client.post("/recommend", json={"user_id": "cheese", "candidates": candidates}).json()
    assert set(ids_of(content)) <= set(candidates)
    assert {"p5", "p9", "p0"} <= set(ids_of(content))


@pytest.mark.parametrize("dedupe", [True, False])
def test_rows_of_a_page(client: httpx.Client, dedupe: bool) -> None:
    rows = [
        {"id": "top", "scenario": "trending", "n": 3},
        {"id": "hits", "scenario": "popular", "n": 3},
        {"id": "yours", "scenario": "for_you", "n": 8},
    ]
    content = client.post("/recommend", json={"user_id": "cheese", "rows": rows, "dedupe": dedupe}).json()
    assert [(row["id"], row["scenario"], len(row["items"])) for row in content["rows"]] == [
        ("top", "trending", 3),
        ("hits", "popular", 3),
        ("yours", "for_you", 8),
    ]
    shown = [item_id for row in content["rows"] for item_id in ids_of(row)]
    assert (len(set(shown)) == len(shown)) is dedupe
    assert content["rows"][2]["strategy"] == "model"


def test_a_profile_is_readable(client: httpx.Client) -> None:
    content = listed(client, "/users/cheese/profile")
    assert set(content) == {"user_id", "events", "position", "recent", "interests", "consent", "expires_in_s"}
    assert (content["user_id"], content["events"]) == ("cheese", 2)
    assert content["position"].startswith("1-0-")
    assert [(entry["item_id"], entry["event_type"]) for entry in content["recent"]] == [
        ("p4", "view"),
        ("p0", "view"),
    ]
    assert abs(content["recent"][0]["timestamp"] - now_ms() / 1000) < 3600
    assert content["recent"][0]["value"] is None
    assert content["interests"] == [{"category": "Food > Cheese", "weight": 1.0}]
    assert 0 < content["expires_in_s"] <= 90 * 86_400
    assert listed(client, "/users/gid:%2F%2Fshopify%2FProduct%2F1/profile")["user_id"] == SLASHED
    assert listed(client, "/users/u_12345/profile")["recent"][0]["item_id"] == UNKNOWN_ITEM


def test_a_profile_of_nobody_is_empty(client: httpx.Client) -> None:
    content = listed(client, "/users/never-seen/profile")
    assert content == {
        "user_id": "never-seen",
        "events": 0,
        "position": None,
        "recent": [],
        "interests": [],
        "consent": None,
        "expires_in_s": None,
    }


def test_a_forgotten_profile_is_nobody(client: httpx.Client, shop: Shop) -> None:
    shop.event("long-gone", "p1", received_at_ms=now_ms() - 91 * 86_400_000)
    assert listed(client, "/users/long-gone/profile")["events"] == 0
    assert listed(client, "/recommend/long-gone")["profile_events"] == 0


def test_all_items_page_by_page(client: httpx.Client) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        page = listed(client, f"/items?limit=50&cursor={cursor}")
        found += [item["item_id"] for item in page["items"]]
        assert page["total"] == 121
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert found == sorted(item.item_id for item in shop_items())
    problem(client.get("/items?limit=0"), 422, "invalid_value")
    problem(client.get("/items?limit=1001"), 422, "invalid_value")
    problem(client.get("/items?cursor=%21%21"), 422, "invalid_cursor")


def test_what_else_can_be_read(client: httpx.Client) -> None:
    scenarios = listed(client, "/scenarios")
    assert [entry["scenario"] for entry in scenarios["scenarios"]] == list(built_in())
    assert (scenarios["file"], scenarios["warnings"]) == (None, [])
    releases = listed(client, "/releases")
    assert releases["loaded"]["release"] == releases["live"]
    assert (releases["refused"], releases["degraded"]) == ([], [])
    assert client.get("/healthz").status_code == 200
    metrics = client.get("/metrics").text
    assert 'freshet_recommendations_total{scenario="for_you",strategy="model"}' in metrics
    assert "freshet_catalogue_items 121.0" in metrics


def test_the_documentation_knows_every_route(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/recommend",
        "/recommend/{user_id}",
        "/recommend/{user_id}/stream",
        "/items",
        "/items/{item_id}",
    } <= set(paths)
    assert {"/users/{user_id}/profile", "/scenarios", "/releases"} <= set(paths)
    names = {parameter["name"] for parameter in paths["/recommend/{user_id}"]["get"]["parameters"]}
    assert {"user_id", "n", "scenario", "after", "fields"} <= names
    assert paths["/recommend"]["post"]["requestBody"]["content"]["application/json"]["examples"]["page"]
