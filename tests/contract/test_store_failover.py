"""A primary of a cluster dies or freezes and its replica takes over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from services.kernel.position import Position
from services.store.connection import Connection
from services.store.errors import StoreUnavailableError
from services.store.profiles import Outcome, ProfileStore, ProfileWrite
from services.store.trigger import Trigger
from tests.contract.store_case import StoreCase, profile, wait_until
from tests.servers import ValkeyServer, valkey_server
from tests.valkey_cluster import ValkeyCluster, ask, valkey_cluster

NAMES = [f"u{number}" for number in range(30)]


@pytest.fixture
def replicated() -> Iterator[tuple[ValkeyCluster, ValkeyServer]]:
    """A cluster whose first primary has a replica."""
    with valkey_cluster() as cluster, valkey_server(cluster=True) as replica:
        asyncio.run(asyncio.wait_for(follow(cluster, replica), 60))
        yield cluster, replica


async def follow(cluster: ValkeyCluster, replica: ValkeyServer) -> None:
    """Make `replica` the replica of the first primary, in sync."""
    first = cluster.servers[0]
    cluster.ask(0, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
    ask(replica, "CLUSTER", "MEET", first.host, first.port, first.port + 1)
    primary_id = cluster.ask(0, "CLUSTER", "MYID")

    async def known() -> bool:
        return ask(replica, "CLUSTER", "NODES").count(b"\n") == 4 and primary_id in ask(
            replica, "CLUSTER", "NODES"
        )

    await wait_until(known)
    ask(replica, "CLUSTER", "REPLICATE", primary_id)

    async def in_sync() -> bool:
        nodes = [cluster.ask(number, "CLUSTER", "NODES") for number in range(3)]
        return ask(replica, "INFO", "replication")["master_link_status"] == "up" and all(
            b"slave" in each for each in nodes
        )

    await wait_until(in_sync)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_calls_and_listeners_go_over_to_the_replica(
    replicated: tuple[ValkeyCluster, ValkeyServer], how: signal.Signals
) -> None:
    cluster, replica = replicated

    async def body(connection: Connection) -> None:
        profiles, trigger = ProfileStore(connection), Trigger(connection, heartbeat_s=0.3)
        writes = [ProfileWrite(name, None, profile(1)) for name in NAMES]
        await profiles.write(1, writes, expire_ms=600_000)
        before = await profiles.read_with_fence(1, 0, NAMES)
        subscriptions = [trigger.subscribe(name) for name in NAMES]
        await asyncio.gather(*(subscription.__aenter__() for subscription in subscriptions))
        await asyncio.sleep(0.2)  # replication
        victim = cluster.servers[0]
        os.kill(victim.pid, how)

        async def over() -> bool:
            try:
                await profiles.read(1, NAMES)
            except StoreUnavailableError:
                return False
            return bool(ask(replica, "INFO", "replication")["role"] == "master")

        await wait_until(over)
        after = await profiles.read_with_fence(1, 0, NAMES)
        assert after.profiles == before.profiles
        assert after.identity != before.identity
        again = [ProfileWrite(name, profile(1), profile(2)) for name in NAMES]
        assert set(await profiles.write(1, again, expire_ms=600_000)) == {Outcome.WRITTEN}
        for subscription in subscriptions:
            while subscription.position is None:
                await profiles.publish({subscription.subject: Position(1, 0, 1)})
                await subscription.wait(1.0)
        await trigger.close()
        if how == signal.SIGSTOP:
            os.kill(victim.pid, signal.SIGCONT)

    StoreCase(cluster.url, "ns").run(body, timeout_ms=1000)
