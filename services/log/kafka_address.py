"""`FRESHET_LOG_URL` of Kafka, and the names of topics and groups."""

from __future__ import annotations

from urllib.parse import urlsplit

from services.kernel.settings import LogSettings, SettingsError
from services.log.protocol import Topic


def bootstrap_servers(url: str) -> str:
    """host:port[,host:port] of kafka://host:port[,host:port]. Raises SettingsError for anything else."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise SettingsError(
            "FRESHET_LOG_URL: user and password do not belong into kafka://host:port; set "
            "FRESHET_KAFKA_USERNAME, FRESHET_KAFKA_PASSWORD, FRESHET_KAFKA_SASL_MECHANISM and "
            "FRESHET_KAFKA_SECURITY_PROTOCOL"
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
