"""Cut the demo shop out of the Complete Journey grocery set.

    python tools/make_demo.py DIRECTORY_WITH_THE_SOURCE

The directory holds `products.csv.gz` and `transactions_sample.csv.gz` as the R package `completejourney`
publishes them (CC0). Written: `services/local/demo/products.csv.gz` and `orders.csv.gz`.

What is kept: every household and every basket of the sample; of each basket the lines whose product was
bought at least `MIN_LINES` times, so that the shop is one where something can be learned. What is left out:
lines without a quantity or a price, and departments that sell no goods (fuel, coupons, store supplies).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "services" / "local" / "demo"
MIN_LINES = 3  # with fewer, half of the catalogue would be products bought once
NO_GOODS = {
    "FUEL",
    "COUPON",
    "MISCELLANEOUS",
    "CNTRL/STORE SUP",
    "GM MERCH EXP",
    "TRAVEL & LEISURE",
    "POSTAL CENTER",
}
NOT_SHOWN = {
    "CIGARETTES",
    "CIGARS",
    "TOBACCO OTHER",
    "SMOKELESS TOBACCO",
    "COUPON/MISC ITEMS",
    "COUPONS/STORE & MFG",
}

# The till's abbreviations, spelled out. Order matters: longer ones first.
SPELLED: tuple[tuple[str, str], ...] = (
    (r"FRZN|FROZN|FRZ", "frozen"),
    (r"REFRGRATD|REFRGERATD|REFRGRTD", "refrigerated"),
    (r"SFT DRNK|SFT DRNKS", "soft drink"),
    (r"DRNKS|DRINKS", "drinks"),
    (r"DRNK", "drink"),
    (r"PNT BTR", "peanut butter"),
    (r"SNGL SRV|SGL SRV|SGL SV|SNGL SV", "single serve"),
    (r"SS", "single serve"),
    (r"DNRS", "dinners"),
    (r"MLT-PK|MULT-PK|MLTPK", "multi-pack"),
    (r"BTL", "bottle"),
    (r"CARB", "carbonated"),
    (r"VEG|VEGTBL|VEGTBLE", "vegetables"),
    (r"CHOC|CHOCOCLATE", "chocolate"),
    (r"CHICK|CHKN|CHIX", "chicken"),
    (r"CATFD", "cat food"),
    (r"DOGFD", "dog food"),
    (r"SW GDS", "sweet goods"),
    (r"SW", "sweet"),
    (r"FD", "food"),
    (r"BN|BNS", "beans"),
    (r"MXS", "mixes"),
    (r"BRKFST|BKFST", "breakfast"),
    (r"WHLSM", "wholesome"),
    (r"SALD", "salad"),
    (r"DRSNG|DRSNGS", "dressing"),
    (r"SNDWCH|SNDWCHS", "sandwich"),
    (r"SPRD", "spread"),
    (r"CLEANG", "cleaning"),
    (r"FLVRD", "flavoured"),
    (r"BKD", "baked"),
    (r"PKCGD|PKGD|PCKGD|PKG", "packaged"),
    (r"SPLY|SUPPL", "supplies"),
    (r"TRSH BG", "trash bags"),
    (r"WTR", "water"),
    (r"HYGN", "hygiene"),
    (r"FEM", "feminine"),
    (r"PREM", "premium"),
    (r"GR", "group"),
    (r"BEERALEMALT", "beer, ale and malt"),
    (r"SAUCESSALSAPICANTEE", "sauces, salsa, picante"),
    (r"SHERBTS", "sherbets"),
    (r"MISC", "miscellaneous"),
    (r"DRUG GM", "drugstore"),
    (r"MACH", "machine"),
    (r"VEND", "vending"),
    (r"BR", "bread"),
    (r"PK", "pack"),
    (r"CRMD", "creamed"),
    (r"STK", "stick"),
    (r"PICKLD|PKLD", "pickled"),
    (r"DRNKNG", "drinking"),
    (r"MNRL WAT", "mineral water"),
    (r"WT", "weight"),
)
# Kinds that say nothing without their category: "Mainstream" is a pasta sauce.
BARE = {
    "Mainstream",
    "Premium",
    "Traditional",
    "Economy",
    "Regular",
    "Specialty",
    "Super premium",
    "Enhanced",
    "Singles",
    "Lean",
    "Kids",
    "Adult",
    "Fresh",
    "Other",
    "All other",
    "Miscellaneous",
    "Domestic",
    "Imported",
    "Bulk",
    "Organic",
    "Refrigerated",
    "Value added",
    "Select",
    "Choice",
    "Prime",
    "Poultry",
    "Exotic",
    "Natural",
    "Light",
    "Sugar free",
    "Primal",
    "Blends",
    "Premium pints",
    "Smoked/cooked",
    "Sticks/enrobed",
}
_SPELLED = tuple((re.compile(rf"(?<![A-Z])(?:{short})(?![A-Z])"), long) for short, long in SPELLED)
_UNITS = re.compile(r"^(\d*\.?\d+)\s*(OZ|LB|CT|L|ML|GAL|PT|QT|GM|G|SQ FT|FT|PK|PC|DZ)\b", re.IGNORECASE)


def readable(till_text: str) -> str:
    """`FRZN MEAT/MEAT DINNERS` → `Frozen meat/meat dinners`; a bracket that the till cut off goes."""
    text = till_text.strip()
    if text.count("(") > text.count(")"):
        text = text[: text.rindex("(")]
    for short, long in _SPELLED:
        text = short.sub(long, text)
    text = re.sub(r"(?<=[A-Za-z])\.(?=\s|$)", "", text)
    text = re.sub(r"\s*:\s*", ": ", re.sub(r"\s*&\s*", " & ", text))
    text = re.sub(r"\s+", " ", re.sub(r"/[A-Z]?$", "", text)).strip(" -/,&").lower()
    return text[:1].upper() + text[1:]


def size_of(package_size: str) -> str:
    """`22 LB` → `22 lb`; what is no amount (`CTN`, `300 CT(1)` keeps its amount) is empty."""
    match = _UNITS.match(package_size.strip())
    return f"{match[1]} {match[2].lower()}" if match else ""


def read(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a gzipped CSV with a header."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write a gzipped CSV that is the same for the same rows (no time, no name inside)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    path.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))
    return count


def main(source: Path) -> None:
    """Read the source, write the two files, say what they hold."""
    products = {row["product_id"]: row for row in read(source / "products.csv.gz")}
    lines = [row for row in read(source / "transactions_sample.csv.gz") if _is_a_sale(row, products)]
    bought = Counter(row["product_id"] for row in lines)
    lines = [row for row in lines if bought[row["product_id"]] >= MIN_LINES]
    prices: dict[str, list[float]] = defaultdict(list)
    baskets: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in lines:
        prices[row["product_id"]].append(float(row["sales_value"]) / float(row["quantity"]))
        baskets[row["basket_id"]].append(row)
    items = write(
        DEMO / "products.csv.gz",
        ("item_id", "title", "categories", "brand", "price", "manufacturer"),
        (
            _product(products[item_id], statistics.median(prices[item_id]))
            for item_id in sorted(prices, key=int)
        ),
    )
    in_time = sorted(baskets.items(), key=lambda pair: (_time_s(pair[1][0]), int(pair[0])))
    orders = write(
        DEMO / "orders.csv.gz",
        ("order_id", "user_id", "timestamp", "items"),
        (
            (basket_id, rows[0]["household_id"], str(_time_s(rows[0])), " ".join(map(_line, rows)))
            for basket_id, rows in in_time
        ),
    )
    households = len({row["household_id"] for row in lines})
    size = sum((DEMO / name).stat().st_size for name in ("products.csv.gz", "orders.csv.gz"))
    sys.stdout.write(
        f"{items} items, {households} households, {orders} orders, {len(lines)} lines, {size} bytes\n"
    )


def _is_a_sale(row: dict[str, str], products: dict[str, dict[str, str]]) -> bool:
    product = products.get(row["product_id"])
    if product is None or not product["product_category"] or product["department"] in NO_GOODS:
        return False
    if product["product_category"] in NOT_SHOWN:
        return False
    return 0 < float(row["quantity"]) <= 100 and float(row["sales_value"]) > 0


def _time_s(row: dict[str, str]) -> int:
    return int(float(row["transaction_timestamp"]))


def _product(row: dict[str, str], price: float) -> tuple[str, ...]:
    kind = readable(row["product_type"] or row["product_category"])
    if kind in BARE:
        kind = f"{readable(row['product_category'])} - {kind.lower()}"
    size = size_of(row["package_size"])
    path = f"{readable(row['department'])} > {readable(row['product_category'])}"
    return (
        row["product_id"],
        f"{kind}, {size}" if size else kind,
        path,
        row["brand"],
        f"{price:.2f}",
        row["manufacturer_id"],
    )


def _line(row: dict[str, str]) -> str:
    unit_price = float(row["sales_value"]) / float(row["quantity"])
    return f"{row['product_id']}:{float(row['quantity']):g}:{unit_price:.2f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
