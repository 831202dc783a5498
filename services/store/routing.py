"""Which node gets a command: always the one, or the one that owns the key's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import RedisError

from services.store.node import Node

# host, port (None: as the URL says) → a connection that is not open yet
MakeLink = Callable[[str | None, int | None], AbstractConnection]


class Router(Protocol):
    """Knows the nodes."""

    async def ready(self) -> None:
        """Know the way. Raises RedisError or OSError when no node can tell it."""

    def node_for(self, command: tuple[Any, ...]) -> Node:
        """Where the command goes, after `ready`. Raises RedisError when nobody owns the key's slot."""

    def primaries(self) -> list[Node]:
        """All nodes that own something, after `ready`."""

    def at(self, host: str, port: int) -> Node:
        """The node that a redirection names."""

    def moved(self, slot: int, host: str, port: int) -> bool:
        """A node said that a slot has moved for good. False: there is no way to follow."""

    async def mend(self) -> None:
        """Something broke: close idle links, forget what may be out of date."""


def routing_key(command: tuple[Any, ...]) -> bytes:
    """The key (or shard channel) that decides where a command goes."""
    key = command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]
    return key if isinstance(key, bytes) else str(key).encode()


class SingleRouter:
    """One node, whatever the command."""

    def __init__(self, make: MakeLink, opened: Callable[[], None]) -> None:
        self._node = Node("store", lambda: make(None, None), opened)

    async def ready(self) -> None:
        """There is but one way."""

    def node_for(self, command: tuple[Any, ...]) -> Node:  # noqa: ARG002
        """The node."""
        return self._node

    def primaries(self) -> list[Node]:
        """The node."""
        return [self._node]

    def at(self, host: str, port: int) -> Node:  # noqa: ARG002
        """Redirections lead nowhere here: the server is a cluster, the URL says it is not."""
        return self._node

    def moved(self, slot: int, host: str, port: int) -> bool:  # noqa: ARG002
        """See `at`."""
        return False

    async def mend(self) -> None:
        """Connect anew."""
        await self._node.drop_idle()


class ClusterRouter:
    """The slot map, asked from any node that answers; corrected by MOVED, asked again after trouble."""

    def __init__(self, make: MakeLink, opened: Callable[[], None], ask_timeout_s: float) -> None:
        self._make = make
        self._ask_timeout_s = ask_timeout_s
        self._opened = opened
        self._seed = Node("seed", lambda: make(None, None), opened)
        self._nodes: dict[tuple[str, int], Node] = {}
        self._slots: dict[int, Node] = {}
        self._stale = True
        self._asking = asyncio.Lock()

    async def ready(self) -> None:
        """Ask for the slot map when there is none, or an old one."""
        if self._stale:
            async with self._asking:  # many callers, one question
                if self._stale:
                    await self._refresh()

    def node_for(self, command: tuple[Any, ...]) -> Node:
        """The owner of the key's slot."""
        node = self._slots.get(key_slot(routing_key(command)))
        if node is None:
            self._stale = True
            raise RedisError("no node of the cluster owns the slot of a key")
        return node

    def primaries(self) -> list[Node]:
        """Nodes that own slots, by name."""
        return sorted(set(self._slots.values()), key=lambda node: node.name)

    def at(self, host: str, port: int) -> Node:
        """The node at an address, made when it is new."""
        node = self._nodes.get((host, port))
        if node is None:
            node = Node(f"{host}:{port}", lambda: self._make(host, port), self._opened)
            self._nodes[host, port] = node
        return node

    def moved(self, slot: int, host: str, port: int) -> bool:
        """Correct one slot now; one moved slot is seldom alone, so ask for the map before the next call."""
        if host:
            self._slots[slot] = self.at(host, port)
        self._stale = True
        return True

    async def mend(self) -> None:
        """Ask for the map before the next call, on new links."""
        self._stale = True
        for node in (self._seed, *self._nodes.values()):
            await node.drop_idle()

    async def _refresh(self) -> None:
        trouble: Exception | None = None
        for node in (*self._nodes.values(), self._seed):
            try:
                async with asyncio.timeout(self._ask_timeout_s):  # one that froze must not hold us up
                    reply = (await node.exchange([("CLUSTER", "SLOTS")]))[0]
            except (RedisError, OSError, TimeoutError) as error:
                trouble = error
                self._last_asked(node)
                continue
            if isinstance(reply, Exception):
                trouble = reply
            elif reply:
                await self._take(node, reply)
                return
        raise trouble or RedisError("the cluster has no slots assigned")

    def _last_asked(self, node: Node) -> None:
        """Whoever failed is asked after all others."""
        for address, known in list(self._nodes.items()):
            if known is node:
                self._nodes[address] = self._nodes.pop(address)

    async def _take(self, asked: Node, reply: list[Any]) -> None:
        slots: dict[int, Node] = {}
        for first, last, primary, *_ in reply:
            host = (primary[0] or b"").decode()
            # An empty host means: the address at which you asked me.
            node = self.at(host, int(primary[1])) if host and host != "?" else asked
            for slot in range(first, last + 1):
                slots[slot] = node
        owners = set(slots.values())
        gone = [address for address, node in self._nodes.items() if node not in owners]
        for address in gone:
            await self._nodes.pop(address).drop_idle()
        self._slots = slots
        self._stale = False
