"""One trace from a posted event to the answer that it has changed, as a collector gets it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from redis import Redis

from services.kernel.position import Position
from tests.e2e.running import WAIT_S, FreshetProcess, eventually
from tests.e2e.traced_services import Urls, three_services
from tests.otlp import Collector, Seen, collector
from tests.processes import scratch_directory
from tests.servers import KafkaBroker, ValkeyServer

ANNOUNCED = "publish profile change"
# No span may hold any of these.
USER, ITEM, NOTE = "user-nobody-may-see", "item-nobody-may-see", "note-nobody-may-see"


class Context(NamedTuple):
    """Somebody who calls, and has a span of their own around the call."""

    trace: str
    span: str

    @classmethod
    def new(cls) -> Context:
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    def headers(self, flags: str = "01") -> dict[str, str]:
        return {"traceparent": f"00-{self.trace}-{self.span}-{flags}"}


class Site(NamedTuple):
    """A running Freshet that tells `collector` what it does."""

    http: httpx.Client
    urls: Urls
    collector: Collector
    names: dict[str, str]  # the name of each service in its spans
    topic: str
    store: Redis

    def post(self, events: Any, headers: dict[str, str], path: str = "/events") -> httpx.Response:
        answer = self.http.post(self.urls.ingest + path, json=events, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer

    def traced(self, trace: str, *names: str) -> dict[str, Seen]:
        """The spans of a trace by name, once those named are there."""
        found = eventually(
            lambda: {span.name: span for span in self.collector.spans(trace)},
            lambda spans: set(names) <= spans.keys(),
        )
        assert isinstance(found, dict)
        return found


@contextmanager
def in_one_process(valkey: ValkeyServer, namespace: str) -> Iterator[Site]:
    with collector() as receiver, scratch_directory("traces") as directory:
        variables = {
            **receiver.environment,
            "FRESHET_LOG_URL": valkey.url,
            "FRESHET_STORE_URL": valkey.url,
            "FRESHET_NAMESPACE": namespace,
        }
        with (
            FreshetProcess(Path(directory), ["--empty"], variables) as process,
            client() as http,
            store_at(valkey) as store,
        ):
            process.start()
            names = dict.fromkeys(("ingest", "profiler", "recommender"), "freshet")
            urls, topic = Urls(process.url, process.url), f"{namespace}.events.g1"
            yield Site(http, urls, receiver, names, topic, store)


@contextmanager
def in_three_processes(kafka: KafkaBroker, valkey: ValkeyServer, namespace: str) -> Iterator[Site]:
    with collector() as receiver:
        variables = {
            **receiver.environment,
            "FRESHET_LOG_URL": kafka.url,
            "FRESHET_STORE_URL": valkey.url,
            "FRESHET_NAMESPACE": namespace,
        }
        with three_services(variables) as urls, client() as http, store_at(valkey) as store:
            names = {name: f"freshet-{name}" for name in ("ingest", "profiler", "recommender")}
            yield Site(http, urls, receiver, names, f"{namespace}.events.g1", store)


def store_at(valkey: ValkeyServer) -> Redis:
    return Redis(host=valkey.host, port=valkey.port)


def listeners(site: Site, channel: str) -> int:
    counted: list[Any] = site.store.execute_command("PUBSUB", "SHARDNUMSUB", channel)  # type: ignore[no-untyped-call]
    return int(counted[1])


def client() -> httpx.Client:
    return httpx.Client(timeout=WAIT_S)


@pytest.fixture(scope="module", params=["valkey", "kafka"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The embedded log in one process; Kafka with a process a service."""
    namespace = f"t{secrets.token_hex(6)}"
    valkey: ValkeyServer = request.getfixturevalue("valkey")
    made = (
        in_one_process(valkey, namespace)
        if request.param == "valkey"
        else in_three_processes(request.getfixturevalue("kafka"), valkey, namespace)
    )
    with made as found:
        found.post([{"item_id": ITEM, "title": "A thing"}], {}, "/items")
        eventually(
            lambda: found.http.get(f"{found.urls.recommender}/items").json()["items"], lambda items: items
        )
        yield found


def event(**more: Any) -> dict[str, Any]:
    return {"user_id": USER, "event_type": "view", "item_id": ITEM, "properties": {"note": NOTE}, **more}


def lists_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data: ") and "items" in line:
            yield json.loads(line.removeprefix("data: "))


def test_one_trace_from_the_post_to_the_streamed_answer(site: Site) -> None:
    poster, listener = Context.new(), Context.new()
    stream_url = f"{site.urls.recommender}/recommend/{USER}/stream?scenario=recently_viewed"
    with site.http.stream("GET", stream_url, headers=listener.headers()) as stream:
        lists = lists_of(stream.iter_lines())
        next(lists)
        with client() as other:
            posted = other.post(f"{site.urls.ingest}/events", json=event(), headers=poster.headers())
        position = posted.json()["positions"][0]
        assert next(lists)["items"][0]["item_id"] == ITEM
    names = (
        "POST /events",
        f"send {site.topic}",
        f"process {site.topic}",
        ANNOUNCED,
        "answer",
    )
    spans = site.traced(poster.trace, *names, "rank", "EVALSHA profile_write")
    post, send, process, publish, answer = (spans[name] for name in names)

    assert [post.parent, send.parent, process.parent, publish.parent, answer.parent] == [
        poster.span, post.id, send.id, process.id, publish.id,
    ]  # fmt: skip
    kinds = [one.kind for one in (post, send, process, publish, answer)]
    assert kinds == ["SERVER", "PRODUCER", "CONSUMER", "PRODUCER", "CONSUMER"]
    told = [one.service for one in (post, send, process, publish, answer)]
    services = ("ingest", "ingest", "profiler", "profiler", "recommender")
    assert told == [site.names[service] for service in services]
    for call in ("MGET profiles", "EVALSHA aggregate_write", "EVALSHA profile_write"):
        assert (spans[call].parent, spans[call].kind) == (process.id, "CLIENT")
        assert process.began_ns <= spans[call].began_ns <= spans[call].ended_ns <= process.ended_ns
    assert spans["rank"].parent == answer.id
    assert not any(one.failed for one in spans.values())
    # The stream is a trace of its own: one stream, many events.
    stream_span = site.traced(listener.trace, "GET /recommend/{user_id}/stream")
    assert answer.links == ((listener.trace, stream_span["GET /recommend/{user_id}/stream"].id),)

    assert post.attributes["http.request.method"] == "POST"
    assert post.attributes["http.route"] == "/events"
    assert post.attributes["http.response.status_code"] == 202
    system = "kafka" if site.names["ingest"] == "freshet-ingest" else "redis"
    for one in (send, process):
        assert one.attributes["messaging.system"] == system
        assert one.attributes["messaging.destination.name"] == site.topic
        assert one.attributes["freshet.position"] == position
    assert process.attributes["messaging.consumer.group.name"].endswith(".profiler")
    assert process.attributes["freshet.outcome"] == "applied"
    assert spans["EVALSHA profile_write"].attributes["db.system.name"] == "redis"
    assert answer.attributes["freshet.scenario"] == "recently_viewed"
    assert answer.attributes["freshet.position"] == position


def test_an_answer_asked_for_after_an_event_tells_its_position(site: Site) -> None:
    """A GET is a trace of its own, the caller's: the two meet in the position."""
    poster, asker = Context.new(), Context.new()
    position = site.post(event(), poster.headers()).json()["positions"][0]
    path = f"/recommend/{USER}?after={position}"
    assert site.http.get(site.urls.recommender + path, headers=asker.headers()).json()["fresh"]
    spans = site.traced(asker.trace, "GET /recommend/{user_id}", "store", "rank")
    answered = spans["GET /recommend/{user_id}"]
    assert answered.parent == asker.span
    assert answered.attributes["freshet.after"] == position
    assert {"freshet.strategy", "freshet.items", "http.route"} <= answered.attributes.keys()
    assert "url.path" not in answered.attributes
    send = site.traced(poster.trace, f"send {site.topic}")[f"send {site.topic}"]
    assert send.attributes["freshet.position"] == position


def test_an_answer_that_waited_for_an_event_has_a_link_to_it(site: Site) -> None:
    """Where it heard of the change; it may have seen the profile a moment before that was announced."""
    waiting = f"{USER}-waiting"
    channel = f"{site.topic.partition('.')[0]}:c:{waiting}"

    def linked() -> bool:
        poster, asker = Context.new(), Context.new()
        first = Position.parse(site.post(event(user_id=waiting), {}).json()["positions"][0])
        url = f"{site.urls.recommender}/recommend/{waiting}?after={first._replace(offset=first.offset + 1)}"
        with ThreadPoolExecutor(1) as beside, client() as http:
            asking = beside.submit(http.get, url, headers=asker.headers())
            eventually(lambda: listeners(site, channel), bool)
            site.post(event(user_id=waiting), poster.headers())
            assert asking.result().json()["fresh"]
        answered = site.traced(asker.trace, "GET /recommend/{user_id}")["GET /recommend/{user_id}"]
        assert {trace for trace, _ in answered.links} <= {poster.trace}
        return bool(answered.links)

    eventually(linked, bool)


def test_events_of_a_request_share_its_trace(site: Site) -> None:
    """Also those of other vendors' clients, and a repetition is told as one."""
    batch, segment, ga4 = Context.new(), Context.new(), Context.new()
    site.post([event(event_id="twice"), event(event_id="twice"), event()], batch.headers())
    call = {"userId": USER, "event": "Product Viewed", "properties": {"product_id": ITEM}}
    site.post(call, segment.headers(), "/v1/track")
    collected = {"user_id": USER, "events": [{"name": "view_item", "params": {"items": [{"item_id": ITEM}]}}]}
    site.post(collected, ga4.headers(), "/mp/collect?measurement_id=G-1&api_secret=none")
    name = f"process {site.topic}"

    def processed() -> list[Seen]:
        return [span for span in site.collector.spans(batch.trace) if span.name == name]

    spans = eventually(processed, lambda found: len(found) == 3)
    assert sorted(span.attributes["freshet.outcome"] for span in spans) == ["applied", "applied", "duplicate"]
    sent = site.traced(batch.trace, f"send {site.topic}")[f"send {site.topic}"]
    assert sent.attributes["messaging.batch.message_count"] == 3
    assert {span.parent for span in spans} == {sent.id}
    for context, route in ((segment, "POST /v1/track"), (ga4, "POST /mp/collect")):
        seen = site.traced(context.trace, route, f"send {site.topic}", name)
        assert seen[route].parent == context.span
        assert seen[name].parent == seen[f"send {site.topic}"].id


def test_what_is_not_sampled_leaves_nothing(site: Site) -> None:
    unseen, seen = Context.new(), Context.new()
    site.post(event(), unseen.headers(flags="00"))
    site.http.get(f"{site.urls.ingest}/healthz", headers=unseen.headers())
    site.post(event(), seen.headers())
    site.traced(seen.trace, f"process {site.topic}")  # of the same user: that of the other would be here too
    assert site.collector.spans(unseen.trace) == []


def test_no_span_holds_an_id_or_a_piece_of_an_event(site: Site) -> None:
    """After the tests above, of which each has posted and asked with all three."""
    context = Context.new()
    site.http.delete(f"{site.urls.ingest}/users/{USER}", headers=context.headers()).raise_for_status()
    site.traced(context.trace, "DELETE /users/{user_id}", f"send {site.topic}", f"process {site.topic}")
    assert site.collector.payloads
    for payload in site.collector.payloads:
        for secret in (USER, ITEM, NOTE):
            assert secret.encode() not in payload
