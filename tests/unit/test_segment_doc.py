"""docs/SEGMENT.md says of Segment's and Google's events what the code does; its commands work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from services.http.keys import GA4_PATH, SEGMENT_PATHS
from services.ingest.client_routes import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES
from services.ingest.ga4 import USED
from services.ingest.ga4 import translate as translate_ga4
from services.ingest.intake import MAX_EVENTS_OF_SUBJECT
from services.ingest.payload import MAX_ENTRIES
from services.ingest.segment import Envelope, translate
from services.ingest.segment_events import CONSENT_CATEGORIES, EVENTS, IGNORED, PRODUCT_IDS, folded
from services.kernel.event_input import MAX_LINES, parse_event
from services.kernel.event_type import EventTypes
from services.kernel.metrics import INGEST_CALLS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/SEGMENT.md").read_text()
FLAT = " ".join(PAGE.split())
TYPES = EventTypes()
ABOUT = {
    "product": "the product",
    "products": "`products`, each",
    "asset": "`asset_id`",
    "playback": "`content_asset_id`, or the first of `content_asset_ids`",
    "nobody's item": "",
}


def rows(head: str) -> list[list[str]]:
    """The cells of the table whose first line is `head`."""
    table = PAGE.split(f"\n{head}\n|---")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_the_table_of_segments_events_is_that_of_the_code() -> None:
    told = rows("| event | becomes | the item is named by |")
    assert told == [[name, f"`{rule.event_type}`", ABOUT[rule.about]] for name, rule in EVENTS.items()]


def test_the_ignored_are_those_of_the_code() -> None:
    told = FLAT.split("Known, and ignored without a word: ")[1].split(". ")[0]
    assert told.split(", ") == list(IGNORED)


def test_the_table_of_google_is_that_of_the_code() -> None:
    assert rows("| event | becomes |") == [[f"`{name}`", f"`{TYPES.find(name)}`"] for name in USED]


def test_numbers_and_names_on_the_page() -> None:
    assert (MAX_MESSAGE_BYTES, MAX_BATCH_BYTES) == (32 * 1024, 500 * 1024)
    assert "32 KB a call, 500 KB a batch" in FLAT
    assert f"{MAX_ENTRIES:,} calls a batch, and {MAX_EVENTS_OF_SUBJECT} of one user" in FLAT
    assert f"a list of more than {MAX_LINES} is several records" in FLAT
    assert "The product is " + "`product_id`, else `sku`, `item_id` or `id`" in FLAT
    assert PRODUCT_IDS == ("product_id", "sku", "item_id", "id")
    categories = FLAT.split("without one, all that are there of ")[1].split(" must be granted")[0]
    assert {folded(name) for name in re.split(r", | and ", categories)} == CONSENT_CATEGORIES
    assert f"`{INGEST_CALLS.name}{{{','.join(INGEST_CALLS.labels)}}}`" in FLAT


def commands() -> list[tuple[str, Any]]:
    """(path, body) of each curl on the page."""
    found = re.findall(r"curl '?localhost:8080(/[^\s'?]+)\S* (?:-u \S+ )?-d '([^']*)'", FLAT)
    return [(path, json.loads(body)) for path, body in found]


def test_the_commands_become_events() -> None:
    sent = commands()
    assert [path for path, _ in sent] == ["/v1/track", GA4_PATH, "/events"]
    assert "/v1/track" in SEGMENT_PATHS
    for path, body in sent:
        if path == "/events":
            events = [body]
        elif path == GA4_PATH:
            events = translate_ga4(body, body["events"][0], TYPES).events
        else:
            events = translate(body, path.rpartition("/")[2], Envelope(0), TYPES).events
        (event,) = [parse_event(event, 0, TYPES) for event in events]
        assert event.user_id == "ada"
        assert event.item_id == "p_67890" or (event.items and event.items[0].item_id == "p_67890")
