"""A real cluster of three Valkey servers on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis

from tests.processes import ServerError
from tests.servers import ValkeyServer, valkey_server

SLOTS = 16384
_READY_TIMEOUT_S = 60.0


class ValkeyCluster:
    """Three primaries, a third of the slots each."""

    def __init__(self, servers: list[ValkeyServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        """As `FRESHET_STORE_URL` takes it."""
        return f"valkey+cluster://{self.servers[0].host}:{self.servers[0].port}"

    def ask(self, number: int, *command: Any) -> Any:
        """One command to one server."""
        return ask(self.servers[number], *command)

    def form(self) -> None:
        """Give out the slots and introduce the servers; returns when all agree."""
        share = SLOTS // len(self.servers) + 1
        for number, server in enumerate(self.servers):
            first, last = number * share, min((number + 1) * share, SLOTS) - 1
            self.ask(number, "CLUSTER", "ADDSLOTSRANGE", first, last)
            bus_port = server.port + 1  # tests/servers.py takes two neighbouring ports
            self.ask(0, "CLUSTER", "MEET", server.host, server.port, bus_port)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Until every server sees all slots served by all servers. Raises ServerError."""
        give_up = time.monotonic() + _READY_TIMEOUT_S
        while not all(self._is_whole(number) for number in range(len(self.servers))):
            if time.monotonic() > give_up:
                raise ServerError("the cluster did not come together")
            time.sleep(0.02)

    def _is_whole(self, number: int) -> bool:
        info = self.ask(number, "CLUSTER", "INFO")
        return b"cluster_state:ok" in info and len(self.ask(number, "CLUSTER", "SLOTS")) >= len(self.servers)


def ask(server: ValkeyServer, *command: Any) -> Any:
    """One command, on a connection of its own."""
    with redis.Redis(host=server.host, port=server.port, protocol=2) as client:
        return client.execute_command(*command)


@contextmanager
def valkey_cluster() -> Iterator[ValkeyCluster]:
    """Started and formed; stopped at the end."""
    with ExitStack() as stack:
        cluster = ValkeyCluster([stack.enter_context(valkey_server(cluster=True)) for _ in range(3)])
        cluster.form()
        yield cluster
