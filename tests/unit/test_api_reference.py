"""docs/openapi.json and docs/API.md are what the services say of themselves, and that is well said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.http.description import schema_of
from services.http.documentation import BODY_PROBLEMS
from services.http.keys import GA4_PATH, SEGMENT_PATHS, KeyRing
from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from services.profiler.documentation import CALLS as PUSHED
from services.profiler.routes import push_router
from services.recommender.app import create_app as create_recommender_app
from services.recommender.settings import RecommenderSettings
from tools.make_api_reference import DOCUMENT, OF_ALL, REFERENCE, as_json, as_markdown, document

ROOT = Path(__file__).resolve().parents[2]
MADE = document()
CALLS = {
    f"{method.upper()} {path}": operation
    for path, methods in MADE["paths"].items()
    for method, operation in methods.items()
}
# Of broken HTTP, and of a page that was not installed: of no call.
NOT_OF_A_CALL = {code for _, code, _ in OF_ALL} | {"bad_request", "head_too_slow", "docs_not_installed"}


def test_the_files_are_what_the_program_makes() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == as_json(MADE), "make api"
    assert REFERENCE.read_text(encoding="utf-8") == as_markdown(MADE), "make api"


def test_it_is_openapi() -> None:
    assert MADE["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(MADE).validate()


def test_links_of_the_reference_lead_somewhere() -> None:
    page = as_markdown(MADE)
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = Counter(re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings)
    assert anchors.most_common(1)[0][1] == 1, "two headings of one anchor"
    for link in re.findall(r"\]\(([^)]+)\)", page):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (ROOT / "docs" / link).exists(), link


def test_names_are_made_for_clients() -> None:
    ids = [operation["operationId"] for operation in CALLS.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+[A-Za-z0-9]*", one) for one in ids)
    groups = {tag["name"] for tag in MADE["tags"]}
    assert {operation["tags"][0] for operation in CALLS.values()} == groups
    assert all(tag["description"] for tag in MADE["tags"])


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_told_whole(call: str) -> None:
    operation = CALLS[call]
    assert operation["summary"]
    assert operation["description"]
    for parameter in operation.get("parameters", ()):
        assert parameter["description"]
        assert parameter["in"] == "query" or parameter["example"]
    statuses = set(operation["responses"])
    assert len({status for status in statuses if status < "300"}) == 1
    if operation["security"]:
        assert {"401", "403"} <= statuses
    if "requestBody" in operation:
        assert {"400", "408", "415", "503"} <= statuses
    for status, response in operation["responses"].items():
        assert response.get("description") or "$ref" in response
        for content in response.get("content", {}).values():
            assert content["example" if status < "300" else "examples"]


def test_the_keys_told_are_those_that_are_taken() -> None:
    ring = KeyRing(["all"], ["write"])
    for call, operation in CALLS.items():
        method, path = call.split(" ")
        schemes = {name for scheme in operation["security"] for name in scheme}
        name = "api_secret" if path == GA4_PATH else "query"
        query = b"api_secret=write" if path == GA4_PATH else b"key=write"
        needs_none = ring.refusal(method, path, {}, b"") is None and path not in SEGMENT_PATHS
        assert needs_none == (not schemes), call
        assert (ring.refusal(method, path, {}, query) is None) == (not schemes or name in schemes), call
        assert ring.refusal(method, path, {b"authorization": b"Bearer all"}, b"") is None


def test_a_wrong_key_is_answered_as_told() -> None:
    ring = KeyRing(["all"], ["write"])
    bearer = b"authorization"
    refusals = [
        ring.refusal("GET", "/items", {}, b""),
        ring.refusal("GET", "/items", {bearer: b"Bearer no"}, b""),
        ring.refusal("POST", "/events", {}, b"key=all"),
        ring.refusal("GET", "/items", {bearer: b"Bearer write"}, b""),
        ring.refusal_by_body({}, b"", "all"),
    ]
    told = examples_of(CALLS["POST /v1/track"])
    assert len({refusal.code for refusal in refusals if refusal}) == len(refusals)
    for refusal in refusals:
        assert refusal is not None
        assert told[refusal.code]["status"] == refusal.status
        assert told[refusal.code]["detail"] == refusal.detail


def examples_of(operation: dict[str, Any]) -> dict[str, Any]:
    """Code -> the problem of it, those of every call too."""
    parts = [*operation["responses"].values(), *MADE["components"]["responses"].values()]
    contents = [content for part in parts for content in part.get("content", {}).values()]
    return {code: one["value"] for content in contents for code, one in content.get("examples", {}).items()}


def schemas_and_examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(where, schema, example) of everything that has both."""
    for call, operation in CALLS.items():
        contents = [*operation.get("requestBody", {}).get("content", {}).values()]
        for response in operation["responses"].values():
            contents += response.get("content", {}).values()
        for content in contents:
            given = [one["value"] for one in content.get("examples", {}).values()]
            for example in [*given, *([content["example"]] if "example" in content else [])]:
                yield call, content["schema"], example
        for parameter in operation.get("parameters", ()):
            examples = [*parameter["schema"].get("examples", ())]
            for example in [*examples, *([parameter["example"]] if "example" in parameter else [])]:
                yield f"{call} {parameter['name']}", parameter["schema"], example
    for response in MADE["components"]["responses"].values():
        for content in response["content"].values():
            for example in content["examples"].values():
                yield response["description"], content["schema"], example["value"]
    for name, schema in MADE["components"]["schemas"].items():
        for field, kind in schema.get("properties", {}).items():
            for example in kind.get("examples", ()):
                yield f"{name}.{field}", kind, example


def test_every_example_is_of_its_type() -> None:
    seen = 0
    for where, schema, example in schemas_and_examples():
        whole = {**schema, "components": MADE["components"]}
        for error in Draft202012Validator(whole).iter_errors(example):
            pytest.fail(f"{where}: {error.message} in {example}")
        seen += 1
    assert seen > 300


def source_of(room: str) -> str:
    """The code of a room, without what it only tells."""
    paths = (ROOT / "services" / room).glob("*.py")
    return "".join(path.read_text() for path in paths if "documentation" not in path.name)


def codes_of(operation: dict[str, Any]) -> set[str]:
    contents = [
        content
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
    ]
    return {code for content in contents for code in content.get("examples", {})}


def codes_told() -> set[str]:
    parts = [*CALLS.values(), {"responses": MADE["components"]["responses"]}]
    return {code for part in parts for code in codes_of(part)}


def test_every_code_in_the_services_is_told_and_no_other() -> None:
    pattern = re.compile(
        r"\b(?:Problem|QueryError|EventError|ItemError)\(\s*(?:\d+, )?\s*\"([a-z]+(?:_[a-z0-9]+)+)\""
    )
    rooms = ("http", "ingest", "recommender", "kernel")
    code = "".join(source_of(room) for room in rooms)
    raised = set(pattern.findall(code))
    assert len(raised) > 30
    told = codes_told()
    # One entry of a batch that failed stands in its line; `internal_error` is in the reference's own words.
    of_lines = {"not_answered", "internal_error"}
    # The reference names the family: `invalid_` and the name of the field.
    of_fields = {f"invalid_{name}" for name in MADE["components"]["schemas"]["Event"]["properties"]}
    assert raised - told - NOT_OF_A_CALL - of_lines - of_fields == set()
    everything = code + source_of("ranking")
    for one in told:
        assert f'"{one}"' in everything or one.startswith("invalid_"), one


def test_records_are_described_for_who_pushes_them() -> None:
    router = push_router(None, None, None, 1)  # type: ignore[arg-type]
    routes = {f"{method} {route.path}" for route in router.routes for method in route.methods or ()}
    assert routes == set(PUSHED)
    pushed = schema_of("Freshet profiler", "0", router.routes)
    OpenAPIV31SpecValidator(pushed).validate()
    assert [tag["name"] for tag in pushed["tags"]] == ["Records"]
    codes = {code for call in pushed["paths"].values() for code in codes_of(call["post"])}
    profiler = source_of("profiler")
    of_bodies = {code for told in BODY_PROBLEMS.values() for code in told}
    refused = {
        "missing_key",
        "unknown_key",
        "key_in_query",
        "write_key_only",
        "foreign_host",
        "foreign_origin",
    }
    assert all(f'"{code}"' in profiler for code in codes - of_bodies - refused), codes


def test_each_service_describes_its_own_part() -> None:
    recommender = create_recommender_app(RecommenderSettings()).openapi()
    ingest = create_ingest_app(IngestSettings()).openapi()
    for part in (recommender, ingest):
        OpenAPIV31SpecValidator(part).validate()
    assert {*recommender["paths"], *ingest["paths"]} == set(MADE["paths"])
    assert {*recommender["paths"]} & {*ingest["paths"]} == {
        "/items", "/items/{item_id}", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
