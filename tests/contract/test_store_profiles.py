"""Profiles: compare-and-set, expiry, the single read of step 1, on one node and on a cluster."""

from __future__ import annotations

import pytest

from services.kernel.position import Position
from services.store.aggregates import AggregateStore, AggregateWrite
from services.store.connection import Connection
from services.store.meta import MetaStore, SpaceRecord
from services.store.profiles import MAX_CALL_BYTES, MAX_KEYS_A_CALL, Outcome, ProfileStore, ProfileWrite
from tests.contract.store_case import StoreCase, fence, profile

TTL_MS = 600_000
ODD_NAMES = ["gid://shopify/User/1", "a{b}c", "{}", "ümläut ☃", "x" * 256, "a b", "e1:p:u"]


def test_a_profile_is_written_where_there_is_none_and_over_what_was_read(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        first, second = profile(1), profile(2, 2)
        for name in ODD_NAMES:
            assert await profiles.write(1, [ProfileWrite(name, None, first)], expire_ms=TTL_MS) == [1]
            assert await profiles.write(1, [ProfileWrite(name, first, second)], expire_ms=TTL_MS) == [1]
        assert await profiles.read(1, [*ODD_NAMES, "nobody"]) == [second] * len(ODD_NAMES) + [None]
        assert await profiles.read(2, ODD_NAMES) == [None] * len(ODD_NAMES)
        assert await profiles.read(1, []) == []

    store.run(body)


@pytest.mark.parametrize("stored", [None, profile(2), profile(1, 2), b"", b"short"])
def test_a_profile_that_changed_since_it_was_read_stays(store: StoreCase, stored: bytes | None) -> None:
    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        if stored is not None:
            await connection.execute("SET", connection.keys.profile(1, "u"), stored)
        write = ProfileWrite("u", profile(1), profile(9))
        assert await profiles.write(1, [write], expire_ms=TTL_MS) == [Outcome.CHANGED]
        assert await profiles.read(1, ["u"]) == [stored]
        assert await profiles.write(1, [write._replace(read=stored)], expire_ms=TTL_MS) == [Outcome.WRITTEN]

    store.run(body)


def test_a_newer_vector_space_is_never_overwritten(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        newer = profile(1, space_epoch=2**32 - 1)
        await profiles.write(1, [ProfileWrite("u", None, newer)], expire_ms=TTL_MS)
        older = ProfileWrite("u", newer, profile(2, space_epoch=2**31))
        assert await profiles.write(1, [older], expire_ms=TTL_MS) == [Outcome.NEWER_SPACE]
        assert await profiles.read(1, ["u"]) == [newer]
        same = ProfileWrite("u", newer, profile(2, space_epoch=2**32 - 1))
        assert await profiles.write(1, [same], expire_ms=TTL_MS) == [Outcome.WRITTEN]

    store.run(body)


def test_an_unknown_layout_is_replaced_by_its_header_alone(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        unknown = profile(1, version=9, space_epoch=77)
        await profiles.write(1, [ProfileWrite("u", None, unknown)], expire_ms=TTL_MS)
        write = ProfileWrite("u", unknown, profile(2))
        assert await profiles.write(1, [write], expire_ms=TTL_MS) == [Outcome.WRITTEN]

    store.run(body)


def test_a_batch_mixes_what_is_written_and_what_is_refused(store: StoreCase) -> None:
    """More keys and more bytes than one call carries."""

    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        names = [f"u{number}" for number in range(MAX_KEYS_A_CALL + 50)]
        large = bytes(3 * MAX_CALL_BYTES // len(names))
        changed = [ProfileWrite(name, None, profile(5)) for name in names[::3]]
        newer = [ProfileWrite(name, None, profile(5, space_epoch=9)) for name in names[1::3]]
        assert set(await profiles.write(1, changed + newer, expire_ms=TTL_MS)) == {Outcome.WRITTEN}
        writes = [ProfileWrite(name, None, profile(6, body=large)) for name in names]
        outcomes = await profiles.write(1, writes, expire_ms=TTL_MS)
        expected = [Outcome.CHANGED, Outcome.NEWER_SPACE, Outcome.WRITTEN]
        assert outcomes == [expected[number % 3] for number in range(len(names))]
        stored = await profiles.read(1, names)
        kept = [profile(5), profile(5, space_epoch=9), profile(6, body=large)]
        assert stored == [kept[number % 3] for number in range(len(names))]

    store.run(body)


def test_profiles_and_registry_expire(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        profiles, keys = ProfileStore(connection), connection.keys
        names = {2**64 - 1: "gid://shopify/Product/1", 0: "☃"}
        await profiles.write(1, [ProfileWrite("u", None, profile(1))], expire_ms=TTL_MS, registry=names)
        for key in (keys.profile(1, "u"), keys.registry(1, 0), keys.registry(1, 2**64 - 1)):
            assert 0 < await connection.execute("PTTL", key) <= TTL_MS
        await profiles.write(1, [ProfileWrite("u", profile(1), profile(2))], expire_ms=10 * TTL_MS)
        assert await connection.execute("PTTL", keys.profile(1, "u")) > TTL_MS
        assert await profiles.item_ids(1, [0, 5, 2**64 - 1]) == names
        assert await profiles.item_ids(1, []) == {}

    store.run(body)


def test_step_one_reads_everything_that_a_batch_needs(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        profiles, meta = ProfileStore(connection), MetaStore(connection)
        empty = await profiles.read_with_fence(1, 3, ["u", "v"])
        assert (empty.meta, empty.space, empty.fence, empty.profiles) == (None, None, None, [None, None])
        made = await meta.create(1_000, partitions=4)
        space = SpaceRecord("s", 1, 1, 64, (0.0, 1.0), "r")
        await meta.write_space(space, read=None)
        await profiles.write(1, [ProfileWrite("v", None, profile(1))], expire_ms=TTL_MS)
        assert await AggregateStore(connection).write(1, 3, AggregateWrite(None, fence(7, partition=3)))
        read = await profiles.read_with_fence(1, 3, ["u", "v"])
        assert read == (made, space, fence(7, partition=3), [None, profile(1)], empty.identity)
        assert (await profiles.read_with_fence(1, 2, [])).fence is None

    store.run(body)


def test_publish_to_nobody_is_fine(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        await ProfileStore(connection).publish({name: Position(1, 0, 5) for name in ODD_NAMES})
        await ProfileStore(connection).publish({})

    store.run(body)
