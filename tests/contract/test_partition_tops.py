"""Trending and popular in memory against a real store: exact sums, bounded reads, none at rest."""

from __future__ import annotations

import math
import random

import pytest

from services.ranking.aggregates import Scores
from services.recommender.follow_aggregates import PAGES_A_POLL, AggregatesFollower
from services.recommender.live_epoch import LiveEpoch
from services.recommender.partition_tops import SUMMED_ITEMS, PartitionTops
from services.store.aggregates import AggregateReader, AggregateStore, AggregateWrite, Board, Ranked
from services.store.connection import Connection
from services.store.fence import Fence
from services.store.meta import MetaStore
from services.store.rows import PAGE_ITEMS
from tests.contract.store_case import StoreCase, fence


class CountingReader(AggregateReader):
    """The real reader, which also says what was read."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.pages: list[tuple[int, int]] = []

    async def page(self, epoch: int, partition: int, board: Board, first: int) -> Ranked:
        self.pages.append((partition, first))
        return await super().page(epoch, partition, board, first)


class Writer:
    """One profiler for all partitions of epoch 1."""

    def __init__(self, connection: Connection) -> None:
        self._store = AggregateStore(connection)
        self.fences: dict[int, Fence] = {}

    async def write(
        self, partition: int, trend: dict[int, float], popular: dict[int, float] | None = None, epoch: int = 1
    ) -> None:
        """Set scores and move the fence."""
        before = self.fences.get(partition) if epoch == 1 else None
        after = fence(before.position.offset + 1 if before else 0, partition)
        assert await self._store.write(
            epoch, partition, AggregateWrite(before, after, trend, trend if popular is None else popular)
        )
        self.fences[partition] = after


def held(scores: Scores) -> dict[int, float]:
    """All of a list."""
    return dict(zip(scores.keys.tolist(), scores.scores.tolist(), strict=True))


def pairs(scores: Scores) -> list[tuple[int, float]]:
    """Best first."""
    found = held(scores)
    return [(key, found[key]) for key in scores.top(len(found))]


def total_of(parts: list[dict[int, float]]) -> dict[int, float]:
    """What the sum has to be, by plain floats."""
    sums: dict[int, float] = {}
    for part in parts:
        for key, score in part.items():
            sums[key] = sums.get(key, 0.0) + 2.0**score
    return {key: math.log2(total) for key, total in sums.items()}


def test_everything_is_summed_exactly(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        keys = [chance.getrandbits(64) for _ in range(3 * PAGE_ITEMS)]
        parts = [{key: chance.uniform(-5, 20) for key in keys if chance.random() < 0.7} for _ in range(4)]
        parts.append({})
        writer, reader = Writer(connection), AggregateReader(connection)
        for partition, part in enumerate(parts):
            await writer.write(partition, part)
        tops = PartitionTops(reader, "trend", 1, 5, depth=10 * PAGE_ITEMS, kept=10 * PAGE_ITEMS)
        await tops.read(await reader.fences(1, 5))
        merged, total = tops.merge(), total_of(parts)
        assert held(merged) == pytest.approx(total)
        assert merged.top(1000) == sorted(total, key=lambda key: -total[key])[:1000]

    store.run(body)


def test_equal_scores_stand_by_rising_key(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = Writer(connection), AggregateReader(connection)
        for partition in range(3):
            await writer.write(partition, dict.fromkeys([2**64 - 1, 7, 0, 2**63, 9], 3.0))
        tops = PartitionTops(reader, "popular", 1, 3, depth=PAGE_ITEMS, kept=PAGE_ITEMS)
        await tops.read(await reader.fences(1, 3))
        merged = pairs(tops.merge())
        assert [key for key, _ in merged] == [0, 7, 9, 2**63, 2**64 - 1]
        assert {score for _, score in merged} == {3.0 + math.log2(3)}

    store.run(body)


def test_the_best_are_summed_where_they_lie_below_the_depth(store: StoreCase) -> None:
    """First in one partition, in the others behind more items than are read."""

    async def body(connection: Connection) -> None:
        writer, reader = Writer(connection), AggregateReader(connection)
        parts = [{key: 20.0 - key / 1e4 for key in range(SUMMED_ITEMS)}]
        for partition in (1, 2):
            others = {1000 * partition + 10**6 + number: 12.0 for number in range(2 * PAGE_ITEMS)}
            parts.append(others | dict.fromkeys(range(0, SUMMED_ITEMS, 2), 11.0))
        for partition, part in enumerate(parts):
            await writer.write(partition, part)
        tops = PartitionTops(reader, "trend", 1, 3, depth=PAGE_ITEMS, kept=2 * PAGE_ITEMS)
        await tops.read(await reader.fences(1, 3))
        tops.merge()
        await tops.sum_best()
        total, merged = total_of(parts), pairs(tops.merge())[:SUMMED_ITEMS]
        assert dict(merged) == pytest.approx({key: total[key] for key in range(SUMMED_ITEMS)})
        # And when they move there, at the end of the partition's next pass.
        parts[1][1] = 11.5
        await writer.write(1, {1: 11.5})
        await tops.read(await reader.fences(1, 3))
        assert dict(pairs(tops.merge()))[1] == pytest.approx(total_of(parts)[1])

    store.run(body)


def test_reads_are_bounded_go_on_where_they_stopped_and_take_turns(
    store: StoreCase,
) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = Writer(connection), CountingReader(connection)
        for partition in range(3):
            await writer.write(partition, {key: float(key) for key in range(2 * PAGE_ITEMS + 1)})
        tops = PartitionTops(reader, "trend", 1, 3, depth=10 * PAGE_ITEMS, kept=10 * PAGE_ITEMS)
        fences = await reader.fences(1, 3)
        await tops.read(fences, 2)
        assert (reader.pages, tops.has_news) == ([(0, 0), (0, PAGE_ITEMS)], False)
        # Written while its pass is under way, to a page that was read: it has another turn.
        await writer.write(0, {0: 1e6})
        fences = await reader.fences(1, 3)
        reader.pages.clear()
        await tops.read(fences, 2)
        assert (reader.pages, tops.has_news) == ([(0, 2 * PAGE_ITEMS), (1, 0)], True)
        reader.pages.clear()
        for _ in range(4):
            await tops.read(fences, 2)
        turns = [partition for partition, first in reader.pages if first == 0]
        assert turns == [2, 0]
        assert dict(pairs(tops.merge()))[0] == pytest.approx(1e6)
        reader.pages.clear()
        await tops.read(fences, 0)
        await tops.read(fences, 2)
        assert (reader.pages, tops.has_news) == ([], False)

    store.run(body)


def test_an_item_that_moves_between_two_pages_is_not_lost(store: StoreCase) -> None:
    """It stood on the second page, and rises to the first after that was read and before the second is."""

    async def body(connection: Connection) -> None:
        writer, reader = Writer(connection), AggregateReader(connection)
        await writer.write(0, {key: float(key) for key in range(2 * PAGE_ITEMS)})
        tops = PartitionTops(reader, "trend", 1, 1, depth=10 * PAGE_ITEMS, kept=10 * PAGE_ITEMS)
        await tops.read(await reader.fences(1, 1))
        tops.merge()
        await writer.write(0, {10**6: 1e3})
        await tops.read(await reader.fences(1, 1), 1)
        await writer.write(0, {3: 1e4})
        await tops.read(await reader.fences(1, 1))
        assert held(tops.merge())[3] == 3.0
        await tops.read(await reader.fences(1, 1))
        assert pairs(tops.merge())[:2] == [(3, 1e4), (10**6, 1e3)]

    store.run(body)


def test_what_is_held_is_bounded_even_among_equals(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader = Writer(connection), AggregateReader(connection)
        tops = PartitionTops(reader, "trend", 1, 1, depth=PAGE_ITEMS, kept=PAGE_ITEMS + 7)
        for start in range(3):
            await writer.write(
                0, dict.fromkeys(range(start * PAGE_ITEMS, (start + 1) * PAGE_ITEMS), 1.0 + start)
            )
            await tops.read(await reader.fences(1, 1))
            merged = tops.merge()
            assert len(merged) <= PAGE_ITEMS + 7
            assert merged.best == 1.0 + start

    store.run(body)


def test_the_follower_reads_what_moved_and_nothing_at_rest(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader, meta_store = Writer(connection), CountingReader(connection), MetaStore(connection)
        live = LiveEpoch(meta_store)
        follower = AggregatesFollower(reader, live)
        assert not await follower.refresh()
        before_store = follower.loaded
        await meta_store.create(1, partitions=3)
        await live.look()
        assert await follower.refresh()
        assert (before_store, follower.loaded) == (False, True)
        assert len(follower.aggregates.trending) == len(follower.aggregates.popular) == 0
        # The first event of an empty shop is in both lists at the next look.
        await writer.write(1, {5: 1.0}, {5: 2.0})
        reader.pages.clear()
        assert await follower.refresh()
        assert reader.pages == [(1, 0), (1, 0)]
        assert pairs(follower.aggregates.trending) == [(5, 1.0)]
        assert pairs(follower.aggregates.popular) == [(5, 2.0)]
        reader.pages.clear()
        before = follower.aggregates
        assert not await follower.refresh()
        assert reader.pages == []
        assert follower.aggregates is before
        await follower.neighbours.close()

    store.run(body)


def test_a_large_shop_is_whole_at_first_and_then_followed_at_a_bounded_pace(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader, meta_store = Writer(connection), CountingReader(connection), MetaStore(connection)
        items = (2 * PAGES_A_POLL + 1) * PAGE_ITEMS
        scores = {key: 1.0 + key / items for key in range(items)}
        await writer.write(0, scores)
        await meta_store.create(1, partitions=1)
        live = LiveEpoch(meta_store)
        await live.look()
        follower = AggregatesFollower(reader, live)
        await follower.refresh()
        assert len(follower.aggregates.popular) == items
        reader.pages.clear()
        await writer.write(0, {10**9: 1.5})
        polls = 0
        while 10**9 not in held(follower.aggregates.popular):
            reader.pages.clear()
            await follower.refresh()
            assert len(reader.pages) <= 2 * PAGES_A_POLL
            polls += 1
        assert polls > 1
        await follower.neighbours.close()

    store.run(body)


def test_another_epoch_is_loaded_beside_the_old_one(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader, meta_store = Writer(connection), AggregateReader(connection), MetaStore(connection)
        await writer.write(0, {1: 1.0})
        await meta_store.create(1, partitions=1)
        live = LiveEpoch(meta_store)
        await live.look()
        follower = AggregatesFollower(reader, live)
        await follower.refresh()
        await writer.write(0, {2: 2.0}, epoch=2)
        assert live.meta is not None
        assert await meta_store.switch_epoch(live.meta.store_id, 1, 2)
        assert not await follower.refresh()
        await live.look()
        assert await follower.refresh()
        assert pairs(follower.aggregates.trending) == [(2, 2.0)]
        await follower.neighbours.close()

    store.run(body)


def test_a_store_that_lost_its_data_does_not_empty_the_lists(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        writer, reader, meta_store = Writer(connection), AggregateReader(connection), MetaStore(connection)
        await writer.write(0, {1: 1.0})
        await meta_store.create(1, partitions=1)
        live = LiveEpoch(meta_store)
        await live.look()
        follower = AggregatesFollower(reader, live)
        await follower.refresh()
        for key in (*connection.keys.aggregates(1, 0), connection.keys.meta):
            await connection.execute("DEL", key)
        assert not await follower.refresh()
        assert pairs(follower.aggregates.trending) == [(1, 1.0)]
        assert live.trouble is not None
        # Somebody begins anew on it: another store.
        await meta_store.create(1, partitions=1)
        await live.look()
        assert await follower.refresh()
        assert len(follower.aggregates.trending) == 0
        await follower.neighbours.close()

    store.run(body)


def test_a_broken_read_is_made_good(store: StoreCase) -> None:
    """A pass that breaks off, at its first page or later, is no reason to take its partition as read."""

    class Breaking(CountingReader):
        fails_at: int | None = None

        async def page(self, epoch: int, partition: int, board: Board, first: int) -> Ranked:
            if first == self.fails_at:
                raise ConnectionError
            return await super().page(epoch, partition, board, first)

    async def body(connection: Connection) -> None:
        writer, reader = Writer(connection), Breaking(connection)
        await writer.write(0, {key: float(key) for key in range(PAGE_ITEMS + 1)})
        tops = PartitionTops(reader, "trend", 1, 1, depth=10 * PAGE_ITEMS, kept=10 * PAGE_ITEMS)
        await tops.read(await reader.fences(1, 1))
        tops.merge()
        for fails_at in (0, PAGE_ITEMS):
            await writer.write(0, {fails_at: 1e4 + fails_at})
            fences = await reader.fences(1, 1)
            reader.fails_at = fails_at
            with pytest.raises(ConnectionError):
                await tops.read(fences)
            reader.fails_at = None
            await tops.read(fences)
            assert pairs(tops.merge())[0] == (fails_at, 1e4 + fails_at)

    store.run(body)
