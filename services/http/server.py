"""Running an app: where it may bind, how it stops, how the garbage collector is set."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from services.http.addresses import is_loopback
from services.http.protocol import EdgeProtocol
from services.kernel.settings import HttpSettings, SettingsError

_DRAIN_S: Final = 20  # more than the longest wait for the log; below the 30 s that Kubernetes grants
_KEEP_ALIVE_S: Final = (
    75  # longer than the idle time of usual load balancers (60 s), or they meet closed sockets
)
_BACKLOG: Final = 2048
_uvicorn_log = logging.getLogger("uvicorn.error")  # which says nothing of sockets it is given


def check_binding(settings: HttpSettings) -> None:
    """Raise SettingsError when the service would be open to the network without keys."""
    if settings.key_set() or settings.write_key_set() or settings.insecure or is_loopback(settings.host):
        return
    raise SettingsError(
        f"FRESHET_HOST={settings.host} can be reached from other machines and there are no keys: "
        "set FRESHET_KEYS (and FRESHET_WRITE_KEYS for browsers), "
        "or FRESHET_INSECURE=1 where something else keeps strangers out"
    )


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to all addresses of `host`, not listening yet. Raises SettingsError."""
    try:
        found = dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"FRESHET_HOST={host} is no address of this machine: {error}") from None
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _, address in found:
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and len(found) > 1:  # alone, `::` takes IPv4 as well
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRNOTAVAIL:
                for bound in listeners:
                    bound.close()
                raise _explained(error, host, port) from None
            missing = error  # `::1` of localhost, in a container without IPv6
        else:
            listeners.append(listener)
    if missing is not None and not listeners:
        raise _explained(missing, host, port)
    return listeners


def _explained(error: OSError, host: str, port: int) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        return SettingsError(f"port {port} of {host} is in use; set FRESHET_PORT to another one")
    return SettingsError(f"FRESHET_HOST={host} and FRESHET_PORT={port} cannot be bound: {error.strerror}")


def server_config(app: Starlette, log_level: str, **options: Any) -> uvicorn.Config:
    """How every Freshet server speaks HTTP. `options` are uvicorn's: where to bind, the lifespan."""
    return uvicorn.Config(
        app,
        log_level=log_level,
        access_log=False,  # paths hold user ids
        proxy_headers=False,  # nobody asks where a request came from
        server_header=False,
        http=EdgeProtocol,
        ws="none",
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        **options,
    )


def serve(app: Starlette, settings: HttpSettings, *, log_level: str = "info") -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is under way (20 s at most). Raises SettingsError.

    Exits with uvicorn's status 3 when the app cannot start.
    """
    check_binding(settings)
    listeners = bind(settings.host, settings.port)
    server = TunedServer(server_config(app, log_level, host=settings.host, port=settings.port))
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _already_stopping)  # uvicorn raises the signal again once it has stopped
    server.run(listeners)


class TunedServer(uvicorn.Server):
    """uvicorn, with the garbage collector tuned once the app has started, and parts told before it stops."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._watching: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tune."""
        await super().startup(sockets)
        if self.started:
            _uvicorn_log.info("Freshet listens on http://%s:%d", self.config.host, self.config.port)
        tune_garbage_collector()
        for start, checks in self._of_app("starting"):
            start.reached("listening")
            self._watching.append(asyncio.create_task(start.watch(checks)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell the parts, so that streams end, then wait for what is under way."""
        for watching in self._watching:
            watching.cancel()
        for stopping in self._of_app("stopping"):
            stopping()
        await super().shutdown(sockets)

    def _of_app(self, name: str) -> Sequence[Any]:
        return getattr(self.config.app.state, name, ()) if isinstance(self.config.app, Starlette) else ()


def tune_garbage_collector() -> None:
    """Leave what start-up made out of every later collection: p99 three to four times lower, measured.

    Without a collection first: it would hold up the first answer by 10 to 20 ms, and finds hardly anything.
    """
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)
    gc.enable()


def _already_stopping(_signal: int, _frame: FrameType | None) -> None:
    """What is left to do after a clean stop: nothing."""
