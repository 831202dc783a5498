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

from tests.e2e.running import FreshetProcess

STREAM = "/recommend/{user_id}/stream"
PAGE = (Path(__file__).resolve().parents[2] / "docs/RECOMMEND.md").read_text()


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
