"""Fixtures of the store's suite: the same behaviour on one node and on a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.store_case import StoreCase
from tests.servers import ValkeyServer
from tests.valkey_cluster import ValkeyCluster, valkey_cluster


@pytest.fixture(scope="session")
def store_cluster() -> Iterator[ValkeyCluster]:
    """A cluster of three. Shared: use `namespace`, never flush."""
    with valkey_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["single", "cluster"])
def store(request: pytest.FixtureRequest, namespace: str) -> StoreCase:
    """A store of each kind, in a namespace of its own."""
    if request.param == "single":
        server = request.getfixturevalue("valkey")
        assert isinstance(server, ValkeyServer)
        return StoreCase(server.url, namespace)
    cluster = request.getfixturevalue("store_cluster")
    assert isinstance(cluster, ValkeyCluster)
    return StoreCase(cluster.url, namespace)
