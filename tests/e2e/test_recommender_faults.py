"""The store dies, stands still, comes back, comes back empty: lists go out all the while."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.recommender_shop import PATIENCE_S, Shop, eventually, ids_of, ready, recommender, shop_items
from tests.processes import free_ports
from tests.servers import ValkeyServer, valkey_server

SCENARIOS = ("for_you", "similar", "trending", "popular")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ValkeyServer]:
    (tmp_path / "store").mkdir()
    with valkey_server(tmp_path / "store", append_only=True) as server:
        yield server


@pytest.fixture
def shop(store: ValkeyServer, tmp_path: Path) -> Shop:
    shop = Shop(store.url, "faults", tmp_path / "releases")
    shop.open()
    shop.put(shop_items())
    shop.release()
    shop.event("u", "p1")
    shop.aggregate({"p3": 3.0, "p1": 1.0}, neighbours={"p1": ["p9"]})
    return shop


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop, deadline_ms=100) as client:
        ready(client)
        eventually(lambda: strategy(client, "/recommend?scenario=trending") == "trending", why="aggregates")
        yield client


def strategy(client: httpx.Client, path: str = "/recommend/u") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["items"]) == 10
    return str(answer.json()["strategy"])


class Load:
    """Clients that ask all the while; `wrong` is what they did not like."""

    def __init__(self, url: httpx.URL) -> None:
        self.wrong: list[str] = []
        self.strategies: set[str] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url, number)) for number in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _ask(self, url: httpx.URL, number: int) -> None:
        paths = [f"/recommend/u?scenario={SCENARIOS[number]}", "/recommend/u?after=1-0-0", "/recommend"]
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                for path in paths:
                    answer = client.get(path)
                    if answer.status_code != 200 or len(answer.json()["items"]) != 10:
                        self.wrong.append(answer.text)
                    else:
                        self.strategies.add(answer.json()["strategy"])


def test_the_store_dies_under_load_and_comes_back(client: httpx.Client, store: ValkeyServer) -> None:
    with Load(client.base_url) as load:
        eventually(lambda: "model" in load.strategies, why="the model answers")
        store.kill()
        eventually(lambda: strategy(client) in {"trending", "popular", "catalogue"}, why="the step below")
        assert client.get("/recommend/u").json()["fresh"] is False
        eventually(lambda: client.get("/readyz").status_code == 503, why="not ready")
        assert client.get("/healthz").status_code == 200
        assert client.get("/users/u/profile").json()["code"] == "store_unavailable"
        assert client.get("/items/p1").json()["item_id"] == "p1"
        store.start()
        eventually(lambda: strategy(client) == "model", why="the model answers again")
        ready(client)
    assert load.wrong == []
    assert 'freshet_recommend_fallbacks_total{cause="away",step="profile"}' in client.get("/metrics").text


def test_a_store_that_stands_still_costs_a_step(client: httpx.Client, store: ValkeyServer) -> None:
    with Load(client.base_url) as load:
        eventually(lambda: "model" in load.strategies, why="the model answers")
        store.pause()
        try:
            eventually(lambda: strategy(client) in {"trending", "popular", "catalogue"}, why="the step below")
            eventually(lambda: client.get("/readyz").status_code == 503, why="not ready")
        finally:
            store.resume()
        eventually(lambda: strategy(client) == "model", why="the model answers again")
    assert load.wrong == []
    assert 'freshet_recommend_fallbacks_total{cause="late",step="profile"}' in client.get("/metrics").text


def test_a_store_that_comes_back_empty_is_not_ready_and_says_what_to_do(
    client: httpx.Client, store: ValkeyServer
) -> None:
    store.stop()
    for path in (store.directory / "appendonlydir").iterdir():
        path.unlink()
    store.start()
    eventually(lambda: "freshet replay" in client.get("/readyz").text, why="it is said")
    answer = client.get("/recommend/u").json()
    assert len(answer["items"]) == 10
    assert answer["profile_events"] == 0
    assert ids_of(client.get("/recommend?scenario=trending&n=1").json()) == ["p3"]


def test_the_store_is_away_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with valkey_server(tmp_path / "store", append_only=True) as store:
        shop = Shop(store.url, "faults", tmp_path / "releases")
        shop.open()
        shop.put(shop_items())
        store.kill()
        with recommender(shop) as client:
            assert client.get("/readyz").status_code == 503
            assert client.get("/recommend/u").json()["items"] == []
            assert client.get("/items/p1").json()["code"] == "store_unavailable"
            store.start()
            ready(client)
            assert strategy(client) == "catalogue"


def test_a_stream_lives_through_a_restart_of_the_store(
    client: httpx.Client, shop: Shop, store: ValkeyServer
) -> None:
    url = f"{str(client.base_url).rstrip('/')}/recommend/u/stream?scenario=recently_viewed"
    with httpx.stream("GET", url, timeout=PATIENCE_S) as answer:
        lines = answer.iter_lines()
        assert any('"p1"' in line for line in lines)
        store.kill()
        store.start()
        shop.event("u", "p77")
        assert any('"p77"' in line for line in lines)


def test_a_stream_ends_when_the_service_is_told_to_stop(shop: Shop) -> None:
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "FRESHET_PORT": str(port),
        "FRESHET_STORE_URL": shop.settings.store_url,
        "FRESHET_NAMESPACE": shop.settings.namespace,
        "FRESHET_RELEASE_URL": str(shop.releases),
    }
    command = [sys.executable, "-m", "services.recommender"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                eventually(lambda: answers(client), why="the process serves")
                ready(client)
                with client.stream("GET", "/recommend/u/stream") as answer:
                    lines = answer.iter_lines()
                    assert any('"p1"' in line for line in lines)
                    process.terminate()
                    assert "event: end" in list(lines)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False
