"""One listening link: sends subscriptions, reads what is announced, tells when it ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.kernel.position import Position
from services.store.node import close_link, pack


class Listener(Protocol):
    """Who wants to know."""

    def hear(self, position: Position | None, trace: str = "") -> None:
        """An announcement with the `traceparent` behind it, or (None) the possibility of a missed one."""


class Channel:
    """A subject that somebody listens to: `ear` is where, `confirmed` that the server said so."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.listeners: set[Listener] = set()
        self.ear: Ear | None = None
        self.confirmed = asyncio.Event()
        self._missed = False

    @property
    def is_settled(self) -> bool:
        """Subscribed if and only if somebody listens."""
        return bool(self.listeners) == (self.ear is not None)

    def confirm(self) -> None:
        """The server confirmed a subscription."""
        self.confirmed.set()
        if self._missed:
            self._missed = False
            self.tell(None)

    def lose(self) -> None:
        """The subscription is gone; listeners are woken when it is back."""
        self.ear = None
        self._missed = self.confirmed.is_set() or self._missed
        self.confirmed.clear()

    def tell(self, position: Position | None, trace: str = "") -> None:
        """Wake all listeners."""
        for listener in self.listeners:
            listener.hear(position, trace)


class Ear:
    """Owns a link and the task that reads it. `ended` is called once, when the link is of no more use."""

    def __init__(self, link: AbstractConnection, ended: Callable[[], None]) -> None:
        self.channels: dict[bytes, Channel] = {}
        self.has_ended = False
        self._replies_due: Counter[bytes] = Counter()  # by channel, answers to what was sent
        self._link = link
        self._ended = ended
        self._heard_at_s = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._listen())

    @property
    def silent_s(self) -> float:
        """How long nothing has come, not even the answer to a ping."""
        return time.monotonic() - self._heard_at_s

    async def subscribe(self, names: Sequence[bytes], others: Sequence[bytes]) -> None:
        """Subscribe to `names`, unsubscribe from `others`; the answers come to the reading task. Raises
        RedisError or OSError when the link is broken."""
        self._replies_due.update((*names, *others))
        await self._send(
            [*(("SSUBSCRIBE", name) for name in names), *(("SUNSUBSCRIBE", name) for name in others)]
        )

    async def _send(self, commands: Sequence[tuple[Any, ...]]) -> None:
        if self.has_ended:  # the library would connect again, with nobody reading
            raise RedisConnectionError("the link has ended")
        await self._link.send_packed_command([pack(commands)], check_health=False)

    async def ping(self) -> None:
        """Ask for a sign of life. Trouble shows in the reading task."""
        try:
            await self._send([("PING",)])
        except (RedisError, OSError):
            await self.close()

    async def close(self) -> None:
        """End the reading task and the link."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _listen(self) -> None:
        try:
            while True:
                self._take(await self._link.read_response())
                self._heard_at_s = time.monotonic()
        except (RedisError, OSError):
            pass  # an error reply too (MOVED: the slot lives elsewhere): all channels find their place anew
        finally:
            self.has_ended = True
            self._ended()
            await close_link(self._link)

    def _take(self, message: Any) -> None:
        if not isinstance(message, list) or len(message) != 3:
            return  # an answer to a ping
        kind, name, data = message
        channel = self.channels.get(name)
        if kind == b"smessage":
            if channel is not None:
                place, _, trace = data.partition(b" ")
                channel.tell(_position(place), trace.decode("latin-1"))
        elif self._replies_due[name] > 0:
            self._replies_due[name] -= 1
            if self._replies_due[name] > 0:
                return  # only the answer to what was said last counts
            del self._replies_due[name]
            if kind == b"ssubscribe" and channel is not None:
                channel.confirm()
        else:
            raise RedisError("the server ended a subscription: its slot moved")


def _position(data: bytes) -> Position | None:
    try:
        return Position.parse(data.decode())
    except ValueError:
        return None
