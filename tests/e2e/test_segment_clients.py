"""Segment's own libraries for Python and Node.js, unmodified, against a running Freshet."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import WAIT_S, FreshetProcess, becomes
from tests.node_packages import node_packages
from tests.processes import scratch_directory
from tests.servers import KafkaBroker

KEYS = {"FRESHET_KEYS": "all", "FRESHET_WRITE_KEYS": "shop-write-key"}
AUTHORIZED = {"Authorization": "Bearer all"}
ITEMS = [{"item_id": f"p{n}", "title": f"Cheese {n}", "categories": ["Food > Cheese"]} for n in range(6)]
HERE = Path(__file__).parent

Client = Callable[..., list[str]]


def python_client(*arguments: str) -> list[str]:
    """What segment-analytics-python reported as failed."""
    return reported([sys.executable, str(HERE / "segment_client.py"), *arguments], {})


def node_client(*arguments: str) -> list[str]:
    """What @segment/analytics-node reported as failed."""
    modules = node_packages("@segment/analytics-node@3.1.0")
    return reported(["node", str(HERE / "segment_client.cjs"), *arguments], {"NODE_PATH": str(modules)})


def reported(command: list[str], variables: dict[str, str]) -> list[str]:
    ran = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    failures: list[str] = json.loads(ran.stdout.splitlines()[-1])
    return failures


@pytest.fixture(params=[python_client, node_client], ids=["python", "node"])
def client(request: pytest.FixtureRequest) -> Client:
    """Each library in turn."""
    found: Client = request.param
    return found


def running_shop(**environment: str) -> Iterator[FreshetProcess]:
    """A Freshet with a few items and keys."""
    with scratch_directory("segment") as directory:
        with FreshetProcess(Path(directory), ["--empty"], {**KEYS, **environment}) as process:
            process.start()
            assert process.call("POST", "/items", ITEMS, AUTHORIZED)[0] == 202
            yield process


@pytest.fixture(scope="module")
def shop() -> Iterator[FreshetProcess]:
    """On the embedded log."""
    yield from running_shop()


@pytest.fixture(scope="module")
def shop_on_kafka(kafka: KafkaBroker) -> Iterator[FreshetProcess]:
    """On a real broker."""
    yield from running_shop(FRESHET_LOG_URL=kafka.url, FRESHET_NAMESPACE=f"segment{os.getpid()}")


def profile_of(shop: FreshetProcess, user: str) -> Any:
    status, body = shop.call("GET", f"/users/{user}/profile", headers=AUTHORIZED)
    return body if status == 200 else {"events": 0, "recent": []}


def did(shop: FreshetProcess, user: str) -> list[tuple[str, str]]:
    return sorted((entry["event_type"], entry["item_id"]) for entry in profile_of(shop, user)["recent"])


def viewed(shop: FreshetProcess, user: str, item: str) -> int:
    return did(shop, user).count(("view", item))


def recently_viewed(shop: FreshetProcess, user: str) -> list[str]:
    status, body = shop.call("GET", f"/recommend/{user}?scenario=recently_viewed&n=2", headers=AUTHORIZED)
    assert status == 200, body
    return sorted(item["item_id"] for item in body["items"])


VISIT = sorted([("view", "p1"), ("cart_add", "p2"), ("view", "p1"), ("purchase", "p1"), ("purchase", "p2")])


def visit(shop: FreshetProcess, client: Client, user: str) -> None:
    """Through the log into the profile, and into the next answer."""
    assert client(shop.url, "shop-write-key", user, "p1", "p2") == []
    becomes(lambda: did(shop, user), VISIT)
    becomes(lambda: recently_viewed(shop, user), ["p1", "p2"])


def test_a_visit_is_in_the_profile_and_in_the_next_answer(
    shop: FreshetProcess, client: Client, request: pytest.FixtureRequest
) -> None:
    visit(shop, client, f"ada-{request.node.callspec.id}")
    metrics = shop.call("GET", "/metrics", headers=AUTHORIZED)[1]
    for call, outcome in [
        ("track", "accepted"), ("track", "unknown_event"), ("page", "ignored"), ("screen", "accepted"),
        ("group", "ignored"), ("alias", "accepted"), ("identify", "accepted"),
    ]:  # fmt: skip
        assert f'freshet_ingest_calls_total{{api="segment",call="{call}",outcome="{outcome}"}}' in metrics
    assert "'Newsletter Opened' is no event known here" in (shop.directory / "server.log").read_text()


def test_the_same_on_kafka(
    shop_on_kafka: FreshetProcess, client: Client, request: pytest.FixtureRequest
) -> None:
    visit(shop_on_kafka, client, f"ada-{request.node.callspec.id}")


def test_a_hundred_at_once(shop: FreshetProcess, client: Client) -> None:
    """A batch as large as Segment's libraries make them."""
    item = {python_client: "p3", node_client: "p4"}[client]
    with halfway(shop) as proxy:
        assert client(proxy.url, "shop-write-key", "crowd-100", item) == []
    assert proxy.batches == [100]
    for number in (0, 50, 99):
        becomes(partial(viewed, shop, f"crowd-100-{number}", item), 1)


def test_what_is_sent_again_counts_once(
    shop: FreshetProcess, client: Client, request: pytest.FixtureRequest
) -> None:
    """The log has it, and the answer is lost on the way: the library sends the same once more."""
    user = f"twice-{request.node.callspec.id}"
    with halfway(shop, lost_answers=1) as proxy:
        assert client(proxy.url, "shop-write-key", user, "p1", "p2") == []
    assert proxy.statuses == [503, 200]
    assert proxy.batches == [9, 9]
    like = {"user_id": user, "event_type": "like", "item_id": "p4"}  # comes after both on the log
    assert shop.call("POST", "/events", like, AUTHORIZED)[0] == 202
    becomes(lambda: did(shop, user), sorted([*VISIT, ("like", "p4")]))


def test_a_key_of_nobody_is_refused_and_reported(shop: FreshetProcess, client: Client) -> None:
    (failure,) = client(shop.url, "wrong", "crowd-1", "p5")
    assert "401" in failure
    assert did(shop, "crowd-1-0") == []


class Proxy(ThreadingHTTPServer):
    """Hands each POST on to Freshet. Of the first `lost_answers` the client hears 503 in their place."""

    daemon_threads = True

    def __init__(self, target: str, lost_answers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.lost_answers = lost_answers
        self.statuses: list[int] = []
        self.batches: list[int] = []
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_POST(self) -> None:
        """One request there and back."""
        body = self.rfile.read(int(self.headers["content-length"]))
        names = ("Authorization", "Content-Type", "Content-Encoding")
        headers = {name: value for name in names if (value := self.headers.get(name)) is not None}
        self.server.batches.append(len(decoded(body, headers)["batch"]))
        request = urllib.request.Request(self.server.target + self.path, body, headers)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            status, content = answer.status, answer.read()
        if len(self.server.statuses) < self.server.lost_answers:
            status, content = 503, b"{}"
        self.server.statuses.append(status)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at what it has kept."""


def decoded(body: bytes, headers: dict[str, str]) -> Any:
    return json.loads(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body)


def halfway(shop: FreshetProcess, lost_answers: int = 0) -> Proxy:
    return Proxy(shop.url, lost_answers)
