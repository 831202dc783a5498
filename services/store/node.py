"""One server: a few connections, each carrying one pipelined exchange at a time.

The client library gives the socket, the handshake (TLS, AUTH, SELECT) and the parser; what is sent when, and
what is sent again, is decided here and in `connection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

# One exchange occupies one connection. Eight let slow scripts and quick reads pass each other;
# more would only queue inside the single-threaded server.
MAX_LINKS = 8
# Older releases of the client library leave these as plain text outside their own cluster client.
_CLUSTER_ERRORS: Final[dict[str, Callable[[str], ResponseError]]] = {
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "MASTERDOWN": MasterDownError,
    "MOVED": MovedError,
    "TRYAGAIN": TryAgainError,
}


class Node:
    """A bounded pool of links to one address. Whatever breaks inside an exchange closes its link."""

    def __init__(self, name: str, make: Callable[[], AbstractConnection], opened: Callable[[], None]) -> None:
        self.name = name
        self._make = make
        self._opened = opened
        self._free: list[AbstractConnection] = []
        self._places = asyncio.Semaphore(MAX_LINKS)

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send all, then read one reply each; an error reply stands in the list as the exception.

        Raises redis' ConnectionError or OSError when the link breaks: then any of the commands may have run.
        """
        async with self._places:
            link = self._free.pop() if self._free else await self.open()
            try:
                await link.send_packed_command([pack(commands)], check_health=False)
                replies = [await self._reply(link) for _ in commands]
            except BaseException:
                await close_link(link)
                raise
            self._free.append(link)
            return replies

    async def open(self) -> AbstractConnection:
        """A link of its own, connected; the caller closes it with `close_link`."""
        link = self._make()
        try:
            await link.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await close_link(link)
            raise
        self._opened()
        return link

    async def drop_idle(self) -> None:
        """Close links that nobody uses: after a restart they are dead, after a failover they lead astray."""
        idle, self._free = self._free, []
        for link in idle:
            await close_link(link)

    @staticmethod
    async def _reply(link: AbstractConnection) -> Any:
        try:
            return await link.read_response()
        except RedisConnectionError as error:
            if getattr(error, "status_code", None) == "LOADING" or type(error).__name__ == "BusyLoadingError":
                return error  # a reply like any other: the link is in order
            raise
        except ResponseError as error:
            kind, _, rest = str(error).partition(" ")
            return _CLUSTER_ERRORS[kind](rest) if kind in _CLUSTER_ERRORS else error


@dataclass(frozen=True, slots=True)
class Arguments:
    """Several arguments of one command as they go over the wire, made in one go."""

    count: int
    wire: bytes


def pack(commands: Sequence[tuple[Any, ...]]) -> bytes:
    """Commands of bytes, str, int and Arguments as they go over the wire; a third of what the library's own
    takes. Raises TypeError for anything else (a float has its text chosen by the caller)."""
    pieces: list[bytes] = []
    add = pieces.append
    for command in commands:
        head, count = len(pieces), len(command)
        add(b"")
        for argument in command:
            if isinstance(argument, bytes):
                data = argument
            elif isinstance(argument, str):
                data = argument.encode()
            elif isinstance(argument, int):
                data = b"%d" % argument
            elif isinstance(argument, Arguments):
                count += argument.count - 1
                add(argument.wire)
                continue
            else:
                raise TypeError(f"{type(argument).__name__} in a command")
            add(b"$%d\r\n" % len(data))
            add(data)
            add(b"\r\n")
        pieces[head] = b"*%d\r\n" % count
    return b"".join(pieces)


async def close_link(link: AbstractConnection) -> None:
    """Close without waiting for the other side."""
    await link.disconnect(nowait=True)
