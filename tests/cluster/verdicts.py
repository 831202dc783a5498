"""`make check-cluster`: what a real API server, with the webhooks it has, says of every manifest.

1. Render every folder with kubectl's kustomize; the renderer of check-deploy must agree. Create the namespace
   and the service accounts where they are missing: Knative's webhook tries a pod, which needs its account.
2. Apply each object as a server-side dry run, strictly: schema, CEL, defaults, admission webhooks.
3. Apply the pods that each workload would make: the namespace enforces pod security `restricted` on those.
4. Feed wrong variants; each must be refused, or the verdicts above mean nothing.

A line an object on standard error, one JSON object on standard output. What step 1 created is deleted.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.cluster import kubectl
from tests.deploy.against_kubectl import by_kubectl, differences, folders
from tests.deploy.check import NAMESPACE
from tests.deploy.documents import Object, name_of, pods_of

_KPA = "autoscaling.knative.dev/"


def _template(obj: Object) -> dict[str, Any]:
    made: dict[str, Any] = obj["spec"]["template"]
    return made


def _note(obj: Object, name: str, value: str) -> None:
    _template(obj)["metadata"]["annotations"][_KPA + name] = value


# (what is wrong, which object of which folder, how) - each refused by another part of the cluster
WRONG: list[tuple[str, str, str, Callable[[Object], Any]]] = [
    ("unknown field", "push", "Service/recommender", lambda o: _template(o)["spec"].update(concurency=1)),
    (
        "field behind a flag",
        "push",
        "Service/ingest",
        lambda o: _template(o)["spec"].update(nodeSelector={"a": "b"}),
    ),
    ("window of 1 s", "push", "Service/ingest", lambda o: _note(o, "window", "1s")),
    ("max below min", "push", "Service/recommender", lambda o: _note(o, "min-scale", "11")),
    ("metric of no autoscaler", "push", "Service/recommender", lambda o: _note(o, "metric", "latency")),
    (
        "annotation on the Service",
        "push",
        "Service/ingest",
        lambda o: o["metadata"].update(annotations={_KPA + "min-scale": "1"}),
    ),
    (
        "timeout of an hour",
        "push",
        "Service/recommender",
        lambda o: _template(o)["spec"].update(timeoutSeconds=3600),
    ),
    ("source without topics", "push", "KafkaSource/freshet-events", lambda o: o["spec"].pop("topics")),
    ("sink without brokers", "push", "KafkaSink/freshet-dead", lambda o: o["spec"].pop("bootstrapServers")),
    (
        "max replicas below min",
        "pull",
        "ScaledObject/profiler",
        lambda o: o["spec"].update(minReplicaCount=9),
    ),
    ("a trigger's number", "pull", "ScaledObject/profiler", lambda o: _metadata(o).update(lagThreshold=5)),
    (
        "selector that misses its pods",
        "pull",
        "Deployment/profiler",
        lambda o: _template(o)["metadata"].pop("labels"),
    ),
    ("role of no node", "infrastructure", "KafkaNodePool/node", lambda o: o["spec"].update(roles=["brokr"])),
    (
        "schedule of no day",
        "trainer",
        "CronJob/freshet-trainer",
        lambda o: o["spec"].update(schedule="10 3 * *"),
    ),
]


def _metadata(obj: Object) -> dict[str, Any]:
    made: dict[str, Any] = obj["spec"]["triggers"][0]["metadata"]
    return made


def pod_of(obj: Object) -> Object | None:
    """One of the pods that a workload makes, as an object of its own."""
    pods = pods_of(obj)
    if pods is None:
        return None
    spec = {
        key: value
        for key, value in pods.spec.items()
        if key not in {"timeoutSeconds", "containerConcurrency"}
    }
    spec = copy.deepcopy(spec)
    for container in spec["containers"]:
        # Knative fills in the port that a plain pod must name
        for probe in ("readinessProbe", "livenessProbe"):
            if (http := (container.get(probe) or {}).get("httpGet")) is not None:
                http.setdefault("port", 8080)
        claims = [one for one in container.get("volumeMounts") or [] if one["name"] == "data"]
        if claims and obj["kind"] == "StatefulSet":
            spec.setdefault("volumes", []).append({"name": "data", "emptyDir": {}})
    labels = {key: value for key, value in pods.labels.items() if not key.startswith("serving.knative.dev/")}
    name = f"check-{obj['metadata']['name']}"
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


Rendered = dict[str, dict[str, Object]]  # folder, `Kind/name`


class Tally:
    """Counts verdicts and says each."""

    def __init__(self, without: list[str]) -> None:
        self.taken = self.refused = self.bad = 0
        self.unknown: list[str] = []
        self._without = without

    def must_be_taken(self, title: str, obj: Object) -> None:
        """The server has to accept it."""
        said = kubectl.dry_run(obj)
        if "no matches for kind" in said and obj["apiVersion"].partition("/")[0] in self._without:
            self.unknown.append(title)
            self._say("absent", title, "this cluster does not know the kind")
        elif said:
            self.bad += 1
            self._say("REFUSED", title, said)
        else:
            self.taken += 1
            self._say("taken", title, "")

    def must_be_refused(self, title: str, obj: Object) -> None:
        """The server has to refuse it, and not because it knows nothing of the kind."""
        said = kubectl.dry_run(obj)
        if "no matches for kind" in said and obj["apiVersion"].partition("/")[0] in self._without:
            self.unknown.append(title)
        elif said and "no matches for kind" not in said:
            self.refused += 1
            self._say("refused", title, said.splitlines()[-1][:160])
        else:
            self.bad += 1
            self._say("TAKEN", title, said or "the cluster accepts it")

    def fault(self, text: str) -> None:
        """Something else that is wrong."""
        self.bad += 1
        self._say("WRONG", text, "")

    @staticmethod
    def _say(verdict: str, title: str, why: str) -> None:
        print(f"{verdict:8} {title}{': ' if why else ''}{why}", file=sys.stderr)


def missing(made: Rendered) -> list[Object]:
    """The namespace and the service accounts that the cluster does not have yet."""
    found: dict[str, Object] = {}
    for objects in made.values():
        for name, obj in objects.items():
            if obj["kind"] in {"Namespace", "ServiceAccount"} and name not in found:
                arguments = ("-n", NAMESPACE) if obj["kind"] == "ServiceAccount" else ()
                if not kubectl.run("get", name, *arguments, "--ignore-not-found").stdout.strip():
                    found[name] = obj
    return sorted(found.values(), key=lambda one: str(one["kind"]))


def check(tally: Tally, made: Rendered) -> None:
    """Steps 2 to 4."""
    for folder, objects in made.items():
        for name, obj in objects.items():
            # 2.
            tally.must_be_taken(f"{folder}: {name}", obj)
            # 3.
            if pod := pod_of(obj):
                tally.must_be_taken(f"{folder}: the pods of {name}", pod)
    # 4.
    for title, folder, name, change in WRONG:
        wrong = copy.deepcopy(made[folder][name])
        change(wrong)
        tally.must_be_refused(f"{title}, {name}", wrong)
    root = pod_of(made["push"]["Service/ingest"])
    assert root is not None
    root["spec"]["containers"][0]["securityContext"].pop("seccompProfile")
    tally.must_be_refused("pod without a seccomp profile", root)


def main() -> int:
    """The exit status: 0 when all was as it must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--without", nargs="*", default=[], metavar="GROUP", help="API groups this cluster lacks"
    )
    tally = Tally(parser.parse_args().without)
    began_s = time.monotonic()
    try:
        # 1.
        for text in differences("kubectl"):
            tally.fault(text)
        made = {folder: {name_of(one): one for one in by_kubectl("kubectl", folder)} for folder in folders()}
        ours = missing(made)
        try:
            if ours:
                kubectl.apply(*ours)
            check(tally, made)
        finally:
            for one in reversed(ours):
                kubectl.run("delete", name_of(one), "-n", NAMESPACE, "--ignore-not-found")
        found = kubectl.versions()
    except kubectl.ClusterError as error:
        print(f"check-cluster: {error}", file=sys.stderr)
        return 2
    result = {
        "name": "check-cluster",
        "taken": tally.taken,
        "refused_wrong": tally.refused,
        "absent": len(tally.unknown),
        "bad": tally.bad,
        "wall_s": round(time.monotonic() - began_s, 1),
        "versions": found,
    }
    print(json.dumps(result))
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
