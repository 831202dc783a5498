"""Announcements: heard once subscribed, shared, heard again after the store was away."""

from __future__ import annotations

import asyncio
import random

import pytest
from redis.crc import key_slot

from services.kernel.position import Position
from services.store.connection import Connection
from services.store.errors import StoreUnavailableError
from services.store.profiles import ProfileStore
from services.store.trigger import Subscription, Trigger
from tests.contract.store_case import StoreCase, wait_until
from tests.servers import valkey_server
from tests.valkey_cluster import valkey_cluster

LONG_S = 30.0


async def heard(subscription: Subscription, position: Position) -> None:
    """Wait until a position has come; wake-ups without one are allowed."""
    while subscription.position != position:
        assert await subscription.wait(LONG_S)


def test_what_is_published_after_entering_is_heard(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        trigger, profiles = Trigger(connection), ProfileStore(connection)
        names = [f"u{number}" for number in range(40)] + ["gid://shopify/User/1", "a{b}c", "☃"]
        subscriptions = [trigger.subscribe(name) for name in names]
        await asyncio.gather(*(subscription.__aenter__() for subscription in subscriptions))
        assert not await subscriptions[0].wait(0.05)
        await profiles.publish({name: Position(1, 0, number) for number, name in enumerate(names)})
        for number, subscription in enumerate(subscriptions):
            assert await subscription.wait(LONG_S)
            assert subscription.position == Position(1, 0, number)
            assert not await subscription.wait(0)
            await subscription.__aexit__(None, None, None)
        await trigger.close()

    store.run(body)


def test_listeners_of_one_subject_share_its_channel(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        trigger, profiles = Trigger(connection), ProfileStore(connection)
        channel = connection.keys.channel("u")
        async with trigger.subscribe("u") as first:
            async with trigger.subscribe("u") as second:
                assert await subscribers(connection, channel) == 1
                await profiles.publish({"u": Position(1, 0, 5)})
                assert await first.wait(LONG_S)
                assert await second.wait(LONG_S)
            await profiles.publish({"u": Position(1, 0, 6)})
            await heard(first, Position(1, 0, 6))
            assert second.position == Position(1, 0, 5)
            await profiles.publish({"u": Position(1, 0, 4)})  # late: wakes, but does not go back
            assert await first.wait(LONG_S)
            assert first.position == Position(1, 0, 6)

        async def gone() -> bool:
            return await subscribers(connection, channel) == 0

        await wait_until(gone)
        await trigger.close()

    store.run(body)


def test_an_announcement_brings_the_trace_of_what_has_made_the_change(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        trigger, profiles = Trigger(connection), ProfileStore(connection)
        async with trigger.subscribe("u") as traced, trigger.subscribe("v") as other:
            changes = {"u": Position(1, 0, 1), "v": Position(1, 0, 2)}
            await profiles.publish(changes, {"u": "00-trace-span-01"})
            await heard(traced, changes["u"])
            await heard(other, changes["v"])
            assert (traced.traces, other.traces) == (["00-trace-span-01"], [])
        await trigger.close()

    store.run(body)


def test_coming_and_going_in_any_order_leaves_nothing_behind(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        trigger, profiles = Trigger(connection), ProfileStore(connection)

        async def visit(number: int) -> None:
            name = f"u{chance.randrange(3)}"
            await asyncio.sleep(chance.random() * 0.2)
            position = Position(2, 0, number)
            async with trigger.subscribe(name) as subscription:
                await profiles.publish({name: position})
                while subscription.position is None or subscription.position.offset < number:
                    assert await subscription.wait(LONG_S), "an announcement after entering was missed"

        await asyncio.gather(*(visit(number) for number in range(300)))
        for number in range(3):
            async with trigger.subscribe(f"u{number}") as last:
                await profiles.publish({f"u{number}": Position(3, 0, 0)})
                await heard(last, Position(3, 0, 0))

        async def gone() -> bool:
            return not trigger._channels and not any(ear.channels for ear in trigger._ears.values())

        await wait_until(gone)
        await trigger.close()

    store.run(body)


async def subscribers(connection: Connection, channel: bytes) -> int:
    """How many links listen to a channel."""
    reply = await connection.router.node_for(("SPUBLISH", channel)).exchange(
        [("PUBSUB", "SHARDNUMSUB", channel)]
    )
    return int(reply[0][1])


def test_a_store_that_was_killed_is_heard_again() -> None:
    with valkey_server() as server:

        async def body(connection: Connection) -> None:
            trigger, profiles = Trigger(connection), ProfileStore(connection)
            async with trigger.subscribe("u") as one, trigger.subscribe("v") as two:
                for round_ in range(3):
                    server.kill()
                    assert not await one.wait(0.1)
                    await asyncio.to_thread(server.restart)
                    assert await one.wait(LONG_S), "woken: something may have been missed"
                    assert await two.wait(LONG_S)
                    await profiles.publish({"u": Position(1, 0, round_), "v": Position(1, 1, round_)})
                    await heard(one, Position(1, 0, round_))
                    await heard(two, Position(1, 1, round_))
            await trigger.close()

        StoreCase(server.url, "ns").run(body)


def test_entering_while_the_store_is_away_says_so() -> None:
    with valkey_server() as server:

        async def body(connection: Connection) -> None:
            trigger, profiles = Trigger(connection), ProfileStore(connection)
            server.kill()
            with pytest.raises(StoreUnavailableError, match="did not confirm"):
                async with trigger.subscribe("u"):
                    pass
            await asyncio.to_thread(server.restart)
            async with trigger.subscribe("u") as subscription:
                await profiles.publish({"u": Position(1, 0, 1)})
                await heard(subscription, Position(1, 0, 1))
            await trigger.close()

        StoreCase(server.url, "ns").run(body, timeout_ms=1000)


def test_a_link_that_is_dead_without_a_word_is_replaced() -> None:
    with valkey_server() as server:

        async def body(connection: Connection) -> None:
            trigger, profiles = Trigger(connection, heartbeat_s=0.1), ProfileStore(connection)
            async with trigger.subscribe("u") as subscription:
                ear = next(iter(trigger._ears.values()))
                assert not await subscription.wait(1.0), "heartbeats keep a quiet link"
                assert next(iter(trigger._ears.values())) is ear
                await connection.execute("CLIENT", "PAUSE", 1000, "ALL")  # a server that hangs

                async def replaced() -> bool:
                    return ear.has_ended

                await wait_until(replaced)
                assert await subscription.wait(LONG_S)
                await profiles.publish({"u": Position(1, 0, 1)})
                await heard(subscription, Position(1, 0, 1))
            await trigger.close()

        StoreCase(server.url, "ns").run(body)


def test_a_channel_follows_its_slot_to_another_node() -> None:
    with valkey_cluster() as cluster:

        async def body(connection: Connection) -> None:
            trigger, profiles = Trigger(connection), ProfileStore(connection)
            names = [f"u{number}" for number in range(30)]
            subscriptions = [trigger.subscribe(name) for name in names]
            await asyncio.gather(*(subscription.__aenter__() for subscription in subscriptions))
            ids = [cluster.ask(number, "CLUSTER", "MYID") for number in range(3)]
            for slot in {key_slot(connection.keys.channel(name)) for name in names}:
                for number in (1, 0, 2):  # all that is listened to goes to node 1, the new owner knows first
                    cluster.ask(number, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            await profiles.publish({name: Position(1, 0, 1) for name in names})
            for subscription in subscriptions:
                while subscription.position is None:
                    assert await subscription.wait(LONG_S)
                    await profiles.publish({subscription.subject: Position(1, 0, 1)})
            await trigger.close()

        StoreCase(cluster.url, "ns").run(body)
