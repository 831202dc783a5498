"""Aggregates: the fence, exact scores, exact eviction, the sum over partitions."""

from __future__ import annotations

import math
import random
import struct
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.covisits import MAX_NEIGHBOURS, NEIGHBOUR, ROW_ENTRIES_MAX, bought_row_key
from services.kernel.segments import segment_key
from services.store.aggregates import (
    MAX_WRITE_BYTES,
    SEGMENT_LIMIT,
    AggregateReader,
    AggregateStore,
    AggregateWrite,
    Ranked,
)
from services.store.connection import Connection
from tests.contract.store_case import StoreCase, fence
from tests.servers import ValkeyServer

KEYS = [0, 1, 2**63, 2**64 - 1, 0x0D0A0D0A0D0A0D0A, 0x2424242424242424]


def row(*pairs: tuple[int, float]) -> bytes:
    """A packed row of neighbours."""
    return np.array(list(pairs), dtype=NEIGHBOUR).tobytes()


def pairs(ranked: Ranked) -> list[tuple[int, float]]:
    """For comparison."""
    return list(zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True))


def test_a_write_behind_the_right_fence_sets_everything(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        aggregates = AggregateStore(connection)
        assert await aggregates.fence(1, 0) is None
        nothing = await aggregates.load(1, 0, KEYS, KEYS)
        assert np.isneginf(nothing.trend).all()
        assert np.isneginf(nothing.popular).all()
        assert nothing.neighbours == [None] * len(KEYS)
        trend = {key: number + 0.1 for number, key in enumerate(KEYS)}
        popular = {key: -number / 3 for number, key in enumerate(KEYS)}
        rows = {key: row((7, 1.5), (2**64 - 1, -1e300)) for key in KEYS}
        write = AggregateWrite(None, fence(7), trend, popular, rows)
        assert await aggregates.write(1, 0, write)
        assert await aggregates.fence(1, 0) == fence(7)
        assert await aggregates.fence(1, 1) is None
        assert await aggregates.fence(2, 0) is None
        loaded = await aggregates.load(1, 0, [5, *KEYS], [*KEYS, 5])
        assert loaded.trend.tolist() == [-math.inf, *trend.values()]
        assert loaded.popular.tolist() == [-math.inf, *popular.values()]
        assert loaded.neighbours == [*rows.values(), None]

    store.run(body)


def test_a_write_behind_another_fence_writes_nothing(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        aggregates = AggregateStore(connection)
        mine = AggregateWrite(None, fence(7), {1: 1.0}, {1: 1.0}, {1: row((2, 1.0))})
        assert await aggregates.write(1, 0, mine)
        for read in (None, fence(6), fence(7, generation=2), fence(7, partition=1), fence(7, check=1)):
            other = AggregateWrite(read, fence(9), {1: 2.0, 3: 3.0}, {1: 2.0}, {1: b"x" * 16}, evict=True)
            other.max_items = 0
            assert not await aggregates.write(1, 0, other)
        loaded = await aggregates.load(1, 0, [1, 3], [1])
        assert loaded.trend.tolist() == loaded.popular.tolist() == [1.0, -math.inf]
        assert loaded.neighbours == [row((2, 1.0))]
        assert await aggregates.fence(1, 0) == fence(7)
        assert await aggregates.write(1, 0, mine), "a repeated call finds its own work"
        assert await aggregates.write(1, 0, AggregateWrite(fence(7), fence(8)))

    store.run(body)


def test_more_pairs_than_lua_can_unpack(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        aggregates = AggregateStore(connection)
        scores = {key: key * 0.1 for key in range(25_001)}
        write = AggregateWrite(None, fence(1), scores, scores, {key: row((key, 1.0)) for key in scores})
        assert await aggregates.write(1, 0, write)
        loaded = await aggregates.load(1, 0, list(scores), list(scores))
        assert loaded.trend.tolist() == loaded.popular.tolist() == list(scores.values())
        assert loaded.neighbours == list(write.neighbours.values())
        evict = AggregateWrite(fence(1), fence(2), evict=True, max_items=5)
        assert await aggregates.write(1, 0, evict)
        assert (await AggregateReader(connection).popular(1, 1, 100)).items.tolist() == [
            25_000 - rank for rank in range(5)
        ]

    store.run(body)


def test_eviction_takes_the_lowest_scores_and_then_the_lowest_keys(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        popular = {chance.getrandbits(64): float(chance.randrange(5)) for _ in range(500)}
        trend = {key: chance.random() for key in popular}
        rows = {key: row((1, 1.0)) for key in popular}
        bought = {bought_row_key(key): row((2, 1.0)) for key in popular}
        segment = {segment_key("country=DE"): row((3, 1.0))}
        aggregates = AggregateStore(connection)
        all_rows = rows | bought | segment
        write = AggregateWrite(None, fence(1), trend, popular, all_rows, evict=True, max_items=200)
        assert await aggregates.write(1, 0, write)
        by_rank = sorted(popular, key=lambda key: (popular[key], key.to_bytes(8, "little")))
        kept = set(by_rank[-200:])
        loaded = await aggregates.load(1, 0, by_rank, by_rank)
        for place, key in enumerate(by_rank):
            assert loaded.popular[place] == (popular[key] if key in kept else -math.inf)
            assert loaded.trend[place] == (trend[key] if key in kept else -math.inf)
            assert loaded.neighbours[place] == (rows[key] if key in kept else None)
        others = [*map(bought_row_key, by_rank), *segment]
        left = (await aggregates.load(1, 0, [], others)).neighbours
        assert left == [*([None] * 300), *([row((2, 1.0))] * 200), row((3, 1.0))]

    store.run(body)


@pytest.mark.parametrize(
    "write",
    [
        AggregateWrite(None, fence(1), trend={1: math.inf}),
        AggregateWrite(None, fence(1), popular={1: math.nan}),
        AggregateWrite(None, fence(1), neighbours={1: b"x"}),
        AggregateWrite(None, fence(1), neighbours={1: b""}),
        AggregateWrite(None, fence(1), neighbours={1: bytes(16 * (ROW_ENTRIES_MAX + 1))}),
        AggregateWrite(None, fence(1), neighbours=dict.fromkeys(range(MAX_WRITE_BYTES // 1000), bytes(1024))),
    ],
)
def test_what_must_not_be_stored_is_refused(
    valkey: ValkeyServer, namespace: str, write: AggregateWrite
) -> None:
    async def body(connection: Connection) -> None:
        with pytest.raises(ValueError):
            await AggregateStore(connection).write(1, 0, write)
        assert await AggregateStore(connection).fence(1, 0) is None

    StoreCase(valkey.url, namespace).run(body)


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_scores_come_back_bit_by_bit(valkey: ValkeyServer, scores: list[float]) -> None:
    async def body(connection: Connection) -> None:
        aggregates = AggregateStore(connection)
        await aggregates.write(1, 0, AggregateWrite(None, fence(1), dict(enumerate(scores))))
        loaded = (await aggregates.load(1, 0, range(len(scores)))).trend.tolist()
        for wrote, read in zip(scores, loaded, strict=True):
            # A sorted set knows no negative zero on some servers; as a score it is the same.
            assert struct.pack("<d", read + 0.0) == struct.pack("<d", wrote + 0.0)

    StoreCase(valkey.url, f"t{uuid.uuid4().hex[:12]}").run(body)


def test_readers_see_the_sum_over_all_partitions(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        aggregates, reader = AggregateStore(connection), AggregateReader(connection)
        total: dict[int, float] = {}
        for partition in range(3):
            scores = {key: chance.uniform(0, 20) for key in range(2000) if chance.random() < 0.7}
            for key, score in scores.items():
                total[key] = total.get(key, 0.0) + 2.0**score
            flat = dict.fromkeys(range(500), 3.0)  # all alike: the bound on the unseen is tight
            assert await aggregates.write(
                1, partition, AggregateWrite(None, fence(5 + partition), flat, scores)
            )
        best = sorted(total, key=lambda key: -total[key])
        for limit in (1, 10, 300, 5000):
            ranked = await reader.popular(1, 3, limit)
            assert ranked.items.tolist() == best[:limit]
            assert ranked.scores == pytest.approx([math.log2(total[key]) for key in best[:limit]])
        tied = await reader.trending(1, 3, 4)
        assert tied.scores.tolist() == [3.0 + math.log2(3)] * 4
        assert (np.diff(tied.items.astype(np.int64)) > 0).all()
        assert await reader.fences(1, 4) == [fence(5), fence(6), fence(7), None]
        for partitions in (0, 2):
            assert pairs(await reader.trending(2, partitions, 10)) == []

    store.run(body)


def test_an_item_that_no_partition_ranks_high_is_still_found(store: StoreCase) -> None:
    """Second in every partition, behind others each time, first in the sum."""

    async def body(connection: Connection) -> None:
        aggregates, reader = AggregateStore(connection), AggregateReader(connection)
        for partition in range(4):
            scores = {1000 * (partition + 1) + number: 10.0 for number in range(300)} | {7: 9.0}
            await aggregates.write(1, partition, AggregateWrite(None, fence(1), popular=scores))
        assert pairs(await reader.popular(1, 4, 1)) == [(7, 11.0)]

    store.run(body)


def test_neighbours_are_added_over_partitions(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        aggregates, reader = AggregateStore(connection), AggregateReader(connection)
        for partition, rows in enumerate(
            [{1: row((10, 1.0), (11, 5.0))}, {1: row((10, 1.0), (12, 1.5)), 2: row((9, 0.5))}]
        ):
            await aggregates.write(1, partition, AggregateWrite(None, fence(1), neighbours=rows))
        one, none, two = await reader.neighbours(1, 3, [1, 99, 2])
        assert pairs(one) == [(11, 5.0), (10, 2.0), (12, 1.5)]
        assert pairs(none) == []
        assert pairs(two) == [(9, 0.5)]
        assert pairs((await reader.neighbours(1, 3, [1], limit=1))[0]) == [(11, 5.0)]
        assert await reader.neighbours(1, 3, []) == []

    store.run(body)


def test_a_segment_is_given_deeper_than_an_item(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        aggregates, reader = AggregateStore(connection), AggregateReader(connection)
        long = row(*((item, float(item)) for item in range(ROW_ENTRIES_MAX)))
        keys = [segment_key("device=tv"), 7, bought_row_key(7)]
        rows = dict.fromkeys(keys, long)
        await aggregates.write(1, 0, AggregateWrite(None, fence(1), neighbours=rows))
        found = await reader.neighbours(1, 1, keys)
        assert [len(one.items) for one in found] == [SEGMENT_LIMIT, MAX_NEIGHBOURS, MAX_NEIGHBOURS]
        assert found[0].items[0] == ROW_ENTRIES_MAX - 1
        assert [len(one.items) for one in await reader.neighbours(1, 1, keys, limit=3)] == [3, 3, 3]

    store.run(body)
