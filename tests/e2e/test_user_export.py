"""GET /users/{id}/export: all that the store holds about somebody, and nothing once they are forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from services.kernel.ids import item_key
from services.kernel.position import Position
from services.kernel.profile import Profile
from services.store.connection import Connection
from services.store.profiles import ProfileStore, ProfileWrite
from tests.e2e.recommender_shop import SLASHED, TTL_MS, Shop, now_ms, ready, recommender, shop_items
from tests.servers import ValkeyServer


@pytest.fixture
def shop(valkey: ValkeyServer, namespace: str, tmp_path: Path) -> Shop:
    """A shop with a catalogue and a live release."""
    made = Shop(valkey.url, namespace, tmp_path / "releases")
    made.open()
    made.put(shop_items(40))
    made.release(shop_items(40))
    return made


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx.Client]:
    """The recommender, ready."""
    with recommender(shop) as made:
        ready(made)
        yield made


def exported(client: httpx.Client, user_id: str) -> dict[str, Any]:
    answer = client.get(f"/users/{quote(user_id, safe='')}/export")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stored(shop: Shop, subject: str) -> Profile:
    """The subject's profile as it lies in the store."""

    async def work(connection: Connection) -> Profile:
        (raw,) = await ProfileStore(connection).read(shop.epoch, [subject])
        assert raw is not None
        return Profile.decode(raw)

    return shop.visit(work)


def test_the_export_is_all_that_the_store_holds(shop: Shop, client: httpx.Client) -> None:
    shop.event("ada", "p4", age_s=7200)
    shop.event("ada", "elsewhere/é 1", "cart_add", age_s=3600)
    last = shop.event("ada", SLASHED, "purchase", age_s=60)
    found, held = exported(client, "ada"), stored(shop, "ada")
    assert found["state"] == "known"
    assert (found["events"], found["records"], found["position"]) == (3, 3, str(last))
    assert [entry["item_id"] for entry in found["recent"]] == ["p4", "elsewhere/é 1", SLASHED]
    assert [entry["event_type"] for entry in found["recent"]] == ["view", "cart_add", "purchase"]
    assert [entry["item_key"] for entry in found["recent"]] == [f"{key:016x}" for key in held.ring["item"]]
    assert found["first_recent_at"] == found["recent"][0]["timestamp"] < found["last_recent_at"]
    marks = {tuple(entry["item_ids"]): entry["reasons"] for entry in found["seen"]}
    assert marks.keys() == {("p4",), ("elsewhere/é 1",), (SLASHED,)}
    assert all(reasons == ["viewed"] for reasons in marks.values()), "as the shop of these tests marks them"
    assert len(found["event_id_hashes"]) == 3
    assert found["bank"]["sums"] == [[float(str(value)) for value in row] for row in held.bank]
    assert found["bank"]["weights"] == [float(str(value)) for value in held.bank_weight]
    assert found["bank"]["space"] == shop.live_release().manifest.space.name
    assert found["interests"]
    assert (found["consent"], found["shown"]) == (None, [])
    assert found["stored"]["bytes"] == len(held.encode())


def test_a_mark_keeps_its_name_when_its_item_has_left_the_recent_events(
    shop: Shop, client: httpx.Client
) -> None:
    """The profile then knows half of the key; the catalogue has the rest."""
    shop.event("ada", "p7")
    profile, rules = stored(shop, "ada"), shop.rules()
    profile._ring = b""

    async def work(connection: Connection) -> None:
        store = ProfileStore(connection)
        (raw,) = await store.read(shop.epoch, ["ada"])
        await store.write(shop.epoch, [ProfileWrite("ada", raw, profile.encode())], expire_ms=TTL_MS)

    shop.visit(work)
    assert rules.space.d > 0
    found = exported(client, "ada")
    assert found["recent"] == []
    assert found["seen"][0]["item_ids"] == ["p7"]
    assert found["seen"][0]["fingerprint"] == f"{item_key('p7') & 0xFFFFFFFF:08x}"


@pytest.mark.parametrize("user_id", ["gid://shopify/Customer/1", 'a "b"\\c', "naïve ü", "x?y#z%2F"])
def test_any_id_is_a_file_to_keep(shop: Shop, client: httpx.Client, user_id: str) -> None:
    shop.event(user_id, "p1")
    answer = client.get(f"/users/{quote(user_id, safe='')}/export")
    assert answer.json()["user_id"] == user_id
    assert answer.json()["events"] == 1
    header = answer.headers["content-disposition"]
    assert header.startswith('attachment; filename="freshet-')
    plain, _, encoded = header.partition("; filename*=UTF-8''")
    assert plain.endswith('.json"')
    assert plain.count('"') == 2
    assert encoded.endswith(".json")
    for unsafe in ("/", "\\"):
        assert unsafe not in plain.removeprefix("attachment; ")
        assert quote(unsafe, safe="") not in encoded
    assert answer.headers["cache-control"] == "no-store"


def test_slashes_stand_as_they_are_too(shop: Shop, client: httpx.Client) -> None:
    shop.event("gid://shopify/Customer/1", "p1")
    assert client.get("/users/gid://shopify/Customer/1/export").json()["events"] == 1


def test_nobody_has_an_export_that_says_so(client: httpx.Client) -> None:
    found = exported(client, "nobody")
    assert found["state"] == "unknown"
    assert found.keys() == {"user_id", "exported_at", "state", "events"}


def test_of_the_deleted_only_the_deletion_is_told(shop: Shop, client: httpx.Client) -> None:
    shop.event("ada", "p4")
    at_ms = now_ms()

    async def work(connection: Connection) -> None:
        store = ProfileStore(connection)
        (raw,) = await store.read(shop.epoch, ["ada"])
        assert raw is not None
        profile = Profile.decode(raw)
        profile.delete(Position(1, 0, 99), at_ms)
        await store.write(shop.epoch, [ProfileWrite("ada", raw, profile.encode())], expire_ms=TTL_MS)

    shop.visit(work)
    found = exported(client, "ada")
    assert found.keys() == {"user_id", "exported_at", "state", "events", "deleted_at", "position"}
    assert (found["state"], found["events"], found["position"]) == ("deleted", 0, str(Position(1, 0, 99)))


def test_who_has_not_been_heard_of_for_longer_than_the_ttl_is_forgotten(
    shop: Shop, client: httpx.Client
) -> None:
    shop.event("kept", "p4", received_at_ms=now_ms() - TTL_MS + 3_600_000)
    shop.event("gone", "p4", received_at_ms=now_ms() - TTL_MS - 1)
    assert exported(client, "kept")["state"] == "known"
    assert exported(client, "gone").keys() == {"user_id", "exported_at", "state", "events"}
    assert exported(client, "gone")["state"] == "expired"
    assert client.get("/users/gone/profile").json()["events"] == 0
    answer = client.get("/recommend/gone?scenario=recently_viewed").json()
    assert answer["profile_events"] == 0
    assert answer["strategy"] == client.get("/recommend/nobody?scenario=recently_viewed").json()["strategy"]


def test_an_export_needs_a_full_key(shop: Shop) -> None:
    with recommender(shop, keys="all", write_keys="browser") as client:
        path = "/users/ada/export"
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"x-api-key": "browser"}).json()["code"] == "write_key_only"
        assert client.get(f"{path}?key=browser").status_code == 403
        assert client.get(path, headers={"x-api-key": "all"}).status_code == 200


def test_a_store_that_is_away_is_said(shop: Shop, client: httpx.Client) -> None:
    """An empty export would be a wrong answer to somebody who asks what is known about them."""

    async def pause(connection: Connection) -> None:
        await connection.execute("CLIENT", "PAUSE", "3000", "ALL")

    assert client.get("/items?limit=1").status_code == 200  # the catalogue is in memory
    shop.visit(pause)
    answer = client.get("/users/ada/export")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
