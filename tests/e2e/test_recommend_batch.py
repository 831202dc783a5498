"""POST /recommend/batch over HTTP: e-mail campaigns beside visitors who wait."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.recommender import batch
from tests.e2e.conftest import FreshetMaker
from tests.e2e.recommender_shop import PATIENCE_S, Shop, eventually, ids_of, ready, recommender, shop_items
from tests.servers import ValkeyServer

KEYS = {"keys": "full", "write_keys": "browser"}


@pytest.fixture(scope="module")
def shop(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("releases"))
    shop.open()
    shop.put(shop_items())
    shop.release()
    for number in range(20):
        shop.event(f"u{number}", f"p{number}")
    shop.aggregate({"p1": 3.0, "p2": 2.0, "p3": 1.0})
    return shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop) as client:
        ready(client)
        eventually(lambda: client.get("/items?limit=1").status_code == 200, why="the catalogue is whole")
        yield client


def lines_of(client: httpx.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/recommend/batch", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_user_gets_what_recommend_would_answer(client: httpx.Client) -> None:
    users = [f"u{number}" for number in range(20)]
    body = {"user_ids": users, "n": 6, "filter": "price:..60", "diversity": 0.2, "fields": ["title"]}
    *lines, last = lines_of(client, body)
    assert [line["user_id"] for line in lines] == users
    assert last == {"done": True, "users": 20, "failed": 0, "repeated": []}
    for user, line in zip(users, lines, strict=True):
        alone = client.get(
            f"/recommend/{user}", params={"n": 6, "filter": "price:..60", "diversity": 0.2, "fields": "title"}
        ).json()
        assert ids_of(line) == ids_of(alone)
        assert set(line) == set(alone)
        assert line["strategy"] == "model"
    assert len({tuple(ids_of(line)) for line in lines}) > 5, "not everybody gets the same"


def test_rows_contexts_and_items_of_each(client: httpx.Client) -> None:
    body = {
        "users": [
            {"user_id": "u1", "item_id": "p3", "context": {"brand": "brand 2"}},
            {"user_id": "u2", "item_id": "p4", "exclude": ["p8"]},
            {"anonymous_id": "u3"},
        ],
        "filter": {"brand": {"ne": "$context.brand?"}},
        "fields": "brand",
        "rows": [
            {"id": "like", "scenario": "similar", "n": 30},
            {"id": "top", "scenario": "trending", "n": 3},
        ],
    }
    one, two, three, last = lines_of(client, body)
    assert (one["user_id"], one["item_id"], two["item_id"], three["anonymous_id"]) == ("u1", "p3", "p4", "u3")
    assert [row["id"] for row in one["rows"]] == ["like", "top"]
    assert "brand 2" not in {item["brand"] for row in one["rows"] for item in row["items"]}
    assert "brand 2" in {item["brand"] for row in two["rows"] for item in row["items"]}
    assert "p8" not in {item["item_id"] for row in two["rows"] for item in row["items"]}
    assert three["profile_events"] == 1
    assert last["failed"] == 0


def test_mistakes_stand_in_their_lines_and_repetitions_at_the_end(client: httpx.Client) -> None:
    one, two, three, four, last = lines_of(client, {"user_ids": ["u1", "", "nobody", "u1", None], "n": 2})
    assert len(one["items"]) == len(three["items"]) == 2
    assert two["error"]["code"] == four["error"]["code"] == "invalid_id"
    assert "user_ids" in two["error"]["detail"]
    assert (three["user_id"], three["profile_events"]) == ("nobody", 0)
    assert last == {"done": True, "users": 4, "failed": 2, "repeated": ["u1"]}


def test_what_is_wrong_with_all_of_it_is_a_422(client: httpx.Client) -> None:
    for body, code in (
        ({"user_ids": ["a"] * 1001}, "too_many"),
        ({"user_ids": []}, "invalid_body"),
        ({"user_ids": ["a"], "filter": "prize:5"}, "unknown_field"),
        ({"user_id": "a"}, "unknown_field"),
        ({}, "invalid_body"),
    ):
        answer = client.post("/recommend/batch", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert client.get("/recommend/batch").json()["user_id"] == "batch", "a GET asks for a user of that name"
    assert client.put("/recommend/batch").status_code == 405


def test_a_thousand_users_the_first_before_the_last_is_made(client: httpx.Client) -> None:
    users = [f"u{number % 20}x{number}" for number in range(1000)]
    with client.stream("POST", "/recommend/batch", json={"user_ids": users, "n": 3}) as answer:
        lines = answer.iter_lines()
        first = json.loads(next(lines))
        assert first["user_id"] == users[0]
        assert answered(client) < 1000, "the rest is still being made"
        rest = [json.loads(line) for line in lines]
    assert [line["user_id"] for line in rest[:-1]] == users[1:]
    assert rest[-1] == {"done": True, "users": 1000, "failed": 0, "repeated": []}


def answered(client: httpx.Client) -> float:
    """How many lists of trending this recommender has made for a batch of nobodies."""
    name = 'freshet_recommendations_total{scenario="for_you"'
    return sum(
        float(line.rpartition(" ")[2])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith(name)
    )


def test_a_client_that_goes_away_stops_the_work(shop: Shop) -> None:
    with recommender(shop) as client:
        ready(client)
        users = [f"gone {number}" for number in range(1000)]
        with client.stream("POST", "/recommend/batch", json={"user_ids": users, "n": 50}) as answer:
            next(answer.iter_lines())
        eventually(lambda: stands_still(client), why="nothing more is made")
        assert answered(client) < 1000


def stands_still(client: httpx.Client) -> bool:
    before = answered(client)
    threading.Event().wait(0.2)
    return answered(client) == before


def test_visitors_are_answered_while_a_batch_runs(client: httpx.Client) -> None:
    done: list[dict[str, Any]] = []

    def campaign() -> None:
        with httpx.Client(base_url=client.base_url, timeout=PATIENCE_S) as other:
            users = [{"user_id": f"u{number % 20}", "context": {"mail": number}} for number in range(1000)]
            done.extend(lines_of(other, {"users": users, "n": 100}))

    runner = threading.Thread(target=campaign)
    runner.start()
    visits = 0
    while runner.is_alive():
        content = client.get("/recommend/u1", params={"n": 5}).json()
        assert (content["strategy"], len(content["items"])) == ("model", 5)
        visits += 1
    runner.join()
    assert visits > 20, "they did not wait for the campaign"
    assert done[-1] == {"done": True, "users": 1000, "failed": 0, "repeated": []}


def test_only_so_many_batches_at_once(client: httpx.Client) -> None:
    users = [f"many {number}" for number in range(1000)]
    statuses = []
    reading: list[Iterator[str]] = []  # an iterator that goes would close its answer
    held: list[Any] = []
    try:
        for _ in range(9):
            stream = client.stream("POST", "/recommend/batch", json={"user_ids": users, "n": 100})
            answer = stream.__enter__()
            held.append(stream)
            statuses.append(answer.status_code)
            if answer.status_code == 503:
                assert json.loads(answer.read())["code"] == "too_many_batches"
                assert answer.headers["retry-after"]
                break
            lines = answer.iter_lines()
            next(lines)
            reading.append(lines)
    finally:
        for stream in held:
            stream.__exit__(None, None, None)
    assert statuses == [200] * 8 + [503]
    eventually(
        lambda: client.post("/recommend/batch", json={"user_ids": ["a"]}).status_code == 200,
        why="places are free again",
    )


def test_a_call_that_takes_too_long_says_whom_it_did_not_reach(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_S", 0.1)
    users = [f"late {number}" for number in range(1000)]
    *lines, last = lines_of(client, {"user_ids": users, "n": 100})
    assert [line["user_id"] for line in lines] == users
    assert len(lines[0]["items"]) == 100
    assert lines[-1]["error"]["code"] == "not_answered"
    reached = ["items" in line for line in lines]
    assert reached == sorted(reached, reverse=True)
    assert last == {"done": True, "users": 1000, "failed": reached.count(False), "repeated": []}


def test_a_service_that_stops_says_whom_it_did_not_reach(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--demo-orders", "50")
    process.start()
    eventually(lambda: process.get("/items?limit=1")["total"], why="the shop is in memory")
    users = [f"u{number}" for number in range(1000)]
    body = {"user_ids": users, "n": 100}
    with httpx.stream("POST", f"{process.url}/recommend/batch", json=body, timeout=PATIENCE_S) as answer:
        lines = answer.iter_lines()
        first = json.loads(next(lines))
        stopping = threading.Thread(target=process.stop)
        stopping.start()
        *rest, last = [json.loads(line) for line in lines]
    stopping.join()
    assert first["items"]
    assert [line["user_id"] for line in rest] == users[1:]
    assert rest[-1]["error"]["code"] == "not_answered"
    assert "the service stops" in rest[-1]["error"]["detail"]
    assert (last["done"], last["users"]) == (True, 1000)
    assert last["failed"] == sum("error" in line for line in rest)


def test_a_batch_needs_a_full_key(shop: Shop) -> None:
    with recommender(shop, **KEYS) as client:
        for key, status in (("full", 200), ("browser", 403), ("other", 401)):
            headers = {"authorization": f"Bearer {key}"}
            answer = client.post("/recommend/batch", json={"user_ids": ["u1"]}, headers=headers)
            assert answer.status_code == status, key
