"""Settings of Kafka's security that contradict each other, and where OAUTHBEARER tokens come from."""

from __future__ import annotations

import asyncio
import json
import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import SaslAuthenticationFailed

from services.kernel.settings import LogSettings, SettingsError, catalogue
from services.log.kafka_security import KafkaAccess
from services.log.kafka_tokens import FileTokens, GcpTokens, TokenError, google_kafka_token
from services.log.open import open_log

PASSWORD = {"kafka_username": "u", "kafka_password": "p"}


def settings_of(**fields: Any) -> LogSettings:
    return LogSettings(**{"log_url": "kafka://k:9092", **fields})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "needs FRESHET_KAFKA_SASL_MECHANISM: PLAIN"),
        (PASSWORD, "FRESHET_KAFKA_USERNAME and FRESHET_KAFKA_PASSWORD would not be used.*PLAINTEXT now"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "FRESHET_KAFKA_SASL_MECHANISM would not be used"),
        ({"kafka_token": "gcp", "kafka_security_protocol": "SSL"}, "FRESHET_KAFKA_TOKEN.*which is SSL now"),
        ({"kafka_ca_file": "/ca"}, "FRESHET_KAFKA_CA_FILE would not be used.*SASL_SSL"),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN", "kafka_username": "u"},
            "PLAIN needs FRESHET_KAFKA_PASSWORD$",
        ),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"},
            "OAUTHBEARER needs FRESHET_KAFKA_TOKEN",
        ),
        (
            {
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "OAUTHBEARER",
                "kafka_token": "gcp",
                **PASSWORD,
            },
            "FRESHET_KAFKA_USERNAME and FRESHET_KAFKA_PASSWORD would not be used with .*=OAUTHBEARER",
        ),
        (
            {
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "OAUTHBEARER",
                "kafka_token": "ya29.secret",
            },
            "gcp .* or file:/path, not a token itself",
        ),
        ({"log_url": "kafka://u:p4ss@k:9092"}, "FRESHET_KAFKA_USERNAME, FRESHET_KAFKA_PASSWORD"),
    ],
)
def test_a_contradiction_is_an_error_that_names_the_setting(fields: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        open_log(settings_of(**fields))
    assert "p4ss" not in str(caught.value)
    assert "ya29" not in str(caught.value)


def test_an_unknown_protocol_is_an_error_that_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_KAFKA_SECURITY_PROTOCOL", "TLS")
    with pytest.raises(SettingsError, match=r"FRESHET_KAFKA_SECURITY_PROTOCOL.*SASL_SSL"):
        LogSettings.from_environment()
    monkeypatch.setenv("FRESHET_KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
    assert LogSettings.from_environment().kafka_security_protocol == "SASL_SSL"


@pytest.mark.parametrize(
    ("token", "told"),
    [
        ("gcp", "grant the account roles/managedkafka.client"),
        ("file:/run/token", "FRESHET_KAFKA_TOKEN=file:/run/token"),
    ],
)
def test_a_refused_token_says_where_it_came_from(token: str, told: str) -> None:
    settings = settings_of(
        kafka_security_protocol="SASL_SSL", kafka_sasl_mechanism="OAUTHBEARER", kafka_token=token
    )
    assert told in str(KafkaAccess(settings).told(SaslAuthenticationFailed("invalid")))


def test_without_security_the_clients_get_the_brokers_alone() -> None:
    assert KafkaAccess(settings_of()).arguments == {"bootstrap_servers": "k:9092"}


def test_the_password_is_given_to_clients_and_shown_to_nobody() -> None:
    settings = settings_of(
        kafka_security_protocol="SASL_SSL", kafka_sasl_mechanism="SCRAM-SHA-512", kafka_username="u",
        kafka_password="p4ss",
    )  # fmt: skip
    arguments = KafkaAccess(settings).arguments
    assert arguments["sasl_plain_password"] == "p4ss"
    assert arguments["ssl_context"].check_hostname
    assert "p4ss" not in repr(settings)
    assert {name for name, _, _ in catalogue()} >= {"FRESHET_KAFKA_PASSWORD", "FRESHET_KAFKA_TOKEN"}


def decoded(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and access token of Google's form."""
    header, claims, access = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    return json.loads(header), json.loads(claims), access.decode()


def test_the_form_that_googles_kafka_takes() -> None:
    token = google_kafka_token("ya29.a?b>c", "robot@project.iam.gserviceaccount.com", 1_700_000_000.9, 3599.0)
    assert decoded(token) == (
        {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"},
        {
            "exp": 1_700_003_599,
            "iat": 1_700_000_000,
            "iss": "Google",
            "sub": "robot@project.iam.gserviceaccount.com",
            "scope": "kafka",
        },
        "ya29.a?b>c",
    )
    assert not set(token) & set("=+/")


class Metadata:
    """A metadata server on this machine; `answers` is what it says to the paths below the account."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.flavor = "Google"
        self.tokens = 0
        self.expires_in_s = 3600
        self.body: bytes | None = None

    def answer(self, path: str, flavor: str | None) -> tuple[int, bytes]:
        self.asked.append(path)
        if flavor != "Google":
            return 403, b"Metadata-Flavor"
        account = "/computeMetadata/v1/instance/service-accounts/default/"
        if path == account + "email":
            return self.status, b"robot@project.iam.gserviceaccount.com"
        assert path == account + "token"
        self.tokens += 1
        told = {
            "access_token": f"ya29.{self.tokens}",
            "expires_in": self.expires_in_s,
            "token_type": "Bearer",
        }
        return self.status, self.body if self.body is not None else json.dumps(told).encode()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """A server that answers as Google's does, where GCE_METADATA_HOST says; proxies must not matter."""
    metadata = Metadata()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = metadata.answer(self.path, self.headers.get("Metadata-Flavor"))
            self.send_response(status)
            self.send_header("Metadata-Flavor", metadata.flavor)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    yield metadata
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_google_token_serves_all_until_shortly_before_its_end(metadata: Metadata) -> None:
    clock = [1000.0]

    async def scene() -> None:
        tokens = GcpTokens(now_s=lambda: 1_700_000_000.0, steady_s=lambda: clock[0])
        got = await asyncio.gather(*(tokens.token() for _ in range(10)))
        assert len(set(got)) == 1
        _, claims, access = decoded(got[0])
        assert (access, claims["sub"]) == ("ya29.1", "robot@project.iam.gserviceaccount.com")
        assert (claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_003_600)
        clock[0] += 3600 - 226
        assert await tokens.token() == got[0]
        clock[0] += 2
        assert decoded(await tokens.token())[2] == "ya29.2"
        metadata.expires_in_s = 100  # less than the margin: still not one question a connection
        clock[0] += 3600
        assert decoded(await tokens.token())[2] == "ya29.3"
        clock[0] += 49
        assert decoded(await tokens.token())[2] == "ya29.3"
        clock[0] += 2
        assert decoded(await tokens.token())[2] == "ya29.4"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": 404}, "without a service account"),
        ({"status": 503}, "answers 503"),
        ({"flavor": "Apache"}, "no metadata server"),
        ({"body": b"<html>"}, "no access token"),
        ({"body": b'{"access_token": "x"}'}, "no access token"),
    ],
)
def test_no_google_token_says_why(metadata: Metadata, change: dict[str, Any], told: str) -> None:
    vars(metadata).update(change)
    with pytest.raises(TokenError, match=f"FRESHET_KAFKA_TOKEN=gcp.*{told}"):
        asyncio.run(GcpTokens().token())
    vars(metadata).update({"status": 200, "flavor": "Google", "body": None})
    assert asyncio.run(GcpTokens().token())


def test_no_metadata_server_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    with pytest.raises(TokenError, match=r"metadata server at 127.0.0.1:1.*file:/path"):
        asyncio.run(GcpTokens().token())


def test_a_token_file_is_read_anew_without_the_space_around(tmp_path: Path) -> None:
    file = tmp_path / "token"
    tokens = FileTokens(file)
    with pytest.raises(TokenError, match=str(file)):
        asyncio.run(tokens.token())
    file.write_text("  one.two.three\n\n")
    assert asyncio.run(tokens.token()) == "one.two.three"
    file.write_text("four.five.six")
    assert asyncio.run(tokens.token()) == "four.five.six"
    for text in ("", " \n", "two words", "x\x01auth=y", "x" * 70_000):
        file.write_text(text)
        with pytest.raises(TokenError, match="is no token"):
            asyncio.run(tokens.token())
