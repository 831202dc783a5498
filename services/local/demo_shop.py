"""The demo as Freshet takes it: products, films, and orders whose times end now. Source: `demo/README.md`."""

from __future__ import annotations

import csv
import gzip
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILES = Path(__file__).parent / "demo"
CURRENCY = "USD"


@dataclass(frozen=True)
class DemoShop:
    """What is loaded: the newest `orders` orders and the products in them, or (None) everything.
    Last among the items are the films, in the categories Films and Serials, which nobody has seen yet."""

    items: list[dict[str, Any]]
    orders: list[dict[str, Any]]

    def orders_until(self, newest_s: int, first: int) -> Iterator[dict[str, Any]]:
        """The orders from number `first` on as events; the last one is at `newest_s` (Unix s).

        An order's event id is the same at every call, so that one sent twice counts once.
        """
        shift_s = newest_s - self.orders[-1]["timestamp"] if self.orders else 0
        for order in self.orders[first:]:
            yield {**order, "timestamp": order["timestamp"] + shift_s}


def read_shop(orders_max: int | None = None) -> DemoShop:
    """Read the shipped files."""
    orders = list(deque(map(_order, _rows("orders.csv.gz")), maxlen=orders_max))
    sold = {line["item_id"] for order in orders for line in order["items"]}
    products = [_item(row) for row in _rows("products.csv.gz") if row["item_id"] in sold]
    return DemoShop(products + read_films(), orders)


def read_films() -> list[dict[str, Any]]:
    """The films and the chapters of serials, as `POST /items` takes them."""
    return [json.loads(line) for line in (_FILES / "films.ndjson").read_text("utf-8").splitlines()]


def _rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(_FILES / name, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def _item(row: dict[str, str]) -> dict[str, Any]:
    return {
        "item_id": row["item_id"],
        "title": row["title"],
        "categories": [row["categories"]],
        "brand": row["brand"],
        "price": float(row["price"]),
        "currency": CURRENCY,
        "available": True,
        "properties": {"manufacturer": row["manufacturer"]},
    }


def _order(row: dict[str, str]) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for line in row["items"].split(" "):
        item_id, quantity, price = line.split(":")
        lines.append({"item_id": item_id, "quantity": float(quantity), "price": float(price)})
    return {
        "event_id": f"demo-{row['order_id']}",
        "event_type": "purchase",
        "user_id": f"u_{row['user_id']}",
        "order_id": row["order_id"],
        "timestamp": int(row["timestamp"]),
        "currency": CURRENCY,
        "value": round(sum(line["quantity"] * line["price"] for line in lines), 2),
        "items": lines,
    }
