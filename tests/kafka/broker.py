"""A real single-node Apache Kafka broker, from Maven's jars, with Java 17 or newer and no containers."""

from __future__ import annotations

import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.kafka.installation import Installation, KafkaMissingError, broker_arguments, install
from tests.processes import ServerError, ServerProcess, free_ports, scratch_directory

__all__ = ["KafkaBroker", "KafkaMissingError", "install_broker", "kafka_broker"]

# What a broker loads in its first idle second is most of what it will ever load.
_WARM_UP_S = 1.0
# Metadata request, version 4: api key, version, correlation id, client id "t", no topics, no creation.
_METADATA = struct.pack(">hhih1si?", 3, 4, 7, 1, b"t", 0, False)


class KafkaBroker(ServerProcess):
    """One broker on loopback, controller on the next port. Ports and directory stay over `restart`."""

    ports_needed = 2

    def __init__(
        self,
        installation: Installation,
        directory: Path,
        *,
        archive_flag: str | None = None,
        template: Path | None = None,
        overrides: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.port = free_ports(self.ports_needed)[0]
        self._installation = installation
        self._overrides_of = overrides
        self._archive_flag = archive_flag
        self._data = directory / "data"
        if not self._data.exists():
            shutil.copytree(template or installation.template, self._data)
        super().__init__(self._command, self._answers, directory)

    @property
    def bootstrap(self) -> str:
        """host:port, as Kafka clients take it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As FRESHET_LOG_URL takes it."""
        return f"kafka://{self.bootstrap}"

    def _command(self) -> list[str]:
        return self._installation.java(
            *broker_arguments(self._data, self.port, self._overrides_of()), archive_flag=self._archive_flag
        )

    def _answers(self) -> bool:
        """Metadata lists a broker. An open port is not enough: the broker registers later."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
                connection.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
                # size, correlation id, throttle time, number of brokers
                answer = b""
                while len(answer) < 16:
                    if not (part := connection.recv(4096)):
                        return False
                    answer += part
                return int.from_bytes(answer[12:16], "big") > 0
        except OSError:
            return False


@contextmanager
def kafka_broker(directory: Path | None = None) -> Iterator[KafkaBroker]:
    """A started broker; stopped, and its directory removed where none was given, at the end.

    Raises KafkaMissingError where there is no Java, no Maven, or no way to the jars.
    """
    installation = install_broker()
    with (
        scratch_directory("kafka") as scratch,
        KafkaBroker(installation, directory or Path(scratch)) as broker,
    ):
        broker.start()
        yield broker


def install_broker() -> Installation:
    """Jars, archive and formatted directory, made on the first call. Raises KafkaMissingError."""
    return install(_dump_archive)


def _dump_archive(installation: Installation) -> None:
    """Run a broker once; on its way out the JVM writes what it had loaded."""
    flag = f"-XX:ArchiveClassesAtExit={installation.archive}"
    try:
        with (
            scratch_directory("kafka-warm") as scratch,
            KafkaBroker(installation, Path(scratch), archive_flag=flag) as broker,
        ):
            broker.start()
            time.sleep(_WARM_UP_S)
    except ServerError as error:
        raise KafkaMissingError(f"the Kafka broker {error}") from None
