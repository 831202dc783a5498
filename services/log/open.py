"""From `FRESHET_LOG_URL` to an event log."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from services.kernel.settings import LogSettings, SettingsError
from services.kernel.valkey_schemes import CLIENT_SCHEMES
from services.log.protocol import EventLog

_UNREADABLE: Final = (
    "FRESHET_LOG_URL cannot be read as scheme://user:password@host:port; percent-encode what is special "
    "in the password, and put IPv6 addresses in brackets"
)


def open_log(settings: LogSettings) -> EventLog:
    """The log that `settings.log_url` names; connects on first use. Raises SettingsError for a bad URL.

    The adapter's client library is imported here and not before: an image carries the one that it needs.
    """
    try:
        scheme = urlsplit(settings.log_url).scheme
    except ValueError:  # whose text may hold a piece of the password
        raise SettingsError(_UNREADABLE) from None
    if scheme in CLIENT_SCHEMES:
        from services.log.streams import StreamsLog

        return StreamsLog(settings)
    if scheme == "kafka":
        from services.log.kafka import KafkaLog

        return KafkaLog(settings)
    raise SettingsError(
        f"FRESHET_LOG_URL starts with {scheme or 'no scheme'!r}: use kafka://host:port[,host:port], "
        "valkey://host:port/0, rediss://… or unix:///path/to/socket"
    )
