"""The items topic: from upserts, patches and deletions to the catalogue, in log order behind a fence.

1. Read the fence and the items as they stand.
2. Apply in log order; patches (RFC 7396) are merged onto the item as it is by then.
3. Write vectors of items that the release does not know: once per vector space and item, never again.
4. Write the items and the fence in one call. An upsert whose key is another item's goes to the dead topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from services.kernel.bank import FloatArray
from services.kernel.event import PoisonError
from services.kernel.ids import item_key
from services.kernel.item import (
    ITEM_PATCH_CE_TYPE,
    Item,
    decode_item,
    decode_patch,
    encode_item,
    item_id_of_key,
    merge_patch,
)
from services.kernel.metrics import PROFILER_BATCH, PROFILER_CONFLICTS, PROFILER_RECORDS, Metrics
from services.log.protocol import EventLog, Record, Topic
from services.profiler.batch import is_above
from services.profiler.dead_letters import DeadLetter, DeadLetters
from services.profiler.outcomes import BatchDroppedError
from services.profiler.reading import ce_type_of
from services.profiler.release_follower import Live, ReleaseFollower
from services.profiler.safety import GROUPS, Start, choose_starts, open_store
from services.profiler.settings import ProfilerSettings
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.store.catalogue import Collision, ItemWrite
from services.store.fence import Fence

# Items encoded in one go in a thread: a few ms, so that events do not wait behind them.
_ENCODE_ITEMS: Final = 200


class CatalogueApplier:
    """An Applier of items, patches and deletions."""

    topic: Final = Topic.ITEMS

    def __init__(
        self,
        log: EventLog,
        stores: Stores,
        view: StoreView,
        follower: ReleaseFollower,
        dead_letters: DeadLetters,
        *,
        settings: ProfilerSettings,
        metrics: Metrics,
        groups: Mapping[Topic, str] = GROUPS,
    ) -> None:
        self._log = log
        self._stores = stores
        self._view = view
        self._follower = follower
        self._dead_letters = dead_letters
        self._settings = settings
        self._groups = groups
        self._records = metrics.counter(PROFILER_RECORDS)
        self._conflicts = metrics.counter(PROFILER_CONFLICTS)
        self._conflicts.labels("catalogue")  # 0 is told before the first one
        self._duration = metrics.histogram(PROFILER_BATCH).labels(self.topic.value)

    async def starts(self, partitions: Sequence[int]) -> dict[int, Start]:
        """See Applier.starts."""
        await open_store(self._stores, self._view, self._log, self._groups)
        return await choose_starts(
            self._log,
            self.topic,
            self._groups[self.topic],
            partitions,
            fence_of=self.fence_of,
            check_of=check_of_item,
        )

    async def fence_of(self, partition: int) -> Fence | None:
        """How far a partition of the items is applied."""
        return await self._stores.catalogue_writer.fence(self._view.epoch, partition)

    async def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Apply records of one partition. Raises BatchDroppedError, StoreError, LogUnavailableError."""
        started_s = time.perf_counter()
        dead: set[int] = set()  # offsets that are in the dead topic already
        while (collisions := await self._apply_but(partition, records, dead)) is not None:
            by_offset = {record.position.offset: record for record in records}
            letters = []
            for write, owner in collisions:
                record = by_offset[write.fence.position.offset]
                reason = f"item {write.item_id!r} has the 64-bit key of item {owner!r}: rename one of them"
                letters.append(DeadLetter(self.topic, record, reason))
            await self._bury(letters, dead)
        self._duration.observe(time.perf_counter() - started_s)

    async def _bury(self, letters: list[DeadLetter], dead: set[int]) -> None:
        await self._dead_letters.send(letters)
        dead.update(letter.record.position.offset for letter in letters)

    async def _apply_but(
        self, partition: int, records: Sequence[Record], dead: set[int]
    ) -> list[Collision] | None:
        """Steps 1 to 4 without the records at offsets `dead`; None when they are done."""
        # 1.
        await self._view.recheck()
        epoch = self._view.epoch
        ids = [_item_id_or_none(record) for record in records]
        asked = list(dict.fromkeys(item_id for item_id in ids if item_id is not None))
        current = await self._stores.catalogue_writer.read(
            epoch, partition, [(item_id, item_key(item_id)) for item_id in asked]
        )
        # 2.
        state = _State(dict(zip(asked, current.items, strict=True)))
        for record in records:
            if is_above(record.position, current.fence) and record.position.offset not in dead:
                state.apply(record)
        await self._bury(state.letters, dead)
        if not is_above(records[-1].position, current.fence):
            return None
        # 3.
        live = self._follower.live
        await self.write_vectors(state.upserted(), live)
        await self._register_deleted(epoch, state)
        # 4.
        upto = Fence(records[-1].position, check_of_item(records[-1]))
        done = await self._stores.catalogue_writer.write(epoch, partition, current.fence, state.writes, upto)
        if done is False:
            self._conflicts.labels("catalogue").inc()
            raise BatchDroppedError("fence", f"another profiler owns partition {partition} of the items")
        if done is not True:
            return done
        if self._follower.live is not live:  # a release came meanwhile: its space may lack these items
            await self.write_vectors(state.upserted(), self._follower.live)
        live.items.forget()
        self._records.labels(self.topic.value, "applied").inc(len(state.writes))
        self._records.labels(self.topic.value, "dead").inc(len(state.letters))
        return None

    async def write_vectors(self, items: Sequence[Item], live: Live) -> int:
        """Give items that the release does not know vectors from metadata; answers how many are new."""
        release = live.release
        encoder = release.encoder if release is not None else None
        if release is None or encoder is None:
            return 0
        new = [(key, item) for item in items if not release.has(key := item_key(item.item_id))]
        written = 0
        for first in range(0, len(new), _ENCODE_ITEMS):
            some = new[first : first + _ENCODE_ITEMS]
            vectors = await asyncio.to_thread(
                lambda part: {key: encoder.vector(item) for key, item in part}, some
            )
            found: dict[int, FloatArray] = {
                key: vector for key, vector in vectors.items() if vector is not None
            }
            if found:
                written += await self._stores.catalogue_writer.write_vectors(release.space.space_id, found)
        return written

    async def backfill(self, live: Live) -> int:
        """Vectors in a new release's space for all items of the catalogue that it does not know."""
        written = 0
        meta = await self._stores.meta.read()  # our own view may be of an epoch before a replay
        async for batch in self._stores.catalogue.scan(meta.epoch if meta is not None else self._view.epoch):
            written += await self.write_vectors([decode_item(value) for _, value in batch], live)
        live.items.forget()
        return written

    async def _register_deleted(self, epoch: int, state: _State) -> None:
        """Profiles still hold deleted items: their ids stay known as long as a profile lives."""
        deleted = {write.item_key: write.item_id for write in state.writes if write.value is None}
        if deleted:
            await self._stores.profiles.write(epoch, [], expire_ms=self._settings.expire_ms, registry=deleted)


class _State:
    """The items of a batch as they change record by record."""

    def __init__(self, items: dict[str, bytes | None]) -> None:
        self._items = items
        self.writes: list[ItemWrite] = []
        self.letters: list[DeadLetter] = []

    def apply(self, record: Record) -> None:
        """Step 2 on one record; one that can never be applied becomes a dead letter."""
        try:
            item_id = item_id_of_key(record.key)
            if not item_id:
                raise PoisonError("the record has no key; the item id belongs there")
            value = self._after(record, item_id)
        except PoisonError as error:
            self.letters.append(DeadLetter(Topic.ITEMS, record, error.reason))
            return
        if value == self._items.get(item_id):
            return
        self._items[item_id] = value
        fence = Fence(record.position, check_of_item(record))
        self.writes.append(ItemWrite(fence, item_id, item_key(item_id), value))

    def upserted(self) -> list[Item]:
        """Items that the batch leaves in the catalogue, as it leaves them."""
        ids = dict.fromkeys(write.item_id for write in self.writes)
        return [decode_item(value) for item_id in ids if (value := self._items[item_id]) is not None]

    def _after(self, record: Record, item_id: str) -> bytes | None:
        """The item after a record; None: it is gone, or (a patch of nothing) was never there."""
        if record.value is None:
            # The tombstone of a patch's own key only makes room in the log.
            return self._items.get(item_id) if b"\0" in record.key else None
        if ce_type_of(record) == ITEM_PATCH_CE_TYPE:
            held = self._items.get(item_id)
            patch = decode_patch(record.value)
            return encode_item(merge_patch(decode_item(held), patch)) if held is not None else None
        item = decode_item(record.value)
        if item.item_id != item_id:
            raise PoisonError(f"the record's key is item {item_id[:64]!r}, its value another one")
        return record.value


def check_of_item(record: Record) -> int:
    """The u64 by which a fence of the catalogue recognises its record."""
    value = b"\0" if record.value is None else b"\1" + record.value
    return int.from_bytes(blake2b(record.key + value, digest_size=8).digest(), "little")


def _item_id_or_none(record: Record) -> str | None:
    try:
        return item_id_of_key(record.key) or None
    except PoisonError:
        return None
