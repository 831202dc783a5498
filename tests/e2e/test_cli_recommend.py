"""`freshet recommend` with filters, context, pages and explanations, on the demo shop."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.running import FreshetProcess

CHEESE = "1096036"


def listed(shop: FreshetProcess, *arguments: str) -> dict[str, Any]:
    done = shop.command("recommend", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def test_a_filter_that_is_relaxed_says_so(demo_shop: FreshetProcess) -> None:
    narrow = ("ada", "--filter", "categories:Grocery > Cheese;price:..0.5")
    told = demo_shop.command("recommend", *narrow, "--relax", "price", "--at-least", "5")
    assert told.returncode == 0, told.stderr
    assert "without its conditions on price" in told.stdout
    content = listed(demo_shop, *narrow, "--relax", "price", "--at-least", "5")
    assert content["filter"]["relaxed"] == ["price"]
    assert len(content["items"]) == 10
    misspelt = demo_shop.command("recommend", "ada", "--filter", "brand:Privat")
    assert "did you mean 'Private'?" in misspelt.stdout
    assert "the filter lets 0 items of the catalogue in" in misspelt.stdout


def test_variables_come_from_the_item_and_the_context(demo_shop: FreshetProcess) -> None:
    asked = (
        "--scenario",
        "similar",
        "--item-id",
        CHEESE,
        "--filter",
        "brand:$item.brand;price:..$context.most",
    )
    cheap = listed(demo_shop, *asked, "--context", "most=2")
    assert cheap["items"]
    assert max(item["price"] for item in cheap["items"]) <= 2
    without = demo_shop.command("recommend", *asked)
    assert "$context.most has no value; give one with --context" in without.stdout
    wrong = demo_shop.command("recommend", "--context", "most")
    assert (wrong.returncode, "write NAME=VALUE" in wrong.stderr) == (1, True)


def test_the_next_page_and_what_a_place_came_from(demo_shop: FreshetProcess) -> None:
    first = listed(demo_shop, "-n", "7", "--explain")
    assert all(item["explain"] for item in first["items"])
    second = listed(demo_shop, "-n", "7", "--cursor", first["next_cursor"])
    assert not {item["item_id"] for item in first["items"]} & {item["item_id"] for item in second["items"]}
    told = demo_shop.command("recommend", "-n", "2", "--explain", "--diversity", "0.4")
    assert '"sources":' in told.stdout


def test_what_the_server_says_is_wrong_is_shown(demo_shop: FreshetProcess) -> None:
    for arguments, said in (
        (("--filter", "brnad:x"), "did you mean 'brand'?"),
        (("--diversity", "2"), "must be a number from 0 to 1"),
        (("--relax", "prize"), "did you mean 'price'?"),
        (("--cursor", "zzz"), "`next_cursor` of the page before"),
    ):
        done = demo_shop.command("recommend", "ada", *arguments)
        assert done.returncode == 1
        assert said in done.stderr
