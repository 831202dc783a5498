"""Where the tokens of OAUTHBEARER come from: Google's metadata server, or a file that somebody renews.

Fetching is plain blocking work in a thread, with a bound on each wait. A failure is a KafkaError, because
that is what the client takes for "no connection this time" and tries again.
"""

from __future__ import annotations

import asyncio
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from json import dumps, loads
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from services.kernel.settings import SettingsError

FILE_PREFIX = "file:"
# Tokens are a kilobyte or two; more is another file, or no metadata server.
_TOKEN_BYTES_MAX = 64 << 10
_METADATA_HOST = "metadata.google.internal"
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/"
# The server is on the same machine; it needs the time only to get a new token itself.
_METADATA_TIMEOUT_S = 3.0
# The metadata server hands out the old token until five minutes before its end; Google's own clients ask
# again at 3:45.
_RENEW_BEFORE_S = 225.0


class TokenError(KafkaError):  # type: ignore[misc]  # the client has no types
    """There is no token; the text says what to mend."""

    retriable = True


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """The token in a file, read at every connection: a projected token is replaced while we run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token. Raises TokenError."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                text = file.read(_TOKEN_BYTES_MAX + 1).decode("ascii").strip()
        except (OSError, ValueError) as error:
            raise TokenError(
                f"FRESHET_KAFKA_TOKEN: no token can be read from {self._path}: {error}"
            ) from None
        if not text or len(text) > _TOKEN_BYTES_MAX or not text.isprintable() or " " in text:
            raise TokenError(f"FRESHET_KAFKA_TOKEN: what stands in {self._path} is no token")
        return text


class _Issued(NamedTuple):
    token: str
    lifetime_s: float


class GcpTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens of the service account that this runs as, in the form that Google's managed Kafka takes.

    One token serves all connections until shortly before its end.
    """

    def __init__(
        self, now_s: Callable[[], float] = time.time, steady_s: Callable[[], float] = time.monotonic
    ) -> None:
        # As Google's own libraries read it: another metadata server, for emulators and workload identity.
        self._host = os.environ.get("GCE_METADATA_HOST") or _METADATA_HOST
        self._now_s = now_s
        self._steady_s = steady_s
        self._turn = asyncio.Lock()  # many connections at once ask one time
        self._token = ""
        self._renew_at_s = float("-inf")

    async def token(self) -> str:
        """The token. Raises TokenError."""
        async with self._turn:
            if self._steady_s() >= self._renew_at_s:
                began_s = self._steady_s()
                issued = await asyncio.to_thread(self._fetch)
                self._token = issued.token
                self._renew_at_s = began_s + max(issued.lifetime_s - _RENEW_BEFORE_S, issued.lifetime_s / 2)
            return self._token

    def _fetch(self) -> _Issued:
        account = self._ask("email").decode("utf-8", "replace").strip()
        try:
            answer = loads(self._ask("token"))
            access_token, lifetime_s = str(answer["access_token"]), float(answer["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise self._trouble("its answer holds no access token") from None
        return _Issued(google_kafka_token(access_token, account, self._now_s(), lifetime_s), lifetime_s)

    def _ask(self, what: str) -> bytes:
        # A connection of our own: a proxy from the environment must see neither question nor token.
        from http.client import HTTPConnection, HTTPException

        try:
            connection = HTTPConnection(self._host, timeout=_METADATA_TIMEOUT_S)
            try:
                connection.request("GET", _ACCOUNT + what, headers={"Metadata-Flavor": "Google"})
                response = connection.getresponse()
                body = response.read(_TOKEN_BYTES_MAX)
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError) as error:
            raise self._trouble(str(error) or type(error).__name__) from None
        if response.status == 404:
            raise self._trouble("this runs without a service account; give it one")
        if response.status != 200:
            raise self._trouble(f"it answers {response.status}")
        if response.headers.get("Metadata-Flavor") != "Google":
            raise self._trouble("what answers there is no metadata server")
        return body

    def _trouble(self, reason: str) -> TokenError:
        return TokenError(
            f"FRESHET_KAFKA_TOKEN=gcp: no token from the metadata server at {self._host}: {reason}; outside "
            "Google Cloud use file:/path"
        )


def google_kafka_token(access_token: str, account: str, now_s: float, lifetime_s: float) -> str:
    """`header.claims.access token`, each base64url without padding: a JWT whose signature is the token.

    The form of Google's own handlers (github.com/googleapis/managedkafka), with the claims of all of them.
    """
    issued_s = int(now_s)
    claims = {
        "exp": issued_s + int(lifetime_s),
        "iat": issued_s,
        "iss": "Google",
        "sub": account,
        "scope": "kafka",
    }
    parts = (_compact({"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}), _compact(claims), access_token)
    return ".".join(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def token_provider(source: str) -> AbstractTokenProvider:
    """The provider of FRESHET_KAFKA_TOKEN. Raises SettingsError."""
    if source == "gcp":
        return GcpTokens()
    path = source.removeprefix(FILE_PREFIX)
    if source.startswith(FILE_PREFIX) and path.startswith("/"):
        return FileTokens(Path(path))
    raise SettingsError(
        "FRESHET_KAFKA_TOKEN says where OAUTHBEARER tokens come from: gcp (the metadata server of Google "
        "Cloud) or file:/path, not a token itself"
    )


def _compact(value: dict[str, Any]) -> str:
    return dumps(value, separators=(",", ":"))
