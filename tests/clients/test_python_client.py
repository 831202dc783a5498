"""clients/python against a running Freshet that is killed in between."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from freshet_client import (
    ApiError,
    AsyncFreshet,
    Freshet,
    FreshetError,
    RejectedError,
    UnreachableError,
    UnsentError,
    async_client,
    sync_client,
)
from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.processes import free_ports, scratch_directory
from tests.servers import valkey_server
from tests.serving import serving

README: Final = Path(__file__).resolve().parents[2] / "clients" / "python" / "README.md"
KEY: Final = "all"


@pytest.fixture(scope="module")
def server() -> Iterator[FreshetProcess]:
    with scratch_directory("client") as directory:
        with FreshetProcess(Path(directory), ["--empty"], {}) as process:
            process.start()
            yield process


@pytest.fixture
def freshet(server: FreshetProcess) -> Iterator[Freshet]:
    with Freshet(server.url) as client:
        yield client


def view(user: str, number: int) -> dict[str, Any]:
    return {"user_id": user, "event_type": "view", "item_id": f"i{number}"}


def test_the_readme_works_as_it_stands(server: FreshetProcess, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        told = block.replace("http://127.0.0.1:8080", server.url).replace(
            "Freshet()", f"Freshet('{server.url}')"
        )
        exec(compile(told, str(README), "exec"), {"__name__": "readme"})
        eventually(lambda: server.get("/items")["total"], lambda total: total >= 2)
    printed = capsys.readouterr().out
    assert "1 Rye bread 2.4 " in printed
    assert "unknown_event_type event_type 'veiw' is unknown; the nearest is 'view'" in printed
    assert "300 [] True" in printed


def test_a_list_has_seen_the_event_before_it(freshet: Freshet) -> None:
    for number in range(20):
        sent = freshet.events.send(view("own", number))
        answer = freshet.recommend("own", scenario="recently_viewed", after=sent)
        assert answer["fresh"]
        assert answer["items"][0]["item_id"] == f"i{number}"


def test_a_server_that_dies_in_between_counts_each_event_once(
    server: FreshetProcess, freshet: Freshet
) -> None:
    events = [view("killed", number) for number in range(120)]
    down = threading.Event()

    def stop_and_start() -> None:
        eventually(lambda: freshet.users.profile("killed")["events"], lambda count: count > 10)
        server.kill()
        down.set()
        time.sleep(0.2)
        server.start()

    restart = threading.Thread(target=stop_and_start)
    restart.start()
    positions = []
    for event in events:
        positions.append(freshet.events.send(event).position)
        if len(positions) == 30:
            assert down.wait(60)
    restart.join()
    assert len(set(positions)) == 120
    becomes(lambda: freshet.users.profile("killed")["events"], 120)


def test_many_are_cut_into_requests_that_ingest_takes(freshet: Freshet) -> None:
    events = [view(f"many-{number % 3}", number) for number in range(600)]
    events.insert(5, {"user_id": "many-0", "event_type": "veiw", "item_id": "x"})
    events.insert(9, {"user_id": "many-0", "event_type": "view", "item_id": "x", "note": "x" * 2_000_000})
    events.append({**view("many-0", 7), "timestamp": datetime.now(UTC)})
    sent = freshet.events.send_many(iter(events))
    assert [(one.index, one.code) for one in sent.rejected] == [
        (5, "unknown_event_type"),
        (9, "body_too_large"),
    ]
    assert len({one.id for one in sent.accepted}) == len(sent.accepted) == 601
    for number in range(3):
        user = f"many-{number}"
        answer = freshet.recommend(user, after=sent)
        assert answer["fresh"]
        assert answer["profile_events"] == 200 + (number == 0)
    again = freshet.events.send_many([{**view("many-2", 1), "event_id": sent.accepted[-1].id}] * 2)
    assert freshet.recommend("many-2", after=again)["profile_events"] == 201, "one id counts once"


def test_items_come_and_change_and_go(freshet: Freshet) -> None:
    odd = "gid://shopify/Product/1?x=ü"
    assert freshet.items.put(odd, {"title": "Bread", "price": 2}).id == odd
    freshet.items.patch(odd, {"price": None, "brand": "Mill"})
    becomes(lambda: _known(freshet, odd), {"item_id": odd, "title": "Bread", "brand": "Mill"})
    freshet.items.delete(odd)
    becomes(lambda: _known(freshet, odd), "unknown_item")
    sent = freshet.items.import_many({"item_id": f"shelf-{n:04}", "title": "x"} for n in range(1200))
    assert len(sent.accepted) == 1200
    page = eventually(lambda: freshet.items.page(limit=3), lambda found: found["total"] >= 1200)
    following = freshet.items.page(limit=3, cursor=page["next_cursor"])
    assert page["items"][-1]["item_id"] < following["items"][0]["item_id"]


def _known(freshet: Freshet, item_id: str) -> object:
    try:
        item = freshet.items.get(item_id)
    except ApiError as error:
        return error.code
    return {name: item[name] for name in ("item_id", "title", "brand", "price") if item.get(name) is not None}


def test_users_are_shown_exported_and_forgotten(freshet: Freshet) -> None:
    position = freshet.events.send(view("known/ü", 1)).position
    becomes(lambda: freshet.users.profile("known/ü")["position"], position)
    assert freshet.users.export("known/ü")["state"] == "known"
    freshet.users.delete("known/ü")
    becomes(lambda: freshet.users.export("known/ü")["state"], "deleted")


def test_pages_and_batches(freshet: Freshet) -> None:
    freshet.items.import_many({"item_id": f"page-{n}", "title": f"t{n}"} for n in range(10))
    eventually(lambda: freshet.items.page()["total"], lambda total: total >= 10)
    page = freshet.recommend_page("u", [{"id": "a", "n": 2}, {"scenario": "popular", "n": 2}])
    shown = [item["item_id"] for row in page["rows"] for item in row["items"]]
    assert [row["id"] for row in page["rows"]] == ["a", "1"]
    assert len(set(shown)) == len(shown) == 4
    users = [f"b{number}" for number in range(1005)]
    lines = list(
        freshet.recommend_batch([*users, {"user_id": "", "item_id": "page-1"}], n=1, fields=["title"])
    )
    assert [line["user_id"] for line in lines[:-1]] == users
    assert "title" in lines[0]["items"][0]
    assert lines[-1]["error"]["code"] == "invalid_id"
    with pytest.raises(ApiError, match="unknown_scenario"):
        next(freshet.recommend_batch(["u"], scenario="popluar"))


def test_the_async_client_does_the_same(server: FreshetProcess) -> None:
    async def work() -> None:
        async with AsyncFreshet(server.url) as freshet:
            sent = await asyncio.gather(*(freshet.events.send(view("async", n)) for n in range(50)))
            last = max(sent, key=lambda one: int(one.position.rpartition("-")[2]))
            answer = await freshet.recommend("async", after=last)
            assert answer["profile_events"] == 50
            many = await freshet.events.send_many(view("async", n) for n in range(50, 200))
            assert (await freshet.recommend("async", after=many))["profile_events"] == 200
            lines = [line["user_id"] async for line in freshet.recommend_batch(["a", "b"], n=1)]
            assert lines == ["a", "b"]
            with pytest.raises(ApiError, match="unknown_item"):
                await freshet.items.get("nothing")
            with pytest.raises(RejectedError, match="missing_item_id"):
                await freshet.events.send(user_id="async", event_type="view")

    asyncio.run(work())


@pytest.mark.parametrize("name", ["Freshet", "Events", "Items", "Users"])
def test_both_clients_have_the_same_calls(name: str) -> None:
    theirs = getattr(async_client, "Async" * (name == "Freshet") + name)
    mine = getattr(sync_client, name)
    assert _calls(mine) == _calls(theirs)


def _calls(kind: type) -> dict[str, tuple[str, str | None]]:
    public = inspect.getmembers(kind, inspect.isfunction)
    return {
        call: (str(inspect.signature(method).replace(return_annotation=None)), method.__doc__)
        for call, method in public
        if not call.startswith("_")
    }


def test_only_what_is_not_in_the_log_is_sent_again() -> None:
    bodies: list[bytes] = []
    http = httpx.Client(event_hooks={"request": [lambda request: bodies.append(request.content)]})
    with valkey_server(append_only=True) as log:
        settings = IngestSettings(log_url=log.url, ack_timeout_ms=400, keys=KEY)
        with serving(create_ingest_app(settings)) as url, http:
            freshet = Freshet("http://nowhere.invalid", KEY, events_url=f"{url}/events", http=http)
            freshet.events.send(view("u", 0))
            log.kill()
            back = threading.Timer(0.5, log.start)
            back.start()
            wrong = {"user_id": "u", "event_type": "veiw", "item_id": "wrong"}
            sent = freshet.events.send_many([view("u", 1), wrong, view("u", 2)])
            back.join()
            assert [one.code for one in sent.rejected] == ["unknown_event_type"]
            assert len(sent.accepted) == 2
            tries = [body for body in bodies[1:] if b"event_id" in body]
            assert len(tries) >= 2
            assert b"wrong" in tries[0]
            assert b"wrong" not in tries[-1]
            ids = {re.findall(rb'"event_id":"([^"]+)"', body)[0] for body in tries}
            assert len(ids) == 1, "the same ids each time"
            # Without patience the caller gets what is unsent, and may send it later as it is.
            log.kill()
            hasty = Freshet("http://nowhere.invalid", KEY, events_url=url, http=http, write_patience_s=0.0)
            with pytest.raises(UnsentError) as raised:
                hasty.events.send_many([view("u", 3), wrong])
            assert raised.value.code in {"log_unavailable", "log_timeout"}
            assert [one.code for one in raised.value.sent.rejected] == ["unknown_event_type"]
            log.start()
            assert len(freshet.events.send_many(raised.value.unsent).accepted) == 1


def test_errors_say_what_to_change(server: FreshetProcess, freshet: Freshet) -> None:
    with pytest.raises(ApiError) as raised:
        freshet.recommend("u", scenario="popluar")
    assert (raised.value.status, raised.value.code) == (422, "unknown_scenario")
    assert "popular" in raised.value.detail
    assert raised.value.problem["title"]
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    with Freshet(nobody, read_patience_s=0.0, write_patience_s=0.0) as away:
        with pytest.raises(UnreachableError, match=re.escape(nobody)):
            away.recommend("u")
        with pytest.raises(UnsentError) as unsent:
            away.events.send(view("u", 1))
    assert isinstance(unsent.value.__cause__, UnreachableError)
    assert unsent.value.unsent[0]["event_id"]
    with pytest.raises(FreshetError, match="not_found"), Freshet(f"{server.url}/docs") as elsewhere:
        elsewhere.recommend("u")
    with pytest.raises(ValueError, match="localhost:8080"):
        Freshet("localhost:8080")
    with pytest.raises(TypeError, match="set"):
        freshet.events.send({**view("u", 1), "properties": {"wrong": {1}}})
