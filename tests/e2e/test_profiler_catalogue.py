"""The items topic: into the catalogue, into the vectors, and out again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.kernel.event import Event
from services.kernel.ids import item_key
from services.kernel.item import (
    ITEM_PATCH_CE_TYPE,
    Item,
    decode_item,
    encode_item,
    encode_patch,
    parse_patch,
    patch_key,
)
from services.log.protocol import Draft, Topic
from services.store.catalogue import CatalogueReader
from services.store.connection import Connection, connect
from services.store.profiles import ProfileStore
from tests.e2e.profiler_world import World, difference, item_draft, make_events, make_release, shop, until


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, tmp_path: Path) -> World:
    return World(log_url, valkey.url, namespace, make_release(tmp_path))


def patch_draft(item_id: str, fields: dict[str, Any]) -> Draft:
    patch = parse_patch(fields, item_id)
    headers = (("ce_type", ITEM_PATCH_CE_TYPE.encode()),)
    return Draft(patch_key(item_id, patch), encode_patch(patch), headers, item_id.encode())


async def items_of(connection: Connection, *ids: str) -> list[Item | None]:
    found = await CatalogueReader(connection).items(1, ids)
    return [decode_item(value) if value is not None else None for value in found]


def test_put_patch_and_delete_in_log_order(world: World) -> None:
    async def scenario() -> None:
        cheese = Item(item_id="cheese", title="Gouda", price=3.0, properties={"age": 1, "milk": "cow"})
        drafts = [
            item_draft(cheese),
            patch_draft("cheese", {"price": 2.5, "properties": {"age": 2}}),
            patch_draft("nothing", {"price": 1}),
            item_draft(Item(item_id="gone", title="x")),
            Draft(b"gone", None),
            Draft(b"cheese", b"{broken"),
            Draft(b"other", encode_item(cheese)),
            patch_draft("cheese", {"title": None}),
        ]
        await world.publish(drafts, Topic.ITEMS)
        connection = connect(world.settings())
        async with world.profiler():
            await world.caught_up()
            found, nothing, gone = await items_of(connection, "cheese", "nothing", "gone")
            assert found == Item(item_id="cheese", price=2.5, properties={"age": 2, "milk": "cow"})
            assert nothing is None
            assert gone is None
            names = await ProfileStore(connection).item_ids(1, [item_key("gone")])
            assert names == {item_key("gone"): "gone"}, "profiles may still hold it"
            async with world.log() as log:
                held = await log.bounds(Topic.DEAD)
            assert sum(bound.end for bound in held.values()) == 2
        await connection.close()

    asyncio.run(scenario())


def test_a_new_item_has_a_vector_at_once_and_only_one_ever(world: World) -> None:
    async def scenario() -> None:
        new = Item(item_id="new", title="thing 3 of kind 2", categories=[["all", "kind 2"]])
        connection = connect(world.settings())
        reader = CatalogueReader(connection)
        async with world.profiler() as profiler:
            await world.publish([item_draft(new)], Topic.ITEMS)
            await world.caught_up()
            space = profiler.follower.live.space
            (vector,) = await reader.vectors(space.space_id, [item_key("new")])
            assert vector is not None
            assert vector.shape == (space.d,)
            await world.publish(
                [item_draft(Item(item_id="new", title="thing 1 of kind 4")), item_draft(shop()[3])],
                Topic.ITEMS,
            )
            await world.caught_up()
            again, known = await reader.vectors(space.space_id, [item_key("new"), item_key("p3")])
            assert again is not None
            assert again.tobytes() == vector.tobytes()
            assert known is None, "the release has it"
            await world.publish_events(
                [
                    Event(
                        event_id="e",
                        event_type="view",
                        timestamp=1,
                        received_at=1,
                        user_id="u",
                        item_id="new",
                    )
                ]
            )
            await world.caught_up()
            await until(lambda: world.profile("u"))
        profile = await world.profile("u")
        assert profile is not None
        assert profile.bank[5].tobytes() == vector.tobytes()
        assert await ProfileStore(connection).item_ids(1, [item_key("new")]) == {}, "the catalogue has it"
        await connection.close()

    asyncio.run(scenario())


def test_a_release_in_another_space_takes_the_next_epoch_and_rebuilds_banks(
    world: World, tmp_path: Path
) -> None:
    async def scenario() -> None:
        events = make_events(400, 21)
        extra = Item(item_id="p70", title="thing 7 of kind 1", categories=[["all", "kind 1"]])
        await world.publish([item_draft(item) for item in [*shop(), extra]], Topic.ITEMS)
        await world.publish_events(events[:200])
        async with world.profiler() as profiler:
            await world.caught_up()
            before = profiler.follower.live
            assert before.space.epoch == 1
            await asyncio.to_thread(make_release, tmp_path, shop(40))
            await until(lambda: profiler.follower.live.space.epoch == 2)
            after = profiler.follower.live
            assert after.space.space_id != before.space.space_id
            connection = connect(world.settings())

            async def filled() -> bool:
                vectors = await CatalogueReader(connection).vectors(
                    after.space.space_id, [item_key("p50"), item_key("p70")]
                )
                return all(vector is not None for vector in vectors)

            await until(filled)
            await world.publish_events(events[200:])
            await world.caught_up()
            await profiler.ready()
            await connection.close()
        profile = await world.profile("u1")
        assert profile is not None
        assert (profile.space_id, profile.space_epoch) == (after.space.space_id, 2)
        other = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
        async with world.profiler(2, groups=other):
            await world.caught_up(2)
        one, two = await world.dump(1), await world.dump(2)
        aggregates = {name for name in one if ":a" in name}
        assert aggregates
        assert not aggregates & set(difference(one, two)), "aggregates know nothing of releases"

    asyncio.run(scenario())
