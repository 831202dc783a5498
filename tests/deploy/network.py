"""Network policies and disruption budgets select pods that exist; each pod reaches what it is told to use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tests.deploy.documents import Object, Pods, all_pods, is_knative, name_of

_OURS: Final = {"app.kubernetes.io/part-of": "freshet"}
_QUEUE_PROXY: Final = {8012, 8013}  # where Knative's gateway and activator knock


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or []:
        value, values = labels.get(rule["key"]), rule.get("values") or []
        held = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held[rule["operator"]]:
            return False
    return True


def _groups(objects: list[Object]) -> list[tuple[str, dict[str, str]]]:
    """(owner, labels) of all pods; Strimzi's carry the name of their cluster."""
    groups = [(pods.name, pods.labels) for pods in all_pods(objects)]
    groups += [
        (name_of(one), {"strimzi.io/cluster": one["metadata"]["name"]})
        for one in objects
        if one["kind"] == "Kafka"
    ]
    return groups


def problems(objects: list[Object]) -> Iterator[str]:
    """All of the above for the objects of one installation."""
    groups = _groups(objects)
    policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
    for one in [*policies, *(one for one in objects if one["kind"] == "PodDisruptionBudget")]:
        spec = one["spec"]
        selector = spec.get("podSelector") if one["kind"] == "NetworkPolicy" else spec.get("selector")
        yield from _stale(one, selector or {}, groups)
        for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
            for peer in [*(rule.get("from") or []), *(rule.get("to") or [])]:
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield from _stale(one, peer["podSelector"], groups)
    for pods in all_pods(objects):
        yield from _reach(pods, [one for one in policies if selects(one["spec"]["podSelector"], pods.labels)])


def _stale(obj: Object, selector: dict[str, Any], groups: list[tuple[str, dict[str, str]]]) -> Iterator[str]:
    if not any(selects(selector, labels) for _, labels in groups):
        yield f"{name_of(obj)}: no pod has the labels {selector}"
    for rule in selector.get("matchExpressions") or []:
        for value in rule.get("values") or []:
            if not any(labels.get(rule["key"]) == value for _, labels in groups):
                yield f"{name_of(obj)}: no pod has the label {rule['key']}={value}"


def _reach(pods: Pods, policies: list[Object]) -> Iterator[str]:
    if not selects({"matchLabels": _OURS}, pods.labels):
        yield f"{pods.name}: the label app.kubernetes.io/part-of: freshet is missing"
    closed = {kind for one in policies for kind in one["spec"].get("policyTypes") or []}
    if not {"Ingress", "Egress"} <= closed:
        yield f"{pods.name}: no policy closes it by default"
    out = _ports(policies, "egress")
    environment = {
        variable["name"]: variable for one in pods.containers() for variable in one.get("env") or []
    }
    wanted = {6379} if "FRESHET_STORE_URL" in environment else set()
    if missing := (wanted | ({53} if environment else set())) - out:
        yield f"{pods.name}: no policy lets it out to port {sorted(missing)}"
    if is_knative(pods.owner) and _QUEUE_PROXY - _ports(policies, "ingress"):
        yield f"{pods.name}: no policy lets Knative's gateway and activator in (8012, 8013)"


def _ports(policies: list[Object], direction: str) -> set[int]:
    return {
        port["port"]
        for one in policies
        for rule in one["spec"].get(direction) or []
        for port in rule.get("ports") or []
    }


def broker_problems(objects: list[Object], log_url: str, readers: tuple[str, ...]) -> Iterator[str]:
    """Pods with one of these names reach the port of the log."""
    port = urlsplit(log_url.partition(",")[0]).port
    policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
    for pods in all_pods(objects):
        if pods.labels.get("app.kubernetes.io/name") in readers:
            mine = [one for one in policies if selects(one["spec"]["podSelector"], pods.labels)]
            if port not in _ports(mine, "egress"):
                yield f"{pods.name}: no policy lets it out to the log's port {port}"
