"""A merchandiser keeps the demo shop's catalogue: one field of an item, and all of it from a file."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.local import demo_shop
from services.local.demo_shop import read_films, read_shop
from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.servers import KafkaBroker

PRODUCTS = Path(demo_shop.__file__).parent / "demo" / "products.csv.gz"
ORDERS = 300


@pytest.fixture(params=["embedded", "kafka"])
def shop(request: pytest.FixtureRequest, freshet_process: FreshetMaker, namespace: str) -> FreshetProcess:
    """The demo shop, its log in the embedded Valkey or on Kafka."""
    variables = {}
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka")
        assert isinstance(broker, KafkaBroker)
        variables = {"FRESHET_LOG_URL": broker.url, "FRESHET_NAMESPACE": namespace}
    process = freshet_process("--demo-orders", str(ORDERS), **variables)
    process.start()
    becomes(lambda: process.get("/items?limit=1")["total"], len(read_shop(ORDERS).items))
    eventually(lambda: popular(process), lambda listed: len(listed) == 50)
    return process


def products() -> list[dict[str, str]]:
    """The shop's own file, as far as the loaded orders name its items."""
    loaded = {item["item_id"] for item in read_shop(ORDERS).items}
    with gzip.open(PRODUCTS, "rt", newline="") as file:
        return [row for row in csv.DictReader(file) if row["item_id"] in loaded]


def popular(shop: FreshetProcess) -> list[str]:
    return shop.recommended("nobody", "scenario=popular&n=50")


def shown(shop: FreshetProcess, item_id: str) -> dict[str, Any]:
    """The item as an answer shows it."""
    body = {"candidates": [item_id], "fields": ["title", "price", "categories"]}
    (item,) = shop.call("POST", "/recommend", body)[1]["items"]
    found: dict[str, Any] = item
    return found


def offered(shop: FreshetProcess, item_ids: list[str]) -> set[str]:
    """Which of some items an answer has, when it is asked to rank them."""
    status, body = shop.call("POST", "/recommend", {"candidates": item_ids, "n": len(item_ids)})
    assert status == 200, body
    return {item["item_id"] for item in body["items"]}


def hidden(shop: FreshetProcess) -> set[str]:
    """Ids of the items that the catalogue holds and no list shows."""
    items = shop.get("/items?limit=1000")["items"]
    return {item["item_id"] for item in items if not item.get("available", True)}


def patch(shop: FreshetProcess, item_id: str, fields: dict[str, Any]) -> None:
    status, body = shop.call("PATCH", f"/items/{item_id}", fields)
    assert status == 202, body


def test_a_patch_is_effective_in_the_answers_and_touches_nothing_else(shop: FreshetProcess) -> None:
    item_id = popular(shop)[0]
    before = shown(shop, item_id)
    position = shop.post_event(user_id="ada", event_type="view", item_id=item_id)
    becomes(lambda: shop.get("/users/ada/profile")["position"], position)

    patch(shop, item_id, {"price": 1.23})
    becomes(lambda: shown(shop, item_id)["price"], 1.23)
    assert shown(shop, item_id)["title"] == before["title"]
    assert shop.get(f"/items/{item_id}")["price"] == 1.23

    patch(shop, item_id, {"categories": ["Seasonal > Easter"]})
    becomes(lambda: shown(shop, item_id)["categories"], [["Seasonal", "Easter"]])
    assert shop.get("/users/ada/profile")["interests"] == [{"category": "Seasonal > Easter", "weight": 1.0}]

    patch(shop, item_id, {"price": None})  # RFC 7396: null takes a field out
    becomes(lambda: shown(shop, item_id).get("price"), None)

    patch(shop, item_id, {"available": False})
    becomes(lambda: item_id in offered(shop, [item_id, popular(shop)[1]]), False)
    for scenario in ("for_you", "popular", "trending", "recently_viewed"):
        assert item_id not in shop.recommended("ada", f"scenario={scenario}&n=200")
    assert shop.get(f"/items/{item_id}")["available"] is False
    patch(shop, item_id, {"available": True})
    becomes(lambda: offered(shop, [item_id]), {item_id})
    assert shown(shop, item_id)["categories"] == [["Seasonal", "Easter"]]


def test_a_patch_that_cannot_be_says_what_to_change(shop: FreshetProcess) -> None:
    item_id = popular(shop)[0]
    for fields, told in (({"prize": 2}, "price"), ({"price": "cheap"}, "price"), ([1], "object")):
        status, body = shop.call("PATCH", f"/items/{item_id}", fields)
        assert (status, told in body["detail"]) == (422, True), body
    assert shop.call("PATCH", "/items/nowhere", {"price": 2})[0] == 202, "whether it is there, the log knows"
    patch(shop, item_id, {"price": 9.87})  # behind it on the log
    becomes(lambda: shown(shop, item_id)["price"], 9.87)
    assert shop.call("GET", "/items/nowhere")[0] == 404


def test_a_file_replaces_the_catalogue_and_a_stump_does_not(shop: FreshetProcess, tmp_path: Path) -> None:
    rows = products()
    for film in read_films():  # which stand in no file of products
        assert shop.call("DELETE", f"/items/{film['item_id']}")[0] == 202
    becomes(lambda: shop.get("/items?limit=1")["total"], len(rows))
    dropped = popular(shop)[:5]

    def replaced(kept: list[dict[str, str]], *flags: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "products.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(kept)
        return shop.command("items", "import", str(path), "--replace", "--json", *flags)

    done = replaced([row for row in rows if row["item_id"] not in dropped])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hidden"] == 5
    becomes(lambda: set(dropped) & offered(shop, [*dropped, rows[-1]["item_id"]]), set())
    assert hidden(shop) == set(dropped)
    assert shop.get("/items?limit=1")["total"] == len(rows), "hidden, not gone: profiles still name them"

    few = {row["item_id"] for row in rows[-100:]}
    refused = replaced(rows[-100:])
    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    assert "--force" in refused.stderr
    assert hidden(shop) == set(dropped)

    forced = replaced(rows[-100:], "--force")
    assert json.loads(forced.stdout)["hidden"] == len(rows) - len(few) - len(dropped)
    becomes(lambda: set(popular(shop)) <= few, True)

    assert json.loads(replaced(rows).stdout)["hidden"] == 0
    becomes(lambda: hidden(shop), set())
    becomes(lambda: offered(shop, dropped), set(dropped))
