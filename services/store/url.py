"""`FRESHET_STORE_URL`: what may stand in it, and the connections that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.kernel.valkey_schemes import CLIENT_SCHEMES, CLUSTER_SUFFIX
from services.store.errors import StoreMisconfiguredError

_UNREADABLE = (
    "FRESHET_STORE_URL cannot be read: write valkey://[user:password@]host:port[/database], with anything "
    "but letters and digits in the password percent-encoded"
)


class Target(NamedTuple):
    """What a URL names. `text` is fit for messages: without user, password and options."""

    is_cluster: bool
    make: Callable[[str | None, int | None], AbstractConnection]
    text: str


def read_url(url: str, connect_timeout_s: float) -> Target:
    """Raises StoreMisconfiguredError, never with the password in it."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:  # whose text may hold a piece of the password
        raise StoreMisconfiguredError(_UNREADABLE) from None
    is_cluster = parts.scheme.endswith(CLUSTER_SUFFIX)
    scheme = CLIENT_SCHEMES.get(parts.scheme.removesuffix(CLUSTER_SUFFIX))
    if scheme is None or (is_cluster and scheme == "unix"):
        given = f"{parts.scheme}://" if parts.scheme else "a URL without a scheme"
        raise StoreMisconfiguredError(
            f"FRESHET_STORE_URL: {given} is not one of valkey://, redis://, rediss://, unix:///path, "
            "valkey+cluster://, redis+cluster://, rediss+cluster://"
        )
    try:
        options: dict[str, Any] = dict(parse_url(urlunsplit(parts._replace(scheme=scheme))))
    except ValueError:
        raise StoreMisconfiguredError(_UNREADABLE) from None
    if scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise StoreMisconfiguredError(
            f"FRESHET_STORE_URL: after host:port comes the number of a database, not {parts.path!r}"
        )
    if is_cluster and options.get("db"):
        raise StoreMisconfiguredError("FRESHET_STORE_URL: a cluster has database 0 only; leave the path out")
    kind: type[AbstractConnection] = options.pop("connection_class", Connection)
    for bound in ("max_connections", "timeout", "retry_on_timeout"):  # of the library's pool, unused here
        options.pop(bound, None)
    # Every call has one deadline around it (connection.py); a timer for each reply would cost more than that.
    options |= {"socket_timeout": None, "socket_connect_timeout": connect_timeout_s, "protocol": 2}
    if kind is not UnixDomainSocketConnection:
        options |= {"socket_keepalive": True}

    def make(host: str | None, port: int | None) -> AbstractConnection:
        address = {} if host is None else {"host": host, "port": port}
        return kind(**{**options, **address, "retry": Retry(NoBackoff(), 0)})

    assert kind in (Connection, SSLConnection, UnixDomainSocketConnection)
    return Target(is_cluster, make, text)
