"""A shop that nobody runs, the same for the same seed: items with all that rules ask for, and people.

Categories are paths of three levels (12 × 8 × 6 shelves), of sizes that fall with their rank; so do those of
2,000 brands. A brand sells on some shelves only, a person looks at two or three shelves.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from services.kernel.item import Item

DEPARTMENTS: Final = 12
AISLES: Final = 8  # of a department
SHELVES: Final = 6  # of an aisle
BRANDS: Final = 2_000
COUNTRIES: Final = ("AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "IT", "NL", "NO", "PL", "PT", "SE")
TAGS: Final = ("sale", "new", "eco", "gift", "bulky", "adult", "refurbished", "exclusive")
COLOURS: Final = ("red", "green", "blue", "black", "white", "grey", "yellow")
VIEWS_MAX: Final = 20  # of one person
_WORDS: Final = 400


class Shelf(NamedTuple):
    """The path of a category."""

    department: str
    aisle: str
    name: str


class Shop(NamedTuple):
    """Items, and their numbers by shelf."""

    items: list[Item]
    by_shelf: dict[Shelf, list[int]]


def shop_of(count: int, seed: int) -> Shop:
    """`count` items."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(4, 9))) for _ in range(_WORDS)]
    shelves = [
        Shelf(f"Department {a}", f"Aisle {a}-{b}", f"Shelf {a}-{b}-{c}")
        for a in range(DEPARTMENTS)
        for b in range(AISLES)
        for c in range(SHELVES)
    ]
    rng.shuffle(shelves)
    sizes = [(1 + rank) ** -0.5 for rank in range(len(shelves))]
    words_of = [rng.choices(words, k=12) for _ in shelves]
    brands_of = [[1 + int(BRANDS * rng.random() ** 2) for _ in range(40)] for _ in shelves]
    items: list[Item] = []
    by_shelf: dict[Shelf, list[int]] = {}
    for number, at in enumerate(rng.choices(range(len(shelves)), sizes, k=count)):
        items.append(_item(rng, number, shelves[at], words_of[at], rng.choice(brands_of[at])))
        by_shelf.setdefault(shelves[at], []).append(number)
    return Shop(items, by_shelf)


def _item(rng: random.Random, number: int, shelf: Shelf, words: list[str], brand: int) -> Item:
    price = round(rng.lognormvariate(3.0, 1.0), 2)
    return Item(
        item_id=f"sku-{number:07}",
        title=f"{shelf.name} {' '.join(rng.sample(words, 4))}",
        categories=[list(shelf)],
        brand=f"Brand {brand}",
        tags=[tag for tag in TAGS if rng.random() < 0.12],
        price=price,
        list_price=round(price * 1.25, 2) if rng.random() < 0.2 else None,
        currency="EUR",
        group_id=f"model-{number // 3}" if rng.random() < 0.3 else None,
        available=rng.random() < 0.97,
        published_at=1_600_000_000_000 + number * 1_000_000,
        properties={
            "territories": sorted(rng.sample(COUNTRIES, rng.randint(8, len(COUNTRIES)))),
            "colour": rng.choice(COLOURS),
            "rating": round(rng.uniform(2.0, 5.0), 1),
        },
    )


def batches(items: list[Item], size: int) -> Iterator[list[Any]]:
    """The items as `POST /items` takes them."""
    for first in range(0, len(items), size):
        yield [msgspec.to_builtins(item) for item in items[first : first + size]]


def history_of(shop: Shop, person: str, rng: random.Random) -> list[dict[str, Any]]:
    """3 to VIEWS_MAX events of one person, on two or three shelves; the first of a shelf are wanted most."""
    shelves = rng.sample(sorted(shop.by_shelf), rng.randint(2, 3))
    events = []
    for _ in range(rng.randint(3, VIEWS_MAX)):
        numbers = shop.by_shelf[rng.choice(shelves)]
        number = numbers[min(int(rng.paretovariate(0.7)) - 1, len(numbers) - 1)]
        kind = rng.choices(("view", "cart_add", "purchase"), (8, 1, 1))[0]
        events.append({"user_id": person, "event_type": kind, "item_id": shop.items[number].item_id})
    return events
