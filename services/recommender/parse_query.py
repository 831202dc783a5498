"""From a query string or a JSON body to a `Query`; every complaint names the field and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import msgspec

from services.kernel.ids import IdError, read_id
from services.kernel.malformed import explain_json_error
from services.kernel.nearest import nearest
from services.kernel.position import Position
from services.kernel.timestamps import TimestampError, read_timestamp_ms
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import Scenarios
from services.recommender.query import (
    DEFAULT_N,
    FOR_YOU,
    MAX_CANDIDATES,
    MAX_CONTEXT,
    MAX_CONTEXT_CHARS,
    MAX_EXCLUDE,
    MAX_N,
    MAX_RECENT,
    MAX_ROWS,
    Query,
    QueryError,
    RecentItem,
    Row,
)

GET_NAMES = frozenset({"n", "scenario", "exclude", "item_id", "fields", "after", "anonymous_id"})
# A key in the query belongs to the edge; browsers and proxies add names that begin with an underscore.
_FOREIGN_NAMES = frozenset({"key"})
_OTHER_WORDS = {"limit": "n", "count": "n", "size": "n", "k": "n", "top": "n", "product_id": "item_id"}
POST_NAMES = frozenset(
    {"user_id", "anonymous_id", "n", "scenario", "item_id", "exclude", "fields", "after"}
    | {"recent_items", "candidates", "context", "rows", "dedupe"}
)
_RECENT_NAMES = frozenset({"item_id", "event_type", "timestamp"})
_ROW_NAMES = frozenset({"id", "scenario", "n", "item_id"})


def from_parameters(
    user_id: str | None,
    parameters: Iterable[tuple[str, str]],
    fields: frozenset[str],
    scenarios: Scenarios,
) -> Query:
    """The Query of a GET. `fields` are the catalogue fields there are. Raises QueryError."""
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        if name in GET_NAMES:
            given.setdefault(name, []).append(value)
        elif name not in _FOREIGN_NAMES and not name.startswith("_"):
            _unknown("parameter", name, GET_NAMES)
    for name, values in given.items():
        if len(values) > 1 and name not in {"exclude", "fields"}:
            raise QueryError(422, "repeated_parameter", f"{name} is there {len(values)} times; send it once")
    first = {name: values[0] for name, values in given.items()}
    n_text = first.get("n")
    n: int = DEFAULT_N if n_text is None else _integer(n_text)
    return Query(
        user_id=None if user_id is None else identifier(user_id, "user_id"),
        anonymous_id=_optional_id(first, "anonymous_id"),
        n=_count(n, "n"),
        scenario=_scenario(first.get("scenario"), "scenario", scenarios),
        scenarios=scenarios,
        item_id=_optional_id(first, "item_id"),
        exclude=_ids(_split(given.get("exclude", [])), "exclude", MAX_EXCLUDE),
        fields=_fields(_split(given.get("fields", [])), fields),
        after=_after(first.get("after")),
    )


def from_body(body: bytes, fields: frozenset[str], scenarios: Scenarios) -> Query:
    """The Query of a POST. Raises QueryError."""
    try:
        given = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        malformed = explain_json_error(error, body)
        raise QueryError(400, malformed.code, malformed.message) from None
    if not isinstance(given, dict):
        raise QueryError(
            422, "invalid_body", 'the body must be a JSON object, like {"user_id": "u_12345", "n": 10}'
        )
    _only(given, POST_NAMES, "the body")
    query = Query(
        user_id=_optional_id(given, "user_id"),
        anonymous_id=_optional_id(given, "anonymous_id"),
        n=_count(given.get("n", DEFAULT_N), "n"),
        scenario=_scenario(given.get("scenario"), "scenario", scenarios),
        scenarios=scenarios,
        item_id=_optional_id(given, "item_id"),
        exclude=_ids(_array(given, "exclude", MAX_EXCLUDE), "exclude", MAX_EXCLUDE),
        fields=_fields(_fields_array(given), fields),
        after=_after(given.get("after")),
        recent=tuple(
            _recent(raw, f"recent_items[{at}]") for at, raw in _numbered(given, "recent_items", MAX_RECENT)
        ),
        context=_context(given.get("context")),
    )
    if given.get("candidates") is not None:
        ids = [
            identifier(raw, f"candidates[{at}]") for at, raw in _numbered(given, "candidates", MAX_CANDIDATES)
        ]
        query = replace(query, candidates=tuple(dict.fromkeys(ids)))
    dedupe = given.get("dedupe", True)
    if not isinstance(dedupe, bool):
        _wrong("dedupe", "true or false")
    rows = tuple(_row(raw, at, query) for at, raw in _numbered(given, "rows", MAX_ROWS))
    if len({row.id for row in rows}) < len(rows):
        raise QueryError(422, "repeated_row", "rows: give each row an id of its own")
    return replace(query, rows=rows, dedupe=dedupe)


def identifier(raw: object, name: str) -> str:
    """An opaque id as the kernel reads it; the error names the field."""
    try:
        return read_id(raw)
    except IdError as error:
        raise QueryError(422, "invalid_id", f"{name}: {error}") from None


def _optional_id(given: Mapping[str, Any], name: str) -> str | None:
    raw = given.get(name)
    return None if raw is None else identifier(raw, name)


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        _wrong("n", f"a whole number from 1 to {MAX_N}")
    return int(text)


def _count(raw: object, name: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= MAX_N:
        _wrong(name, f"a whole number from 1 to {MAX_N}")
    return raw


def _scenario(raw: object, name: str, scenarios: Scenarios) -> Scenario:
    known = scenarios.by_name
    if raw is None:
        return known[FOR_YOU]
    if not isinstance(raw, str) or raw not in known:
        near = nearest(str(raw), known)
        raise QueryError(
            422,
            "unknown_scenario",
            f"{name}: {str(raw)[:64]!r} is no scenario; did you mean {near!r}? There are: {', '.join(known)}",
        )
    return known[raw]


def _after(raw: object) -> Position | None:
    if raw is None:
        return None
    try:
        return Position.parse(raw if isinstance(raw, str) else "")
    except ValueError:
        raise QueryError(
            422,
            "invalid_position",
            f"after: {str(raw)[:64]!r} is not a position; send one as it stood in a 202 answer",
        ) from None


def _fields(asked: Iterable[Any], known: frozenset[str]) -> tuple[str, ...]:
    names: list[str] = []
    for name in asked:
        if not isinstance(name, str):
            _wrong("fields", "a list of strings")
        if name in {"all", "*"}:
            names.extend(sorted(known))
        elif name not in known:
            _unknown("field", name, known)
        else:
            names.append(name)
    return tuple(dict.fromkeys(names))


def _fields_array(given: Mapping[str, Any]) -> list[Any]:
    raw = given.get("fields")
    return _split([raw]) if isinstance(raw, str) else _array(given, "fields", 64)


def _recent(raw: object, name: str) -> RecentItem:
    if not isinstance(raw, dict):
        return RecentItem(identifier(raw, name))
    _only(raw, _RECENT_NAMES, name)
    if raw.get("item_id") is None:
        _wrong(f"{name}.item_id", "there")
    event_type = raw.get("event_type", "view")
    if not isinstance(event_type, str):
        _wrong(f"{name}.event_type", "a string")
    return RecentItem(
        identifier(raw["item_id"], f"{name}.item_id"), event_type, _timestamp(raw.get("timestamp"), name)
    )


def _timestamp(raw: object, name: str) -> int | None:
    if raw is None:
        return None
    try:
        return read_timestamp_ms(raw)
    except TimestampError as error:
        raise QueryError(422, "invalid_timestamp", f"{name}.timestamp: {error}") from None


def _row(raw: object, at: int, query: Query) -> Row:
    name = f"rows[{at}]"
    if not isinstance(raw, dict):
        _wrong(name, 'an object like {"id": "top", "scenario": "trending", "n": 10}')
    _only(raw, _ROW_NAMES, name)
    scenario = _scenario(raw.get("scenario"), f"{name}.scenario", query.scenarios)
    return Row(
        id=identifier(raw.get("id", f"{at}"), f"{name}.id"),
        scenario=scenario,
        n=_count(raw.get("n", query.n), f"{name}.n"),
        item_id=identifier(raw["item_id"], f"{name}.item_id")
        if raw.get("item_id") is not None
        else query.item_id,
    )


def _context(raw: object) -> Mapping[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > MAX_CONTEXT:
        _wrong("context", f"an object of at most {MAX_CONTEXT} entries")
    for key, value in raw.items():
        plain = value is None or isinstance(value, str | int | float | bool)
        if not plain or len(str(value)) > MAX_CONTEXT_CHARS or len(key) > MAX_CONTEXT_CHARS:
            _wrong(
                f"context.{key[:64]}",
                f"a string, number or boolean of at most {MAX_CONTEXT_CHARS} characters",
            )
    return raw


def _split(values: Iterable[str]) -> list[str]:
    return [word for value in values for word in value.split(",") if word]


def _ids(values: list[Any], name: str, most: int) -> frozenset[str]:
    if len(values) > most:
        raise QueryError(422, "too_many", f"{name}: holds {len(values)}; at most {most}")
    return frozenset(identifier(value, name) for value in values)


def _array(given: Mapping[str, Any], name: str, most: int) -> list[Any]:
    raw = given.get(name)
    if raw is None:
        return []
    if not isinstance(raw, list):
        _wrong(name, "a list")
    if len(raw) > most:
        raise QueryError(422, "too_many", f"{name}: holds {len(raw)}; at most {most}")
    return raw


def _numbered(given: Mapping[str, Any], name: str, most: int) -> Iterable[tuple[int, Any]]:
    return enumerate(_array(given, name, most))


def _only(given: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    for name in given:
        if name not in names:
            _unknown(f"field of {where}", name, names)


def _unknown(kind: str, name: str, known: Iterable[str]) -> NoReturn:
    names = sorted(known)
    near = _OTHER_WORDS.get(name)
    if near not in names:
        near = nearest(name, names)
    code = f"unknown_{kind.split(' ', 1)[0]}"
    raise QueryError(
        422, code, f"{name[:64]!r} is no {kind}; did you mean {near!r}? There are: {', '.join(names)}"
    )


def _wrong(name: str, should_be: str) -> NoReturn:
    raise QueryError(422, "invalid_value", f"{name}: must be {should_be}")
