"""What goes wrong: servers that die, come back empty, fill up, forget scripts, or are the wrong ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio.connection import SSLConnection
from redis.crc import key_slot

from services.kernel.settings import StoreSettings
from services.store.aggregates import AggregateStore, AggregateWrite
from services.store.catalogue import CatalogueReader, CatalogueWriter, ItemWrite
from services.store.connection import Connection, connect
from services.store.errors import StoreMisconfiguredError, StoreUnavailableError
from services.store.meta import MetaStore
from services.store.node import MAX_LINKS
from services.store.profiles import Outcome, ProfileStore, ProfileWrite
from services.store.url import read_url
from tests.contract.store_case import StoreCase, fence, profile, wait_until
from tests.servers import ValkeyServer, valkey_server
from tests.valkey_cluster import ValkeyCluster, ask, valkey_cluster

TTL_MS = 600_000


@pytest.fixture(scope="module")
def own() -> Iterator[ValkeyServer]:
    """A server to be killed, flushed and filled."""
    with valkey_server(append_only=True, unix_socket=True, config={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[ValkeyCluster]:
    """A cluster to be disturbed."""
    with valkey_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["single", "cluster"])
def disturbed(request: pytest.FixtureRequest, namespace: str) -> tuple[StoreCase, list[ValkeyServer]]:
    """A store of each kind and its servers."""
    if request.param == "single":
        server = request.getfixturevalue("own")
        return StoreCase(server.url, namespace), [server]
    cluster = request.getfixturevalue("own_cluster")
    return StoreCase(cluster.url, namespace), cluster.servers


async def write_one(connection: Connection, name: str, read: bytes | None, value: bytes) -> Outcome:
    """One profile."""
    return (await ProfileStore(connection).write(1, [ProfileWrite(name, read, value)], expire_ms=TTL_MS))[0]


async def clients(server: ValkeyServer, name: str) -> int:
    """Links of ours that a server sees."""
    listing = await asyncio.to_thread(ask, server, "CLIENT", "LIST")
    return sum(f"lib-name={name}".encode() in line for line in listing.splitlines())


def test_after_a_flush_there_is_nothing_and_scripts_are_sent_again(
    disturbed: tuple[StoreCase, list[ValkeyServer]],
) -> None:
    store, servers = disturbed

    async def body(connection: Connection) -> None:
        meta, profiles = MetaStore(connection), ProfileStore(connection)
        made = await meta.create(1_000, partitions=1)
        names = [f"u{number}" for number in range(50)]
        writes = [ProfileWrite(name, None, profile(1)) for name in names]
        await profiles.write(1, writes, expire_ms=TTL_MS)
        for server in servers:
            ask(server, "FLUSHALL")
            ask(server, "SCRIPT", "FLUSH", "SYNC")
        snapshot = await profiles.read_with_fence(1, 0, names)
        assert (snapshot.meta, snapshot.fence, snapshot.profiles) == (None, None, [None] * len(names))
        assert set(await profiles.write(1, writes, expire_ms=TTL_MS)) == {Outcome.WRITTEN}
        assert (await meta.create(2_000, partitions=1)).store_id != made.store_id

    store.run(body)


def test_a_killed_server_is_found_again_with_another_identity(
    disturbed: tuple[StoreCase, list[ValkeyServer]],
) -> None:
    store, servers = disturbed
    is_durable = len(servers) == 1

    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        names = [f"u{number}" for number in range(30)]
        before = (await profiles.read_with_fence(1, 0, names)).identity
        assert before == (await profiles.read_with_fence(1, 0, names)).identity
        writes = [ProfileWrite(name, None, profile(1)) for name in names]
        await profiles.write(1, writes, expire_ms=TTL_MS)
        victim = servers[-1]
        victim.kill()
        with pytest.raises(StoreUnavailableError):
            await profiles.read(1, names)
        await asyncio.to_thread(victim.restart)

        async def back() -> bool:
            try:
                await profiles.read(1, names)
            except StoreUnavailableError:
                return False
            return True

        await wait_until(back)
        after = await profiles.read_with_fence(1, 0, names)
        assert after.identity != before
        if is_durable:
            assert after.profiles == [profile(1)] * len(names)
        outcomes = [
            await write_one(connection, name, after.profiles[i], profile(2)) for i, name in enumerate(names)
        ]
        assert set(outcomes) == {Outcome.WRITTEN}

    store.run(body)


def test_a_short_outage_is_not_even_noticed(own: ValkeyServer, namespace: str) -> None:
    """Links that died while idle, all at once."""

    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        await asyncio.gather(*(profiles.read(1, [f"u{n}"]) for n in range(20)))
        own.kill()
        await asyncio.to_thread(own.restart)
        assert await asyncio.gather(*(profiles.read(1, [f"u{n}"]) for n in range(20))) == [[None]] * 20

    StoreCase(own.url, namespace).run(body)


def test_links_stay_bounded_through_cancellations_and_restarts(
    disturbed: tuple[StoreCase, list[ValkeyServer]],
) -> None:
    store, servers = disturbed

    async def body(connection: Connection) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        profiles = ProfileStore(connection)
        large = bytes(100_000)
        for name in ("a", "b", "c"):
            await write_one(connection, name, None, profile(1, body=large))

        async def visit() -> None:
            name = chance.choice("abc")
            task = asyncio.create_task(profiles.read(1, [name]))
            await asyncio.sleep(chance.random() * 0.003)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                assert task.result() == [profile(1, body=large)], "an answer of somebody else"

        await asyncio.gather(*(visit() for _ in range(300)))
        assert await profiles.read(1, ["a", "nobody"]) == [profile(1, body=large), None]
        for server in servers:
            assert await clients(server, "redis-py") <= MAX_LINKS + 1
        await connection.close()

        async def let_go() -> bool:
            return sum([await clients(server, "redis-py") for server in servers]) <= len(servers)

        await wait_until(let_go)  # what is left is the asking connection itself

    store.run(body)


def test_a_full_store_says_that_it_is_full_and_writes_nothing(
    disturbed: tuple[StoreCase, list[ValkeyServer]],
) -> None:
    store, servers = disturbed

    async def body(connection: Connection) -> None:
        assert await write_one(connection, "u", None, profile(1)) == Outcome.WRITTEN
        item = ItemWrite(fence(1), "a", 1, b"{}")
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        assert await writer.write(1, 0, None, [item], fence(1)) is True
        for server in servers:
            ask(server, "CONFIG", "SET", "maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailableError, match=r"is full.*Raise maxmemory"):
                await write_one(connection, "u", profile(1), profile(2))
            scores = AggregateWrite(None, fence(1), {1: 1.0}, {1: 1.0}, evict=True, max_items=0)
            with pytest.raises(StoreUnavailableError, match="is full"):
                await AggregateStore(connection).write(1, 0, scores)
            away = [ItemWrite(fence(2), "a", 1, None), ItemWrite(fence(3), "b", 2, b"{}")]
            with pytest.raises(StoreUnavailableError, match="is full"):
                await writer.write(1, 0, fence(1), away, fence(3))
            assert await ProfileStore(connection).read(1, ["u"]) == [profile(1)]
            assert await reader.items(1, ["a", "b"]) == [b"{}", None]
        finally:
            for server in servers:
                ask(server, "CONFIG", "SET", "maxmemory", 0)
        assert await write_one(connection, "u", profile(1), profile(2)) == Outcome.WRITTEN

    store.run(body)


def test_calls_follow_slots_that_move(own_cluster: ValkeyCluster, namespace: str) -> None:
    """While a slot is on its way (ASK), and after (MOVED)."""

    async def body(connection: Connection) -> None:
        names = [f"u{number}" for number in range(20)]
        profiles = ProfileStore(connection)
        await profiles.write(1, [ProfileWrite(name, None, profile(1)) for name in names], expire_ms=TTL_MS)
        ids = [own_cluster.ask(number, "CLUSTER", "MYID").decode() for number in range(3)]
        for name in names:
            key = connection.keys.profile(1, name)
            slot = key_slot(key)
            owner = next(n for n in range(3) if ask_owns(own_cluster, n, key))
            target = (owner + 1) % 3
            own_cluster.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[owner])
            own_cluster.ask(owner, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
            server = own_cluster.servers[target]
            own_cluster.ask(owner, "MIGRATE", server.host, server.port, key, 0, 5000)
            assert await write_one(connection, name, profile(1), profile(2)) == Outcome.WRITTEN
            assert await profiles.read(1, [*names[:3], name]) != []
            for number in (target, owner, 3 - owner - target):
                own_cluster.ask(number, "CLUSTER", "SETSLOT", slot, "NODE", ids[target])
            assert await write_one(connection, name, profile(2), profile(3)) == Outcome.WRITTEN
        assert await profiles.read(1, names) == [profile(3)] * len(names)

    StoreCase(own_cluster.url, namespace).run(body)


def ask_owns(cluster: ValkeyCluster, number: int, key: bytes) -> bool:
    """Whether a node answers for a key."""
    try:
        cluster.ask(number, "EXISTS", key)
    except Exception:
        return False
    return True


def test_the_wrong_kind_of_server_is_named(own: ValkeyServer, own_cluster: ValkeyCluster) -> None:
    async def single(connection: Connection) -> None:
        with pytest.raises(StoreMisconfiguredError, match=r"is a cluster.*valkey\+cluster://"):
            await connection.pipeline([("GET", f"k{number}") for number in range(50)])

    StoreCase(own_cluster.url.replace("+cluster", ""), "ns").run(single)

    async def cluster(connection: Connection) -> None:
        with pytest.raises(StoreMisconfiguredError, match="is not a cluster"):
            await connection.execute("GET", "k")

    StoreCase(own.url.replace("valkey:", "valkey+cluster:"), "ns").run(cluster)


def test_check_refuses_an_evicting_store_and_passes_a_good_one(
    disturbed: tuple[StoreCase, list[ValkeyServer]],
) -> None:
    store, servers = disturbed

    async def body(connection: Connection) -> None:
        assert await connection.check() == []
        ask(servers[-1], "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(StoreMisconfiguredError, match=r"allkeys-lru.*noeviction"):
                await connection.check()
        finally:
            ask(servers[-1], "CONFIG", "SET", "maxmemory-policy", "noeviction")

    store.run(body)


def test_credentials_and_rights(own: ValkeyServer) -> None:
    ask(own, "ACL", "SETUSER", "shy", "on", ">secret", "~*", "&*", "+@all", "-config", "-info")
    ask(own, "ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@read", "+ping")
    place = own.url.removeprefix("valkey://")

    async def shy(connection: Connection) -> None:
        warnings = await connection.check()
        assert len(warnings) == 2
        assert "version" in warnings[0]
        assert "maxmemory-policy" in warnings[1]

    StoreCase(f"valkey://shy:secret@{place}", "ns").run(shy)

    async def reader(connection: Connection) -> None:
        assert await ProfileStore(connection).read(1, ["nobody"]) == [None]
        with pytest.raises(StoreMisconfiguredError, match="does not let this user"):
            await connection.execute("SET", "k", "v")

    StoreCase(f"redis://reader:secret@{place}", "ns").run(reader)

    async def wrong(connection: Connection) -> None:
        with pytest.raises(StoreMisconfiguredError, match="refuses the user or password") as caught:
            await connection.ping()
        assert "hunter2" not in str(caught.value)

    StoreCase(f"valkey://shy:hunter2@{place}", "ns").run(wrong)


def test_a_unix_socket(own: ValkeyServer, namespace: str) -> None:
    async def body(connection: Connection) -> None:
        assert await write_one(connection, "u", None, profile(1)) == Outcome.WRITTEN
        assert await connection.check() == []

    StoreCase(own.unix_url, namespace).run(body)
    StoreCase(f"valkey+{own.unix_url}", f"{namespace}2").run(body)


def test_a_store_that_hangs_ends_the_call(own: ValkeyServer, namespace: str) -> None:
    async def body(connection: Connection) -> None:
        await connection.ping()
        ask(own, "CLIENT", "PAUSE", 1500, "ALL")
        with pytest.raises(StoreUnavailableError, match="did not answer within 200 ms"):
            await connection.execute("GET", "k")

        async def back() -> bool:
            try:
                await connection.ping()
            except StoreUnavailableError:
                return False
            return True

        await wait_until(back)

    StoreCase(own.url, namespace).run(body, timeout_ms=200)


@pytest.mark.parametrize(
    "url",
    [
        "http://host", "host:6379", "", "valkey://host:notaport", "valkey+cluster://host:1/3",
        "valkey://host:1/x", "unix+cluster:///x", "valkey://:pa[ss@host:port", "valkey://:pa[ss/word@host",
    ],
)  # fmt: skip
def test_a_url_that_means_nothing_is_refused_at_once(url: str) -> None:
    with pytest.raises(StoreMisconfiguredError, match="FRESHET_STORE_URL") as caught:
        connect(StoreSettings(store_url=url))
    assert "pa[ss" not in str(caught.value)


def test_tls_urls_make_tls_links() -> None:
    for url in ("rediss://u:p@host:1/2?ssl_cert_reqs=none", "valkeys+cluster://host:1"):
        link = read_url(url, 1.0).make(None, None)
        assert isinstance(link, SSLConnection)
        assert (link.host, link.port) == ("host", 1)


def test_nothing_there_says_what_to_look_at(tmp_path: Path) -> None:
    async def body(connection: Connection) -> None:
        with pytest.raises(StoreUnavailableError, match=r"cannot be reached.*FRESHET_STORE_URL"):
            await connection.ping()
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await ProfileStore(connection).read(1, ["u"])

    StoreCase(f"unix://{tmp_path}/none.sock", "ns").run(body)
    StoreCase("valkey+cluster://127.0.0.1:1", "ns").run(body)
