"""Fixtures for every test: one real Valkey and one real Kafka for the whole run, a namespace a test."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.kafka.secured import SecuredBroker, secured_broker
from tests.servers import KafkaBroker, KafkaMissingError, ValkeyServer, kafka_broker, valkey_server

Broker = TypeVar("Broker", bound=KafkaBroker)

# A slow machine is no failure: tests check behaviour, benchmarks check speed.
settings.register_profile(
    "freshet", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("freshet")

# The trainer's graphs compile once for all tests and the processes that they start: it is most of their time.
_COMPILED = tempfile.TemporaryDirectory(prefix="freshet-compiled-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _COMPILED.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


# Files that take longest begin first: whichever comes last leaves the other workers with nothing to do.
_LONGEST = (
    "test_exactly_once.py",
    "test_log_faults.py",
    "test_forgetting.py",
    "test_train.py",
    "test_tutorial.py",
    "test_shop.py",
    "test_local_lifecycle.py",
    "test_trainer_train.py",
    "test_consent.py",
    "test_tracker.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files, not the tests in them."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey without a file. Shared: use `namespace`, never flush. `.url` is what the settings take."""
    with valkey_server(unix_socket=True) as server:
        yield server


def needed_kafka() -> AbstractContextManager[KafkaBroker]:
    """A broker of its own."""
    return _needed(kafka_broker)


@contextmanager
def _needed(made: Callable[[], AbstractContextManager[Broker]]) -> Iterator[Broker]:
    """What `made` makes. Skips where there is no Java and no Maven, unless FRESHET_REQUIRE_KAFKA=1."""
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(made())
        except KafkaMissingError as error:
            if os.environ.get("FRESHET_REQUIRE_KAFKA") == "1":
                pytest.fail(f"FRESHET_REQUIRE_KAFKA=1, but {error}", pytrace=False)
            pytest.skip(str(error))
        yield broker


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    """The Kafka broker that the tests share, `.bootstrap` host:port and `.url`."""
    with needed_kafka() as broker:
        yield broker


@pytest.fixture(scope="session")
def locked_kafka() -> Iterator[SecuredBroker]:
    """The Kafka broker that lets in who proves to be somebody, over TLS. Shared, as `kafka` is."""
    with _needed(secured_broker) as broker:
        yield broker


@pytest.fixture(params=["valkey", "kafka"])
def log_url(request: pytest.FixtureRequest) -> str:
    """FRESHET_LOG_URL of each log in turn."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, ValkeyServer | KafkaBroker)
    return server.url


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"
