"""Make docs/openapi.json and docs/API.md: what the services say of themselves, for programs and for people.

    make api                                     (python -m tools.make_api_reference)

The document is the one that `freshet run` serves at /openapi.json. tests/unit/test_api_reference.py holds
both files equal to what is made here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.routing import BaseRoute, Route

from services.http.description import schema_of
from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from services.recommender.app import create_app as create_recommender_app
from services.recommender.settings import RecommenderSettings

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT: Final = DOCS / "openapi.json"
REFERENCE: Final = DOCS / "API.md"
HERE: Final = "http://localhost:8080"
_WIDTH: Final = 100
_FEW: Final = 2  # rows that may stand there again
_METHODS: Final = ("get", "post", "put", "patch", "delete")
# Where the pages say more, for each group.
_MORE: Final = {
    "Recommendations": "[RECOMMEND.md](RECOMMEND.md), [FILTERS.md](FILTERS.md)",
    "Users": "[PRIVACY.md](PRIVACY.md)",
    "Scenarios": "[SCENARIOS.md](SCENARIOS.md)",
    "Segment and GA4": "[SEGMENT.md](SEGMENT.md)",
    "Operations": "[OPERATIONS.md](OPERATIONS.md), [METRICS.md](METRICS.md)",
}
_INTRODUCTION: Final = """\
# API reference

Every call of the HTTP interface. `make api` makes this page, and [openapi.json](openapi.json), of what the
services say of themselves. Freshet serves the same at `/openapi.json`, and at `/docs` as a page to try
the calls. Every command below works as it stands on the demo shop (`freshet run`, or `docker compose up`): a
test runs them, and makes the mistakes that lead to the problems. Answers are abridged.

A client in another language (those for Python and JavaScript are in [clients/](../clients)):

    npx @openapitools/openapi-generator-cli generate -g java -i docs/openapi.json -o client

"""
_CONVENTIONS: Final = """\
## For all calls

**Keys.** Without keys Freshet answers to its own machine only, and no call needs one. With `FRESHET_KEYS` and
`FRESHET_WRITE_KEYS` set, each call says which it takes:

| | opens | sent as |
|---|---|---|
| key: any of `FRESHET_KEYS` | everything | `Authorization: Bearer KEY`, `X-API-Key: KEY`, Basic (`curl -u KEY:`) |
| write key: any of both | `POST /events`, Segment and GA4: for browsers | the same, or `?key=KEY` (GA4: `?api_secret=KEY`) |
| no key | `/healthz`, `/readyz` | |

In a query only keys of `FRESHET_WRITE_KEYS` are taken, since URLs are logged.

**Ids** are text of 1 to 256 bytes. In a path, what is special is percent-encoded: `gid://shop/1` is
`gid%3A%2F%2Fshop%2F1`. **Times** are Unix time in s, ms or µs, or RFC 3339. **Bodies** have at most 1 MiB
(`FRESHET_MAX_BODY_BYTES`), after gunzip too; `Content-Encoding: gzip` is read everywhere.

**Problems** are `application/problem+json` (RFC 9457). Programs look at `code`, which does not change; `detail` says
what to change. New members and new codes may come.

"""  # noqa: E501 - a table's row is one line
# Of no call in particular, so in no call's description: unknown paths, a browser's preflight, a fault.
OF_ALL: Final = (
    (
        403,
        "origin_not_allowed",
        "add the origin 'https://shop.example' to FRESHET_CORS_ORIGINS to call from it",
    ),
    (404, "not_found", "there is nothing under this path; /docs lists what there is"),
    (405, "method_not_allowed", "this path takes POST"),
    (500, "internal_error", "this is a fault of the service, not of the request; it is logged"),
)
_TABLE: Final = "| status | code | detail |\n|---|---|---|\n"


def document() -> dict[str, Any]:
    """What `freshet run` serves at /openapi.json: ingest's routes, the recommender's, those of both once."""
    ingest = create_ingest_app(IngestSettings())
    recommender = create_recommender_app(RecommenderSettings())
    routes: dict[tuple[str, str], BaseRoute] = {}
    for route in (*ingest.routes, *recommender.routes):
        if isinstance(route, Route):
            routes.setdefault((route.path, ",".join(sorted(route.methods or ()))), route)
    return schema_of("Freshet", ingest.version, routes.values())


def as_json(made: dict[str, Any]) -> str:
    """The text of docs/openapi.json."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def as_markdown(made: dict[str, Any]) -> str:
    """The text of docs/API.md."""
    return _Reference(made).text()


class _Reference:
    def __init__(self, made: dict[str, Any]) -> None:
        self._made = made
        self._told: dict[str, str] = {}  # what was printed in full, and the heading it stands under
        self._calls: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        for path, methods in made["paths"].items():
            for method in _METHODS:
                if method in methods:
                    operation = methods[method]
                    self._calls.setdefault(operation["tags"][0], []).append((method, path, operation))

    def text(self) -> str:
        parts = [_INTRODUCTION, *self._contents(), _CONVENTIONS, *self._problems_of_all()]
        for tag in self._made["tags"]:
            more = f" More: {_MORE[tag['name']]}." if tag["name"] in _MORE else ""
            parts.append(f"## {tag['name']}\n\n{_linked(tag['description'])}{more}\n\n")
            for method, path, operation in self._calls[tag["name"]]:
                parts += self._call(method, path, operation)
        parts += self._types()
        return re.sub(r"\n{3,}", "\n\n", "".join(parts)).rstrip() + "\n"

    def _contents(self) -> Iterator[str]:
        yield "| | | key |\n|---|---|---|\n"
        for tag in self._made["tags"]:
            yield f"| **[{tag['name']}](#{_anchor(tag['name'])})** | | |\n"
            for method, path, operation in self._calls[tag["name"]]:
                link = f"[`{method.upper()} {path}`](#{_anchor(operation['summary'])})"
                yield f"| {link} | {operation['summary']} | {_key_of(operation)} |\n"
        yield "\n[For all calls](#for-all-calls) · [Types](#types)\n\n"

    def _problems_of_all(self) -> Iterator[str]:
        yield f"Any call may answer these; those about bodies, any call with one:\n\n{_TABLE}"
        rows = [row for one in self._made["components"]["responses"].values() for row in _codes(one)]
        rows += [row for told in OF_ALL for row in _row(*told)]
        yield from sorted(rows, key=lambda row: row[:5])  # by status
        yield "\n"

    def _call(self, method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
        yield f"### {operation['summary']}\n\n`{method.upper()} {path}` · {_key_of(operation)}\n\n"
        yield f"{_linked(operation['description'])}\n\n"
        yield from self._parameters(operation)
        yield from self._bodies(method, path, operation)
        own = {
            status: response for status, response in operation["responses"].items() if "$ref" not in response
        }
        for status, response in own.items():
            if status < "300":
                yield from self._answer(status, response)
        yield from self._problems({status: one for status, one in own.items() if status >= "400"}, operation)

    def _problems(self, responses: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
        """A table; what another call's table has word for word is said by pointing there."""
        rows: list[str] = []
        same: dict[str, list[str]] = {}
        for status, response in responses.items():
            codes = list(_codes(response))
            before = self._before("".join(codes), operation) if len(codes) > _FEW else None
            if before is None:
                rows += codes
            else:
                same.setdefault(before, []).append(status)
        if rows:
            yield "".join([_TABLE, *rows, "\n"])
        for before, statuses in same.items():
            yield f"Problems with status {', '.join(statuses)}: those of {before}.\n\n"

    def _before(self, text: str, operation: dict[str, Any]) -> str | None:
        """A link to the call under which `text` stands, None where it is this one."""
        summary = self._told.setdefault(text, operation["summary"])
        return None if summary == operation["summary"] else f"[{summary}](#{_anchor(summary)})"

    def _parameters(self, operation: dict[str, Any]) -> Iterator[str]:
        rows: dict[str, list[str]] = {"path": [], "query": []}
        for parameter in operation.get("parameters", []):
            where = " (path)" if parameter["in"] == "path" else ""
            kind, says = self._type(parameter["schema"]), _says(parameter, parameter["schema"])
            rows[parameter["in"]].append(f"| `{parameter['name']}`{where} | {kind} | {_cell(says)} |\n")
        query = rows["query"]
        before = self._before("".join(query), operation) if len(query) > _FEW else None
        shown = rows["path"] + (query if before is None else [])
        if shown:
            yield "".join(["| parameter | type | |\n|---|---|---|\n", *shown, "\n"])
        if before is not None:
            yield f"{'And the' if shown else 'The'} parameters of the query that {before} has.\n\n"

    def _bodies(self, method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
        url = _url(path, operation)
        if "requestBody" not in operation:
            flags = "-N " if "stream" in path else ("" if method == "get" else f"-X {method.upper()} ")
            yield f"```sh\ncurl {flags}{_shell(url)}\n```\n\n"
            return
        ((media_type, content),) = operation["requestBody"]["content"].items()
        yield f"Body: {operation['requestBody']['description']} {self._type(content['schema'])}\n\n"
        for example in content["examples"].values():
            if "summary" in example:
                yield f"{_capital(example['summary'])}:\n\n"
            yield f"```sh\n{_curl(method, url, media_type, example['value'])}\n```\n\n"

    def _answer(self, status: str, response: dict[str, Any]) -> Iterator[str]:
        if "content" not in response:
            yield f"Answer: {status}. {response['description']}\n\n"
            return
        ((media_type, content),) = response["content"].items()
        kind = (
            self._type(content["schema"])
            if "json" in media_type and "ndjson" not in media_type
            else f"`{media_type}`"
        )
        yield f"Answer: {status}. {response['description']} {kind}\n\n"
        example = content["example"]
        if isinstance(example, str):
            yield f"```\n{example.strip()}\n```\n\n"
        else:
            yield f"```json\n{compact(example)}\n```\n\n"

    def _types(self) -> Iterator[str]:
        yield "## Types\n\n"
        for name, schema in self._made["components"]["schemas"].items():
            yield f"### {name}\n\n{_linked(_capital(schema['description'].rstrip('.')))}.\n\n"
            if "properties" not in schema:
                continue
            yield "| field | type | |\n|---|---|---|\n"
            required = schema.get("required", [])
            for field, kind in schema["properties"].items():
                star = " \\*" if field in required else ""
                says = _cell(_says(kind, kind) or self._named(kind).get("description", ""))
                yield f"| `{field}`{star} | {self._type(kind)} | {says} |\n"
            yield "\n\\* must be there\n\n" if required else "\n"

    def _named(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The type that a schema points to, else itself."""
        found: dict[str, Any] = self._made["components"]["schemas"].get(_name_of(schema), schema)
        return found

    def _type(self, schema: dict[str, Any]) -> str:
        """A schema in some words; types of their own are links."""
        if "$ref" in schema:
            name = _name_of(schema)
            return f"[{name}](#{_anchor(name)})"
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return " or ".join(self._type(one) for one in schema[word])
        kinds = schema.get("type", "any")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        told = []
        for kind in kinds:
            if kind == "array":
                told.append(f"list of {self._type(schema.get('items', {}))}")
            else:
                told.append({"string": "text", "object": "object", "any": "any"}.get(kind, kind))
        return " or ".join(told)


def _name_of(schema: dict[str, Any]) -> str:
    reference: str = schema.get("$ref", "")
    return reference.rpartition("/")[2]


def compact(value: Any, indent: str = "") -> str:
    """JSON, on one line where it fits, else a line an entry."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= _WIDTH or not value or not isinstance(value, dict | list):
        return flat
    inner = f"{indent}  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {compact(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{inner}{compact(one, inner)}" for one in value) + f"\n{indent}]"


def _url(path: str, operation: dict[str, Any]) -> str:
    query = {}
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(str(parameter["example"]), safe=""))
        elif parameter.get("example"):
            query[parameter["name"]] = parameter["example"]
    return f"{HERE}{path}{'?' if query else ''}{urlencode(query, safe=',')}"


def _curl(method: str, url: str, media_type: str, value: Any) -> str:
    given = value if isinstance(value, str) else compact(value)
    command = f"curl {'' if method == 'post' else f'-X {method.upper()} '}{_shell(url)}"
    if not isinstance(value, str):
        return f"{command} -d {_shell(given)}"
    return f"{command} -H 'Content-Type: {media_type}' --data-binary {_shell(given)}"


def _shell(text: str) -> str:
    return text if re.fullmatch(r"[\w:/.%-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _codes(response: dict[str, Any]) -> Iterator[str]:
    for content in response["content"].values():
        for example in content["examples"].values():
            problem = example["value"]
            yield from _row(problem["status"], problem["code"], problem["detail"])


def _row(status: int, code: str, detail: str) -> Iterator[str]:
    yield f"| {status} | `{code}` | {_cell(detail)} |\n"


def _says(part: dict[str, Any], schema: dict[str, Any]) -> str:
    """What it means, its bounds, default and examples."""
    told = [part["description"]] if part.get("description") else []
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        told.append(f"{low} to {high:,}" if isinstance(high, int) else f"{low} to {high}")
    for word, name in (("maxLength", "characters"), ("maxItems", "entries"), ("maxProperties", "entries")):
        if word in schema:
            told.append(f"at most {schema[word]:,} {name}")
    if "default" in schema:
        told.append(f"default {_code(schema['default'])}")
    if "enum" in schema:
        told.append(f"one of {', '.join(map(_code, schema['enum']))}")
    elif schema.get("examples"):
        told.append(f"such as {', '.join(map(_code, schema['examples']))}")
    return "; ".join(told)


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    return _linked(text.replace("|", "\\|").replace("\n", " "))


def _linked(text: str) -> str:
    """With links to the pages that it names."""
    return re.sub(r"\bdocs/([A-Z]+\.md)", r"[\1](\1)", text)


def _key_of(operation: dict[str, Any]) -> str:
    names = {name for scheme in operation["security"] for name in scheme}
    if not names:
        return "no key"
    return "write key" if names & {"query", "api_secret"} else "key"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def main() -> None:
    """Write both files."""
    made = document()
    DOCUMENT.write_text(as_json(made), encoding="utf-8")
    REFERENCE.write_text(as_markdown(made), encoding="utf-8")


if __name__ == "__main__":
    main()
