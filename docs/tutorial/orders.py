"""An invented purchase history of the tutorial's shop, as a shop's export of order lines looks.

`python3 docs/tutorial/orders.py > orders.csv`: the same orders each time, the last one paid an hour ago.
"""

from __future__ import annotations

import csv
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

# What customers of each kind buy at once. Now and then one thing more gets into the basket.
BASKETS: Final = (
    (("B-ESP", "S-CAN"), ("B-ESP", "B-DEC"), ("G-MOK", "B-ESP", "M-CUP")),
    (("B-GUJ", "G-PAP"), ("B-HUI", "G-PAP"), ("G-V60", "G-PAP", "B-GUJ"), ("G-V60", "G-PAP", "G-SCA")),
    (("T-EAR", "S-SHO"), ("T-ASS", "T-EAR"), ("T-DAR", "S-SHO"), ("T-POT", "T-DAR", "T-JAS")),
    (("T-MAT", "S-MOC"), ("T-SEN", "S-MOC"), ("T-MAT", "T-BOW"), ("T-MAT", "T-BOW", "T-WHI")),
)
BESIDES: Final = ("M-MUG", "M-CUP", "S-SHO", "G-GRI", "T-JAS")
CUSTOMERS: Final = 600
ORDERS_EACH: Final = 2
DAYS: Final = 60.0


def main() -> None:
    """Write order lines as CSV to standard output, oldest first."""
    chance = random.Random(7)  # noqa: S311 - an example, not a secret
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(("order", "customer", "sku", "qty", "paid_at"))
    who = [customer for _ in range(ORDERS_EACH) for customer in chance.sample(range(CUSTOMERS), CUSTOMERS)]
    last = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    for number, customer in enumerate(who):
        paid_at = last - timedelta(days=DAYS) * (1 - (number + 1) / len(who))
        lines = [*chance.choice(BASKETS[customer % len(BASKETS)])]
        if chance.random() < 0.2:
            lines.append(chance.choice(BESIDES))
        for sku in dict.fromkeys(lines):
            quantity = 2 if chance.random() < 0.1 else 1
            when = f"{paid_at:%Y-%m-%dT%H:%M:%SZ}"
            out.writerow((5001 + number, f"c-{customer + 1:03d}", sku, quantity, when))


if __name__ == "__main__":
    main()
