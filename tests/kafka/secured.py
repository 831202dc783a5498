"""The same broker with locks on its doors: TLS from a CA made on the spot, SASL, and access control lists.

Its plain listener, which the tests' own questions go through, belongs to a super user.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kafka.broker import KafkaBroker, install_broker
from tests.kafka.installation import Installation, KafkaMissingError
from tests.processes import scratch_directory

USER, PASSWORD = "freshet", "s3cret-of-freshet"
# Known to the brokers, and without any right.
STRANGER, STRANGER_PASSWORD = "stranger", "s3cret-of-stranger"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
SESSION_MS = 1500
_PORTS = 5  # plain, controller, then one a listener
_OPENSSL_TIMEOUT_S = 60.0
_DAYS = "30"


class SecuredBroker(KafkaBroker):
    """One broker with a listener for each protocol. All of them lead to the same topics."""

    ports_needed = _PORTS

    def __init__(self, installation: Installation, directory: Path) -> None:
        self.ca_file = directory / "ca.pem"
        self._keys = directory / "broker.pem"
        _make_certificates(directory)
        super().__init__(
            installation, directory, template=installation.secured(_scram_users()), overrides=self._overrides
        )

    @property
    def sasl_ssl_url(self) -> str:
        """SASL_SSL: SCRAM and PLAIN."""
        return f"kafka://localhost:{self.port + 2}"

    @property
    def oauth_url(self) -> str:
        """SASL_PLAINTEXT: OAUTHBEARER, with Kafka's own validator of unsigned tokens."""
        return f"kafka://localhost:{self.port + 3}"

    @property
    def ssl_url(self) -> str:
        """SSL without SASL."""
        return f"kafka://localhost:{self.port + 4}"

    @property
    def wrong_name_url(self) -> str:
        """SSL by an address that the certificate does not name."""
        return f"kafka://127.0.0.1:{self.port + 4}"

    def locked(self, **changes: str) -> dict[str, str]:
        """Fields of LogSettings for `sasl_ssl_url` with SCRAM, as the user who may do everything."""
        return {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_username": USER,
            "kafka_password": PASSWORD,
            "kafka_ca_file": str(self.ca_file),
        } | changes

    def environment(self) -> dict[str, str]:
        """The same as FRESHET_… variables."""
        return {f"FRESHET_{name.upper()}": value for name, value in self.locked().items()}

    def _overrides(self) -> dict[str, str]:
        names = {"LOCKED": 2, "OAUTH": 3, "TLS": 4}
        listeners = {name: f"localhost:{self.port + at}" for name, at in names.items()}
        protocols = {"LOCKED": "SASL_SSL", "OAUTH": "SASL_PLAINTEXT", "TLS": "SSL"}
        plain = {"PLAINTEXT": f"127.0.0.1:{self.port}", **listeners}
        doors = ",".join(f"{name}://{place}" for name, place in plain.items())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            "listeners": f"{doors},CONTROLLER://127.0.0.1:{self.port + 1}",
            "advertised.listeners": doors,
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocols.get(name, 'PLAINTEXT')}" for name in (*plain, "CONTROLLER")
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keys),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.locked.sasl.enabled.mechanisms": ",".join(("PLAIN", *SCRAM)),
            "listener.name.locked.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'user_{USER}="{PASSWORD}" user_{STRANGER}="{STRANGER_PASSWORD}";'
            ),
            **{f"listener.name.locked.{name.lower()}.sasl.jaas.config": scram for name in SCRAM},
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";'
            ),
            # As in a cluster whose sessions end with the token: the broker then cuts the connection.
            "listener.name.oauth.oauthbearer.connections.max.reauth.ms": str(SESSION_MS),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER}",
        }


@contextmanager
def secured_broker() -> Iterator[SecuredBroker]:
    """A started broker; stopped, and its directory removed, at the end. Raises KafkaMissingError."""
    installation = install_broker()
    with scratch_directory("kafka-locked") as scratch, SecuredBroker(installation, Path(scratch)) as broker:
        broker.start()
        yield broker


def unsigned_token(subject: str, *, expires_in_s: int = 3600) -> str:
    """A token without a signature, as Kafka's validator for development takes it."""
    now_s = int(time.time())
    claims = {"sub": subject, "iat": now_s - 10, "exp": now_s + expires_in_s}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


def _scram_users() -> list[str]:
    users = {USER: PASSWORD, STRANGER: STRANGER_PASSWORD}
    return [
        f"{mechanism}=[name={name},password={password}]"
        for mechanism in SCRAM
        for name, password in users.items()
    ]


def _make_certificates(directory: Path) -> None:
    """A CA, and a key for localhost that it signed: ca.pem, broker.pem. And a CA that signed nothing."""
    if shutil.which("openssl") is None:
        raise KafkaMissingError("a broker with TLS needs the openssl command (apt-get install openssl)")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", _DAYS)
    authority = ("-addext", "keyUsage=critical,keyCertSign")
    for name in ("ca", "other-ca"):
        out = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=Freshet {name}")
        _openssl(directory, "req", "-x509", *key, *authority, *out)
    _openssl(
        directory, "req", "-x509", *key, "-CA", "ca.pem", "-CAkey", "ca.key",
        "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", "broker.key", "-out", "broker.crt", "-subj", "/CN=localhost",
    )  # fmt: skip
    parts = [directory / "broker.key", directory / "broker.crt"]
    (directory / "broker.pem").write_text("".join(part.read_text() for part in parts))


def _openssl(directory: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=_OPENSSL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise KafkaMissingError(f"openssl made no certificate: {done.stderr[-1000:]}")
