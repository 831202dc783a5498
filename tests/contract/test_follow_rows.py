"""Rows of items and segments on their way from the store to a recommender's memory."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.covisits import NEIGHBOUR, bought_row_key
from services.kernel.segments import segment_key, segment_keys_of
from services.ranking.aggregates import Scores
from services.recommender import follow_aggregates
from services.recommender.follow_aggregates import AggregatesFollower
from services.recommender.live_epoch import LiveEpoch
from services.store.aggregates import AggregateReader, AggregateStore, AggregateWrite
from services.store.connection import Connection
from services.store.meta import MetaStore
from tests.contract.store_case import StoreCase, fence

DE = segment_key("country=DE")


def row(*pairs: tuple[int, float]) -> bytes:
    return np.array(list(pairs), dtype=NEIGHBOUR).tobytes()


def held(scores: Scores | None) -> dict[int, float]:
    return {} if scores is None else dict(zip(scores.keys.tolist(), scores.scores.tolist(), strict=True))


async def following(connection: Connection, partitions: int) -> AggregatesFollower:
    meta_store = MetaStore(connection)
    await meta_store.create(1, partitions=partitions)
    live = LiveEpoch(meta_store)
    await live.look()
    follower = AggregatesFollower(AggregateReader(connection), live)
    await follower.refresh()
    return follower


def test_what_was_asked_for_is_there_merged_from_all_partitions(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        aggregates = AggregateStore(connection)
        bought = bought_row_key(7)
        for partition, rows in enumerate(
            [{7: row((1, 0.0)), bought: row((8, 2.0)), DE: row((9, 1.0))}, {bought: row((8, 2.0), (6, 0.0))}]
        ):
            await aggregates.write(1, partition, AggregateWrite(None, fence(1, partition), neighbours=rows))
        follower = await following(connection, 2)
        assert follower.aggregates.bought_with(7) is None
        await follower.neighbours.want([bought, *segment_keys_of({"country": "de", "device": "tv"})])
        assert held(follower.aggregates.bought_with(7)) == {8: 3.0, 6: 0.0}
        assert held(follower.aggregates.segment("country=DE")) == {9: 1.0}
        assert held(follower.aggregates.segment("device=tv")) == {}
        assert follower.aggregates.neighbours.get(7) is None, "nobody asked for it"
        await follower.neighbours.close()

    store.run(body)


def test_a_long_row_is_read_less_often(store: StoreCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_aggregates, "ROW_AGE_S", -1.0)  # old at once
    monkeypatch.setattr(follow_aggregates, "LONG_ROW_AGE_S", 3600.0)

    async def body(connection: Connection) -> None:
        aggregates, young = AggregateStore(connection), segment_key("country=AT")
        busy = row(*((item, 1.0) for item in range(100)))
        await aggregates.write(
            1, 0, AggregateWrite(None, fence(1), neighbours={DE: busy, young: row((1, 1.0))})
        )
        follower = await following(connection, 1)
        await follower.neighbours.want([DE, young])
        later = {DE: row((5, 5.0)), young: row((5, 5.0))}
        await aggregates.write(1, 0, AggregateWrite(fence(1), fence(2), neighbours=later))
        await follower.neighbours.want([DE, young])
        assert len(held(follower.aggregates.segment("country=DE"))) == 100
        assert held(follower.aggregates.segment("country=AT")) == {5: 5.0}
        await follower.neighbours.close()

    store.run(body)
