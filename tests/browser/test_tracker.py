"""clients/js in Chromium against a running Freshet, with the network cut in between."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from tests.browser.site import Site
from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.processes import scratch_directory
from tests.servers import valkey_server
from tests.serving import serving

KEY, WRITE_KEY = "all", "write+only/&"
CUT = "net::ERR_"


@pytest.fixture(scope="module")
def freshet(site: Site) -> Iterator[FreshetProcess]:
    """A Freshet with keys, on another origin than the shop's pages."""
    with scratch_directory("tracker") as directory:
        variables = {
            "FRESHET_KEYS": KEY,
            "FRESHET_WRITE_KEYS": WRITE_KEY,
            "FRESHET_CORS_ORIGINS": site.url,
        }
        with FreshetProcess(Path(directory), ["--empty"], variables) as process:
            process.start()
            site.behind, site.key = process.url, KEY
            yield process


@pytest.fixture
def user() -> str:
    return f"u-{uuid.uuid4().hex[:8]}"


def known(freshet: FreshetProcess, user: str) -> dict[str, Any]:
    """What is stored about a user: `events` counts each once, `records` what the log holds."""
    status, body = freshet.call("GET", f"/users/{user}/export", headers={"X-API-Key": KEY})
    assert status == 200, body
    assert isinstance(body, dict)
    return body


def viewed(freshet: FreshetProcess, user: str) -> list[str]:
    """The items of a user's profile, sorted: one that was counted twice stands there twice."""
    return sorted(event["item_id"] for event in known(freshet, user).get("recent", []))


def open_shop(page: Page, site: Site, url: str, **options: Any) -> None:
    """A page of the shop, with `tracker` and `told` (what became of each event) in it."""
    page.goto(site.url)
    page.wait_for_function("() => !!window.createTracker")
    start(page, url, **options)


def start(page: Page, url: str, **options: Any) -> None:
    page.evaluate(
        """(options) => {
            window.told = [];
            const onOutcome = (event, outcome) => told.push({ ...event, ...outcome });
            window.tracker = createTracker({ ...options, onOutcome });
        }""",
        {"url": url, "key": WRITE_KEY, **options},
    )


def view(page: Page, *items: str) -> None:
    page.evaluate("(items) => items.forEach((item) => tracker.track('view', item))", list(items))


def told(page: Page, name: str = "outcome") -> list[Any]:
    found: list[Any] = page.evaluate("(name) => told.map((one) => one[name])", name)
    return found


def waiting(page: Page) -> int:
    """Events in the queue."""
    count: int = page.evaluate("Object.keys(localStorage).filter((at) => at.startsWith('freshet.e.')).length")
    return count


def numbered(first: int, last: int) -> list[str]:
    return [f"i{number:03}" for number in range(first, last)]


def test_events_arrive_once_in_one_request(
    page: Page, site: Site, freshet: FreshetProcess, user: str
) -> None:
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.method) if "/events" in request.url else None)
    open_shop(page, site, freshet.url + "/", userId=user, context={"country": "DE"}, flushMs=600_000)
    view(page, "a")
    page.evaluate("tracker.track('purchase', { items: [{ item_id: 'b', quantity: 2, price: 4.5 }] })")
    page.evaluate("tracker.impression(['c', { item_id: 'd' }], 'r-1')")
    page.evaluate("tracker.flush()")
    assert told(page) == ["accepted"] * 3
    after = told(page, "position")[0]
    listed = page.evaluate(
        "([userId, after]) => recommend({ url: '/api', userId, after, context: { country: 'DE' } })",
        [user, after],
    )
    assert listed["fresh"] is True
    becomes(lambda: known(freshet, user)["events"], 3)
    assert viewed(freshet, user) == ["a", "b"]
    assert posts == ["POST"]
    _, metrics = freshet.call("GET", "/metrics", headers={"X-API-Key": KEY})
    assert 'method="POST"' in metrics
    assert 'method="OPTIONS"' not in metrics, "a preflight costs a round trip"
    assert waiting(page) == 0


def test_a_network_that_is_cut_loses_nothing(
    page: Page,
    context: BrowserContext,
    site: Site,
    freshet: FreshetProcess,
    user: str,
    allowed_errors: list[str],
) -> None:
    allowed_errors.append(CUT)
    open_shop(page, site, freshet.url, userId=user)
    view(page, *numbered(0, 3))
    eventually(lambda: told(page), lambda outcomes: len(outcomes) == 3)
    context.set_offline(True)
    view(page, *numbered(3, 90))
    page.evaluate("tracker.flush()")
    assert waiting(page) == 87
    assert len(told(page)) == 3
    context.set_offline(False)
    eventually(lambda: told(page), lambda outcomes: outcomes == ["accepted"] * 90)
    becomes(lambda: viewed(freshet, user), numbered(0, 90))


def test_a_server_that_is_killed_and_comes_back_counts_each_event_once(
    page: Page, site: Site, freshet: FreshetProcess, user: str, allowed_errors: list[str]
) -> None:
    allowed_errors.append(CUT)
    open_shop(page, site, freshet.url, userId=user, flushMs=5)
    for number in range(100):
        view(page, f"i{number:03}")
        if number == 20:
            freshet.kill()
        if number == 60:
            freshet.start()
    eventually(lambda: told(page), lambda outcomes: outcomes == ["accepted"] * 100)
    becomes(lambda: viewed(freshet, user), numbered(0, 100))
    assert known(freshet, user)["events"] == 100


def test_leaving_the_page_sends_a_beacon_and_the_next_page_makes_sure(
    page: Page, site: Site, freshet: FreshetProcess, user: str
) -> None:
    open_shop(page, site, freshet.url, userId=user, flushMs=60_000)
    view(page, "a", "b")
    page.goto(site.url + "/bare")
    becomes(lambda: viewed(freshet, user), ["a", "b"])
    assert waiting(page) == 2, "no answer was seen, so they are kept"
    open_shop(page, site, freshet.url, userId=user)
    eventually(lambda: told(page), lambda outcomes: outcomes == ["accepted"] * 2)
    view(page, "c")
    becomes(lambda: viewed(freshet, user), ["a", "b", "c"])
    assert known(freshet, user)["events"] == 3
    assert known(freshet, user)["records"] == 5, "sent twice with the same ids, counted once"


def test_a_page_that_is_left_without_a_network_is_made_up_for(
    page: Page,
    context: BrowserContext,
    site: Site,
    freshet: FreshetProcess,
    user: str,
    allowed_errors: list[str],
) -> None:
    allowed_errors.append(CUT)
    open_shop(page, site, freshet.url, userId=user)
    context.set_offline(True)
    view(page, "a")
    page.close()
    context.set_offline(False)
    next_page = context.new_page()
    open_shop(next_page, site, freshet.url)
    becomes(lambda: viewed(freshet, user), ["a"])


def test_the_queue_is_bounded_and_says_what_it_dropped(
    page: Page,
    context: BrowserContext,
    site: Site,
    freshet: FreshetProcess,
    user: str,
    allowed_errors: list[str],
) -> None:
    allowed_errors.append(CUT)
    open_shop(page, site, freshet.url, userId=user, maxQueued=5, flushMs=600_000)
    context.set_offline(True)
    view(page, *numbered(0, 8))
    page.evaluate("tracker.track('view', { item_id: 'x', properties: { text: 'x'.repeat(20000) } })")
    assert [(one, item) for one, item in zip(told(page, "code"), told(page, "item_id"), strict=True)] == [
        ("queue_full", "i000"),
        ("queue_full", "i001"),
        ("queue_full", "i002"),
        ("too_large", "x"),
    ]
    context.set_offline(False)  # sends at once, whatever time is left
    becomes(lambda: viewed(freshet, user), numbered(3, 8))


def test_a_denial_clears_everything_and_is_sent_once(
    page: Page,
    context: BrowserContext,
    site: Site,
    freshet: FreshetProcess,
    user: str,
    allowed_errors: list[str],
) -> None:
    allowed_errors.append(CUT)
    bodies: list[str] = []
    context.on("requestfinished", lambda request: bodies.append(request.post_data or ""))
    open_shop(page, site, freshet.url, userId=user)
    view(page, "a")
    becomes(lambda: viewed(freshet, user), ["a"])
    visitor = page.evaluate("tracker.anonymousId")
    context.set_offline(True)
    view(page, "b")
    page.evaluate("tracker.consent(false)")
    assert page.evaluate("tracker.track('view', 'c')") is None
    assert page.evaluate("tracker.anonymousId") is None
    assert waiting(page) == 2, "one denial for the user, one for the visitor, and nothing else"
    page.evaluate("tracker.consent(true); tracker.consent(false)")
    assert waiting(page) == 3, "changing one's mind twice loses neither of them"
    page.close()
    context.set_offline(False)
    later = context.new_page()
    open_shop(later, site, freshet.url, userId=user, consent=False)
    becomes(lambda: [known(freshet, who).get("consent") for who in (user, visitor)], ["withheld"] * 2)
    eventually(lambda: waiting(later), lambda count: count == 0)
    view(later, "d")
    later.evaluate("tracker.flush()")
    assert sum('"consent":false' in body for body in bodies) == 1
    assert not any('"b"' in body or '"d"' in body for body in bodies)
    assert later.evaluate("Object.keys(localStorage)") == ["freshet.consent"]
    later.evaluate("tracker.consent(true)")
    view(later, "e")
    becomes(lambda: viewed(freshet, user), ["e"])


def test_two_tabs_share_a_visitor_and_a_queue(
    page: Page, context: BrowserContext, site: Site, freshet: FreshetProcess
) -> None:
    second = context.new_page()
    open_shop(page, site, freshet.url, flushMs=1)
    visitor = page.evaluate("tracker.anonymousId")
    open_shop(second, site, freshet.url, flushMs=1)
    # Storage comes to another tab some milliseconds later.
    becomes(lambda: second.evaluate("tracker.anonymousId"), visitor)
    for number in range(0, 100, 2):
        view(page, f"i{number:03}")
        view(second, f"i{number + 1:03}")
    becomes(lambda: viewed(freshet, visitor), numbered(0, 100))
    eventually(lambda: waiting(page), lambda count: count == 0)
    assert known(freshet, visitor)["events"] == 100
    sessions = {*told(page, "session_id"), *told(second, "session_id")}
    assert len(sessions) == 1


def test_signing_in_and_out(page: Page, site: Site, freshet: FreshetProcess, user: str) -> None:
    open_shop(page, site, freshet.url)
    visitor = page.evaluate("tracker.anonymousId")
    page.evaluate("(user) => tracker.identify(user)", user)
    view(page, "a")
    page.evaluate("tracker.identify(null)")
    view(page, "b")
    becomes(lambda: len(told(page)), 3)
    next_visitor = page.evaluate("tracker.anonymousId")
    assert told(page, "event_type") == ["identify", "view", "view"]
    assert told(page, "user_id") == [user, user, None]
    assert told(page, "anonymous_id") == [visitor, visitor, next_visitor]
    assert visitor != next_visitor


def test_what_is_refused_is_told_and_spoils_no_neighbour(
    page: Page, site: Site, freshet: FreshetProcess, user: str, allowed_errors: list[str]
) -> None:
    allowed_errors.append("422")
    open_shop(page, site, freshet.url, userId=user)
    page.evaluate("const now = Date.now; Date.now = () => now() + 3_600_000")
    view(page, "a")
    page.evaluate("tracker.track('veiw', 'b')")
    outcomes = eventually(lambda: page.evaluate("told"), lambda found: len(found) == 2)
    by_item = {one["item_id"]: one for one in outcomes}
    assert by_item["b"]["outcome"] == "rejected"
    assert by_item["b"]["code"] == "unknown_event_type"
    assert by_item["a"]["outcome"] == "accepted", "a clock that is an hour fast is no reason to lose an event"
    becomes(lambda: viewed(freshet, user), ["a"])


def test_storage_that_is_denied_costs_the_memory_of_later_pages_alone(
    page: Page, site: Site, freshet: FreshetProcess, user: str
) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } })"
    )
    open_shop(page, site, freshet.url, userId=user)
    view(page, "a")
    becomes(lambda: viewed(freshet, user), ["a"])
    page.evaluate("tracker.consent(false)")
    assert page.evaluate("tracker.track('view', 'b')") is None
    becomes(lambda: known(freshet, user).get("consent"), "withheld")


def test_a_log_that_is_away_is_waited_for(
    page: Page, site: Site, user: str, allowed_errors: list[str]
) -> None:
    allowed_errors.append("503")
    with valkey_server(append_only=True) as log:
        bounds = {"ack_timeout_ms": 400, "write_keys": WRITE_KEY, "cors_origins": site.url}
        with serving(create_ingest_app(IngestSettings(log_url=log.url, **bounds))) as url:
            open_shop(page, site, "http://nowhere.invalid", eventsUrl=f"{url}/events", userId=user)
            view(page, "a")
            eventually(lambda: told(page), lambda outcomes: outcomes == ["accepted"])
            log.kill()
            page.evaluate("tracker.track('veiw', 'wrong')")
            view(page, "b")
            eventually(lambda: told(page), lambda outcomes: outcomes == ["accepted", "rejected"])
            assert waiting(page) == 1, "of the answer 503, what was refused for what it is is not sent again"
            log.start()
            eventually(lambda: told(page), lambda outcomes: outcomes == ["accepted", "rejected", "accepted"])


def test_a_subscribed_list_changes_with_the_visitor_and_survives_a_restart(
    page: Page, site: Site, freshet: FreshetProcess, user: str, allowed_errors: list[str]
) -> None:
    allowed_errors += ["422", "502", CUT]
    for item in ("one", "two", "three"):
        status, body = freshet.call("PUT", f"/items/{item}", {"title": item.title()}, {"X-API-Key": KEY})
        assert status == 202, body
    open_shop(page, site, freshet.url, userId=user)
    page.evaluate(
        """(userId) => {
            window.lists = [];
            window.pauses = [];
            const asked = { url: "/api", userId, scenario: "recently_viewed", fields: ["title"] };
            const onList = (list) => lists.push(list.items.map((item) => item.title));
            window.stop = subscribe(asked, onList, (pauseMs) => pauses.push(pauseMs));
        }""",
        user,
    )
    eventually(lambda: page.evaluate("lists.length"), lambda count: count == 1)
    view(page, "two")
    eventually(lambda: page.evaluate("lists"), lambda lists: lists[-1] == ["Two"])
    freshet.kill()
    eventually(lambda: page.evaluate("pauses"), lambda pauses: len(pauses) > 0)
    freshet.start()
    view(page, "three")
    eventually(lambda: page.evaluate("lists"), lambda lists: lists[-1] == ["Three", "Two"])
    page.evaluate("stop()")
    refused = page.evaluate(
        "recommend({ url: '/api', userId: 'u', scenario: 'x' }).catch(({ status, code }) => [status, code])"
    )
    assert refused == [422, "unknown_scenario"]
