"""One connection to the embedded log's server, with every failure turned into a LogError."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from services.log.protocol import LogError, LogFullError, LogUnavailableError
from services.log.streams_address import client_url, shown_address
from services.log.streams_scripts import Script

# A server that answers nothing for so long is down: longer than a fork or an fsync of a busy disk takes.
CALL_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 2.0


class _Progress:
    """How far a call got: once sent, it may have run."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


class Link:
    """A connection made on first use and after each failure. Callers take turns."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(
            client_url(url), protocol=2, socket_connect_timeout=_CONNECT_TIMEOUT_S, socket_timeout=None
        )
        self._address = shown_address(url)
        self._connection: AbstractConnection | None = None
        self._turn = asyncio.Lock()

    async def run(
        self,
        script: Script,
        keys: list[str],
        arguments: list[bytes | str | int],
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        """Run a script. Errors: see `call`; a script's own error reply is a ResponseError."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments, timeout_s=timeout_s)
        except NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *arguments, timeout_s=timeout_s)

    async def call(self, *command: bytes | str | int, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Send one command and wait for the answer.

        Raises LogUnavailableError (`unknown` when the command may have run), LogFullError when the server is
        out of memory, ResponseError for any other answer that is an error.
        """
        progress = _Progress()
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                return await self._exchange(command, progress)
        except TimeoutError:
            raise self._unavailable(f"no answer within {timeout_s:g} s", unknown=progress.sent) from None

    async def _exchange(self, command: tuple[bytes | str | int, ...], progress: _Progress) -> Any:
        try:
            connection = await self._connected()
            progress.sent = True
            await connection.send_command(*command, check_health=False)
            return await connection.read_response()
        except OutOfMemoryError:
            raise LogFullError(
                f"the event log's server at {self._address} has reached its maxmemory, raise it: "
                "nothing was appended"
            ) from None
        except AuthenticationError as error:
            await self._drop()
            raise self._unavailable(f"{error} (check user and password in FRESHET_LOG_URL)") from None
        except ResponseError:  # the answer itself: the connection is fine
            raise
        except (RedisError, OSError) as error:
            await self._drop()
            raise self._unavailable(str(error) or type(error).__name__, unknown=progress.sent) from None
        except BaseException:  # cancelled with the answer outstanding: the next caller must not read it
            await self._drop()
            raise

    def refusal(self, error: ResponseError) -> LogError:
        """The LogError for an answer that is an error (no permission, read-only replica, disk full)."""
        reply = str(error)
        if reply.startswith("MISCONF"):
            reply = f"it cannot write to its disk, make room there: {reply}"
        return self._unavailable(reply)

    async def close(self) -> None:
        """Close the connection; the next call would open a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect()

    async def _connected(self) -> AbstractConnection:
        if self._connection is not None and _is_dead(self._connection):
            await self._drop()
        if self._connection is None:
            connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._connection = connection
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    def _unavailable(self, reason: str, *, unknown: bool = False) -> LogUnavailableError:
        return LogUnavailableError(
            f"event log at {self._address} (FRESHET_LOG_URL): {reason}", unknown=unknown
        )


def _is_dead(connection: AbstractConnection) -> bool:
    """The server hung up while the connection was idle: nothing is sent on it, so nothing is unknown."""
    reader = connection._reader
    return reader is None or reader.at_eof()
