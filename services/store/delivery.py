"""Gets a batch of commands answered: grouped by node, one round trip each, what stays open sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from services.store.node import Node
from services.store.routing import Router
from services.store.scripts import with_source

# At once for a link that died while idle, then while a server restarts or a replica takes over; what lasts
# longer is the caller's to wait for (it knows whether anybody still wants the answer).
RETRY_DELAYS_S = (0.0, 0.05, 0.2, 0.5)
# So many redirections (ASK, MOVED, an unknown script) are followed at once; then the nodes disagree among
# themselves, and only time mends that.
FREE_ROUNDS = 5
_PASSING = (BusyLoadingError, ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)
_LASTING = (AuthenticationError, AuthorizationError)  # the library counts them as connection errors


class Delivery:
    """One batch. Only what may run twice belongs in it: a link can break between a write and its answer."""

    def __init__(self, router: Router, commands: Sequence[tuple[Any, ...]]) -> None:
        self._router = router
        self._commands = list(commands)
        self._replies: list[Any] = [None] * len(self._commands)
        # index → the node that an ASK named for this once, or None for the owner of the key
        self._open: dict[int, Node | None] = dict.fromkeys(range(len(self._commands)))

    async def run(self) -> list[Any]:
        """One reply a command, in order; what could not be had stands there as an exception."""
        delays_s = iter(RETRY_DELAYS_S)
        for round_ in range(FREE_ROUNDS + len(RETRY_DELAYS_S) + 1):
            await self._round()
            must_wait = [self._sort(index) for index in list(self._open)]
            if not self._open:
                break
            if any(must_wait) or round_ >= FREE_ROUNDS:
                delay_s = next(delays_s, None)
                if delay_s is None:
                    break
                await self._router.mend()
                await asyncio.sleep(delay_s)
        return self._replies

    async def _round(self) -> None:
        groups: dict[Node, list[int]] = {}
        try:
            await self._router.ready()
            for index, ask in self._open.items():
                node = ask or self._router.node_for(self._commands[index])
                groups.setdefault(node, []).append(index)
        except (RedisError, OSError) as error:
            for index in self._open:
                self._replies[index] = error
            return
        if len(groups) == 1:
            await self._send(*next(iter(groups.items())))
        else:
            await asyncio.gather(*(self._send(node, indexes) for node, indexes in groups.items()))

    async def _send(self, node: Node, indexes: list[int]) -> None:
        commands: list[tuple[Any, ...]] = []
        answers: list[int] = []
        for index in indexes:
            if self._open[index] is not None:
                commands.append(("ASKING",))
            answers.append(len(commands))
            commands.append(self._commands[index])
        try:
            replies = await node.exchange(commands)
        except (RedisError, OSError) as error:
            for index in indexes:
                self._replies[index] = error
            return
        for index, answer in zip(indexes, answers, strict=True):
            self._replies[index] = replies[answer]

    def _sort(self, index: int) -> bool:
        """Close the command, or leave it open for another round; True when that had better wait."""
        reply = self._replies[index]
        self._open[index] = None
        if not isinstance(reply, Exception) or isinstance(reply, _LASTING):
            del self._open[index]
        elif isinstance(reply, NoScriptError) and self._commands[index][0] == "EVALSHA":
            self._commands[index] = with_source(self._commands[index])
        elif isinstance(reply, AskError):
            self._open[index] = self._router.at(reply.host, reply.port)
        elif isinstance(reply, MovedError):
            if not self._router.moved(reply.slot_id, reply.host, reply.port):
                del self._open[index]
        elif isinstance(reply, _PASSING) or not isinstance(reply, ResponseError):
            return True
        else:
            del self._open[index]
        return False
