"""The catalogue: fences, collisions, the stream of changes, scans, vectors written once."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from services.store.catalogue import CatalogueReader, CatalogueWriter, Changes, Collision, Cursor, ItemWrite
from services.store.connection import Connection
from services.store.fence import Fence
from services.store.profiles import MAX_CALL_BYTES, MAX_KEYS_A_CALL
from tests.contract.store_case import StoreCase, fence

ODD_IDS = ["gid://shopify/Product/1", "a{b}c", "☃", "x" * 256, "0"]


def put(offset: int, item_id: str, item_key: int, value: bytes | None = b"{}") -> ItemWrite:
    """One record of partition 0."""
    return ItemWrite(fence(offset), item_id, item_key, value)


def test_items_are_put_replaced_and_deleted_in_log_order(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        assert await writer.read(1, 0, [("a", 1)]) == (None, [None], [None])
        assert await writer.read(1, 0, []) == (None, [], [])
        writes = [put(number, item_id, number, b"v1") for number, item_id in enumerate(ODD_IDS)]
        assert await writer.write(1, 0, None, writes, fence(10)) is True
        assert await writer.fence(1, 0) == fence(10)
        assert await reader.items(1, [*ODD_IDS, "no"]) == [b"v1"] * len(ODD_IDS) + [None]
        assert await reader.item_ids(1, [99, *range(len(ODD_IDS))]) == dict(enumerate(ODD_IDS))
        more = [
            put(11, "☃", 2, None),
            put(12, "0", 4, b"v2"),
            put(13, "0", 4, b"v3"),
            put(14, "no", 77, None),
        ]
        assert await writer.write(1, 0, fence(10), more, fence(14)) is True
        assert await reader.items(1, ["☃", "0", "a{b}c"]) == [None, b"v3", b"v1"]
        assert await reader.item_ids(1, [2, 4]) == {4: "0"}
        assert await reader.count(1) == len(ODD_IDS) - 1
        assert await writer.read(1, 0, [("0", 4), ("☃", 2)]) == (fence(14), [b"v3", None], ["0", None])
        assert await reader.count(2) == 0
        assert await reader.items(1, []) == []

    store.run(body)


def test_another_writers_fence_stops_a_write(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        assert await writer.write(1, 0, None, [put(1, "a", 1)], fence(1)) is True
        cursor = await reader.cursor(1)
        for read in (None, fence(0), fence(1, check=3)):
            assert await writer.write(1, 0, read, [put(5, "a", 1, b"x"), put(6, "b", 2)], fence(6)) is False
        assert await reader.items(1, ["a", "b"]) == [b"{}", None]
        assert await reader.changes(1, cursor) == Changes([], cursor, False)
        assert await writer.write(1, 0, None, [put(1, "a", 1)], fence(1)) is True  # repeated
        other = Fence(fence(3, partition=1).position, 3)
        assert await writer.write(1, 1, None, [put(3, "b", 2)._replace(fence=other)], other) is True
        assert await writer.write(1, 0, fence(1), [], fence(8)) is True
        assert (await writer.fence(1, 0), await writer.fence(1, 1)) == (fence(8), other)

    store.run(body)


def test_an_upsert_with_another_items_key_is_rejected_and_nothing_is_written(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        assert await writer.write(1, 0, None, [put(1, "a", 1)], fence(1)) is True
        bad = [put(2, "b", 1), put(3, "c", 3), put(4, "d", 3)]
        found = await writer.write(1, 0, fence(1), [*bad, put(5, "e", 5)], fence(5))
        assert found == [Collision(bad[0], "a"), Collision(bad[2], "c")]
        assert await reader.count(1) == 1
        assert await writer.fence(1, 0) == fence(1)
        assert await writer.write(1, 0, fence(1), [bad[1], put(5, "e", 5)], fence(5)) is True
        # The end of the rejected item leaves the owner's key alone; the owner's end frees it.
        assert await writer.write(1, 0, fence(5), [put(6, "b", 1, None)], fence(6)) is True
        assert await reader.item_ids(1, [1, 3]) == {1: "a", 3: "c"}
        freed = [put(7, "a", 1, None), put(8, "b", 1)]
        assert await writer.write(1, 0, fence(6), freed, fence(8)) is True
        assert await reader.item_ids(1, [1]) == {1: "b"}

    store.run(body)


def test_a_large_batch_goes_in_parts_each_with_its_fence(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        count = MAX_KEYS_A_CALL + 10
        large = bytes(3 * MAX_CALL_BYTES // count)
        writes = [put(number, f"i{number}", number, large) for number in range(count)]
        bad = put(count, "bad", 0)
        found = await writer.write(1, 0, None, [*writes, bad], fence(count))
        assert found == [Collision(bad, "i0")]
        reached = await writer.fence(1, 0)
        assert reached is not None
        assert 0 < reached.position.offset < count
        # As the docstring says: again without it, the fence read anew.
        assert await writer.write(1, 0, reached, writes, fence(count)) is True
        assert await reader.count(1) == count
        assert len([item async for batch in reader.scan(1) for item in batch]) >= count
        assert (
            await writer.write(
                1, 0, fence(count), [put(5000, "huge", 9999, bytes(4 * MAX_CALL_BYTES))], fence(5000)
            )
        ) is True

    store.run(body)


def test_a_scan_and_the_changes_since_miss_nothing(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        start = await reader.cursor(1)
        writes = [put(number, f"i{number}", number, b"%d" % number) for number in range(1500)]
        assert await writer.write(1, 0, None, writes[:1000], fence(999)) is True
        cursor = await reader.cursor(1)
        seen: dict[str, bytes] = {}
        upto = 999
        async for batch in reader.scan(1, batch=100):
            seen.update(batch)
            if upto < 1499:
                part = writes[upto + 1 : upto + 51]
                assert await writer.write(1, 0, fence(upto), part, part[-1].fence) is True
                upto += 50
        changed: list[str] = []
        while True:
            changes = await reader.changes(1, cursor, limit=70)
            assert not changes.lost
            cursor = changes.cursor
            changed += changes.item_ids
            if not changes.item_ids:
                break
        assert changed == [f"i{number}" for number in range(1000, upto + 1)]
        assert seen.keys() | set(changed) == {f"i{number}" for number in range(upto + 1)}
        whole = await reader.changes(1, start, limit=10_000)
        assert (whole.item_ids, whole.lost) == ([f"i{number}" for number in range(upto + 1)], False)

    store.run(body)


def test_a_follower_that_fell_behind_is_told(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection, max_changes=100), CatalogueReader(connection)
        cursors = [await reader.cursor(1)]
        read = None
        for first in range(0, 1000, 10):
            writes = [put(number, f"i{number}", number) for number in range(first, first + 10)]
            assert await writer.write(1, 0, read, writes, writes[-1].fence) is True
            read = writes[-1].fence
            cursors.append(await reader.cursor(1))
        lost = [(await reader.changes(1, cursor)).lost for cursor in cursors]
        assert lost[0]
        assert lost == sorted(lost, reverse=True), "older cursors have lost more"
        assert not any(lost[-10:]), "a hundred are kept"
        assert (await reader.changes(1, cursors[-2])).item_ids == [f"i{n}" for n in range(990, 1000)]

    store.run(body)


@pytest.mark.parametrize("refilled", [0, 4, 5, 6, 20])
def test_a_follower_of_a_store_that_was_emptied_is_told(store: StoreCase, refilled: int) -> None:
    """Even when the new stream happens to hold as many entries as the old."""

    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        writes = [put(number, f"i{number}", number) for number in range(5)]
        assert await writer.write(1, 0, None, writes, fence(4)) is True
        cursor = await reader.cursor(1)
        for key in connection.keys.catalogue(1):
            await connection.execute("UNLINK", key)
        await asyncio.sleep(0.005)  # ids of the stream are milliseconds; no store is lost and refilled in one
        if refilled:
            again = [put(number, f"i{number}", number) for number in range(refilled)]
            assert await writer.write(1, 0, None, again, again[-1].fence) is True
        assert (await reader.changes(1, cursor)).lost
        assert (await reader.cursor(1) == Cursor("0-0", 0)) == (refilled == 0)

    store.run(body)


def test_a_vector_is_written_once(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = CatalogueWriter(connection), CatalogueReader(connection)
        first = {0: np.arange(4, dtype=np.float32), 2**64 - 1: np.full(4, -0.1, np.float32)}
        assert await writer.write_vectors(7, first) == 2
        assert await writer.write_vectors(7, {0: np.zeros(4, np.float32), 5: np.ones(4, np.float32)}) == 1
        assert await writer.write_vectors(8, {}) == 0
        none, zero, last = await reader.vectors(7, [9, 0, 2**64 - 1])
        assert none is None
        assert zero is not None
        assert last is not None
        assert (zero.tobytes(), last.tobytes()) == (first[0].tobytes(), first[2**64 - 1].tobytes())
        assert await reader.vectors(8, [0]) == [None]
        assert await reader.vectors(8, []) == []

    store.run(body)
