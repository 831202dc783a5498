"""Every setting of Freshet in one catalogue: `FRESHET_<NAME>`, its default, its unit.

A service composes the groups that it needs (its own `settings.py`). All names live here so that a typing
mistake in the environment is an error at start, whichever service reads it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from services.kernel.event_type import EventTypes
from services.kernel.setting_fields import Field, FieldGroup, InvalidValue, SecretStr, field_validator

PREFIX = "FRESHET_"
# Kubernetes injects these for a Service named "freshet" (enableServiceLinks).
_SERVICE_LINK = re.compile(r"^FRESHET_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?)$")
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SEPARATORS = re.compile(r"[\s,]+")


class SettingsError(Exception):
    """The environment holds a setting that is unknown or has no usable value."""


class SettingsGroup(FieldGroup):
    """Base of all groups: reads `FRESHET_…`, is immutable, names the setting in each error."""

    env_prefix = PREFIX

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """Read and check the whole environment. Raises SettingsError with the name and the mend."""
        reject_unknown(os.environ)
        if "port" in cls.model_fields and f"{PREFIX}PORT" not in os.environ and os.environ.get("PORT"):
            overrides.setdefault("port", os.environ["PORT"])
        elif _is_service_link(f"{PREFIX}PORT", os.environ.get(f"{PREFIX}PORT", "")):
            overrides.setdefault("port", os.environ.get("PORT", HttpSettings.model_fields["port"].default))
        try:
            return cls(**overrides)
        except InvalidValue as error:
            raise SettingsError(_explain(error)) from None


class NamespaceSettings(SettingsGroup):
    """What keeps one deployment apart from another on shared servers."""

    namespace: str = Field("freshet", description="prefix of topics, groups, keys and channels")

    @field_validator("namespace")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAMESPACE.fullmatch(value):
            raise ValueError("use 1 to 32 of a-z, 0-9, '-' and '_', starting with a letter or digit")
        return value


class HttpSettings(SettingsGroup):
    """The HTTP edge of every service."""

    host: str = Field("127.0.0.1", description="address to bind")
    port: int = Field(8080, ge=1, le=65535, description="port to bind; PORT where this is absent")
    keys: SecretStr = Field(SecretStr(""), description="API keys with all scopes, comma-separated")
    write_keys: SecretStr = Field(
        SecretStr(""), description="API keys that may only post events, comma-separated"
    )
    cors_origins: str = Field("", description="origins that browsers may call from, comma-separated, or *")
    insecure: bool = Field(False, description="1: bind outside loopback although there are no keys")
    max_body_bytes: int = Field(1 << 20, ge=1024, description="largest request body, also after gunzip")

    def key_set(self) -> frozenset[str]:
        """The keys with all scopes."""
        return split_list(self.keys.get_secret_value())

    def write_key_set(self) -> frozenset[str]:
        """The keys that may only post events."""
        return split_list(self.write_keys.get_secret_value())

    def origins(self) -> frozenset[str]:
        """The allowed CORS origins."""
        return split_list(self.cors_origins)


class TraceSettings(NamespaceSettings):
    """OpenTelemetry. Where spans go and which are kept say the standard's own variables (docs/TRACES.md)."""

    traces: Literal["off", "otlp"] = Field(
        "off",
        description="otlp: send traces to OTEL_EXPORTER_OTLP_ENDPOINT (pip install -e '.[otel]' in a clone)",
    )


class LogSettings(NamespaceSettings):
    """The event log."""

    log_url: str = Field(
        "valkey://127.0.0.1:6379/0", description="event log: kafka://host:port[,host:port], valkey://…"
    )
    log_generation: int = Field(1, ge=1, le=2**31 - 1, description="generation of the topics")
    log_partitions: int = Field(
        4, ge=1, le=1024, description="partitions of a topic that Freshet creates; fixed within a generation"
    )
    log_replication: int = Field(
        1, ge=1, le=9, description="replicas of a topic that Freshet creates (Kafka)"
    )
    log_retention_h: int = Field(168, ge=1, description="how long the log keeps events, hours (Kafka)")
    log_session_ms: int = Field(
        6000,
        ge=500,
        le=300_000,
        description="a reader that died is replaced after, ms (Kafka brokers allow 6000 and more by default)",
    )
    log_max_records: int = Field(
        1_000_000, ge=1000, description="records the embedded log holds before it answers 503"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how Kafka is spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "", description="how Kafka knows us: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    kafka_username: str = Field("", description="user for PLAIN and SCRAM")
    kafka_password: SecretStr = Field(SecretStr(""), description="password for PLAIN and SCRAM")
    kafka_ca_file: str = Field(
        "", description="PEM file of the CA that signed Kafka's certificates, beside the system's CAs"
    )
    kafka_token: str = Field(
        "", description="where OAUTHBEARER tokens come from: gcp, or file:/path (read anew each time)"
    )

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value


class StoreSettings(NamespaceSettings):
    """Valkey or Redis."""

    store_url: str = Field(
        "valkey://127.0.0.1:6379/0",
        description="store: valkey://, redis://, rediss://, unix:// or (cluster) valkey+cluster://",
    )
    store_timeout_ms: int = Field(2000, ge=10, description="longest wait for one answer of the store, ms")


class EventSettings(SettingsGroup):
    """What events there are; the same on every service of a namespace."""

    event_types: str = Field(
        "", description="event types of your own, name:number=weight with numbers 128-255, comma-separated"
    )

    @field_validator("event_types")
    @classmethod
    def _are_types(cls, value: str) -> str:
        EventTypes(value)
        return value


class ProfileSettings(SettingsGroup):
    """What a profile keeps; the same on every profiler of a namespace."""

    profile_ttl_days: int = Field(90, ge=1, le=3650, description="a profile is forgotten after, days")
    seen_capacity: int = Field(512, ge=16, le=8192, description="seen marks (item, reason) a profile keeps")


class ReleaseSettings(SettingsGroup):
    """Where releases live."""

    release_url: str = Field(
        ".freshet/releases",
        description="releases: a directory, valkey:// (as FRESHET_STORE_URL, ?prefix=) or any fsspec URL",
    )
    cache_dir: str = Field(
        "",
        description="where releases from a URL are copied to; empty: freshet/releases in the user's cache",
    )
    release_poll_ms: int = Field(1000, ge=50, description="how often to look for a new live release, ms")


class IngestLimits(SettingsGroup):
    """What ingest holds at most."""

    ack_timeout_ms: int = Field(5000, ge=10, description="longest wait for the log's acknowledgement, ms")
    max_in_flight_bytes: int = Field(
        64 << 20, ge=1 << 20, description="bytes not yet acknowledged before ingest answers 503"
    )


class ProfilerLimits(SettingsGroup):
    """How the profiler reads and commits."""

    batch_records: int = Field(500, ge=1, le=10_000, description="records applied at once")
    commit_delay_ms: int = Field(2000, ge=0, description="commits trail the writes by, ms")
    profiler_mode: Literal["pull", "push"] = Field(
        "pull",
        description="pull: consume the log; push: take records as CloudEvents on POST / and POST /items",
    )


class RecommenderLimits(SettingsGroup):
    """How long the recommender takes, and which lists it makes."""

    deadline_ms: int = Field(80, ge=5, le=60_000, description="time an answer may take, ms")
    stream_max_s: int = Field(240, ge=1, description="a stream ends after, s")
    max_streams: int = Field(1000, ge=1, description="streams open at once")
    scenarios: str = Field(
        "", description="TOML file with scenarios of your own, read again when it changes (docs/SCENARIOS.md)"
    )


class LocalSettings(SettingsGroup):
    """`freshet run`."""

    data_dir: Path = Field(Path(".freshet"), description="where the embedded store keeps its files")


class ArchiveSettings(SettingsGroup):
    """What an archive of events keeps besides the events."""

    refusals_max: int = Field(
        1_000_000,
        ge=1000,
        le=50_000_000,
        description="people denying consent that an archive keeps track of; more stop the export",
    )


GROUPS: tuple[type[SettingsGroup], ...] = (
    HttpSettings,
    TraceSettings,
    LogSettings,
    StoreSettings,
    EventSettings,
    ProfileSettings,
    ReleaseSettings,
    IngestLimits,
    ProfilerLimits,
    RecommenderLimits,
    ArchiveSettings,
    LocalSettings,
)


def catalogue() -> Iterator[tuple[str, Any, str]]:
    """(environment name, default, description) of every setting, each once."""
    seen: set[str] = set()
    for group in GROUPS:
        for name, field in group.model_fields.items():
            if name not in seen:
                seen.add(name)
                yield PREFIX + name.upper(), field.default, field.description or ""


def reject_unknown(environment: Mapping[str, str]) -> None:
    """Raise SettingsError for a `FRESHET_` variable that is no setting, naming the nearest one."""
    known = {name for name, _, _ in catalogue()}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name in known or _is_service_link(name, value):
            continue
        if name.startswith("FRESHET_REQUIRE_") or name == "FRESHET_SEED":  # read by the tests alone
            continue
        import difflib  # for a mistake alone

        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise SettingsError(
            f"{name} is not a setting of Freshet; did you mean {near[0]}? `freshet settings` lists them all"
        )


def split_list(text: str) -> frozenset[str]:
    """The words of a comma- or space-separated setting."""
    return frozenset(word for word in _SEPARATORS.split(text) if word)


def _is_service_link(name: str, value: str) -> bool:
    return (
        bool(_SERVICE_LINK.match(name))
        or ("_PORT" in name and value.startswith("tcp://"))
        or bool(re.match(r"^FRESHET_(\w+_)?PORT_\d+_(TCP|UDP)(_\w+)?$", name))
    )


def _explain(error: InvalidValue) -> str:
    return "; ".join(f"{PREFIX}{name.upper()}: {text}" for name, text in error.problems)
