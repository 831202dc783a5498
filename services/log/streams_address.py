"""`FRESHET_LOG_URL` of the embedded log, and the keys of a topic."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from services.kernel.settings import LogSettings, SettingsError
from services.kernel.valkey_schemes import CLIENT_SCHEMES
from services.log.protocol import Topic


def client_url(url: str) -> str:
    """The URL as redis-py reads it. Raises SettingsError."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # whose text may hold a piece of the password
        raise SettingsError(
            "FRESHET_LOG_URL: use valkey://user:password@host:port/0; percent-encode what is special in it"
        ) from None
    scheme = CLIENT_SCHEMES.get(parts.scheme)
    database = parts.path.strip("/")
    if (
        scheme is None
        or not (parts.hostname or database)
        or (scheme != "unix" and database and not database.isdecimal())
    ):
        raise SettingsError(
            "FRESHET_LOG_URL: use valkey://host:port/0, rediss://host:port/0 or unix:///path/to/socket?db=0"
        )
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))


def shown_address(url: str) -> str:
    """host:port or the socket's path, without user and password: what an error may show."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return parts.path
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or 6379}"


@dataclass(frozen=True, slots=True)
class TopicKeys:
    """Keys of one topic. One hash tag, so that a script may touch all partitions at once."""

    tag: str

    @classmethod
    def of(cls, settings: LogSettings, topic: Topic) -> TopicKeys:
        """Keys of `topic`; the dead topic belongs to no generation."""
        generation = "" if topic is Topic.DEAD else f":g{settings.log_generation}"
        return cls(f"{{{settings.namespace}:log{generation}:{topic.value}}}")

    @property
    def meta(self) -> str:
        """HASH: `partitions`."""
        return f"{self.tag}:meta"

    @property
    def groups(self) -> str:
        """SET of the groups that have joined."""
        return f"{self.tag}:groups"

    @property
    def commits(self) -> str:
        """HASH `{group}:{partition}` → everything below this offset is applied; -1: joined, none yet."""
        return f"{self.tag}:commits"

    def stream(self, partition: int) -> str:
        """STREAM of a partition; the id of offset n is 0-(n + 1), field `r` is the packed record."""
        return f"{self.tag}:{partition}"

    def lease(self, group: str) -> str:
        """STRING: the token of the member that reads for the group; expires unless renewed."""
        return f"{self.tag}:lease:{group}"
