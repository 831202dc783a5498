"""The profiler that pulls, on both logs and a real store."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from services.kernel.event import Event
from services.kernel.ids import item_key
from services.kernel.metrics import Metrics
from services.log.protocol import Draft, Topic
from services.store.connection import connect
from services.store.profiles import ProfileStore
from tests.e2e.profiler_world import (
    NOW_MS,
    World,
    difference,
    draft_of,
    item_draft,
    make_events,
    make_release,
    shop,
    until,
)
from tests.servers import valkey_server

WAIT = "freshet_profiler_first_event_wait_seconds"
WORK = 'freshet_start_seconds{service="profiler",step="work"}'


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


def view(number: int, item_id: str, user: str = "u", **more: Any) -> Event:
    at_ms = NOW_MS + number * 1000
    return Event(
        event_id=f"v{number}",
        event_type="view",
        timestamp=at_ms,
        received_at=at_ms,
        user_id=user,
        item_id=item_id,
        **more,
    )


def test_an_event_changes_profile_aggregates_and_registry(world: World) -> None:
    async def scenario() -> None:
        await world.publish([item_draft(item) for item in shop()], Topic.ITEMS)
        async with world.profiler() as profiler:
            await world.publish_events([view(0, "p1"), view(1, "p2"), view(2, "nowhere")])
            await world.caught_up()
            await until(lambda: world.profile("u"))
            await profiler.ready()
        profile = await world.profile("u")
        assert profile is not None
        assert profile.events == 3
        assert profile.ring["item"].tolist() == [item_key(name) for name in ("p1", "p2", "nowhere")]
        assert profile.bank.any()
        found = await world.dump()
        connection = connect(world.settings())
        try:
            names = await ProfileStore(connection).item_ids(1, [item_key("nowhere"), item_key("p1")])
        finally:
            await connection.close()
        assert names == {item_key("nowhere"): "nowhere"}
        assert sum(len(value) for name, value in found.items() if name.endswith(":covis")) == 3
        assert sum(len(value) // 2 for name, value in found.items() if name.endswith(":trend")) == 3

    asyncio.run(scenario())


def test_a_profiler_tells_how_long_the_first_event_had_waited_for_it(world: World) -> None:
    async def told(*events: Event) -> dict[str, float]:
        """What is left on the log or comes: samples without labels, and the steps of the start."""
        metrics = Metrics()
        async with world.profiler(metrics=metrics, commit_delay_ms=0):
            await world.caught_up()
            for event in events:
                await world.publish_events([event])
                await world.caught_up()
        found = dict(
            line.split(" ") for line in metrics.exposition().decode().split("\n") if line[:1] not in "#"
        )
        return {name: float(value) for name, value in found.items()}

    async def scenario() -> None:
        await world.publish_events([view(0, "p1")])
        at_least_s = time.time() - NOW_MS / 1000
        first = await told(view(1, "p2"))
        assert at_least_s <= first[WAIT] <= time.time() - NOW_MS / 1000, "not the second one's"
        assert {'freshet_start_seconds{service="profiler",step="log"}', WORK} <= first.keys()
        nothing = await told()
        assert not {WAIT, WORK} & nothing.keys(), "nobody waited"
        assert (await told(view(3600, "p3")))[WAIT] < first[WAIT]

    asyncio.run(scenario())


def test_any_cut_into_batches_leaves_the_same_bytes(world: World) -> None:
    async def scenario() -> None:
        await world.publish_events(make_events(3000, 1))
        dumps = []
        for database, batch in enumerate([500, 7, 1000], start=1):
            groups = {Topic.EVENTS: f"profiler{database}", Topic.ITEMS: f"catalogue{database}"}
            async with world.profiler(database, groups=groups, batch_records=batch):
                await world.caught_up(database)
            dumps.append(await world.dump(database))
        assert any(":p:" in name for name in dumps[0])
        assert difference(dumps[0], dumps[1]) == []
        assert difference(dumps[0], dumps[2]) == []

    asyncio.run(scenario())


def test_poison_goes_to_the_dead_topic_with_its_place_and_neighbours_go_on(world: World) -> None:
    async def scenario() -> None:
        poison = [
            Draft(b"u", b"{no json", (("ce_type", b"freshet.event.v1"),)),
            Draft(b"u", b"{}", (("ce_type", b"something.else"),)),
            Draft(b"u", None),
            Draft(
                b"u", b'{"event_id":"x","event_type":"sparkle","timestamp":1,"received_at":1,"user_id":"u"}'
            ),
        ]
        await world.publish([draft_of(view(0, "p1")), *poison, draft_of(view(1, "p2"))])
        async with world.profiler(), world.log() as log:
            await world.caught_up()
            reader = log.consumer(Topic.DEAD, None)
            await reader.start()
            dead = []

            async def collect() -> bool:
                for records in (await reader.fetch(100, 100)).values():
                    dead.extend(records)
                return len(dead) >= len(poison)

            await until(collect)
            await reader.stop()
        headers = [dict(record.headers) for record in dead]
        assert len(dead) == len(poison)
        assert all(one["freshet_dead_reason"] and one["freshet_dead_topic"] == b"events" for one in headers)
        assert sorted(int(one["freshet_dead_position"].rsplit(b"-", 1)[1]) for one in headers) == [1, 2, 3, 4]
        assert sum(b"sparkle" in one["freshet_dead_reason"] for one in headers) == 1
        profile = await world.profile("u")
        assert profile is not None
        assert profile.events == 2

    asyncio.run(scenario())


def test_commits_trail_and_are_flushed_on_stop(world: World) -> None:
    async def scenario() -> None:
        await world.publish_events([view(n, "p1", user=f"u{n}") for n in range(50)])
        async with world.log() as log:
            async with world.profiler(commit_delay_ms=600_000):
                await world.caught_up()
                assert not any((await log.committed(Topic.EVENTS, "profiler")).values())
            ends = {p: b.end for p, b in (await log.bounds(Topic.EVENTS)).items() if b.end}
            assert {p: o for p, o in (await log.committed(Topic.EVENTS, "profiler")).items() if o} == ends

    asyncio.run(scenario())


def test_two_profilers_on_the_same_partitions_end_byte_equal(world: World) -> None:
    async def scenario() -> None:
        await world.publish_events(make_events(3000, 2))
        async with world.profiler(1):
            await world.caught_up(1)
        others = [{Topic.EVENTS: f"profiler{n}", Topic.ITEMS: f"catalogue{n}"} for n in range(2)]
        async with (
            world.profiler(2, groups=others[0], batch_records=50),
            world.profiler(2, groups=others[1], batch_records=70),
        ):
            await world.caught_up(2)
            expected = await world.dump(1)

            async def equal() -> bool:
                return difference(expected, await world.dump(2)) == []

            await until(equal)

    asyncio.run(scenario())


def test_what_waits_for_a_full_store_is_seen_in_the_lag(
    valkey: Any,
    namespace: str,
    release_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("services.profiler.consumer._LAG_EVERY_S", 0.05)
    metrics = Metrics()

    def lag() -> float:
        told = metrics.exposition().decode().splitlines()
        lines = [
            line for line in told if line.startswith("freshet_profiler_lag_records{") and "events" in line
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def limit(most: int) -> None:
        client = connect(own.settings(0))
        await client.execute("CONFIG", "SET", "maxmemory", str(most))
        await client.close()

    async def scenario() -> None:
        await own.publish_events([view(0, "p1")])
        async with own.profiler(metrics=metrics):
            await own.caught_up()
            await until(lambda: lag() == 0)
            await limit(1)
            await own.publish_events([view(number, "p2") for number in range(1, 6)])
            await until(lambda: lag() == 5)
            await limit(0)
            await until(lambda: lag() == 0)

    with valkey_server() as store:
        own = World(valkey.url, store.url, namespace, release_url)
        asyncio.run(scenario())
    told = [record.getMessage() for record in caplog.records if record.name == "services.profiler.consumer"]
    assert "is full" in told[0]
    assert told[-1] == "events profiler goes on", "whoever reads the log sees that it is over"
