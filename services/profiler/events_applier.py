"""The events topic: the updater, and the checks that come before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.kernel.event_type import EventTypes
from services.log.protocol import EventLog, Record, Topic
from services.profiler.reading import check_of, read_record
from services.profiler.release_follower import ReleaseFollower
from services.profiler.safety import GROUPS, Start, choose_starts, open_store
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.profiler.updater import Updater
from services.store.fence import Fence


class EventsApplier:
    """An Applier of events."""

    topic: Final = Topic.EVENTS

    def __init__(
        self,
        log: EventLog,
        stores: Stores,
        view: StoreView,
        follower: ReleaseFollower,
        updater: Updater,
        *,
        groups: Mapping[Topic, str] = GROUPS,
    ) -> None:
        self._log = log
        self._stores = stores
        self._view = view
        self._follower = follower
        self._updater = updater
        self._groups = groups

    async def starts(self, partitions: Sequence[int]) -> dict[int, Start]:
        """See Applier.starts."""
        await open_store(self._stores, self._view, self._log, self._groups)
        await self._follower.look()
        self._follower.live.items.forget()
        return await choose_starts(
            self._log,
            self.topic,
            self._groups[self.topic],
            partitions,
            fence_of=self.fence_of,
            check_of=lambda record: check_of_record(record, self._updater.types),
        )

    async def apply(self, partition: int, records: Sequence[Record]) -> None:
        """See Applier.apply."""
        await self._updater.apply(partition, records)

    async def fence_of(self, partition: int) -> Fence | None:
        """How far the aggregates of a partition are applied."""
        return await self._stores.aggregates.fence(self._view.epoch, partition)


def check_of_record(record: Record, types: EventTypes) -> int:
    """What a fence at this record remembers of it."""
    return check_of(read_record(record, types))
