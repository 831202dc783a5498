"""Each scenario of the demo shop tells its story: what somebody does, and what the next list says of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from services.local.demo_shop import read_shop
from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.e2e.stories import LOGS, Person, codes, ids, on_log

ORDERS = 300
SHOP = read_shop(ORDERS)
# What these stories are about are items that few orders of the demo hold, each in one story.
_SOLD = [line["item_id"] for order in SHOP.orders for line in order["items"]]
RARE = [item for item in SHOP.items if _SOLD.count(item["item_id"]) == 1]


@pytest.fixture(scope="module", params=LOGS)
def shop(request: pytest.FixtureRequest) -> Iterator[FreshetProcess]:
    with on_log(request, "--demo-orders", f"{ORDERS}") as process:
        becomes(lambda: process.get("/items?limit=1")["total"], len(SHOP.items))
        somebody = Person(process, "somebody")
        becomes(lambda: set(codes(somebody.asks("popular", n=50))), {"popular"})
        yield process


def test_every_scenario_is_listed(shop: FreshetProcess) -> None:
    listed = {one["scenario"]: one for one in shop.get("/scenarios")["scenarios"]}
    assert {
        *("for_you", "similar", "bought_together", "recently_viewed", "continue_watching"),
        *("trending", "new_arrivals", "popular"),
    } <= listed.keys()
    for name, scenario in listed.items():
        assert scenario["text"]
        assert shop.get(f"/recommend/nobody?scenario={name}")["scenario"] == name


def test_somebody_new_sees_what_is_wanted_where_they_are(shop: FreshetProcess) -> None:
    """Two countries and a device, then one click."""
    beer, wine, snack, chosen = (item["item_id"] for item in RARE[:4])
    for _ in range(3):
        Person(shop, "german", country="DE").does("purchase", beer, quantity=1)
        Person(shop, "french", country="FR").does("purchase", wine, quantity=1)
        Person(shop, "phone", device="iPhone").does("purchase", snack)

    def seen(**context: str) -> list[dict[str, Any]]:
        return Person(shop, "new", **context).asks("for_you")

    german = eventually(lambda: seen(country="de"), lambda found: ids(found)[0] == beer)
    french = eventually(lambda: seen(country="FR"), lambda found: ids(found)[0] == wine)
    on_phone = eventually(lambda: seen(device="android"), lambda found: ids(found)[0] == snack)
    assert [found[0]["reason"]["text"] for found in (german, french, on_phone)] == [
        *("Popular in DE", "Popular in FR", "Popular on mobile")
    ]
    assert (german[0]["reason"]["country"], on_phone[0]["reason"]["device"]) == ("DE", "mobile")
    assert not {"popular_here", "popular_on_device"} & set(codes(seen()))
    assert not {"popular_here", "popular_on_device"} & set(codes(seen(country="PT", device="watch")))

    newcomer = Person(shop, "newcomer", country="DE")
    before = ids(newcomer.asks("for_you"))
    newcomer.does("click", chosen)
    after = newcomer.asks("for_you")
    assert len(set(ids(after)) - set(before)) >= 3, "one click is enough"


def test_for_you_is_not_the_same_for_ever(shop: FreshetProcess) -> None:
    """The page is looked at again and again; what was ignored makes room until something is clicked."""
    visitor = Person(shop, "visitor")
    visitor.does("view", RARE[4]["item_id"])
    first = ids(visitor.asks("for_you"))
    for _ in range(3):
        assert ids(visitor.asks("for_you")) == first
        visitor.does("impression", items=first)
    fourth = visitor.asks("for_you")
    ignored = [item_id for item_id in first if item_id not in ids(fourth)]
    assert len(ignored) >= 3
    visitor.does("click", ignored[0])
    assert ignored[0] in ids(visitor.asks("for_you")), "who clicks did not ignore it"

    passer_by = Person(shop, "passer-by")  # who never clicks at all
    first = ids(passer_by.asks("for_you"))
    for _ in range(3):
        passer_by.does("impression", items=first)
    assert len(set(ids(passer_by.asks("for_you"))) - set(first)) >= 5


def test_similar(shop: FreshetProcess) -> None:
    shelves = Counter(item["categories"][0] for item in SHOP.items)
    ((fullest, _),) = shelves.most_common(1)
    one = next(item for item in RARE if item["categories"] == [fullest])
    somebody = Person(shop, "somebody")
    found = somebody.asks("similar", item_id=one["item_id"], fields="categories", n=20)
    assert one["item_id"] not in ids(found)
    alike = [item for item in found if item["reason"]["code"] == "similar_to_item"]
    assert {item["reason"]["item_id"] for item in alike} == {one["item_id"]}
    same_shelf = [" > ".join(item["categories"][0]) == fullest for item in alike]
    assert sum(same_shelf) > len(alike) / 2
    somebody.does("view", one["item_id"])
    assert ids(somebody.asks("similar", n=20)) == ids(found), "without an item: like the last one"


def test_bought_together_takes_two_visits(shop: FreshetProcess) -> None:
    one, other = (item["item_id"] for item in RARE[5:7])
    basket = [{"item_id": item_id, "quantity": 1} for item_id in (one, other)]
    somebody = Person(shop, "somebody")

    def partners(item_id: str) -> list[str]:
        found = somebody.asks("bought_together", item_id=item_id, n=60)
        assert len(found) == 60, "the rest is similar"
        return [item["item_id"] for item in found if item["reason"]["code"] == "bought_with_item"]

    first = Person(shop, "first")
    first.does("purchase", items=basket)
    assert first.asks("recently_viewed")
    assert other not in partners(one), "one visit is no habit"
    Person(shop, "second").does("purchase", items=basket)
    eventually(lambda: partners(one), lambda found: other in found)
    eventually(lambda: partners(other), lambda found: one in found)
    (line,) = [item for item in somebody.asks("bought_together", item_id=one) if item["item_id"] == other]
    assert line["reason"]["item_id"] == one
    assert line["reason"]["text"] == f"Often bought together with {RARE[5]['title']}"
    first.does("view", one)
    assert other in ids(first.asks("bought_together")), "without an item: with the last one"


def test_recently_viewed(shop: FreshetProcess) -> None:
    somebody, known = Person(shop, "somebody"), RARE[8]["item_id"]
    assert "recently_viewed" not in codes(somebody.asks("recently_viewed")), "nothing, so what is wanted"
    for event_type, item_id in (("view", "nowhere/known"), ("view", RARE[7]["item_id"]), ("cart_add", known)):
        somebody.does(event_type, item_id)
    found = somebody.asks("recently_viewed")
    assert ids(found) == [known, RARE[7]["item_id"], "nowhere/known"]
    assert [item["reason"]["text"] for item in found[:2]] == [
        "You put this into your cart",
        "You looked at this",
    ]


def test_trending_and_popular_and_in_a_category(shop: FreshetProcess) -> None:
    item = RARE[9]
    wanted, (path,) = item["item_id"], item["categories"]
    somebody = Person(shop, "somebody")
    for _ in range(3):
        Person(shop, "fan").does("purchase", items=[{"item_id": wanted}])

    def best(scenario: str, **query: Any) -> dict[str, Any]:
        found = somebody.asks(scenario, fields="categories", **query)
        if query:
            assert all(path in [" > ".join(one) for one in item["categories"]] for item in found)
        return found[0]

    for scenario, text in (
        ("trending", f"Trending in {path.split(' > ')[-1]} right now"),
        ("popular", f"Popular in {path.split(' > ')[-1]} over the last few weeks"),
    ):
        eventually(partial(best, scenario, filter=f"categories:{path}"), _is(wanted))
        reason = best(scenario, filter=f"categories:{path}")["reason"]
        assert reason == {"code": f"{scenario}_in_category", "category": path, "text": text}
        assert best(scenario)["reason"]["code"] == scenario


def _is(item_id: str) -> Any:
    return lambda item: item["item_id"] == item_id


def test_new_arrivals(shop: FreshetProcess) -> None:
    somebody = Person(shop, "somebody")
    template = RARE[10]
    for name, age_s in (("yesterday", 86_400), ("this minute", 60)):
        body = {**template, "published_at": int(time.time()) - age_s}
        body.pop("item_id")
        assert shop.call("PUT", f"/items/{name.replace(' ', '-')}", body)[0] == 202
    becomes(lambda: ids(somebody.asks("new_arrivals"))[:2], ["this-minute", "yesterday"])
    assert codes(somebody.asks("new_arrivals"))[:2] == ["new", "new"]
    shop.call("DELETE", "/items/this-minute")
    becomes(lambda: ids(somebody.asks("new_arrivals"))[0], "yesterday")
