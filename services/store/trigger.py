"""Hears that a subject's profile has changed: the downstream trigger of `after=` and of streams."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.kernel.position import Position
from services.store.connection import Connection
from services.store.ear import Channel, Ear
from services.store.errors import StoreUnavailableError
from services.store.node import Node

# An open stream costs the recommender far more than its channel does; this only stops a leak.
MAX_CHANNELS = 20_000
# A burst of events is one new list, in the trace of the newest; of so many others that trace will tell.
MAX_TRACES = 8
# A store that restarts is heard again within a second; one that is gone is not hammered.
RECONNECT_DELAYS_S = (0.05, 0.1, 0.2, 0.5, 1.0)
# A link that is dead without a word (a lost NAT entry, a node that froze) is noticed within three of these.
HEARTBEAT_S = 5.0


class Subscription:
    """One listener. `async with trigger.subscribe(subject) as changes:` then read the profile, then wait.

    Entering returns when the server has confirmed, so a change after that is heard. Raises
    StoreUnavailableError when it does not confirm in time or too many subjects are listened to.
    """

    def __init__(self, trigger: Trigger, subject: str) -> None:
        self.subject = subject
        self.position: Position | None = None  # the newest that was announced
        self.traces: list[str] = []  # `traceparent` of what was announced, the newest last; take them
        self._trigger = trigger
        self._heard = asyncio.Event()

    async def __aenter__(self) -> Subscription:
        await self._trigger._enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._trigger._leave(self)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for an announcement since the last wait returned (or since entering). False: none came.

        Also True after a lost connection was restored: something may have been announced meanwhile, so read
        the profile again. Never raises for a store that is away.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        except TimeoutError:
            return False
        self._heard.clear()
        return True

    def hear(self, position: Position | None, trace: str = "") -> None:
        """An announcement, or (None) the possibility of one."""
        if trace:
            self.traces = [*self.traces[-MAX_TRACES + 1 :], trace]
        if position is not None and (
            self.position is None
            or (position.generation, position.offset) >= (self.position.generation, self.position.offset)
        ):
            self.position = position
        self._heard.set()


class Trigger:
    """One connection a process (one a node on a cluster), opened on the first subscription. Survives restarts
    and failovers of the store: it connects and subscribes again, and wakes all listeners.

    One task does all sending: subscribers only say what they want and wake it.
    """

    def __init__(self, connection: Connection, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._connection = connection
        self._heartbeat_s = heartbeat_s
        self._channels: dict[bytes, Channel] = {}
        self._ears: dict[Node, Ear] = {}
        self._dirty: set[bytes] = set()  # channels whose subscription may not be as wanted
        self._work = asyncio.Event()
        self._is_broken = False  # some link ended: look at the cluster anew, and not at once
        self._beaten_at_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, subject: str) -> Subscription:
        """A listener for one subject; any number may share a subject."""
        return Subscription(self, subject)

    async def close(self) -> None:
        """Let go of the connections; listeners wait in vain from now on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        for ear in list(self._ears.values()):
            await ear.close()

    async def _enter(self, subscription: Subscription) -> None:
        name = self._connection.keys.channel(subscription.subject)
        channel = self._channels.get(name)
        if channel is None:
            if len(self._channels) >= MAX_CHANNELS:
                raise StoreUnavailableError(f"{MAX_CHANNELS} subjects are listened to already")
            channel = self._channels[name] = Channel(name)
        channel.listeners.add(subscription)
        self._touch(name)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            async with asyncio.timeout(self._connection.timeout_s):
                await channel.confirmed.wait()
        except TimeoutError:
            self._leave(subscription)
            raise StoreUnavailableError(
                f"the store at {self._connection.text} did not confirm a subscription in time"
            ) from None
        except BaseException:
            self._leave(subscription)
            raise

    def _leave(self, subscription: Subscription) -> None:
        name = self._connection.keys.channel(subscription.subject)
        channel = self._channels.get(name)
        if channel is not None:
            channel.listeners.discard(subscription)
            if not channel.listeners:
                self._touch(name)

    def _touch(self, name: bytes) -> None:
        self._dirty.add(name)
        self._work.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self._work.wait()
            except TimeoutError:
                failures = 0
            if time.monotonic() - self._beaten_at_s >= self._heartbeat_s:
                await self._beat()
            if self._is_broken:
                self._is_broken = False
                await self._connection.router.mend()
                await asyncio.sleep(RECONNECT_DELAYS_S[min(failures, len(RECONNECT_DELAYS_S) - 1)])
                failures += 1
            self._work.clear()
            try:
                async with asyncio.timeout(self._connection.timeout_s):
                    await self._reconcile()
            except (RedisError, OSError, TimeoutError):
                self._is_broken = True
                self._work.set()

    async def _reconcile(self) -> None:
        """Make the subscriptions of dirty channels what their listeners want."""
        if not self._dirty:
            return
        await self._connection.router.ready()
        changes: dict[Ear, tuple[list[bytes], list[bytes]]] = {}
        for name in list(self._dirty):
            channel = self._channels.get(name)
            if channel is None or channel.is_settled:
                self._settle(name)
            elif channel.ear is None:
                changes.setdefault(await self._ear_for(name), ([], []))[0].append(name)
            else:
                changes.setdefault(channel.ear, ([], []))[1].append(name)
        for ear, (wanted, unwanted) in changes.items():
            if ear.has_ended:
                raise RedisConnectionError("a link has ended")
            # Booked before it is sent: if the ear ends now, it makes all of these dirty again.
            for name in wanted:
                channel = self._channels[name]
                channel.ear = ear
                ear.channels[name] = channel
                self._settle(name)
            for name in unwanted:
                del ear.channels[name]
                self._channels[name].lose()
                self._settle(name)
            await ear.subscribe(wanted, unwanted)

    def _settle(self, name: bytes) -> None:
        """Take a channel off the list, unless listeners came or went meanwhile; forget one without any."""
        channel = self._channels.get(name)
        if channel is not None and not channel.is_settled:
            self._touch(name)
            return
        self._dirty.discard(name)
        if channel is not None and not channel.listeners:
            del self._channels[name]

    async def _ear_for(self, name: bytes) -> Ear:
        node = self._connection.router.node_for(("SSUBSCRIBE", name))
        ear = self._ears.get(node)
        if ear is None:
            link = await node.open()
            ear = self._ears[node] = Ear(link, lambda: self._deaf(node))
        return ear

    def _deaf(self, node: Node) -> None:
        """An ear's link broke: its channels want another one."""
        ear = self._ears.pop(node, None)
        if ear is None:
            return
        for channel in ear.channels.values():
            channel.lose()
            self._dirty.add(channel.name)
        self._is_broken = True
        self._work.set()

    async def _beat(self) -> None:
        self._beaten_at_s = time.monotonic()
        for ear in list(self._ears.values()):
            if ear.silent_s > 3 * self._heartbeat_s:
                await ear.close()
            else:
                await ear.ping()
