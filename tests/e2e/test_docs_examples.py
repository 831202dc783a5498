"""What /docs shows works as it stands on the demo shop."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import pytest
from jsonschema import Draft202012Validator

from services.http.documentation import NO_JSON as NO_JSON_CODES
from tests.e2e.api_mistakes import MISTAKES, NOT_PROVOKED
from tests.e2e.running import FreshetProcess
from tools.make_api_reference import OF_ALL

STREAM = "/recommend/{user_id}/stream"
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "RECOMMEND.md").read_text()
EDGE = {"invalid_gzip", "unsupported_encoding", "body_too_large", "foreign_host", "foreign_origin"}
LIKE_IT = {"invalid_json"}


class Call(NamedTuple):
    """A request as somebody would try it."""

    method: str
    path: str
    body: Any = None


@pytest.fixture(scope="module")
def schema(demo_shop: FreshetProcess) -> dict[str, Any]:
    found: dict[str, Any] = demo_shop.get("/openapi.json")
    return found


def operations(schema: dict[str, Any], method: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for template, methods in schema["paths"].items():
        if method in methods:
            yield template.replace(":path}", "}"), methods[method]


def resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` points to."""
    while "$ref" in part:
        found: Any = schema
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def body_schema(schema: dict[str, Any], template: str) -> dict[str, Any]:
    content = schema["paths"][template]["post"]["requestBody"]["content"]["application/json"]
    return resolved(schema, content["schema"])


def path_of(template: str, operation: dict[str, Any]) -> str:
    """The path with the examples that the page fills in."""
    path = template
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(parameter["example"], safe=""))
    assert "{" not in path, template
    return path


def reads(schema: dict[str, Any]) -> Iterator[Call]:
    """Every GET alone, and with each example of each parameter."""
    for template, operation in operations(schema, "get"):
        if template == STREAM:
            continue
        path = path_of(template, operation)
        yield Call("GET", path)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] != "query":
                continue
            assert parameter["description"], (template, parameter["name"])
            for example in parameter["schema"].get("examples", ()):
                value = example if isinstance(example, str) else json.dumps(example)
                given = dict(example) if isinstance(example, dict) else {parameter["name"]: value}
                if "$item" in value:
                    given["item_id"] = "1096036"
                yield Call("GET", f"{path}?{urlencode(given)}")


def bodies(schema: dict[str, Any]) -> Iterator[Call]:
    """The bodies of the calls that ask."""
    for template, operation in operations(schema, "post"):
        if template in {"/recommend", "/recommend/batch"}:
            content = operation["requestBody"]["content"]["application/json"]
            for example in content["examples"].values():
                yield Call("POST", template, example["value"])


def test_every_example_is_answered(demo_shop: FreshetProcess, schema: dict[str, Any]) -> None:
    calls = [*reads(schema), *bodies(schema)]
    assert len(calls) > 60
    for call in calls:
        status, content = demo_shop.call(*call)
        assert status == 200, (call, content)
        if call.path.startswith("/recommend") and not call.path.startswith("/recommend/batch"):
            for made in content.get("rows", [content]):
                is_empty = not made["items"] and made["scenario"] not in {
                    "recently_viewed",
                    "continue_watching",
                    "bought_together",
                }
                assert not is_empty, (call, made)
                assert "unknown" not in made.get("filter", {}), (call, made["filter"])


def test_a_batch_of_the_docs_has_a_line_for_each(demo_shop: FreshetProcess, schema: dict[str, Any]) -> None:
    for call in bodies(schema):
        if call.path == "/recommend/batch":
            _, text = demo_shop.call(*call)
            *lines, last = [json.loads(line) for line in text.splitlines()]
            assert last == {"done": True, "users": 2, "failed": 0, "repeated": []}
            assert [line["user_id"] for line in lines] == ["u_12345", "u_2153"]


def test_the_stream_of_the_docs(demo_shop: FreshetProcess, schema: dict[str, Any]) -> None:
    operation = dict(operations(schema, "get"))[STREAM]
    url = f"{demo_shop.url}{path_of(STREAM, operation)}?{urlencode({'filter': 'brand:Private', 'n': 3})}"
    with urlopen(url, timeout=60) as stream:
        data = next(line for line in stream if line.startswith(b"data: "))
    assert len(json.loads(data[6:])["items"]) == 3


def test_the_page_describes_what_the_reference_does(schema: dict[str, Any]) -> None:
    committed = json.loads((DOCS / "openapi.json").read_text())
    assert schema == committed, "make api"


def test_every_answer_is_of_the_type_told(demo_shop: FreshetProcess, schema: dict[str, Any]) -> None:
    checked = set()
    asked = [Call("GET", "/users/u_2153/profile"), *reads(schema), *every_body(schema)]
    for call in asked:
        status, content = demo_shop.call(*call)
        template, operation = documented(schema, call)
        told = resolved(schema, operation["responses"][str(status)])
        for media_type, part in told.get("content", {}).items():
            if media_type != "application/json":
                continue
            whole = {**part["schema"], "components": schema["components"]}
            for error in Draft202012Validator(whole).iter_errors(content):
                pytest.fail(f"{call}: {error.json_path}: {error.message[:300]}")
            checked.add((call.method, template))
    assert len(checked) > 20


def every_body(schema: dict[str, Any]) -> Iterator[Call]:
    """Every example of a body, in the order of the page."""
    for template, methods in schema["paths"].items():
        for method, operation in methods.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                for example in content["examples"].values():
                    value = example["value"] if "json" in media_type else example["value"].encode()
                    yield Call(method.upper(), path_of(template, operation), value)


def documented(schema: dict[str, Any], call: Call) -> tuple[str, dict[str, Any]]:
    """The call of the page that this is."""
    path = call.path.partition("?")[0]
    for template, methods in schema["paths"].items():
        operation = methods.get(call.method.lower())
        if operation is not None and path in {template, path_of(template, operation)}:
            return template, operation
    for template, methods in schema["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and call.method.lower() in methods:
            return template, methods[call.method.lower()]
    raise AssertionError(call)


def told_codes(schema: dict[str, Any], call: str) -> dict[str, tuple[int, str]]:
    """Code -> (status, detail) of every problem that the page has for this call."""
    method, path = call.split(" ")
    found = {}
    for response in schema["paths"][path][method.lower()]["responses"].values():
        for content in resolved(schema, response).get("content", {}).values():
            for code, example in content.get("examples", {}).items():
                found[code] = (example["value"]["status"], example["value"]["detail"])
    return found


def test_every_mistake_is_answered_as_told(demo_shop: FreshetProcess, schema: dict[str, Any]) -> None:
    for mistake in MISTAKES:
        told = told_codes(schema, mistake.call)
        assert mistake.code in told, mistake
        method = mistake.call.partition(" ")[0]
        status, problem = demo_shop.call(method, mistake.path, mistake.body, mistake.headers)
        assert (status, problem["code"]) == (told[mistake.code][0], mistake.code), (mistake, problem)
        detail = told[mistake.code][1]
        if mistake.code not in LIKE_IT:  # its numbers are those of another body
            pattern = ".*".join(map(re.escape, detail.split("…")))
            assert re.fullmatch(pattern, problem["detail"], re.DOTALL), (mistake, problem["detail"], detail)


def test_what_is_of_no_call_is_answered_as_told(demo_shop: FreshetProcess) -> None:
    preflight = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    given = [
        demo_shop.call("OPTIONS", "/events", headers=preflight),
        demo_shop.call("GET", "/nothing"),
        demo_shop.call("GET", "/events"),
    ]
    assert [(status, told["code"], told["detail"]) for status, told in given] == [*OF_ALL[:3]]


def test_every_problem_told_is_provoked_somewhere(schema: dict[str, Any]) -> None:
    provoked = {(mistake.call, mistake.code) for mistake in MISTAKES}
    of_the_edge = {code for call, code in provoked if code in EDGE}
    for path, methods in schema["paths"].items():
        for method in methods:
            call = f"{method.upper()} {path}"
            for code in told_codes(schema, call):
                known = (call, code) in provoked or code in NOT_PROVOKED | of_the_edge | NO_JSON_CODES.keys()
                assert known, (call, code)


def reference_commands() -> list[str]:
    """The commands of docs/API.md, in its order."""
    page = (DOCS / "API.md").read_text()
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]


def test_the_commands_of_the_reference_work(demo_shop: FreshetProcess) -> None:
    commands = reference_commands()
    assert len(commands) > 40
    for command in commands:
        here = command.replace("http://localhost:8080", demo_shop.url)
        limit = "--max-time 2" if "/stream" in here else "-f"
        done = subprocess.run(
            ["bash", "-c", f"{here} -sS {limit}"], capture_output=True, text=True, check=False
        )
        assert done.returncode in ({28} if "/stream" in here else {0}), (command, done.stderr)
        if "/stream" in here:
            assert "data: {" in done.stdout


def test_every_part_of_a_body_is_described(schema: dict[str, Any]) -> None:
    plain = {"user_id", "item_id", "filter", "hide"}  # whose names say it, or whose types do
    for template in ("/recommend", "/recommend/batch"):
        body = body_schema(schema, template)
        for name, part in body["properties"].items():
            assert part.get("description") or name in plain, (template, name)
        assert {"filter", "hide", "boosts", "pins", "caps", "relax", "rows", "context"} <= set(
            body["properties"]
        )


def test_what_the_docs_name_is_what_is_taken(demo_shop: FreshetProcess, schema: dict[str, Any]) -> None:
    """The names in a complaint and those on the page are the same."""
    for template in ("/recommend", "/recommend/batch"):
        body = body_schema(schema, template)
        _, refused = demo_shop.call("POST", template, {"nonsense": 1})
        assert set(refused["detail"].partition("There are: ")[2].split(", ")) == set(body["properties"])
    for template in ("/recommend", "/items"):
        named = {parameter["name"] for parameter in schema["paths"][template]["get"]["parameters"]}
        _, refused = demo_shop.call("GET", f"{template}?nonsense=1")
        listed = set(refused["detail"].partition("There are: ")[2].split(", "))
        assert listed == named - {"context"}


def curls_of_the_page() -> list[str]:
    """The commands of docs/RECOMMEND.md; one goes on where the next line is indented."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [
        found.strip() for block in blocks for found in re.split(r"^(?=curl )", block, flags=re.M) if found
    ]


@pytest.mark.parametrize("command", curls_of_the_page())
def test_the_commands_of_the_page_work(demo_shop: FreshetProcess, command: str) -> None:
    here = command.replace("localhost:8080", demo_shop.url)
    done = subprocess.run(["bash", "-c", f"{here} -fsS"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    for line in done.stdout.splitlines():
        content = json.loads(line)
        assert "error" not in content
        assert (
            content.get("done") or content.get("items") or content.get("rows") or "bought_together" in command
        )
        assert "unknown" not in content.get("filter", {}), content["filter"]


def test_the_page_names_the_codes_there_are() -> None:
    root = Path(__file__).resolve().parents[2] / "services/recommender"
    code = "".join(path.read_text() for path in root.glob("*.py"))
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE.partition("## Mistakes")[2]))
    for one in named - {"bought_together", "contradictory_filter", "unknown_parameter", "unknown_field"}:
        assert f'"{one}"' in code, one
    for one in re.findall(r'QueryError\(\s*\d+,\s*"([a-z_]+)"', code):
        if one not in {"internal_error", "not_answered", "invalid_body", "invalid_query"}:
            assert one in named, one
