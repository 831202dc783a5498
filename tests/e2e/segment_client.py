"""What the server of a shop does, with segment-analytics-python as it comes from PyPI.

A process of its own, as a shop's server is one: python segment_client.py URL KEY USER ITEM [ITEM …]. Prints
what the library reported as failed. A user called "crowd-N" stands for N users, who view an item each.
"""

from __future__ import annotations

import json
import sys

from segment.analytics import Client  # type: ignore[import-untyped]

_PREFIX = "crowd-"


def main() -> None:
    """Send, wait until all is delivered, report."""
    url, key, user, *items = sys.argv[1:]
    failures: list[str] = []
    client = Client(
        key,
        host=url,
        gzip=True,
        upload_size=100,
        upload_interval=0.2,
        on_error=lambda error, _batch: failures.append(str(error)),
    )
    if user.startswith(_PREFIX):
        for number in range(int(user.removeprefix(_PREFIX))):
            client.track(f"{user}-{number}", "Product Viewed", {"product_id": items[0]})
    else:
        shop(client, user, items)
    client.flush()
    client.join()
    print(json.dumps(failures))


def shop(client: Client, user: str, items: list[str]) -> None:
    """A visit: look, put into the cart, order, and what is of no use to Freshet."""
    first, second = items
    context = {"ip": "203.0.113.9", "locale": "de-DE", "location": {"country": "DE"}}
    client.identify(user, {"email": "ada@shop.example"}, anonymous_id=f"{user}-before")
    client.page(user, "Home", properties={"url": "https://shop.example/"})
    client.track(user, "Product Viewed", {"product_id": first, "price": "4.50"}, context=context)
    client.track(user, "Product Added", {"product_id": second, "quantity": 2})
    client.screen(user, "Product", properties={"product_id": first})
    client.track(user, "Newsletter Opened", {"issue": 7})
    client.group(user, "club", {"name": "Cheese lovers"})
    client.alias(f"{user}-before", user)
    client.track(
        user,
        "Order Completed",
        {
            "order_id": "1001",
            "currency": "EUR",
            "total": 13.5,
            "products": [
                {"product_id": first, "price": 4.5, "quantity": 1},
                {"product_id": second, "price": 4.5, "quantity": 2},
            ],
        },
    )


if __name__ == "__main__":
    main()
