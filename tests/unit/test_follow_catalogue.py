"""What the catalogue's follower makes of a store that goes away at a bad moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.kernel.item import Item, encode_item
from services.recommender import follow_catalogue
from services.recommender.follow_catalogue import CatalogueFollower
from services.store.catalogue import Changes, Cursor
from services.store.errors import StoreUnavailableError
from services.store.meta import Meta

PATIENCE_S = 30.0  # to end a test that would hang
ITEM = Item(item_id="p1", title="a thing")


class Live:
    """The identity of a store that is well."""

    trouble = None
    meta = Meta("0" * 32, 1, 0, 1)

    async def look(self) -> None:
        pass

    async def wait_for_meta(self) -> Meta:
        return self.meta


class Reader:
    """A store of one item. `away` of its answers about changes do not come; `asked` is set with each."""

    def __init__(self, away: int) -> None:
        self.asked = asyncio.Event()
        self._away = away

    async def cursor(self, _epoch: int) -> Cursor:
        return Cursor("0-0", 0)

    async def scan(self, _epoch: int, _batch: int) -> AsyncIterator[list[tuple[str, bytes]]]:
        yield [(ITEM.item_id, encode_item(ITEM))]

    async def changes(self, _epoch: int, cursor: Cursor, _count: int) -> Changes:
        self.asked.set()
        if self._away:
            self._away -= 1
            raise StoreUnavailableError("away")
        return Changes([], cursor, False)

    async def items(self, _epoch: int, item_ids: Sequence[str]) -> list[bytes | None]:
        return [encode_item(ITEM) for _ in item_ids]


async def load_while_the_store_goes_away() -> tuple[bool, bool]:
    """(usable when the store went away, loaded at last)."""
    reader = Reader(away=2)
    follower = CatalogueFollower(reader, Live(), lambda: None)  # type: ignore[arg-type]
    running = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await reader.asked.wait()
            usable = follower.usable
            await follower.whole.wait()
        return usable, follower.loaded
    finally:
        running.cancel()


def test_a_store_that_goes_away_at_the_end_of_the_load_does_not_keep_it_from_being_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow_catalogue, "RETRY_S", 0.001)
    assert asyncio.run(load_while_the_store_goes_away()) == (True, True)


def test_a_catalogue_of_which_most_is_gone_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_catalogue, "ROWS_GONE_MAX", 8)
    monkeypatch.setattr(follow_catalogue, "POLL_S", 0.001)

    async def replaced_after(gone: int) -> bool:
        reader = Reader(away=0)
        follower = CatalogueFollower(reader, Live(), lambda: None)  # type: ignore[arg-type]
        running = asyncio.create_task(follower.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await follower.whole.wait()
                before = follower.catalogue
                for number in range(gone):
                    before.upsert(Item(item_id=f"night {number}"))
                    before.delete(f"night {number}")
                for _ in range(3):  # rounds of following
                    reader.asked.clear()
                    await reader.asked.wait()
            assert follower.catalogue.get(ITEM.item_id) == ITEM
            assert (follower.catalogue is before) is (follower.catalogue.row_count == 1 + gone)
            return follower.catalogue is not before
        finally:
            running.cancel()

    assert not asyncio.run(replaced_after(9))
    assert asyncio.run(replaced_after(10))
