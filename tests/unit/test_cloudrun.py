"""deploy/cloudrun passes the rules of tests/deploy/cloudrun.py, which refuse each of these wrong variants."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from services.store.url import read_url
from tests.deploy import cloudrun
from tests.deploy.documents import Object, read

README = (cloudrun.FOLDER / "README.md").read_text(encoding="utf-8")


def container(obj: Object) -> dict[str, Any]:
    (found,) = cloudrun.containers(obj)
    return found[0]


def spec(obj: Object) -> dict[str, Any]:
    (found,) = cloudrun.containers(obj)
    return found[1]


def marks(obj: Object) -> dict[str, str]:
    made: dict[str, str] = obj["spec"]["template"]["metadata"]["annotations"]
    return made


def variable(obj: Object, name: str) -> dict[str, Any]:
    """The entry of the environment, made where it is missing."""
    entries: list[dict[str, Any]] = container(obj)["env"]
    for entry in entries:
        if entry["name"] == name:
            return entry
    entries.append({"name": name, "value": ""})
    return entries[-1]


def test_the_files_are_right() -> None:
    objects = cloudrun.objects()
    assert set(objects) == {
        "ingest.yaml", "recommender.yaml", "profiler-workerpool.yaml", "setup.yaml", "trainer.yaml",
    }  # fmt: skip
    for name, obj in objects.items():
        assert list(cloudrun.problems(obj)) == [], name


WRONG: list[tuple[str, Callable[[Object], Any], str]] = [
    (
        "ingest.yaml",
        lambda o: o["spec"]["template"]["spec"].update(enableServiceLinks=False),
        "does not support",
    ),
    ("ingest.yaml", lambda o: container(o).update(envFrom=[]), "no field of Container"),
    ("ingest.yaml", lambda o: spec(o).update(containerConcurrency="80"), "is no integer"),
    ("ingest.yaml", lambda o: marks(o).update({"run.googleapis.com/cpu-boost": "true"}), "cpu-boost"),
    (
        "ingest.yaml",
        lambda o: marks(o).update({"run.googleapis.com/ingress": "all"}),
        "not on a Revision",
    ),
    ("ingest.yaml", lambda o: marks(o).update({"autoscaling.knative.dev/minScale": "1"}), "minScale"),
    ("ingest.yaml", lambda o: o["metadata"]["annotations"].clear(), "in preview"),
    ("ingest.yaml", lambda o: container(o)["livenessProbe"]["httpGet"].update(path="/healthz"), "for itself"),
    ("ingest.yaml", lambda o: container(o).pop("startupProbe"), "startupProbe is missing"),
    ("ingest.yaml", lambda o: variable(o, "FRESHET_KEYS").update(value="k"), "FRESHET_KEYS: by secretKeyRef"),
    ("ingest.yaml", lambda o: variable(o, "FRESHET_KEY"), "FRESHET_KEY is no setting"),
    ("ingest.yaml", lambda o: variable(o, "FRESHET_PORT").update(value="8080"), "PORT"),
    (
        "ingest.yaml",
        lambda o: variable(o, "FRESHET_KAFKA_TOKEN").update(value="ya29.x"),
        "FRESHET_KAFKA_TOKEN",
    ),
    ("ingest.yaml", lambda o: spec(o).update(timeoutSeconds=5), "FRESHET_ACK_TIMEOUT_MS"),
    ("ingest.yaml", lambda o: spec(o).update(serviceAccountName="default@p"), "one of its own"),
    ("recommender.yaml", lambda o: spec(o).update(timeoutSeconds=240), "above FRESHET_STREAM_MAX_S"),
    ("recommender.yaml", lambda o: spec(o).update(containerConcurrency=80), "containerConcurrency"),
    ("recommender.yaml", lambda o: variable(o, "FRESHET_MAX_STREAMS").update(value="40"), "keep answers out"),
    (
        "recommender.yaml",
        lambda o: variable(o, "FRESHET_STORE_URL").update(value="rediss://x"),
        "secretKeyRef",
    ),
    ("recommender.yaml", lambda o: container(o)["resources"]["limits"].update(memory="256Mi"), "512Mi"),
    ("recommender.yaml", lambda o: container(o)["volumeMounts"].pop(), "volumes"),
    (
        "recommender.yaml",
        lambda o: spec(o)["volumes"][0]["csi"]["volumeAttributes"].update(mountOptions="implicit-dirs"),
        "uid=65532",
    ),
    ("profiler-workerpool.yaml", lambda o: o.update(apiVersion="serving.knative.dev/v1"), "is none of"),
    ("profiler-workerpool.yaml", lambda o: o["spec"].update(replicas=1), "no field of WorkerPoolSpec"),
    ("trainer.yaml", lambda o: spec(o).update(backoffLimit=1), "no field of TaskSpec"),
    ("trainer.yaml", lambda o: marks(o).clear(), "out of reach"),
    (
        "setup.yaml",
        lambda o: variable(o, "FRESHET_KAFKA_PASSWORD").update(value="x"),
        "FRESHET_KAFKA_PASSWORD",
    ),
]


@pytest.mark.parametrize(("name", "change", "told"), WRONG)
def test_a_wrong_variant_is_refused(name: str, change: Callable[[Object], Any], told: str) -> None:
    obj = copy.deepcopy(cloudrun.objects()[name])
    change(obj)
    assert [problem for problem in cloudrun.problems(obj) if told in problem], list(cloudrun.problems(obj))


def test_the_autoscaler_watches_what_the_profiler_reads() -> None:
    (crema,) = read(cloudrun.FOLDER / "crema.yaml")
    (scaled,) = (entry["spec"] for entry in crema["spec"]["scaledObjects"])
    watched = {(t["metadata"]["topic"], t["metadata"]["consumerGroup"]) for t in scaled["triggers"]}
    assert watched == {
        ("freshet.events.g1", "freshet.profiler"), ("freshet.items.g1", "freshet.catalogue"),
    }  # fmt: skip
    assert {trigger["metadata"]["offsetResetPolicy"] for trigger in scaled["triggers"]} == {"earliest"}
    pool = cloudrun.objects()["profiler-workerpool.yaml"]
    assert scaled["scaleTargetRef"]["name"].endswith(f"/workerpools/{pool['metadata']['name']}")
    partitions = cloudrun.environment(container(pool))["FRESHET_LOG_PARTITIONS"]
    assert scaled["maxReplicaCount"] == int(partitions or 0)


def test_the_readme_sets_every_variable_and_makes_every_secret_and_account() -> None:
    exported = set(re.findall(r"^export (\w+)=", README, re.MULTILINE))
    assert cloudrun.variables() <= exported
    for obj in cloudrun.objects().values():
        text = str(obj)
        for secret in [*re.findall(r"'(freshet-[\w-]+)', 'key'", text), "freshet-valkey-ca"]:
            assert re.search(rf"gcloud secrets create {secret}\b", README), secret
        account = spec(obj)["serviceAccountName"].split("@")[0].removeprefix("freshet-")
        assert re.search(rf"for account in [\w ]*\b{account}\b", README), account


def test_the_store_url_of_the_readme_is_one() -> None:
    (url,) = re.findall(r'"(rediss://[^"]+)"', README)
    connection: Any = read_url(url.replace("${VALKEY}", "10.1.2.3"), 1.0).make(None, None)
    assert connection.ssl_context.ca_certs == "/secrets/valkey/ca.pem"
    assert connection.ssl_context.check_hostname is False
