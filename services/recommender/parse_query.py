"""From a query string or a JSON body to a `Query`; every complaint names the field and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from services.kernel.malformed import explain_json_error
from services.kernel.timestamps import TimestampError, read_timestamp_ms
from services.ranking.scenario_file import Scenarios
from services.ranking.scenario_rules import RULES
from services.recommender.parse_rules import TEXT_RULES, Rules, text_rules
from services.recommender.parse_values import (
    CONTEXT_NAMES,
    a_scenario,
    after_position,
    array,
    context_of,
    counted,
    fields_asked,
    flag,
    identifier,
    ids_of,
    only,
    optional_id,
    shown_before,
    split,
    text_flag,
    unknown,
    whole,
    wrong,
)
from services.recommender.query import (
    DEFAULT_N,
    MAX_CANDIDATES,
    MAX_EXCLUDE,
    MAX_N,
    MAX_RECENT,
    MAX_ROWS,
    Query,
    QueryError,
    RecentItem,
    Row,
)

GET_NAMES: Final = frozenset(
    {"n", "scenario", "exclude", "item_id", "fields", "after", "anonymous_id", "cursor", "explain"}
    | TEXT_RULES
    | set(CONTEXT_NAMES)
)
CONTEXT: Final = "context."
# A key in the query belongs to the edge; browsers and proxies add names that begin with an underscore.
FOREIGN_NAMES: Final = frozenset({"key"})
# What a question for one subject and one for many have in common.
COMMON_NAMES: Final = frozenset(
    {"n", "scenario", "item_id", "exclude", "fields", "candidates", "context", "rows", "dedupe", "explain"}
    | set(RULES)
)
POST_NAMES: Final = COMMON_NAMES | {"user_id", "anonymous_id", "after", "recent_items", "cursor"}
_RECENT_NAMES: Final = frozenset({"item_id", "event_type", "timestamp"})
_ROW_NAMES: Final = frozenset({"id", "scenario", "n", "item_id", "cursor"} | set(RULES))


def from_parameters(
    user_id: str | None,
    parameters: Iterable[tuple[str, str]],
    fields: frozenset[str],
    scenarios: Scenarios,
) -> Query:
    """The Query of a GET. `fields` are the catalogue fields there are. Raises QueryError."""
    given, context = _named(parameters)
    first = {name: values[0] for name, values in given.items()}
    scenario = a_scenario(first.get("scenario"), "scenario", scenarios)
    if not TEXT_RULES.isdisjoint(first):
        scenario = text_rules(first).on(scenario)
    return Query(
        user_id=None if user_id is None else identifier(user_id, "user_id"),
        anonymous_id=optional_id(first, "anonymous_id"),
        n=whole(first["n"], "n", MAX_N) if "n" in first else DEFAULT_N,
        scenario=scenario,
        scenarios=scenarios,
        item_id=optional_id(first, "item_id"),
        exclude=ids_of(split(given.get("exclude", [])), "exclude", MAX_EXCLUDE),
        fields=fields_asked(split(given.get("fields", [])), fields),
        after=after_position(first.get("after")),
        context=context_of(context) if context else {},
        shown=shown_before(first.get("cursor"), "cursor"),
        explain=text_flag(first["explain"], "explain") if "explain" in first else False,
    )


def _named(parameters: Iterable[tuple[str, str]]) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The parameters by name, and the context in them. A name of the context may come several times."""
    given: dict[str, list[str]] = {}
    context: dict[str, list[str]] = {}
    for name, value in parameters:
        if name.startswith(CONTEXT) and name != CONTEXT:
            context.setdefault(name.removeprefix(CONTEXT), []).append(value)
        elif name in GET_NAMES:
            given.setdefault(name, []).append(value)
        elif name not in FOREIGN_NAMES and not name.startswith("_"):
            hint = (
                'write context.NAME=value, such as "context.store=12".' if name.startswith("context") else ""
            )
            unknown("parameter", name, GET_NAMES, hint)
    for name, values in given.items():
        if len(values) > 1 and name not in {"exclude", "fields"}:
            raise QueryError(422, "repeated_parameter", f"{name} is there {len(values)} times; send it once")
    for name in CONTEXT_NAMES:
        if name in given and name in context:
            detail = f"{name} and {CONTEXT}{name} are the same; send one of them"
            raise QueryError(422, "repeated_parameter", detail)
        if name in given:
            context[name] = given.pop(name)
    return given, {name: values[0] if len(values) == 1 else values for name, values in context.items()}


def refuse_beside_a_body(parameters: Iterable[tuple[str, str]]) -> None:
    """What belongs into the body of a POST and stands in its query string would change nothing. Raises
    QueryError.
    """
    for name, _ in parameters:
        if name in GET_NAMES or name in POST_NAMES or name.startswith(CONTEXT):
            raise QueryError(422, "unknown_parameter", f"{name!r} is read from the body; write it there")


def body_of(body: bytes, example: str) -> dict[str, Any]:
    """A JSON object; nothing at all is an empty one. Raises QueryError."""
    try:
        given = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        malformed = explain_json_error(error, body)
        raise QueryError(400, malformed.code, malformed.message) from None
    if not isinstance(given, dict):
        raise QueryError(422, "invalid_body", f"the body must be a JSON object, like {example}")
    return given


def from_body(body: bytes, fields: frozenset[str], scenarios: Scenarios) -> Query:
    """The Query of a POST. Raises QueryError."""
    given = body_of(body, '{"user_id": "u_12345", "n": 10}')
    only(given, POST_NAMES, "the body")
    recent = array(given, "recent_items", MAX_RECENT)
    return replace(
        common_of(given, fields, scenarios),
        user_id=optional_id(given, "user_id"),
        anonymous_id=optional_id(given, "anonymous_id"),
        after=after_position(given.get("after")),
        recent=tuple(_recent(raw, f"recent_items[{at}]") for at, raw in enumerate(recent)),
        shown=shown_before(given.get("cursor"), "cursor"),
    )


def common_of(given: Mapping[str, Any], fields: frozenset[str], scenarios: Scenarios) -> Query:
    """What COMMON_NAMES say, as a Query for nobody. Raises QueryError."""
    rules = Rules(given)
    asked = given.get("fields")
    scenario = a_scenario(given.get("scenario"), "scenario", scenarios)
    query = Query(
        n=counted(given.get("n", DEFAULT_N), "n"),
        scenario=scenario,
        scenarios=scenarios,
        item_id=optional_id(given, "item_id"),
        exclude=ids_of(array(given, "exclude", MAX_EXCLUDE), "exclude", MAX_EXCLUDE),
        fields=fields_asked(split([asked]) if isinstance(asked, str) else array(given, "fields", 64), fields),
        context=context_of(given.get("context")),
        explain=flag(given.get("explain", False), "explain"),
        dedupe=flag(given.get("dedupe", True), "dedupe"),
    )
    if given.get("candidates") is not None:
        raws = array(given, "candidates", MAX_CANDIDATES)
        ids = [identifier(raw, f"candidates[{at}]") for at, raw in enumerate(raws)]
        query = replace(query, candidates=tuple(dict.fromkeys(ids)))
    rows = tuple(_row(raw, at, query, rules) for at, raw in enumerate(array(given, "rows", MAX_ROWS)))
    if not rows and given.get("rows") is not None:
        wrong("rows", "a list of one row at least; leave it out for a list alone")
    if len({row.id for row in rows}) < len(rows):
        raise QueryError(422, "repeated_row", "rows: give each row an id of its own")
    return replace(query, scenario=rules.on(scenario), rows=rows)


def _recent(raw: object, name: str) -> RecentItem:
    if not isinstance(raw, dict):
        return RecentItem(identifier(raw, name))
    only(raw, _RECENT_NAMES, name)
    if raw.get("item_id") is None:
        wrong(f"{name}.item_id", "there")
    event_type = raw.get("event_type", "view")
    if not isinstance(event_type, str):
        wrong(f"{name}.event_type", "a string")
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


def _row(raw: object, at: int, query: Query, rules: Rules) -> Row:
    name = f"rows[{at}]"
    if not isinstance(raw, dict):
        wrong(name, 'an object like {"id": "top", "scenario": "trending", "n": 10}')
    only(raw, _ROW_NAMES, name)
    scenario = query.scenario
    if raw.get("scenario") is not None:
        scenario = a_scenario(raw["scenario"], f"{name}.scenario", query.scenarios)
    item_id = optional_id(raw, "item_id", name)
    return Row(
        id=identifier(raw.get("id", f"{at}"), f"{name}.id"),
        scenario=rules.on(scenario, name, Rules(raw, name)),
        n=counted(raw.get("n", query.n), f"{name}.n"),
        item_id=query.item_id if item_id is None else item_id,
        shown=shown_before(raw.get("cursor"), f"{name}.cursor"),
    )
