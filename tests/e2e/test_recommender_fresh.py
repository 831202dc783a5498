"""Read your own writes (`after=`), and the stream that sends a fresh list whenever the profile changes."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.recommender_shop import PATIENCE_S, Shop, eventually, ids_of, ready, recommender, shop_items
from tests.servers import ValkeyServer


@pytest.fixture(scope="module")
def shop(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("releases"))
    shop.open(partitions=2)
    shop.put(shop_items())
    shop.release()
    return shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[httpx.Client]:
    with recommender(shop, deadline_ms=20_000) as client:
        ready(client)
        yield client


def newest(content: dict[str, Any]) -> str:
    return ids_of(content)[0]


def test_what_is_applied_is_fresh(client: httpx.Client, shop: Shop) -> None:
    position = shop.event("ann", "p1")
    content = client.get(f"/recommend/ann?after={position}&scenario=recently_viewed").json()
    assert (content["fresh"], newest(content)) == (True, "p1")


def test_after_waits_for_the_profile(client: httpx.Client, shop: Shop) -> None:
    position = shop.event("ben", "p1")
    later = position._replace(offset=position.offset + 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"/recommend/ben?after={later}&scenario=recently_viewed")
        time.sleep(0.1)
        assert not waiting.done()
        assert shop.event("ben", "p2") == later
        content = waiting.result(PATIENCE_S).json()
    assert (content["fresh"], newest(content)) == (True, "p2")


def test_after_of_somebody_else_waits_for_the_partition(client: httpx.Client, shop: Shop) -> None:
    position = shop.event("cat", "p1")
    later = position._replace(partition=1, offset=position.offset + 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"/recommend/cat?after={later}")
        time.sleep(0.1)
        assert not waiting.done()
        assert shop.aggregate({"p1": 1.0}, partition=1) == later
        assert waiting.result(PATIENCE_S).json()["fresh"] is True


def test_a_fence_says_nothing_of_a_profile_on_its_partition(shop: Shop) -> None:
    known, new = shop.event("cid", "p1"), "nobody-yet"
    ahead = shop.aggregate({"p1": 1.0})
    assert ahead.partition == known.partition
    with recommender(shop, deadline_ms=200) as client:
        ready(client)
        for subject in ("cid", new):  # the record may be of either: its profile would be the next write
            assert client.get(f"/recommend/{subject}?after={ahead}").json()["fresh"] is False
        position = shop.event("cid", "p2")
        assert client.get(f"/recommend/cid?after={position}").json()["fresh"] is True


def test_after_without_a_user_waits_for_the_partition(client: httpx.Client, shop: Shop) -> None:
    position = shop.aggregate({"p2": 1.0})
    assert client.get(f"/recommend?after={position}").json()["fresh"] is True


def test_a_position_that_never_comes_costs_the_deadline_and_no_more(shop: Shop) -> None:
    position = shop.event("dan", "p1")
    with recommender(shop, deadline_ms=200) as client:
        ready(client)
        never = ({"offset": 1 << 40}, {"partition": 77}, {"generation": 9})
        for far in (position._replace(**change) for change in never):
            content = client.get(f"/recommend/dan?after={far}&n=5").json()
            assert content["fresh"] is False
            assert content["profile_events"] == 1
            assert len(content["items"]) == 5


class Listener:
    """A client of a stream, in a thread."""

    def __init__(self, client: httpx.Client, path: str, headers: dict[str, str] | None = None) -> None:
        self.events: list[dict[str, str]] = []
        self.status = 0
        self.ended = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(str(client.base_url), path, headers or {}))
        self._thread.start()

    def _listen(self, base_url: str, path: str, headers: dict[str, str]) -> None:
        with httpx.stream("GET", base_url.rstrip("/") + path, headers=headers, timeout=PATIENCE_S) as answer:
            self.status = answer.status_code
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                if not line and event:
                    self.events.append(event)
                    event = {}
                elif line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value
                if self._leave.is_set():
                    break
        self.ended.set()

    def lists(self) -> list[dict[str, Any]]:
        return [json.loads(event["data"]) for event in self.events if "items" in event.get("data", "")]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        eventually(lambda: len(self.lists()) >= count, why=f"{count} lists")
        return self.lists()

    def leave(self) -> None:
        self._leave.set()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def streams_open(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("freshet_recommend_streams ")).split()[1])


def test_a_stream_sends_a_list_at_once_and_after_every_change(client: httpx.Client, shop: Shop) -> None:
    shop.event("eve", "p1")
    listener = Listener(client, "/recommend/eve/stream?scenario=recently_viewed")
    assert newest(listener.wait_for(1)[0]) == "p1"
    assert listener.events[0] == {"retry": "500"}
    position = shop.event("eve", "p2")
    assert newest(listener.wait_for(2)[-1]) == "p2"
    assert listener.events[-1]["id"] == str(position)
    listener.leave()
    shop.event("eve", "p3")
    listener.join()
    eventually(lambda: streams_open(client) == 0, why="the stream is noticed to be gone")


def test_a_stream_of_somebody_unknown_starts_with_the_first_event(client: httpx.Client, shop: Shop) -> None:
    listener = Listener(client, "/recommend/first%2Ftimer/stream?scenario=recently_viewed")
    assert ids_of(listener.wait_for(1)[0])[:1] != ["p5"]
    shop.event("first/timer", "p5")
    assert newest(listener.wait_for(2)[-1]) == "p5"
    listener.leave()
    shop.event("first/timer", "p6")
    listener.join()


def test_a_burst_ends_in_the_last_state(client: httpx.Client, shop: Shop) -> None:
    listener = Listener(client, "/recommend/fay/stream?scenario=recently_viewed")
    listener.wait_for(1)
    rules = shop.rules()
    for number in range(20):
        last = shop.event("fay", f"p{number}", rules=rules)
    eventually(lambda: listener.lists()[-1]["profile_events"] == 20, why="the last event is seen")
    assert listener.events[-1]["id"] == str(last)
    assert len(listener.lists()) <= 21
    listener.leave()
    shop.event("fay", "p1", rules=rules)
    listener.join()


def test_a_gone_client_is_noticed_although_nothing_happens(client: httpx.Client) -> None:
    with httpx.stream(
        "GET", f"{str(client.base_url).rstrip(chr(47))}/recommend/gil/stream", timeout=PATIENCE_S
    ) as answer:
        assert answer.status_code == 200
        eventually(lambda: streams_open(client) == 1, why="the stream is counted")
    eventually(lambda: streams_open(client) == 0, why="the stream is noticed to be gone")


def test_a_stream_ends_in_time_and_says_how_to_go_on(shop: Shop) -> None:
    position = shop.event("hal", "p1")
    with recommender(shop, stream_max_s=1, max_streams=1) as client:
        ready(client)
        listener = Listener(client, "/recommend/hal/stream")
        listener.wait_for(1)
        refused = client.get("/recommend/hal/stream")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
        assert refused.headers["retry-after"]
        listener.join()
        assert listener.events[-1] == {"id": str(position), "retry": "500", "event": "end", "data": "{}"}
        again = Listener(client, "/recommend/hal/stream", {"Last-Event-ID": str(position)})
        assert again.wait_for(1)[0]["profile_events"] == 1
        again.join()


def test_a_bad_stream_is_refused_before_it_starts(client: httpx.Client) -> None:
    assert client.get("/recommend/u/stream?scenario=nope").json()["code"] == "unknown_scenario"
