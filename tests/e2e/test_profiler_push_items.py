"""The catalogue by push: records of the items topic posted as a KafkaSource posts them, from either log."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from services.ingest.intake import take_item, take_item_deletion, take_patch
from services.kernel.ids import item_key
from services.kernel.item import Item, decode_item, encode_item
from services.log.protocol import Draft, Record, Topic
from services.log.streams_address import TopicKeys
from services.store.catalogue import CatalogueReader
from services.store.connection import connect
from services.trainer.day0 import init_release
from tests.e2e.kafka_source import posted, structured
from tests.e2e.profiler_world import (
    NOW_MS,
    World,
    difference,
    item_draft,
    make_events,
    make_release,
    shop,
    until,
)
from tests.e2e.pushing import pulled, pushed_to, records_of, wait_ready
from tests.servers import valkey_server

ODD_IDS = ["gid://shopify/Product/1", "käse", "日本", "100%", "a%20b", "Ω/🛒?#", " lead", "é" * 128, "p1"]


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


def changes(count: int, seed: int) -> list[Draft]:
    """Upserts, patches and deletions of a few items, as ingest appends them."""
    chance = random.Random(seed)
    made: list[Draft] = []
    for number in range(count):
        item_id = chance.choice(ODD_IDS)
        kind = chance.random()
        if kind < 0.5:
            made.append(take_item(item_id, {"title": f"thing {number}", "price": number}, NOW_MS))
        elif kind < 0.8:
            field = chance.choice(["price", "list_price"])
            made.append(take_patch(item_id, {field: number, "properties": {"ä%": number}}, NOW_MS))
        else:
            made.append(take_item_deletion(item_id, NOW_MS))
    return made


async def on_log(world: World, drafts: list[Draft]) -> dict[int, list[Record]]:
    """The records, by partition, once they are on the items topic."""
    await world.publish(drafts, Topic.ITEMS)
    return await records_of(world, Topic.ITEMS, len(drafts))


def deliver(http: httpx.Client, records: list[Record], *, twice_every: int = 0) -> None:
    """Post one after the other, as a KafkaSource does: each until it is taken."""
    for number, record in enumerate(records):
        for _ in range(2 if twice_every and number % twice_every == 0 else 1):
            answer = http.post("/items", **posted(record))
            while answer.status_code == 503 and answer.json()["code"] in {"unavailable", "busy"}:
                answer = http.post(
                    "/items", **posted(record)
                )  # a broker that elects, a store that comes back
            assert answer.status_code == 204, answer.text


async def title_of(world: World, item_id: str) -> str | None:
    connection = connect(world.settings())
    try:
        (value,) = await CatalogueReader(connection).items(1, [item_id])
        return decode_item(value).title if value is not None else None
    finally:
        await connection.close()


def test_upserts_patches_and_deletions_are_what_pull_makes(world: World) -> None:
    partitions = asyncio.run(on_log(world, changes(150, 1)))
    with pushed_to(world) as http:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda found: deliver(http, found, twice_every=5), partitions.values()))
        wait_ready(http)
    made = asyncio.run(pulled(world))
    assert any(name.endswith(":cat}:items") for name in made)
    assert difference(made, asyncio.run(world.dump())) == []


def test_old_records_and_other_senders_are_read_from_the_log(world: World) -> None:
    """Without the key attribute: before it was written, written by others, or in structured mode."""
    old = [
        draft._replace(headers=tuple(kept for kept in draft.headers if kept[0] != "ce_freshetkey"))
        for draft in changes(60, 2)
    ]
    foreign = [
        draft._replace(headers=tuple(kept for kept in draft.headers if kept[0] == "ce_type"))
        for draft in changes(60, 3)
        if b"\0" not in draft.key  # which its client refuses to send as a header
    ]
    bare = [Draft("käse".encode(), encode_item(Item(item_id="käse", title="bare"))), Draft(b"p1", b"")]
    partitions = asyncio.run(on_log(world, old + foreign + bare + changes(20, 4)))
    with pushed_to(world) as http:
        for found in partitions.values():
            deliver(http, found[:-1])
            answer = http.post(
                "/items",
                json=structured(found[-1]),
                headers={"content-type": "application/cloudevents+json"},
            )
            assert answer.status_code == 204, answer.text
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_what_no_post_brought_is_read_from_the_log_first(world: World) -> None:
    """A KafkaSource gave up on some (its dead-letter sink has them); the next post makes up for it."""
    partitions = asyncio.run(on_log(world, changes(120, 5)))
    with pushed_to(world, batch_records=7) as http:
        for found in partitions.values():
            deliver(http, [found[3], found[1], found[-1]])
        wait_ready(http)
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_concurrent_posts_keep_their_order(world: World) -> None:
    partitions = asyncio.run(on_log(world, changes(120, 6)))
    with pushed_to(world) as http, ThreadPoolExecutor(16) as threads:

        def patiently(record: Record) -> None:
            while (answer := http.post("/items", **posted(record))).status_code != 204:
                assert answer.status_code == 503, answer.text

        list(threads.map(patiently, [record for found in partitions.values() for record in found]))
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_scaled_to_zero_and_back_between_posts(world: World) -> None:
    partitions = asyncio.run(on_log(world, changes(80, 7)))
    for third in range(3):
        with pushed_to(world) as http:
            for found in partitions.values():
                cut = [len(found) * part // 3 for part in range(4)]
                deliver(http, found[max(0, cut[third] - 2) : cut[third + 1]])  # some come again
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_both_topics_by_push(world: World) -> None:
    asyncio.run(world.publish_events(make_events(150, 8)))
    items = asyncio.run(on_log(world, [item_draft(item) for item in shop()]))
    events = asyncio.run(records_of(world, Topic.EVENTS, 150))
    with pushed_to(world) as http:
        for found in items.values():
            deliver(http, found)
        for found in events.values():
            for record in found:
                assert http.post("/", **posted(record)).status_code == 204
    made, mine = asyncio.run(pulled(world)), asyncio.run(world.dump())
    assert difference(made, mine) == []


def test_no_offset_beyond_the_log_is_believed(world: World) -> None:
    found = max(asyncio.run(on_log(world, changes(40, 9))).values(), key=len)
    stray = found[-1]._replace(position=found[-1].position._replace(offset=99_999_999))
    bare = stray._replace(headers=())
    with pushed_to(world) as http:
        deliver(http, found[:1])
        for record in (stray, bare):
            refused = http.post("/items", **posted(record))
            assert (refused.status_code, refused.json()["code"]) == (503, "unknown_offset")
        deliver(http, found)


def test_what_is_no_item_goes_to_the_dead_topic(world: World) -> None:
    broken = take_item("cheese", {"title": "x"}, NOW_MS)._replace(value=b"{broken")
    partitions = asyncio.run(on_log(world, [broken, Draft(b"\xff\xfe", b"{}")]))
    with pushed_to(world) as http:
        for found in partitions.values():
            deliver(http, found)

        async def dead() -> bool:
            async with world.log() as log:
                return sum(held.end for held in (await log.bounds(Topic.DEAD)).values()) == 2

        asyncio.run(until(dead))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_position"),
        ({"ce-knativekafkapartition": "0", "ce-knativekafkaoffset": "x"}, "invalid_position"),
        (
            {
                "ce-knativekafkapartition": "0",
                "ce-knativekafkaoffset": "0",
                "ce-freshetkey": "no base64!",
            },
            "invalid_cloudevent",
        ),
        ({"content-type": "application/cloudevents+json"}, "invalid_cloudevent"),
    ],
)
def test_what_is_no_record_is_a_problem(
    valkey: Any, namespace: str, release_url: str, headers: dict[str, str], code: str
) -> None:
    with pushed_to(World(valkey.url, valkey.url, namespace, release_url)) as http:
        answer = http.post("/items", content=b"[", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_release_that_came_while_it_was_at_zero(valkey: Any, namespace: str, tmp_path: Path) -> None:
    """Items that it does not know have vectors in its space, those from before and those from after. Releases
    are in the store here."""
    url = f"{valkey.url}?prefix={namespace}"
    init_release(url, shop(), now_ms=NOW_MS)
    world = World(valkey.url, valkey.url, namespace, url, cache_dir=str(tmp_path))
    before, after = (
        item_draft(Item(item_id=name, title="thing 3 of kind 2", categories=[["all", "kind 2"]]))
        for name in ("before", "after")
    )
    partitions = asyncio.run(on_log(world, [before, after]))
    records = sorted(
        (record for found in partitions.values() for record in found), key=lambda one: one.key, reverse=True
    )
    with pushed_to(world) as http:
        deliver(http, records[:1])
    init_release(url, shop(40), now_ms=NOW_MS + 1)
    with pushed_to(world) as http:
        deliver(http, records[1:])

        async def both() -> bool:
            connection = connect(world.settings())
            try:
                from services.store.meta import MetaStore

                space = await MetaStore(connection).read_space()
                if space is None:
                    return False
                keys = [item_key("before"), item_key("after")]
                return all(
                    vector is not None
                    for vector in await CatalogueReader(connection).vectors(space.space_id, keys)
                )
            finally:
                await connection.close()

        asyncio.run(until(both))


def test_a_store_lost_while_it_was_at_zero_stops_it(valkey: Any, namespace: str, release_url: str) -> None:
    """The KafkaSource has committed what was applied: an empty store is no new one."""
    with valkey_server() as store:
        world = World(valkey.url, store.url, namespace, release_url)
        found = max(asyncio.run(on_log(world, changes(60, 10))).values(), key=len)
        with pushed_to(world) as http:
            deliver(http, found[:3])
        asyncio.run(commit(world, found[2]))
        store.kill()
        store.restart()
        with pushed_to(world) as http:
            answer = http.post("/items", **posted(found[3]))
            assert (answer.status_code, answer.json()["code"]) == (503, "stopped")
            assert "freshet replay" in answer.json()["detail"]
            assert http.get("/readyz").status_code == 503


async def commit(world: World, record: Record) -> None:
    """What a KafkaSource with group `catalogue` does after the answer."""
    async with world.log() as log:
        consumer = log.consumer(Topic.ITEMS, "catalogue")
        await consumer.start()

        async def ours() -> bool:
            await consumer.fetch(1, 10)
            try:
                await consumer.commit({record.position.partition: record.position.offset + 1})
            except Exception:
                return False
            return True

        await until(ours)
        await consumer.stop()


def test_a_failover_to_a_replica_that_lacked_the_last_second(
    valkey: Any, namespace: str, release_url: str, tmp_path: Path
) -> None:
    """The KafkaSource has gone on; what the store has lost is applied anew from the log."""
    directory, saved = tmp_path / "store", tmp_path / "a second before"
    directory.mkdir()
    with valkey_server(directory, append_only=True) as store:
        world = World(valkey.url, store.url, namespace, release_url)
        partitions = asyncio.run(on_log(world, changes(60, 11)))
        with pushed_to(world) as http:
            for found in partitions.values():
                deliver(http, found[:4])
                asyncio.run(commit(world, found[3]))
            store.kill()
            shutil.copytree(directory, saved)
            store.restart()
            for found in partitions.values():
                deliver(http, found[4:-1])
            store.kill()
            shutil.rmtree(directory)
            shutil.copytree(saved, directory)
            store.restart()
            for found in partitions.values():
                deliver(http, found[-1:])
            wait_ready(http)
        mine = asyncio.run(world.dump())
        assert difference(asyncio.run(pulled(world)), mine) == []


def test_a_commit_that_nobody_moves_any_more_costs_a_bounded_look_back(
    valkey: Any,
    namespace: str,
    release_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A group of an earlier deployment: not the whole log is read from it on at each start."""
    monkeypatch.setattr("services.profiler.push._BACK_MAX", 3)
    caplog.set_level(logging.INFO, "services.profiler.push")
    world = World(valkey.url, valkey.url, namespace, release_url)
    found = max(asyncio.run(on_log(world, changes(80, 13))).values(), key=len)
    with pushed_to(world) as http:
        deliver(http, found[:1])
        asyncio.run(commit(world, found[0]))
        deliver(http, found[1:-1])
        caplog.clear()
    with pushed_to(world) as http:
        deliver(http, found[-1:])
    read = [record.args for record in caplog.records if "by no post" in record.msg]
    assert read == [(3, found[0].position.partition, "items")]


def test_records_trimmed_before_they_were_applied_stop_it(
    valkey: Any, namespace: str, release_url: str
) -> None:
    world = World(valkey.url, valkey.url, namespace, release_url)
    found = max(asyncio.run(on_log(world, changes(60, 12))).values(), key=len)
    with pushed_to(world) as http:
        deliver(http, found[:2])
    stream = TopicKeys.of(world.settings(), Topic.ITEMS).stream(found[0].position.partition)
    with redis.Redis(host=valkey.host, port=valkey.port, protocol=2) as client:
        client.xtrim(stream, minid="0-5", approximate=False)
    with pushed_to(world) as http:
        answer = http.post("/items", **posted(found[4]))
        assert (answer.status_code, answer.json()["code"]) == (503, "stopped")
        assert "trimmed" in answer.json()["detail"]
        assert http.get("/readyz").status_code == 503
