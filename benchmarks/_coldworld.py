"""What a cold start finds: a log and a store that have been in use, a release, and services to start."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks._synthetic import Catalogue, catalogue_of, make_release, raw_items
from benchmarks._system import end, free_port
from services.kernel.event import EVENT_CE_TYPE, Event, encode_event
from services.kernel.item import ITEM_CE_TYPE
from services.local.lag import records_behind
from services.log.open import open_log
from services.log.protocol import Draft, Topic
from services.profiler.settings import ProfilerSettings
from services.release.repository import promote, publish
from services.store.connection import Connection, connect

ROOT: Final = Path(__file__).resolve().parents[1]
ANSWER_TIMEOUT_S: Final = 60.0
CAUGHT_UP_TIMEOUT_S: Final = 600.0
USERS: Final = 200
EVENTS_OF_USER: Final = 12
APPEND_RECORDS: Final = 500
_POLL_S: Final = 0.001  # a start is late by half of that on average


class Usage(NamedTuple):
    """What a process has used so far."""

    cpu_ms: float
    resident_mb: float
    own_mb: float  # of that, what is no file's page


class Start(NamedTuple):
    """One cold start: exec to the answer, and what it took until then."""

    wall_ms: float
    usage: Usage
    body: bytes


@dataclass(frozen=True)
class World:
    """Where the services find log, store and releases."""

    name: str
    log_url: str
    store_url: str
    release_url: str

    def environment(self, port: int, **more: str) -> dict[str, str]:
        """The variables of a service, and none of the caller's own settings."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
        return own | {
            "FRESHET_PORT": str(port),
            "FRESHET_NAMESPACE": self.name,
            "FRESHET_LOG_URL": self.log_url,
            "FRESHET_STORE_URL": self.store_url,
            "FRESHET_RELEASE_URL": self.release_url,
            **more,
        }

    def settings(self) -> ProfilerSettings:
        """The same, for what runs in this process."""
        return ProfilerSettings(
            namespace=self.name,
            log_url=self.log_url,
            store_url=self.store_url,
            release_url=self.release_url,
        )

    async def append(self, topic: Topic, drafts: list[Draft]) -> None:
        """Append, each acknowledged."""
        log = open_log(self.settings())
        producer = log.producer()
        try:
            await producer.start()
            for first in range(0, len(drafts), APPEND_RECORDS):
                appends = await producer.append(topic, drafts[first : first + APPEND_RECORDS], 30_000)
                assert all(append.position is not None for append in appends), appends[0].error
        finally:
            await producer.stop()
            await log.close()

    def fill(self, catalogue: Catalogue, items: int) -> None:
        """The way of real data: records on the log, applied by a profiler that is then stopped."""
        raws = raw_items(catalogue)[:items]
        drafts = [Draft(item_id(at).encode(), raw, _headers(ITEM_CE_TYPE)) for at, raw in enumerate(raws)]
        asyncio.run(self.append(Topic.ITEMS, drafts))
        asyncio.run(self.append(Topic.EVENTS, history(items)))
        with process("profiler", self.environment(free_port(), FRESHET_COMMIT_DELAY_MS="0")):
            asyncio.run(self.caught_up())

    async def caught_up(self) -> None:
        """Return when the profiler has applied all there is. Raises TimeoutError."""
        log, connection = open_log(self.settings()), connect(self.settings())
        try:
            async with asyncio.timeout(CAUGHT_UP_TIMEOUT_S):
                while await records_behind(log, connection):
                    await asyncio.sleep(0.1)
                await asyncio.sleep(1.0)  # the commit
        finally:
            await connection.close()
            await log.close()


def item_id(index: int) -> str:
    """The id of the item at that place of the synthetic catalogue."""
    return f"item-{index:07}"


def history(items: int) -> list[Draft]:
    """Users who have seen some items, the last ones just now."""
    now_ms = time.time_ns() // 1_000_000
    return [
        event(f"user-{user}", item_id((user * 7919 + at * 31) % items), now_ms - (EVENTS_OF_USER - at) * 1000)
        for at in range(EVENTS_OF_USER)
        for user in range(USERS)
    ]


def event(user_id: str, item: str, at_ms: int) -> Draft:
    """A view as ingest writes it."""
    made = Event(
        event_id=f"{user_id}-{item}-{at_ms}",
        event_type="view",
        timestamp=at_ms,
        received_at=at_ms,
        user_id=user_id,
        item_id=item,
    )
    headers = (*_headers(EVENT_CE_TYPE), ("ce_id", made.event_id.encode()))
    return Draft(user_id.encode(), encode_event(made), headers)


def _headers(ce_type: str) -> tuple[tuple[str, bytes], ...]:
    return (("ce_specversion", b"1.0"), ("ce_type", ce_type.encode()))


def release_of(folder: Path, items: int, d: int, seed: int) -> Catalogue:
    """A live release of that size at `folder`; answers what stands in it."""
    catalogue = catalogue_of(items, d, seed)
    draft = folder / "draft"
    draft.mkdir()
    name = publish(make_release(draft, catalogue, seed), str(folder / "releases"))
    promote(str(folder / "releases"), name, time.time_ns() // 1_000_000)
    return catalogue


@contextmanager
def process(service: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m services.<service>` until the block ends."""
    yield from _running([sys.executable, "-m", f"services.{service}"], environment)


@contextmanager
def program(path: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`python PATH` until the block ends."""
    yield from _running([sys.executable, str(path)], environment)


def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (Path(environment.get("BENCH_OUTPUT", os.devnull))).open("ab") as output:
        child = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
    try:
        yield child
    finally:
        end(child)


def first_answer(
    began_s: float,
    child: subprocess.Popen[bytes],
    port: int,
    request: bytes,
    is_wanted: Callable[[int, bytes], bool],
) -> Start:
    """Ask from the first moment on that somebody listens, until the answer is the wanted one."""
    status, body = 0, b""
    while time.perf_counter() - began_s < ANSWER_TIMEOUT_S:
        if child.poll() is not None:
            raise RuntimeError(f"the service ended with status {child.returncode}")
        try:
            status, body = exchange(port, request)
        except OSError:
            time.sleep(_POLL_S)
            continue
        if is_wanted(status, body):
            return Start((time.perf_counter() - began_s) * 1000, usage(child.pid), body)
        time.sleep(_POLL_S)
    raise RuntimeError(f"no answer as wanted; the last one was {status}: {body[:500]!r}")


def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """(status, body) of one request on a connection of its own. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    return (int(head[9:12]) if head[9:12].isdigit() else 0), body


def request_of(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request after which the connection is closed."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def usage(pid: int) -> Usage:
    """CPU time and memory of a process until now (Linux)."""
    run_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            run_ns += int((task / "schedstat").read_text().split()[0])
        except OSError:  # a thread that has just ended
            continue
    memory = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    resident, own = (int(memory[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    return Usage(run_ns / 1e6, resident, own)


async def effect_of(connection: Connection, subject: str, began_s: float) -> float:
    """ms from `began_s` until the subject has a profile. Raises TimeoutError."""
    key = connection.keys.profile(1, subject)
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while not await connection.execute("EXISTS", key):
            await asyncio.sleep(_POLL_S)
    return (time.perf_counter() - began_s) * 1000


def write_bare(path: Path, service: str, environment: dict[str, str]) -> list[str]:
    """The barest program that loads the libraries which a service loads: imports, bind, one answer.

    The service itself says which: what it has loaded once its app is made. Answers their names.
    """
    listing = (
        "import sys; before = set(sys.modules)\n"
        f"import services.{service}.__main__ as service\n"
        f"from services.{service} import app, settings\n"
        "kind = next(v for n, v in vars(settings).items() if n.endswith('Settings') "
        "and v.__module__ == settings.__name__)\n"
        "make = next(v for n, v in vars(app).items() if n.startswith('create_') and n.endswith('app') "
        "and v.__module__ == app.__name__)\n"
        "make(kind.from_environment())\n"
        "print('\\n'.join(n for n in sys.modules if n not in before and not n.startswith('services')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", listing], env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = found.stdout.split()
    path.write_text(_BARE.format(names=names))
    return names


# The process is set as a service sets its own (services/http/process.py).
_BARE: Final = """\
import gc, importlib, os, sys
gc.disable()
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
for name in {names!r}:
    if name not in sys.modules:
        try:
            importlib.import_module(name)
        except ImportError:  # a name that only its package's own code can import
            pass
import asyncio, uvicorn

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"ok"}})

uvicorn.run(app, port=int(os.environ["FRESHET_PORT"]), log_level="error", ws="none")
"""


def compiled() -> None:
    """Bytecode for everything, as images have it."""
    folders = [str(ROOT / "services"), *(path for path in sys.path if path.endswith("site-packages"))]
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", *folders], stdout=subprocess.DEVNULL, check=False
    )


def any_ok(status: int, _body: bytes) -> bool:
    """200 or 202."""
    return status in {200, 202}


def describe(start: Start) -> dict[str, Any]:
    """For a person."""
    return {"wall_ms": round(start.wall_ms), **{k: round(v) for k, v in start.usage._asdict().items()}}
