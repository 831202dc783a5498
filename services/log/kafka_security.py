"""How Kafka lets us in: from settings to the arguments of every client, and why it did not, in plain words.

The clients keep to themselves why a connection failed: after a wrong password as after a dead broker they say
"unable to bootstrap". So when one of them fails to connect, `KafkaAccess` tries once itself and tells what it
meets.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from services.kernel.settings import LogSettings, SettingsError
from services.log.kafka_address import bootstrap_servers
from services.log.protocol import LogUnavailableError

# Asking why costs a connection; a broker that lets nobody in says so at once (it waits 0.1 s on purpose).
_ASK_TIMEOUT_S = 2.0
_PASSWORD_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
# Of OpenSSL's verification: certificates for another host, another address; one out of date.
_OTHER_NAME = frozenset({62, 64})
_EXPIRED = 10


def check_security(settings: LogSettings) -> None:
    """Raise SettingsError for settings that contradict each other, saying which to set."""
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    password = settings.kafka_password.get_secret_value()
    if not protocol.startswith("SASL_"):
        given = {
            "FRESHET_KAFKA_SASL_MECHANISM": mechanism,
            "FRESHET_KAFKA_USERNAME": settings.kafka_username,
            "FRESHET_KAFKA_PASSWORD": password,
            "FRESHET_KAFKA_TOKEN": settings.kafka_token,
        }
        if useless := [name for name, value in given.items() if value]:
            raise SettingsError(
                f"{' and '.join(useless)} would not be used: set FRESHET_KAFKA_SECURITY_PROTOCOL to SASL_SSL "
                f"(or SASL_PLAINTEXT), which is {protocol} now"
            )
    if settings.kafka_ca_file and not protocol.endswith("SSL"):
        raise SettingsError(
            "FRESHET_KAFKA_CA_FILE would not be used: set FRESHET_KAFKA_SECURITY_PROTOCOL to SSL or "
            f"SASL_SSL, which is {protocol} now"
        )
    if not protocol.startswith("SASL_"):
        return
    if not mechanism:
        raise SettingsError(
            f"FRESHET_KAFKA_SECURITY_PROTOCOL={protocol} needs FRESHET_KAFKA_SASL_MECHANISM: PLAIN, "
            "SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
        )
    needed = {"FRESHET_KAFKA_USERNAME": settings.kafka_username, "FRESHET_KAFKA_PASSWORD": password}
    refused = {"FRESHET_KAFKA_TOKEN": settings.kafka_token}
    if mechanism not in _PASSWORD_MECHANISMS:
        needed, refused = refused, needed
    if missing := [name for name, value in needed.items() if not value]:
        raise SettingsError(f"FRESHET_KAFKA_SASL_MECHANISM={mechanism} needs {' and '.join(missing)}")
    if useless := [name for name, value in refused.items() if value]:
        raise SettingsError(
            f"{' and '.join(useless)} would not be used with FRESHET_KAFKA_SASL_MECHANISM={mechanism}: unset "
            "what is not meant"
        )


class KafkaAccess:
    """The way to the brokers, shared by all clients of a log. Raises SettingsError for what cannot work."""

    def __init__(self, settings: LogSettings) -> None:
        check_security(settings)
        self.settings = settings
        self._protocol = settings.kafka_security_protocol
        self._servers = bootstrap_servers(settings.log_url)
        self._security = _security_arguments(settings)
        self._where = f"event log at {self._servers} (FRESHET_LOG_URL)"
        self._trouble = "not connected yet"

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that every client of aiokafka takes."""
        return {"bootstrap_servers": self._servers, **self._security}

    @asynccontextmanager
    async def errors(self, *, ask: bool = True) -> AsyncIterator[None]:
        """Turn the client's errors into LogUnavailableError that says what to mend."""
        try:
            yield
        except (KafkaError, TimeoutError, OSError) as error:
            raise (await self.unavailable(error) if ask else self.told(error)) from None

    async def unavailable(self, error: BaseException) -> LogUnavailableError:
        """The error for what a client raised; where it could not connect, the brokers are asked why."""
        # A broker that is only slow is not asked again unless there is something to be refused for.
        silent = isinstance(error, TimeoutError | NodeNotReadyError) and self._protocol != "PLAINTEXT"
        if silent or isinstance(error, KafkaConnectionError):
            error = await self._why() or error
        return self.told(error)

    def told(self, error: BaseException, *, unknown: bool = False) -> LogUnavailableError:
        """The same without asking."""
        self._trouble = self._words(error)
        return LogUnavailableError(f"{self._where}: {self._trouble}", unknown=unknown)

    def reconnecting(self) -> LogUnavailableError:
        """While a new connection is under way: why it was needed."""
        return LogUnavailableError(f"{self._where}: connecting anew ({self._trouble})")

    async def _why(self) -> BaseException | None:
        """What stands in the way of a connection; None when nothing does, or nobody says it in time."""
        hosts = [server.rpartition(":") for server in self._servers.split(",")]
        attempts = [
            asyncio.ensure_future(self._attempt(host.strip("[]"), int(port))) for host, _, port in hosts
        ]
        try:
            await asyncio.wait(attempts, timeout=_ASK_TIMEOUT_S)
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        found = [a.result() for a in attempts if not a.cancelled() and a.exception() is None]
        met = [error for error in found if error is not None]
        # One broker being down is not the reason when another one refuses us.
        refusals = (error for error in met if isinstance(error, KafkaError | ssl.SSLError))
        return next(refusals, met[0] if met else None)

    async def _attempt(self, host: str, port: int) -> BaseException | None:
        try:
            connection = await create_conn(host, port, **self._security)
            try:
                metadata = await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except (KafkaError, OSError) as error:
            return error
        if not metadata.brokers and "sasl_oauth_token_provider" in self._security:
            # RFC 7628: a refused token is told in a message that the client takes for a welcome; what it asks
            # then is answered with nothing.
            refused: BaseException = SaslAuthenticationFailed("invalid token")
            return refused
        return None

    def _words(self, error: BaseException) -> str:
        """What happened and what mends it."""
        settings = self.settings
        if isinstance(error, SaslAuthenticationFailed):
            return f"{self._refused()}; the brokers say: {_said(error)}"
        if isinstance(error, UnsupportedSaslMechanismError):
            return (
                f"the brokers do not take {settings.kafka_sasl_mechanism} here: set "
                "FRESHET_KAFKA_SASL_MECHANISM to one that this listener offers"
            )
        if isinstance(error, IllegalSaslStateError):
            return f"this listener takes no SASL: FRESHET_KAFKA_SECURITY_PROTOCOL is {self._protocol}"
        if isinstance(error, DENIALS):
            return self._denied(error)
        if (told := _tls_words(error)) is not None:
            return told
        if isinstance(error, TimeoutError):
            return "no answer in time"
        if _is_hang_up(error):
            return (
                "the broker hung up: it is stopping, or its listener wants another "
                f"FRESHET_KAFKA_SECURITY_PROTOCOL than {self._protocol}"
            )
        return str(error) or type(error).__name__

    def _refused(self) -> str:
        settings = self.settings
        if settings.kafka_sasl_mechanism != "OAUTHBEARER":
            return (
                f"user {settings.kafka_username!r} was refused: check FRESHET_KAFKA_USERNAME, "
                f"FRESHET_KAFKA_PASSWORD, and that the user has a password for "
                f"FRESHET_KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism}"
            )
        if settings.kafka_token == "gcp":  # noqa: S105 - where it comes from, not what it is
            return (
                "the token of the service account (FRESHET_KAFKA_TOKEN=gcp) was refused: grant the account "
                "roles/managedkafka.client in the project of the cluster"
            )
        source = f"FRESHET_KAFKA_TOKEN={settings.kafka_token}"
        return f"the token of {source} was refused: it is out of date, or not for these brokers"

    def _denied(self, error: BaseException) -> str:
        who = repr(self.settings.kafka_username) if self.settings.kafka_username else "this client"
        ours = f"with the prefix {self.settings.namespace}."
        if isinstance(error, GroupAuthorizationFailedError):
            needed = f"Read on consumer groups {ours}"
        elif isinstance(error, TopicAuthorizationFailedError):
            needed = f"Describe, Read, Write and, to let Freshet make them, Create on topics {ours}"
        else:
            needed = f"IdempotentWrite on the cluster, or Write on topics {ours}"
        return f"{who} lacks rights ({_said(error)}): grant {needed} (the prefix is FRESHET_NAMESPACE)"


DENIALS = (ClusterAuthorizationFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError)


def _security_arguments(settings: LogSettings) -> dict[str, Any]:
    """aiokafka's arguments for protocol, certificates and credentials. Raises SettingsError."""
    arguments: dict[str, Any] = {}
    if settings.kafka_security_protocol != "PLAINTEXT":
        arguments["security_protocol"] = settings.kafka_security_protocol
    if settings.kafka_security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings.kafka_ca_file)
    if settings.kafka_sasl_mechanism:
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        from services.log.kafka_tokens import token_provider

        arguments["sasl_oauth_token_provider"] = token_provider(settings.kafka_token)
    elif settings.kafka_sasl_mechanism:
        arguments["sasl_plain_username"] = settings.kafka_username
        arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments


def _ssl_context(ca_file: str) -> ssl.SSLContext:
    """Trusts the system's CAs and that of `ca_file`; certificates must be for the host's name."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ValueError) as error:  # SSLError is an OSError: no certificate in it
            reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no PEM"
            raise SettingsError(
                f"FRESHET_KAFKA_CA_FILE: no certificate can be read from {ca_file} ({reason})"
            ) from None
    return context


def _tls_words(error: BaseException) -> str | None:
    """What a failed TLS handshake means; None for other errors."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return (
                f"the broker's certificate is for another name ({error.verify_message}): use its name in "
                "FRESHET_LOG_URL and in the brokers' advertised.listeners"
            )
        if error.verify_code == _EXPIRED:
            return "the broker's certificate has expired"
        return (
            f"the broker's certificate is not trusted ({error.verify_message}): put the CA that signed it "
            "into FRESHET_KAFKA_CA_FILE"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"no TLS here ({error.reason or error}): set FRESHET_KAFKA_SECURITY_PROTOCOL to what this "
            "listener speaks"
        )
    return None


def _said(error: BaseException) -> str:
    """The brokers' words, without the number and the name that the client puts before them."""
    words = str(error).partition("] ")[2] or str(error)
    return words.removeprefix(f"{type(error).__name__}: ")


def _is_hang_up(error: BaseException) -> bool:
    hung_up = isinstance(error, KafkaConnectionError) and "Connection at" in str(error)
    return hung_up or (isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError))
