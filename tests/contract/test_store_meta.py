"""The store's identity, the live epoch and the vector space."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.store.connection import Connection
from services.store.meta import MetaStore, SpaceRecord
from services.store.profiles import ProfileStore, ProfileWrite
from tests.contract.store_case import StoreCase, profile

SPACE = SpaceRecord("day0", 2**64 - 1, 1, 64, (0.0, 0.5, 0.8, 0.92, 0.98, 1.0), "day0-abc")


def test_an_empty_store_has_no_identity_until_it_is_given_one_once(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        meta = MetaStore(connection)
        assert await meta.read() is None
        first, second = await asyncio.gather(
            meta.create(1_000, partitions=4), meta.create(2_000, partitions=4)
        )
        assert first == second == await meta.read()
        assert (first.epoch, first.partitions, len(first.store_id)) == (1, 4, 32)
        grown = await meta.create(3_000, partitions=6)
        assert grown == replace(first, partitions=6) == await meta.read()
        assert (await meta.create(4_000, partitions=2)).partitions == 6

    store.run(body)


def test_an_epoch_switch_needs_the_right_store_and_the_right_epoch(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        meta = MetaStore(connection)
        assert not await meta.switch_epoch("0" * 32, 1, 2)
        made = await meta.create(1_000, partitions=1)
        assert not await meta.switch_epoch("0" * 32, 1, 2)
        assert not await meta.switch_epoch(made.store_id, 3, 4)
        assert await meta.switch_epoch(made.store_id, 1, 2)
        assert await meta.switch_epoch(made.store_id, 1, 2)  # sent again after a lost answer
        assert not await meta.switch_epoch(made.store_id, 1, 3)
        assert await meta.read() == replace(made, epoch=2)
        assert not await meta.grow_partitions("0" * 32, 9)

    store.run(body)


def test_the_space_only_moves_forward_and_only_from_what_was_read(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        meta = MetaStore(connection)
        assert await meta.read_space() is None
        assert await meta.write_space(SPACE, read=None)
        assert await meta.read_space() == SPACE
        other = replace(SPACE, name="other", release="other-abc")
        assert not await meta.write_space(other, read=None)
        newer = replace(SPACE, name="newer", space_epoch=2)
        assert await meta.write_space(newer, read=SPACE)
        assert not await meta.write_space(replace(other, space_epoch=3), read=SPACE)
        assert await meta.read_space() == newer
        with pytest.raises(ValueError, match="does not follow"):
            await meta.write_space(SPACE, read=newer)

    store.run(body)


def test_an_epoch_is_deleted_whole_and_never_the_live_one(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        meta, profiles = MetaStore(connection), ProfileStore(connection)
        made = await meta.create(1_000, partitions=1)
        names = [f"u{number}" for number in range(300)]
        for epoch in (1, 2, 11):
            writes = [ProfileWrite(name, None, profile(1)) for name in names]
            await profiles.write(epoch, writes, expire_ms=600_000, registry={5: "x"})
            await connection.execute("SET", connection.keys.aggregates(epoch, 0).fence, b"x")
        with pytest.raises(ValueError, match="live"):
            await meta.delete_epoch(1)
        assert await meta.switch_epoch(made.store_id, 1, 2)
        assert await meta.delete_epoch(1) == len(names) + 2
        assert await profiles.read(1, names) == [None] * len(names)
        for epoch in (2, 11):
            assert None not in await profiles.read(epoch, names)
            assert await connection.execute("GET", connection.keys.aggregates(epoch, 0).fence) == b"x"

    store.run(body)
