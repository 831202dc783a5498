"""Reading the embedded log: one member of a group reads all partitions, under a lease.

1. Take the lease, and with it the group's commits; another member waits until it is released or expires.
2. Tell the assignment, which may choose where to start.
3. Read: while records come, many at a time by a script that checks the lease; else wait in XREAD, which wakes
   at once. A lease that was not renewed in time (paused process, server away) is lost: tell, and go to 1.
4. Commit under the lease.
5. Leave: release the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from services.kernel.settings import LogSettings
from services.log.protocol import (
    Assignment,
    LogError,
    LogLostError,
    LogUnavailableError,
    Record,
    Topic,
)
from services.log.streams_address import TopicKeys
from services.log.streams_codec import unpack
from services.log.streams_link import Link
from services.log.streams_producer import ensure_topic
from services.log.streams_scripts import ACQUIRE, BOUNDS, COMMIT, READ, RELEASE, RENEW

# Two renewals may fail before the lease does.
_RENEWALS_A_LEASE = 3.3
# How often a waiting member asks for the lease: the hand-over after a clean leave takes this long at most.
_ACQUIRE_S = 0.05
# A wait in XREAD is cut here so that a lost lease is noticed.
_BLOCK_MS_MAX = 1000
# Records of one partition that a wait brings: the rest comes with the next read.
_WAKE_RECORDS = 16
# Memory of one read, a little more with large records.
_READ_BYTES_MAX = 4 << 20


class StreamsConsumer:
    """The Consumer of the embedded log."""

    def __init__(self, settings: LogSettings, topic: Topic, group: str | None) -> None:
        self._settings = settings
        self._generation = settings.log_generation
        self._keys = TopicKeys.of(settings, topic)
        self._topic = topic
        self._group = group
        self._reading = Link(settings.log_url)
        self._keeping = Link(settings.log_url)
        self._assignment: Assignment | None = None
        self._positions: dict[int, int] = {}  # of the partitions that are ours
        self._unchecked: set[int] = set()  # positions that may lie beyond the end
        self._partitions = 0
        self._first = 0  # partition to read first next time, so that none starves
        self._backlog = False  # the last read found records: there may be more
        self._token = ""
        # A member that dies is replaced after this long; a process paused for longer loses the partitions.
        self._lease_ms = settings.log_session_ms
        self._lease_until_s = 0.0  # on the monotonic clock
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, assignment: Assignment | None = None) -> None:
        """See Consumer.start."""
        self._assignment = assignment
        self._partitions = await ensure_topic(self._reading, self._keys, self._settings)

    async def fetch(self, max_records: int, max_wait_ms: int) -> dict[int, list[Record]]:
        """See Consumer.fetch."""
        give_up_s = time.monotonic() + max_wait_ms / 1000
        while True:
            left_s = give_up_s - time.monotonic()
            try:
                if await self._assigned(max(left_s, 0)):
                    await self._check_positions()
                    if records := await self._read(max_records):
                        return records
                    left_s = give_up_s - time.monotonic()
                    if records := await self._wait(max_records, max(left_s, 0)):
                        return records
            except ResponseError as error:
                if not str(error).startswith("LEASELOST"):
                    raise self._reading.refusal(error) from None
                self._lease_until_s = 0.0
                continue
            except LogUnavailableError:
                # The server may come back with less than it had.
                self._unchecked = set(self._positions)
                raise
            if time.monotonic() >= give_up_s:
                return {}

    def seek(self, partition: int, offset: int) -> None:
        """See Consumer.seek."""
        if partition in self._positions:
            self._positions[partition] = offset
            self._unchecked.add(partition)
            self._backlog = True

    async def commit(self, offsets: dict[int, int]) -> None:
        """See Consumer.commit."""
        if self._group is None:
            raise LogError("a reader without a group commits nothing")
        if not offsets:
            return
        if not offsets.keys() <= self._positions.keys():
            raise LogError(f"partitions {sorted(offsets.keys() - self._positions.keys())} are not ours")
        arguments: list[bytes | str | int] = [self._token]
        for partition, offset in offsets.items():
            arguments += (f"{self._group}:{partition}", offset)
        keys = [self._keys.lease(self._group), self._keys.commits]
        try:
            held = await self._keeping.run(COMMIT, keys, arguments)
        except ResponseError as error:
            raise self._keeping.refusal(error) from None
        if not held:
            self._lease_until_s = 0.0
            raise LogError(f"another member of group {self._group} reads the {self._topic.value} log now")

    async def stop(self) -> None:
        """See Consumer.stop."""
        await self._stop_keeper()
        if self._group is not None and self._token:
            with contextlib.suppress(LogError, ResponseError):
                await self._keeping.run(RELEASE, [self._keys.lease(self._group)], [self._token], 1.0)
        self._token = ""
        self._positions = {}
        await self._reading.close()
        await self._keeping.close()

    async def _assigned(self, wait_s: float) -> bool:
        """Whether the partitions are ours; takes them, and tells of losses and gains, where need be."""
        if self._positions and (self._group is None or time.monotonic() < self._lease_until_s):
            return True
        if self._positions:
            await self._lose()
        if self._group is None:
            await self._begin([-1] * self._partitions)
            return True
        commits = await self._acquire()
        if commits is None:
            await asyncio.sleep(min(_ACQUIRE_S, wait_s))
            return False
        self._keeper = asyncio.create_task(self._keep())
        await self._begin(commits)
        return True

    async def _acquire(self) -> list[int] | None:
        assert self._group is not None
        # Again, not once: a server that came back empty has forgotten the topic, or another made it anew.
        self._partitions = await ensure_topic(self._reading, self._keys, self._settings)
        token = uuid.uuid4().hex
        keys = [self._keys.lease(self._group), self._keys.groups, self._keys.commits]
        asked_s = time.monotonic()
        answer: list[int] | None = await self._reading.run(
            ACQUIRE, keys, [token, self._lease_ms, self._group, self._partitions]
        )
        if answer is not None:
            self._token = token
            self._lease_until_s = asked_s + self._lease_ms / 1000
        return answer

    async def _begin(self, commits: Sequence[int]) -> None:
        """The partitions are ours: start where the assignment says, else at the commit or the earliest."""
        try:
            bounds = await read_bounds(self._reading, self._keys, self._partitions)
            positions = {
                partition: bounds[partition][0] if commit < 0 else commit
                for partition, commit in enumerate(commits)
            }
            self._positions = positions
            if self._assignment is not None:
                positions.update(await self._assignment.assigned(sorted(positions)))
        except BaseException:  # not begun: the next fetch tells again
            self._positions = {}
            self._lease_until_s = 0.0
            await self._stop_keeper()
            await self._release()
            raise
        self._unchecked = set(positions)
        self._backlog = True

    async def _lose(self) -> None:
        await self._stop_keeper()
        if self._assignment is not None:
            with contextlib.suppress(LogError):  # it may try to commit what is no longer ours
                await self._assignment.revoked(sorted(self._positions))
        self._positions = {}
        await self._release()

    async def _release(self) -> None:
        """Give the lease back in case that it is still ours, or we would wait for ourselves."""
        if self._group is not None:
            await self._reading.run(RELEASE, [self._keys.lease(self._group)], [self._token])

    async def _check_positions(self) -> None:
        """Refuse to wait for offsets that the log has yet to reach for the second time."""
        if not self._unchecked:
            return
        bounds = await read_bounds(self._reading, self._keys, self._partitions)
        for partition in sorted(self._unchecked):
            position, end = self._positions[partition], bounds[partition][1]
            if position > end:
                raise LogLostError(
                    f"partition {partition} of the {self._topic.value} log ends at {end}, before position "
                    f"{position}: it was recreated or restored from an older copy"
                )
        self._unchecked.clear()

    async def _read(self, max_records: int) -> dict[int, list[Record]]:
        """What is there now."""
        if not self._backlog:
            return {}
        order = [(self._first + step) % self._partitions for step in range(self._partitions)]
        lease = self._keys.lease(self._group or "")
        token = self._token if self._group is not None else ""
        answer = await self._reading.run(
            READ,
            [lease, *(self._keys.stream(partition) for partition in order)],
            [token, max_records, _READ_BYTES_MAX, *(self._positions[partition] for partition in order)],
        )
        records: dict[int, list[Record]] = {}
        for step, partition in enumerate(order):
            first, count, glued = answer[3 * step : 3 * step + 3]
            if count:
                records[partition] = unpack(self._generation, partition, first, count, glued)
                self._positions[partition] = first + count
        self._backlog = bool(records)
        self._first = (self._first + 1) % self._partitions
        return records

    async def _wait(self, max_records: int, wait_s: float) -> dict[int, list[Record]]:
        """Sleep until a record comes."""
        block_ms = min(int(wait_s * 1000), _BLOCK_MS_MAX)
        if block_ms <= 0:  # 0 would mean for ever
            return {}
        partitions = list(self._positions)
        keys = [self._keys.stream(partition) for partition in partitions]
        after = [f"0-{self._positions[partition]}" for partition in partitions]
        answer = await self._reading.call(
            "XREAD", "COUNT", _WAKE_RECORDS, "BLOCK", block_ms, "STREAMS", *keys, *after,
            timeout_s=block_ms / 1000 + 2.0,
        )  # fmt: skip
        if not answer or (self._group is not None and time.monotonic() >= self._lease_until_s):
            return {}
        by_key = {key.encode(): partition for key, partition in zip(keys, partitions, strict=True)}
        records: dict[int, list[Record]] = {}
        for key, entries in answer:
            taken = self._unpack_entries(by_key[key], entries[:max_records])
            max_records -= len(taken)
            if taken:
                records[by_key[key]] = taken
        self._backlog = True
        return records

    def _unpack_entries(self, partition: int, entries: list[tuple[bytes, list[bytes]]]) -> list[Record]:
        records = []
        for entry_id, fields in entries:
            offset = int(entry_id[2:]) - 1
            records += unpack(self._generation, partition, offset, 1, fields[1])
            self._positions[partition] = offset + 1
        return records

    async def _keep(self) -> None:
        """Renew the lease until it is lost."""
        assert self._group is not None
        keys = [self._keys.lease(self._group)]
        renew_s = self._lease_ms / 1000 / _RENEWALS_A_LEASE
        while time.monotonic() < self._lease_until_s:
            await asyncio.sleep(renew_s)
            asked_s = time.monotonic()
            try:
                held: Any = await self._keeping.run(RENEW, keys, [self._token, self._lease_ms], renew_s)
            except (LogUnavailableError, ResponseError):
                continue  # it may come back in time
            self._lease_until_s = asked_s + self._lease_ms / 1000 if held else 0.0

    async def _stop_keeper(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


async def read_bounds(link: Link, keys: TopicKeys, partitions: int) -> list[tuple[int, int]]:
    """First and end offset of each partition. Raises LogUnavailableError."""
    try:
        flat = await link.run(BOUNDS, [keys.stream(partition) for partition in range(partitions)], [])
    except ResponseError as error:
        raise link.refusal(error) from None
    return list(zip(flat[::2], flat[1::2], strict=True))
