"""A revision that never serves must not cost a request; a good one takes its share by tag and percent."""

from __future__ import annotations

import copy
import json
import time
from collections import Counter
from typing import Any

import httpx

from tests.cluster import kubectl, site
from tests.cluster.callers import Caller, asking
from tests.cluster.figures import print_line, say
from tests.cluster.wakes import wait_until_ready
from tests.deploy.check import NAMESPACE
from tests.deploy.documents import Object, is_knative

_EVERY_S = 0.05
_WATCHED_S = 20.0
_PATH = "/recommend/somebody?n=5"
_SERVICE = ("-n", NAMESPACE, "services.serving.knative.dev/recommender")


def recommender() -> Object:
    """The manifest, for this site."""
    return next(
        one for one in site.rendered("push") if is_knative(one) and one["metadata"]["name"] == "recommender"
    )


def _status() -> dict[str, Any]:
    found: dict[str, Any] = kubectl.read(*_SERVICE)["status"]
    return found


def bad_rollouts() -> None:
    """An image that does not exist, and a revision that is never ready, under load. Raises ClusterError."""
    caller = Caller("recommender")
    for title, spoil in (("no such image", _no_such_image), ("never ready", _never_ready)):
        before = _status()["latestReadyRevisionName"]
        wrong = recommender()
        spoil(wrong["spec"]["template"]["spec"]["containers"][0])
        with asking(caller, _PATH, every_s=_EVERY_S) as statuses:
            time.sleep(1)
            kubectl.apply(wrong)
            time.sleep(_WATCHED_S)
            status = _status()
            kubectl.apply(recommender())
            # Its pods would stay until Knative gives it up, ten minutes later.
            kubectl.run("-n", NAMESPACE, "delete", "revision", status["latestCreatedRevisionName"])
            time.sleep(5)
        if status["latestCreatedRevisionName"] == before or status["latestReadyRevisionName"] != before:
            raise kubectl.ClusterError(f"{title}: the wrong revision was not made, or became ready: {status}")
        if set(statuses) != {200}:
            raise kubectl.ClusterError(f"{title}: requests failed during the rollout: {dict(statuses)}")
        ready = next(one for one in status["conditions"] if one["type"] == "Ready")
        print_line(
            "bad_rollout",
            value=0,
            unit="failed requests",
            of=title,
            requests=statuses.total(),
            knative_says=f"{ready['status']} {ready.get('reason', '')}".strip(),
        )
        wait_until_ready("recommender")


def _no_such_image(container: dict[str, Any]) -> None:
    container["image"] += "-that-nobody-built"


def _never_ready(container: dict[str, Any]) -> None:
    container["env"] = [one for one in container["env"] if one["name"] != "FRESHET_STORE_URL"]
    container["env"].append({"name": "FRESHET_STORE_URL", "value": "valkey://nowhere.invalid:6379/0"})


def split() -> None:
    """A candidate by its tag alone, then with a fifth of the traffic, then with all. Raises ClusterError.

    The candidate takes smaller bodies, so that each answer shows who gave it: 413 instead of 200.
    """
    caller = Caller("recommender")
    stable = _status()["latestReadyRevisionName"]
    candidate = copy.deepcopy(recommender())
    env = candidate["spec"]["template"]["spec"]["containers"][0]["env"]
    env.append({"name": "FRESHET_MAX_BODY_BYTES", "value": "1024"})
    candidate["spec"]["traffic"] = _traffic(stable, 0)
    kubectl.apply(candidate)
    kubectl.until("a ready candidate", 60, lambda: _ready_beside(stable))
    wait_until_ready("recommender")
    tagged = f"candidate-{caller.host}"
    _until_answering(caller, tagged)
    kubectl.run(
        "-n",
        NAMESPACE,
        "patch",
        "services.serving.knative.dev/recommender",
        "--type=merge",
        "-p",
        json.dumps({"spec": {"traffic": _traffic(stable, 20)}}),
    )
    wait_until_ready("recommender")
    _until_answering(caller, f"stable-{caller.host}")
    asked = 400
    statuses = Counter(_large(caller).status_code for _ in range(asked))
    say(f"split: {dict(statuses)}")
    # Four standard deviations of a coin with 20 % are 8 %.
    if set(statuses) != {200, 413} or not 0.12 <= statuses[413] / asked <= 0.28:
        raise kubectl.ClusterError(f"split 80/20: {dict(statuses)} of {asked}")
    print_line("traffic_split", value=round(100 * statuses[413] / asked, 1), unit="% of 20", requests=asked)
    kubectl.apply(recommender())
    wait_until_ready("recommender")


def _traffic(stable: str, percent: int) -> list[dict[str, Any]]:
    return [
        {"revisionName": stable, "tag": "stable", "percent": 100 - percent},
        {"latestRevision": True, "tag": "candidate", "percent": percent},
    ]


def _ready_beside(stable: str) -> str:
    name = _status().get("latestReadyRevisionName")
    return str(name) if name and name != stable else ""


def _until_answering(caller: Caller, host: str) -> None:
    """A tag's own address is there shortly after Knative says ready."""
    kubectl.until(host, 30, lambda: caller.ask("GET", _PATH, host=host).status_code == 200)


def _large(caller: Caller, host: str = "") -> httpx.Response:
    """A question of more than a kilobyte."""
    return caller.ask("POST", "/recommend", text='{"user_id": "somebody", "n": 5}' + " " * 2048, host=host)
