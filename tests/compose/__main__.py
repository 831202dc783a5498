"""`make test-compose`: the whole instruction of the README in a real engine, and what must survive.

1. `docker compose up --build --wait`; the README's calls.
2. An event posted is in the next answer; ids arrive as they were sent; strangers are turned away.
   The shop's pages are served, a click in them changes the list over the stream, /pipeline sees each service.
3. No container is root, writes to its image, or has an installer.
4. A second `up` changes nothing.
5. One container after another is killed (SIGKILL) while somebody posts: acknowledged means counted once.
6. Stopped and started again, with keys this time: all is there, and nobody gets in without a key, but for the
   shop's pages, which ask for one.
7. Prometheus, where its image is to be had, sees every service and has the alerts, of which none fires; its
   promtool runs them on the hours made up for them. Every expression of the dashboards answers under load.
Taken down at the end, whatever happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from typing import Any

from services.kernel.settings import LogSettings
from services.log.open import open_log
from services.log.protocol import Topic
from tests.compose import chromium, dashboards, page
from tests.compose.images import SERVICES, VERSION, size_over_base
from tests.compose.posting import Poster
from tests.compose.stack import ROOT, Stack, StepError, check, docker, note, step, wait_until
from tests.unit.monitoring import ALERTS, alerts, rules

_OURS = ("ingest", "profiler", "recommender", "gateway")
_KILLED = ("profiler", "recommender", "ingest", "gateway", "valkey", "kafka")
_PROMETHEUS = "prom/prometheus:v3.5.0"
# What an answer may be while a service is away; everything else would be a fault.
_ALLOWED = {"gateway": {0}, "ingest": {502, 503, 504}, "kafka": {503}}


def readme_calls(stack: Stack) -> None:
    """The three calls of the README, as they stand there but for the port."""
    start = (ROOT / "README.md").read_text().partition("## Start")[2].partition("\n## ")[0]
    lines = re.findall(r"^ *(curl .*localhost:8080.*)$", start, re.MULTILINE)
    check(len(lines) == 3, f"Start of README.md has {len(lines)} calls of localhost:8080")
    answers = []
    for line in lines:
        here = line.replace("localhost:8080", f"localhost:{stack.ports['GATEWAY_PORT']}")
        told = subprocess.run(
            ["bash", "-c", f"{here} -sS --fail-with-body"], capture_output=True, text=True, check=False
        )
        check(told.returncode == 0, f"{here}: {told.stdout} {told.stderr}", *_OURS)
        answers.append(json.loads(told.stdout))
    check(answers[0]["accepted"] == 1, f"posted: {answers[0]}")
    wait_until("the profile", lambda: stack.get("/users/ada/profile")["events"] >= 1, "profiler")
    check(len(answers[2]["items"]) == 5, f"recommended: {answers[2]}", "recommender")


def fresh_answers(stack: Stack) -> None:
    """What was posted is in the answer that asks for it."""
    for number in range(5):
        event = {"user_id": "u_fresh", "event_type": "view", "item_id": f"p_{number}"}
        status, posted = stack.call("POST", "/events", event)
        check(status == 202, f"POST /events: {status} {posted}", "ingest")
        position = posted["positions"][0]
        wait_until(
            f"position {position} in an answer",
            lambda at=position: stack.get(f"/recommend/u_fresh?n=3&after={at}")["fresh"],
            "profiler",
        )
        seen = stack.get("/recommend/u_fresh?n=3")["profile_events"]
        check(seen == number + 1, f"{seen} events after {number + 1}", "profiler")


def through_the_gateway(stack: Stack) -> None:
    """Raw paths, streams, both descriptions, and strangers."""
    item = "/items/gid%3A%2F%2Fshopify%2FProduct%2F1"
    check(stack.call("PUT", item, {"title": "one"})[0] == 202, f"PUT {item}", "gateway", "ingest")
    wait_until("the item", lambda: stack.call("GET", item)[0] == 200, "gateway", "recommender")
    check(stack.get(item)["item_id"] == "gid://shopify/Product/1", f"{item}: {stack.get(item)}")
    check(stack.call("DELETE", item)[0] == 202, f"DELETE {item}", "gateway", "ingest")
    with urllib.request.urlopen(f"{stack.url}/recommend/u_fresh/stream?n=1", timeout=10) as stream:
        lines = [stream.readline() for _ in range(4)]
    check(any(line.startswith(b"data: ") for line in lines), f"stream: {lines!r}", "gateway", "recommender")
    check("/events" in stack.get("/openapi/ingest.json")["paths"], "openapi of ingest", "gateway")
    whole = stack.get("/openapi.json")["paths"]
    check({"/events", "/recommend"} <= set(whole), "openapi of both", "gateway")
    check(
        "/recommend" in stack.get("/openapi/recommender.json")["paths"],
        "openapi of the recommender",
        "gateway",
    )
    for header in ({"Host": "shop.example"}, {"Origin": "https://shop.example"}):
        status, body = stack.call("GET", "/recommend", headers=header)
        check(status == 403, f"{header}: {status} {body}", "gateway")
    status, body = stack.call("POST", "/events", {"user_id": "x" * (1 << 20)})
    check((status, body["code"]) == (413, "body_too_large"), f"a large body: {status} {body}", "gateway")


def shop_page(stack: Stack, timings: dict[str, float]) -> None:
    """The demo shop, for whoever is let in at this moment."""
    keys = ", with keys" if stack.keys else ""
    with step(f"the shop's pages{keys}", timings):
        count = page.served(stack)
        page.metered(stack)
        page.described(stack)
        page.clicked(stack)
        program = chromium.installed()
        if program is not None:
            chromium.clicked(stack, program)
    note(f"          {count} files as `freshet run` has them")


def from_this_machine(stack: Stack) -> None:
    """Kafka's other listener."""

    async def held() -> int:
        log = open_log(LogSettings(log_url=f"kafka://localhost:{stack.ports['KAFKA_PORT']}"))
        try:
            return sum(bound.end for bound in (await log.bounds(Topic.EVENTS)).values())
        finally:
            await log.close()

    count = asyncio.run(held())
    check(count > 30_000, f"{count} events on the log as seen from outside", "kafka", "setup")


def locked_down(stack: Stack) -> None:
    """What the engine grants, and what that comes to inside."""
    for service in (*_OURS, "valkey"):
        host: dict[str, Any] = stack.inspect(service)["HostConfig"]
        check(host["ReadonlyRootfs"], f"{service}: its root file system may be written")
        check(host["CapDrop"] == ["ALL"], f"{service}: {host['CapDrop']} dropped")
        check("no-new-privileges:true" in host["SecurityOpt"], f"{service}: {host['SecurityOpt']}")
        check(host["Memory"] > 0, f"{service}: no memory limit")
    for service in _OURS:
        check(stack.inside(service, "id", "-u")[1].strip() == "65532", f"{service} runs as another user")
        check(stack.inside(service, "touch", "/opt/x")[0] != 0, f"{service} can write to /opt")
        for tool in ("pip", "gcc", "cc", "uv"):
            check(stack.inside(service, "sh", "-c", f"command -v {tool}")[0] != 0, f"{service} has {tool}")
        check(stack.inside(service, "python3", "-m", "pip", "--version")[0] != 0, f"{service} has pip")
    for service in ("ingest", "profiler"):
        check(stack.inside(service, "python", "-c", "import onnxruntime")[0] != 0, f"{service}: onnxruntime")


def killed(stack: Stack, poster: Poster, service: str) -> float:
    """Kill, look at the answers meanwhile, wait for health and for everything acknowledged.

    Answers how long the service was not healthy, s.
    """
    refusals = poster.refusals.copy()
    poster.start()
    began_at = stack.inspect(service)["State"]["StartedAt"]
    by_policy = stack.kill(service)
    during, _ = stack.call("GET", "/recommend/poster_0?n=3")
    away = service in ("gateway", "recommender")
    check(
        during in ({200, 502, 0} if away else {200}), f"without {service}, GET /recommend is {during}", *_OURS
    )
    if not by_policy:
        docker("start", stack.container(service))

    def is_back() -> bool:
        return stack.inspect(service)["State"]["StartedAt"] != began_at and stack.is_healthy(service)

    away_s = wait_until(f"{service} is healthy again", is_back, service)
    wait_until("the gateway is ready", lambda: stack.call("GET", "/readyz")[0] == 200, *_OURS)
    poster.stop()
    poster.verify()
    unexpected = {status for status, _ in (poster.refusals - refusals).items()} - _ALLOWED.get(service, set())
    check(not unexpected, f"without {service}, POST /events answered {unexpected}", "gateway", "ingest")
    return away_s


def kept(stack: Stack) -> dict[str, int]:
    """Events in some profiles of the demo shop, and the items there are."""
    users = [f"u_{number}" for number in range(1, 40)]
    found = {user: stack.get(f"/users/{user}/profile")["events"] for user in users}
    return {**found, "items": stack.get("/items?limit=1")["total"]}


def with_keys(stack: Stack) -> None:
    """Nobody without one; with one from anywhere."""
    with_key, stack.keys = stack.keys, ""
    check(stack.call("GET", "/recommend")[0] == 401, "GET /recommend without a key is let in", "recommender")
    check(stack.call("POST", "/events", {})[0] == 401, "POST /events without a key is let in", "ingest")
    stack.keys = with_key
    check(
        stack.call("GET", "/recommend", headers={"Host": "shop.example"})[0] == 200, "with a key", "gateway"
    )


def monitored(stack: Stack) -> None:
    """Every instance is asked, with the key; the dashboards' expressions parse; alerts do what they say."""
    stack.compose("--profile", "monitoring", "up", "--detach", "--no-deps", "--wait", "prometheus")
    address = f"http://localhost:{stack.ports['PROMETHEUS_PORT']}/api/v1/targets"

    def up() -> set[str]:
        with urllib.request.urlopen(address, timeout=10) as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}

    wait_until("Prometheus sees them", lambda: up() == {"ingest", "profiler", "recommender"}, "prometheus")
    with urllib.request.urlopen(address.replace("targets", "rules"), timeout=10) as answer:
        loaded = {rule["name"] for group in json.load(answer)["data"]["groups"] for rule in group["rules"]}
    check(loaded == {rule["alert"] for rule in alerts()}, f"Prometheus has the rules {loaded}", "prometheus")
    promtool("check", "rules", told=rules())
    promtool("test", "rules", f"/rules/{ALERTS.stem}_test.yml")


def woken(stack: Stack) -> None:
    """A profiler that starts while an event waits for it: what the panels of cold starts are for."""
    stack.compose("stop", "profiler")
    status, posted = stack.call(
        "POST", "/events", {"user_id": "u_woke", "event_type": "view", "item_id": "p_1"}
    )
    check(status == 202, f"POST /events: {status} {posted}", "ingest")
    program = chromium.installed()
    if program is not None:
        chromium.one_is_away(stack, program, "profiler")
    stack.compose("start", "profiler")
    for name in ('freshet_start_seconds{service="profiler",step="work"}', "first_event_wait_seconds "):
        wait_until(name, lambda name=name: name in str(stack.call("GET", "/metrics/profiler")[1]), "profiler")


def promtool(*words: str, told: str = "") -> None:
    """Prometheus' own tool, with `told` on its standard input and the rules' folder at /rules."""
    mounted = f"{ALERTS.parent}:/rules:ro"
    ran = subprocess.run(
        ["docker", "run", "--rm", "-i", "-v", mounted, "--entrypoint", "promtool", _PROMETHEUS, *words],
        input=told,
        capture_output=True,
        text=True,
        check=False,
    )
    check(ran.returncode == 0, f"promtool: {ran.stdout} {ran.stderr}")


def run(stack: Stack, timings: dict[str, float]) -> None:
    """All of it."""
    with step("build, up --wait", timings):  # 1
        stack.up("--build")
    with step("the calls of the README", timings):
        readme_calls(stack)
    with step("posted, then asked", timings):  # 2
        fresh_answers(stack)
    with step("through the gateway", timings):
        through_the_gateway(stack)
        from_this_machine(stack)
    shop_page(stack, timings)
    with step("read-only, no root, no rights, no installer", timings):  # 3
        locked_down(stack)
    before = kept(stack)
    with step("up --wait again", timings):  # 4
        stack.up()
        check(kept(stack) == before, f"another `up` changed {before} to {kept(stack)}", "setup", "profiler")
    poster = Poster(stack)
    for service in _KILLED:  # 5
        with step(f"{service} killed while somebody posts", timings):
            away_s = killed(stack, poster, service)
        total = poster.acknowledged.total()
        note(f"          healthy after {away_s:.1f} s; {total} acknowledged so far, all counted once")
    with step("stop, up --wait with keys", timings):  # 6
        stack.compose("stop")
        stack.keys = "first-key,second-key"
        stack.up()
        with_keys(stack)
        poster.verify()
        check(kept(stack) == before, f"{before} became {kept(stack)}", "profiler", "valkey")
    shop_page(stack, timings)
    if subprocess.run(
        ["docker", "image", "inspect", _PROMETHEUS], capture_output=True, check=False
    ).returncode:
        note(f"          {_PROMETHEUS} is not here: monitoring is left out")
    else:
        with step("Prometheus", timings):  # 7
            monitored(stack)
        with step("dashboards", timings):
            woken(stack)
            dashboards.panels_answer(stack)
            dashboards.nothing_fires(stack)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave it up, to look at")
    arguments = parser.parse_args()
    stack, timings = Stack(), dict[str, float]()
    try:
        stack.down()  # what a killed run left
        run(stack, timings)
    except (StepError, subprocess.SubprocessError, OSError, KeyboardInterrupt) as error:
        stack.report(error)
        return 1
    finally:
        if not arguments.keep:
            stack.down()
    for name, took_s in timings.items():
        sys.stdout.write(json.dumps({"name": name, "value": round(took_s, 1), "unit": "s"}) + "\n")
    for service in SERVICES[:5]:
        size = size_over_base(f"freshet-{service}:{VERSION}")
        files_mb, gzipped_mb = size.files / 1e6, size.travelling / 1e6
        note(f"freshet-{service}: {files_mb:.1f} MB over its base, {gzipped_mb:.1f} MB gzipped")
    note("all of it held")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
