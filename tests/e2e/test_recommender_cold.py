"""A recommender right after its start: it answers before it has the catalogue, and finds out what it took."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.recommender import answer, first_items, follow_catalogue, follow_release, read_routes
from tests.e2e.recommender_shop import Shop, eventually, ids_of, ready, recommender, shop_items
from tests.servers import ValkeyServer

NEVER_S = 3600.0
ASKED: list[tuple[str, str, Any]] = [
    ("GET", "/recommend/u?n=12&fields=title,categories", None),
    ("GET", "/recommend/u?n=12&scenario=similar&item_id=p7", None),
    ("GET", "/recommend/u?n=12&scenario=similar", None),
    ("GET", "/recommend/u?scenario=recently_viewed", None),
    ("GET", "/recommend?n=4&scenario=trending", None),
    ("GET", "/recommend?n=4&scenario=popular", None),
    ("POST", "/recommend", {"user_id": "u", "candidates": ["p90", "p3", "p55", "nothing"]}),
    ("GET", "/users/u/profile", None),
]


@pytest.fixture
def shop(valkey: ValkeyServer, tmp_path: Path) -> Shop:
    """With an item that came after the release and was viewed: one that nobody asked for comes later."""
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path / "releases")
    shop.open()
    shop.put(shop_items())
    shop.release(shop_items()[:-1])
    for item_id in ("p1", shop_items()[-1].item_id, "p3", "p80"):
        shop.event("u", item_id)
    scores = {item.item_id: 9.0 - place / 10 for place, item in enumerate(shop_items()[20:40])}
    shop.aggregate(scores, neighbours={"p3": ["p60", "p61"], "p80": ["p62"], "p7": ["p63", "p64"]})
    return shop


@pytest.fixture
def cold(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A recommender that never comes to load the catalogue, and fetches little in advance."""
    monkeypatch.setattr(follow_catalogue, "LOAD_AFTER_S", NEVER_S)
    monkeypatch.setattr(first_items, "SEEDS", 20)
    with recommender(shop) as client:
        ready(client)
        yield client


def content(client: httpx.Client, method: str, path: str, body: Any) -> dict[str, Any]:
    """An answer without what is never the same twice."""
    answer = client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    varying = {"recommendation_id", "profile_age_ms", "expires_in_s"}
    return {name: value for name, value in answer.json().items() if name not in varying}


def answers_of_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a recommender answers that has loaded the whole catalogue."""
    monkeypatch.setattr(follow_catalogue, "LOAD_AFTER_S", 0.0)
    with recommender(shop) as whole:
        eventually(lambda: whole.get("/items?limit=1").status_code == 200, why="all is loaded")
        return [content(whole, *asked) for asked in ASKED]


def hold_the_same(early: list[dict[str, Any]], late: list[dict[str, Any]]) -> None:
    """The same items by the same step of the ladder, the model's first of all."""
    assert early[0]["strategy"] == "model"
    for asked, one, other in zip(ASKED, early, late, strict=True):
        if "items" in one:
            assert ids_of(one) == ids_of(other), asked
        assert one.get("strategy") == other.get("strategy"), asked


def test_before_the_catalogue_is_loaded_answers_are_the_same(
    cold: httpx.Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = cold.get("/metrics").text.split("\nfreshet_catalogue_items ")[1].split()[0]
    assert float(held) < len(shop_items()) / 2, "the catalogue was loaded, so this test tests nothing"
    early = [content(cold, *asked) for asked in ASKED]
    late = answers_of_all(shop, monkeypatch)
    hold_the_same(early, late)
    assert early[-1] == late[-1], "what is known about a user"


def test_a_release_that_comes_before_the_catalogue_is_loaded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.release(shop_items()[50:])
    monkeypatch.setattr(follow_catalogue, "LOAD_AFTER_S", NEVER_S)
    monkeypatch.setattr(first_items, "SEEDS", 20)
    with recommender(shop) as client:
        ready(client)
        name = shop.release(shop_items()[:-1])
        eventually(
            lambda: (client.get("/releases").json()["loaded"] or {}).get("release") == name, why="taken"
        )
        early = [content(client, *asked) for asked in ASKED]
    hold_the_same(early, answers_of_all(shop, monkeypatch))


def test_a_page_of_the_catalogue_waits_for_all_of_it(
    cold: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_routes, "READ_S", 0.01)
    answer = cold.get("/items")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.headers["retry-after"]
    assert cold.get("/items/p5").json()["item_id"] == "p5"


def test_what_is_fetched_for_answers_has_a_bound(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_catalogue, "LOAD_AFTER_S", NEVER_S)
    monkeypatch.setattr(first_items, "KEYS_MAX", 5)
    with recommender(shop) as client:
        ready(client)
        assert len(client.get("/recommend/u?n=50").json()["items"]) <= 5


def flip_a_byte(path: Path) -> None:
    """As a broken disk does it: the size stays."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_a_first_release_that_is_not_what_it_says_is_withdrawn(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = shop.live_release()
    flip_a_byte(release.file("item_vectors"))
    monkeypatch.setattr(follow_release, "PROVE_AFTER_S", 0.0)
    with recommender(shop) as client:
        told = eventually(lambda: client.get("/releases").json()["refused"], why="refused")
        assert (told[0]["release"], "item_vectors.npy" in told[0]["reason"]) == (release.name, True)
        assert client.get("/releases").json()["loaded"] is None
        ready(client)
        answer = eventually(lambda: client.get("/recommend/u").json(), why="an answer")
        assert (answer["strategy"] != "model", answer["release"], bool(answer["items"])) == (True, None, True)
        shop.release(shop_items()[:-5])
        eventually(lambda: client.get("/recommend/u").json()["strategy"] == "model", why="the next one")


def cut_short(path: Path) -> None:
    """Reading behind the end of a mapped file would end the process."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-64])


@pytest.mark.parametrize("role", ["item_vectors", "model"])
@pytest.mark.parametrize("damage", [cut_short, Path.unlink])
def test_a_first_release_with_a_file_missing_or_cut_is_never_taken(
    shop: Shop, role: str, damage: Callable[[Path], None]
) -> None:
    damage(shop.live_release().file(role))
    with recommender(shop) as client:
        ready(client)
        told = client.get("/releases").json()
        assert (told["loaded"], len(told["refused"])) == (None, 1)


def test_a_list_is_not_empty_when_ranking_fails_before_the_catalogue_is_here(
    cold: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(answer, "rank", broken)
    answered = cold.get("/recommend/u?n=5&exclude=p1").json()
    assert answered["strategy"] == "catalogue"
    found = [item["item_id"] for item in answered["items"]]
    assert len(found) == 5
    assert found == sorted(found)
    assert "p1" not in found
