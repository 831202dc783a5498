"""The profiler at zero, by push and by pull: it wakes for what waits, and each event counts exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from tests.cluster import kubectl, site
from tests.cluster.callers import Caller
from tests.cluster.figures import print_line, print_times, say
from tests.cluster.source import Posted, Source, give_up_on_one
from tests.cluster.wakes import pods, wait_for_none
from tests.deploy.check import NAMESPACE

_APPLIED_TIMEOUT_S: Final = 180
_EVENTS: Final = 600
_USERS: Final = 40
EVENTS: Final = ("freshet.events.g1", "freshet.profiler", "/")
ITEMS: Final = ("freshet.items.g1", "freshet.catalogue", "/items")


@contextlib.contextmanager
def kafka_forwarded() -> Iterator[None]:
    """Kafka's second listener on this machine. kubectl gives up when a connection breaks: it begins again."""
    stop = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while not stop.is_set():
            running[:] = [
                subprocess.Popen(
                    ["kubectl", "-n", NAMESPACE, "port-forward", "deployment/freshet-kafka", "29092:29092"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            ]
            running[0].wait()

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        kubectl.until("kubectl port-forward to Kafka", 30, _open_here)
        yield
    finally:
        stop.set()
        for forward in running:
            forward.terminate()
        thread.join(10)


def _open_here() -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", 29092), 1):
        return True
    return False


@contextlib.contextmanager
def delivering() -> Iterator[dict[str, Posted]]:
    """Both KafkaSources at work, in a thread; what each has posted so far."""
    sources = [Source(*EVENTS), Source(*ITEMS)]
    stop = threading.Event()
    failed: list[BaseException] = []

    async def work() -> None:
        async with contextlib.AsyncExitStack() as held:
            for source in sources:
                await held.enter_async_context(source.running())
            while not stop.is_set():
                await asyncio.sleep(0.05)

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    with kafka_forwarded():
        thread.start()
        try:
            yield {source.topic: source.posted for source in sources}
        finally:
            stop.set()
            thread.join(60)
            if failed:
                raise kubectl.ClusterError(f"the source stopped: {failed[0]!r}")


def post_events(ingest: Caller, count: int, prefix: str) -> Counter[str]:
    """Post events in small batches; how many each user has."""
    chosen = random.Random(count)
    sent: Counter[str] = Counter()
    batch: list[dict[str, Any]] = []
    for number in range(count):
        user = f"{prefix}-{chosen.randrange(_USERS)}"
        sent[user] += 1
        batch.append({"user_id": user, "event_type": "view", "item_id": f"item-{chosen.randrange(300)}"})
        if len(batch) == 20 or number == count - 1:
            answer = ingest.ask("POST", "/events", batch)
            if answer.status_code != 202 or answer.json()["accepted"] != len(batch):
                raise kubectl.ClusterError(f"ingest: {answer.status_code} {answer.text[:300]}")
            batch = []
    return sent


def post_items(ingest: Caller, count: int) -> None:
    """A small catalogue."""
    items = [
        {"item_id": f"item-{n}", "title": f"Item {n}", "categories": [f"Shelf {n % 7}"], "price": 1 + n % 9}
        for n in range(count)
    ]
    for start in range(0, count, 100):
        answer = ingest.ask("POST", "/items", items[start : start + 100])
        if answer.status_code != 202:
            raise kubectl.ClusterError(f"ingest: {answer.status_code} {answer.text[:300]}")


def counted(recommender: Caller, user: str) -> int:
    """Events in a profile; 0 where there is none."""
    answer = recommender.ask("GET", f"/users/{user}/profile")
    return int(answer.json()["events"]) if answer.status_code == 200 else 0


def wait_until_applied(recommender: Caller, sent: Counter[str]) -> None:
    """Wait until every event is in; then none may be there twice. Raises ClusterError."""
    waiting = dict(sent)

    def look() -> bool:
        for user, count in list(waiting.items()):
            found = counted(recommender, user)
            if found > count:
                raise kubectl.ClusterError(f"{user}: {found} events in the profile, {count} were posted")
            if found == count:
                del waiting[user]
        return not waiting

    kubectl.until("all events in the profiles", _APPLIED_TIMEOUT_S, look)
    twice = {user: found for user in sent if (found := counted(recommender, user)) != sent[user]}
    if twice:
        raise kubectl.ClusterError(f"counted more than once: {twice}")


def by_push(runs: int) -> None:
    """Wakes of the profiler for posted records, and a heap of them with redelivery."""
    ingest, recommender = Caller("ingest"), Caller("recommender")
    times_s = []
    wait_for_none("ingest", "recommender")  # pods that end hold their share of a small node
    for run in range(runs):
        wait_for_none("profiler")
        counted(recommender, "nobody")  # awake, so that only the profiler has to start
        sent = post_events(ingest, 1, f"push{run}")
        with delivering() as posted:
            wait_until_applied(recommender, sent)
            times_s.append(time.monotonic() - (posted[EVENTS[0]].began_s or 0))
        say(f"push: the waiting event is in after {times_s[-1]:.2f} s")
    print_times("push_wake", times_s, of="first POST at zero pods → event in the profile")
    wait_for_none("profiler")
    sent = post_events(ingest, _EVENTS, "pushed")
    if pods("profiler"):
        raise kubectl.ClusterError("the profiler was not at zero")
    began_s = time.monotonic()
    with delivering() as posted:
        wait_until_applied(recommender, sent)
        took_s = time.monotonic() - began_s
    done = posted[EVENTS[0]]
    print_line(
        "push_exactly_once",
        value=sum(sent.values()),
        unit="events once",
        users=len(sent),
        posted_again=done.repeated,
        refused_and_retried=done.refused,
        took_s=round(took_s, 1),
    )


def given_up() -> None:
    """A record that no KafkaSource will post again: the next one of its partition brings it in."""
    ingest, recommender = Caller("ingest"), Caller("recommender")
    sent = post_events(ingest, 1, "given-up")
    with kafka_forwarded():
        asyncio.run(asyncio.wait_for(give_up_on_one(*EVENTS[:2]), 60))
    user = next(iter(sent))
    answer = ingest.ask("POST", "/events", {"user_id": user, "event_type": "view", "item_id": "item-1"})
    if answer.status_code != 202:
        raise kubectl.ClusterError(f"ingest: {answer.status_code} {answer.text[:300]}")
    sent[user] += 1
    with delivering() as posted:
        wait_until_applied(recommender, sent)
        records = posted[EVENTS[0]].records
    if records > 1:
        raise kubectl.ClusterError(f"{records} records were posted, the first should have been given up")
    print_line("push_given_up", value=2, unit="events once", of="1 posted, the one before it given up on")


def by_pull(runs: int) -> None:
    """Wakes of the Deployment by KEDA, on the lag of a real group, and a heap of events."""
    ingest, recommender = Caller("ingest"), Caller("recommender")
    scaled_s, applied_s, down_s = [], [], []
    for run in range(runs + 1):
        last = run == runs
        down_s.append(_wait_for_no_replicas())
        counted(recommender, "nobody")
        with replica_changes() as changes:
            sent = post_events(ingest, _EVENTS if last else 1, f"pull{run}")
            began_s = time.monotonic()
            wait_until_applied(recommender, sent)
            applied_s.append(time.monotonic() - began_s)
        scaled_s.append(next(at for at, count in changes if count > 0 and at > began_s - 1) - began_s)
        say(f"pull: 0 → 1 after {scaled_s[-1]:.2f} s, in after {applied_s[-1]:.2f} s")
    print_times("keda_scales", scaled_s[:runs], of="202 → replicas 1; looks every 5 s")
    beyond = [whole - seen for whole, seen in zip(applied_s, scaled_s, strict=True)]
    print_times("pull_wake", beyond[:runs], of="replicas 1 → event in the profile")
    print_times("pull_whole", applied_s[:runs], of="202 at zero pods → event in the profile")
    print_line(
        "pull_exactly_once", value=_EVENTS, unit="events once", users=_USERS, took_s=round(applied_s[-1], 1)
    )
    down_s.append(_wait_for_no_replicas())
    print_times("keda_to_zero", down_s[1:], of=f"applied → no pod left; cooldownPeriod {site.COOLDOWN_S} s")


def _wait_for_no_replicas() -> float:
    began_s = time.monotonic()

    def none() -> bool:
        found = kubectl.read("-n", NAMESPACE, "pods", "-l", "app.kubernetes.io/name=profiler")
        return not found["items"]

    kubectl.until("the profiler's Deployment at zero", 180, none, poll_s=0.5)
    return time.monotonic() - began_s


@contextlib.contextmanager
def replica_changes() -> Iterator[list[tuple[float, int]]]:
    """(monotonic time, replicas asked for) of the Deployment, as the API server tells it."""
    watching = subprocess.Popen(
        [
            *("kubectl", "-n", NAMESPACE, "get", "deployment", "profiler", "--watch"),
            *("-o", 'jsonpath={.spec.replicas}{"\\n"}'),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    changes: list[tuple[float, int]] = []

    def read() -> None:
        assert watching.stdout is not None
        for line in watching.stdout:
            if line.strip():
                changes.append((time.monotonic(), int(line)))  # noqa: PERF401 - read while it grows

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield changes
    finally:
        watching.terminate()
        watching.wait(10)
        thread.join(10)
