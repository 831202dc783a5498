"""`FRESHET_LOG_URL` of Kafka, the names of topics and groups, and errors in the operator's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from aiokafka.errors import KafkaError

from services.kernel.settings import LogSettings, SettingsError
from services.log.protocol import LogUnavailableError, Topic


def bootstrap_servers(url: str) -> str:
    """host:port[,host:port] of kafka://host:port[,host:port]. Raises SettingsError for anything else.

    User and password are refused, not ignored: this adapter speaks to brokers without authentication.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise SettingsError(
            "FRESHET_LOG_URL: kafka:// with user and password (SASL) is not supported; use a listener "
            "without authentication inside your network"
        )
    if parts.query or parts.fragment or parts.path.strip("/"):
        raise SettingsError(
            "FRESHET_LOG_URL: nothing may follow the brokers of kafka://host:port[,host:port]"
        )
    for broker in parts.netloc.split(","):
        host, _, port = broker.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise SettingsError(f"FRESHET_LOG_URL: {broker!r} is no host:port of a broker")
    return parts.netloc


def topic_name(settings: LogSettings, topic: Topic) -> str:
    """`{ns}.events.g{G}`, `{ns}.items.g{G}`, `{ns}.dead`: dead records outlive a generation."""
    if topic is Topic.DEAD:
        return f"{settings.namespace}.{topic.value}"
    return f"{settings.namespace}.{topic.value}.g{settings.log_generation}"


def group_name(settings: LogSettings, group: str) -> str:
    """`{ns}.{group}`."""
    return f"{settings.namespace}.{group}"


@contextmanager
def kafka_errors(url: str, *, unknown: bool = False) -> Iterator[None]:
    """Turn the client's errors into LogUnavailableError."""
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise unavailable(url, error, unknown=unknown) from None


def unavailable(url: str, error: BaseException, *, unknown: bool = False) -> LogUnavailableError:
    """The error with the address that it is about."""
    reason = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    return LogUnavailableError(
        f"event log at {bootstrap_servers(url)} (FRESHET_LOG_URL): {reason}", unknown=unknown
    )
