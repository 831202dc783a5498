"""The recommender follows what changes beside it: the catalogue, the epoch, the live release."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from services.kernel.item import Item
from services.release.repository import promote, publish
from services.store.catalogue import MAX_CHANGES
from services.store.meta import MetaStore
from services.trainer.day0 import build_day0
from tests.e2e.recommender_shop import (
    PATIENCE_S,
    Shop,
    eventually,
    ids_of,
    now_ms,
    ready,
    recommender,
    shop_items,
)
from tests.servers import ValkeyServer


@pytest.fixture
def shop(valkey: ValkeyServer, tmp_path: Path) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path / "releases")
    shop.open()
    shop.put(shop_items())
    shop.release()
    shop.event("u", "p1")
    return shop


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop) as client:
        ready(client)
        yield client


def candidates(client: httpx.Client, *item_ids: str) -> list[str]:
    answer = client.post("/recommend", json={"user_id": "u", "candidates": list(item_ids)})
    assert answer.status_code == 200
    return ids_of(answer.json())


def loaded(client: httpx.Client) -> str:
    return str(client.get("/releases").json()["loaded"]["release"])


def test_items_come_change_and_go(client: httpx.Client, shop: Shop) -> None:
    shop.put([Item(item_id="new", title="Cheese that is new", categories=[["Food", "Cheese"]])])
    eventually(lambda: candidates(client, "new") == ["new"], why="a new item is served")
    shop.put([Item(item_id="new", title="Cheese that is new", available=False)])
    eventually(lambda: candidates(client, "new") == [], why="an unavailable item is not")
    shop.put([Item(item_id="new", title="Cheese again")])
    eventually(lambda: candidates(client, "new") == ["new"], why="an item comes back")
    assert client.get("/items/new").json()["title"] == "Cheese again"
    shop.put([], delete=["new"])
    eventually(lambda: candidates(client, "new") == [], why="a deleted item goes")
    assert client.get("/items/new").status_code == 404
    assert client.get("/items?limit=1").json()["total"] == 121


def trending(client: httpx.Client) -> tuple[str, list[str]]:
    """(strategy, ids) of a short trending list."""
    content = client.get("/recommend?scenario=trending&n=2").json()
    return content["strategy"], ids_of(content)


def test_the_first_event_of_a_fresh_item_enters_trending(client: httpx.Client, shop: Shop) -> None:
    assert trending(client)[0] == "catalogue", "nobody did anything yet"
    shop.aggregate({"p7": 0.0})
    eventually(lambda: trending(client)[0] == "trending", why="the first event of an empty shop shows")
    assert trending(client)[1][0] == "p7"
    shop.put([Item(item_id="new", title="Cheese that is new")])
    shop.aggregate({"new": 3.0})
    eventually(lambda: trending(client)[1] == ["new", "p7"], why="an item that came and sold is trending")


def test_what_was_trending_before_the_start_is_there_when_ready(shop: Shop) -> None:
    shop.aggregate({"p3": 5.0, "p9": 4.0})
    with recommender(shop) as client:
        ready(client)
        assert trending(client) == ("trending", ["p3", "p9"])


def test_one_of_a_group_stands_in_a_list(client: httpx.Client, shop: Shop) -> None:
    shop.put([Item(item_id=f"size {size}", title="Cheese", group_id="cheese") for size in "SML"])
    eventually(lambda: client.get("/items?limit=1").json()["total"] == 124, why="all are there")
    assert len(candidates(client, "size S", "size M", "size L")) == 1


def test_trimmed_changes_mean_loading_anew(client: httpx.Client, shop: Shop) -> None:
    """All of the stream goes at once: the reader cannot know what it missed."""
    shop.put([Item(item_id="a", title="A")])
    eventually(lambda: candidates(client, "a") == ["a"], why="the stream is followed")
    keys = [f"{{{shop.settings.namespace}:e1:cat}}:changes"]

    async def trim(connection: object) -> None:
        await connection.execute("XTRIM", keys[0], "MAXLEN", 0)  # type: ignore[attr-defined]

    shop.put([Item(item_id="b", title="B")])
    shop.visit(trim)
    shop.put([Item(item_id="c", title="C")])
    eventually(lambda: set(candidates(client, "b", "c")) == {"b", "c"}, why="everything is loaded anew")
    assert MAX_CHANGES > 0


def test_a_switch_of_epochs_is_followed(client: httpx.Client, shop: Shop) -> None:
    old = Shop(shop.settings.store_url, shop.settings.namespace, shop.releases)
    shop.epoch = 2
    shop._item_fence = None
    shop.put([Item(item_id="only", title="Tea of the second epoch")])
    shop.event("u", "only")

    async def switch(connection: object) -> bool:
        store = MetaStore(connection)  # type: ignore[arg-type]
        meta = await store.read()
        assert meta is not None
        return await store.switch_epoch(meta.store_id, 1, 2)

    assert client.get("/items?limit=1").json()["total"] == 121
    assert old.visit(switch)
    eventually(lambda: client.get("/items?limit=1").json()["total"] == 1, why="the new epoch's catalogue")
    assert client.get("/users/u/profile").json()["recent"][0]["item_id"] == "only"
    assert ids_of(client.get("/recommend/u").json()) == ["only"]


def test_a_new_release_is_swapped_in_under_load_without_a_failed_request(
    client: httpx.Client, shop: Shop, tmp_path: Path
) -> None:
    before = loaded(client)
    wrong: list[str] = []
    seen: set[str] = set()
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=client.base_url, timeout=PATIENCE_S) as mine:
            while not stop.is_set():
                answer = mine.get("/recommend/u?n=5")
                if answer.status_code != 200 or len(answer.json()["items"]) != 5:
                    wrong.append(answer.text)
                else:
                    seen.add(answer.json()["release"])
                    if answer.json()["strategy"] != "model":
                        wrong.append(answer.text)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        names = []
        for count in (60, 90, 121):
            d = 16 if count == 90 else 64  # another space: the bank is rebuilt from the ring
            built = build_day0(shop_items()[:count], tmp_path / f"build{count}", d=d, now_ms=now_ms())
            names.append(publish(built, str(shop.releases)))
            promote(str(shop.releases), names[-1], now_ms())
            eventually(
                lambda: client.get("/releases").json()["loaded"]["release"] == names[-1], why="swapped"
            )
            eventually(lambda: names[-1] in seen, why="served")
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert wrong == []
    assert {before, *names} <= seen
    assert client.get("/releases").json()["before"][0]["release"] == before


def test_a_bad_release_is_refused_and_the_old_one_serves_on(
    client: httpx.Client, shop: Shop, tmp_path: Path
) -> None:
    before = loaded(client)
    built = build_day0(shop_items()[:50], tmp_path / "build", now_ms=now_ms())
    name = publish(built, str(shop.releases))
    model = next(path for path in (shop.releases / name).iterdir() if path.name.endswith(".onnx"))
    model.chmod(0o644)
    model.write_bytes(model.read_bytes()[:-7])
    pointer = {"release": name, "promoted_at_ms": now_ms()}
    (shop.releases / "live").write_bytes(json.dumps(pointer).encode())
    eventually(lambda: client.get("/releases").json()["refused"], why="refused")
    told = client.get("/releases").json()
    assert (told["live"], told["loaded"]["release"]) == (name, before)
    assert (told["refused"][0]["release"], "model.onnx" in told["refused"][0]["reason"]) == (name, True)
    assert name in told["degraded"][0]
    answer = client.get("/recommend/u").json()
    assert (answer["strategy"], answer["release"]) == ("model", before)
    assert client.get("/readyz").status_code == 200
    assert 'outcome="refused"' in client.get("/metrics").text


def test_the_releases_vanish_and_the_old_one_serves_on(client: httpx.Client, shop: Shop) -> None:
    before = loaded(client)
    shutil.rmtree(shop.releases)
    eventually(lambda: client.get("/releases").json()["degraded"], why="it is said")
    answer = client.get("/recommend/u?n=5").json()
    assert (answer["strategy"], answer["release"], len(answer["items"])) == ("model", before, 5)
    shop.release()
    eventually(lambda: not client.get("/releases").json()["degraded"], why="it is mended")


def test_without_a_release_everything_else_answers(valkey: ValkeyServer, tmp_path: Path) -> None:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path / "none")
    with recommender(shop) as client:
        told = client.get("/readyz")
        assert (told.status_code, told.json()["code"]) == (503, "not_ready")
        assert "freshet replay" in told.json()["detail"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/recommend/u").json()["items"] == []
        shop.open()
        shop.put([*shop_items(), msgspec.convert({"item_id": "gone", "available": False}, Item)])
        ready(client)
        answer = client.get("/recommend/u?n=200").json()
        assert (answer["strategy"], len(answer["items"]), answer["release"]) == ("catalogue", 121, None)
        assert client.get("/releases").json()["loaded"] is None
        assert client.get("/releases").json()["degraded"]
        shop.release()
        shop.event("u", "p1")
        eventually(lambda: client.get("/recommend/u").json()["strategy"] == "model", why="the first release")
