"""The small parts of a question: ids, numbers, lists, context. Each complaint names the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from services.kernel.ids import IdError, read_id
from services.kernel.nearest import nearest
from services.kernel.position import Position
from services.ranking.filter_fields import FIELDS
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import Scenarios
from services.recommender.cursor import CursorError, read_cursor
from services.recommender.query import (
    FOR_YOU,
    MAX_CONTEXT,
    MAX_CONTEXT_CHARS,
    MAX_CONTEXT_VALUES,
    MAX_N,
    QueryError,
)

# What people try, and what it is called here: told, not taken.
_OTHER_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("limit", "count", "size", "k", "top", "page_size", "num_results"), "n"),
    **dict.fromkeys(("product_id", "product", "item", "video_id", "content_id", "seed"), "item_id"),
    **dict.fromkeys(("filters", "where", "filter_by", "include", "facets", "q"), "filter"),
    **dict.fromkeys(
        ("page", "offset", "next", "next_cursor", "after_cursor", "page_token", "skip"), "cursor"
    ),
    **dict.fromkeys(("lang", "locale"), "language"),
    **dict.fromkeys(("user", "uid", "subject"), "user_id"),
    **dict.fromkeys(("users_ids", "ids", "user_list"), "user_ids"),
    **dict.fromkeys(("session_id", "visitor_id", "cookie"), "anonymous_id"),
    **dict.fromkeys(("boost", "bias", "weights", "bury"), "boosts"),
    **dict.fromkeys(("pin", "pinned"), "pins"),
    **dict.fromkeys(("cap", "limits", "max_per_category", "max_per_brand"), "caps"),
    **dict.fromkeys(("diverse", "mmr", "lambda", "diversify"), "diversity"),
    **dict.fromkeys(("blocklist", "exclude_ids", "ignore", "not"), "exclude"),
    **dict.fromkeys(("items", "product_ids", "item_ids", "rank", "rerank"), "candidates"),
    **dict.fromkeys(("events", "history", "recent", "recently_viewed"), "recent_items"),
    **dict.fromkeys(("lists", "shelves", "sections", "slots"), "rows"),
    **dict.fromkeys(("list", "type", "strategy", "algorithm", "model"), "scenario"),
    **dict.fromkeys(("debug", "trace", "verbose"), "explain"),
    **dict.fromkeys(("select", "return", "properties", "attributes"), "fields"),
    **dict.fromkeys(("hide_seen", "seen", "exclude_seen", "hide_bought"), "hide"),
    **dict.fromkeys(("fallback", "relax_order"), "relax"),
    **dict.fromkeys(("min", "minimum", "min_items"), "at_least"),
}
_OTHER_FILTERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("category", "category_id", "genre"), "categories"),
    **dict.fromkeys(("min_price", "price_min", "max_price", "price_max", "price_range"), "price"),
    **dict.fromkeys(("tag",), "tags"),
}
# Parts of the context that a query string names without `context.` before them.
CONTEXT_NAMES: Final = ("country", "language", "device")
_EXAMPLES: Final[Mapping[str, str]] = {
    "price": "price:5..20",
    "categories": "categories:Grocery > Cheese",
    "available": "available:true",
}


def identifier(raw: object, name: str) -> str:
    """An opaque id as the kernel reads it; the error names the field."""
    try:
        return read_id(raw)
    except IdError as error:
        raise QueryError(422, "invalid_id", f"{name}: {error}") from None


def optional_id(given: Mapping[str, Any], name: str, where: str = "") -> str | None:
    """An id that need not be there."""
    raw = given.get(name)
    return None if raw is None else identifier(raw, f"{where}.{name}" if where else name)


def whole(text: str, name: str, most: int) -> int:
    """A number from 1 to `most` in a query string."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        wrong(name, f"a whole number from 1 to {most}")
    return int(text)


def counted(raw: object, name: str) -> int:
    """How many items, of a body."""
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= MAX_N:
        wrong(name, f"a whole number from 1 to {MAX_N}")
    return raw


def flag(raw: object, name: str) -> bool:
    """true or false."""
    if not isinstance(raw, bool):
        wrong(name, "true or false")
    return raw


def text_flag(text: str, name: str) -> bool:
    """true or false (or 1 or 0) of a query string."""
    return flag({"true": True, "1": True, "false": False, "0": False}.get(text), name)


def a_scenario(raw: object, name: str, scenarios: Scenarios) -> Scenario:
    """The scenario of that name; `for_you` where there is none."""
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


def after_position(raw: object) -> Position | None:
    """What `after` says."""
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


def shown_before(raw: object, name: str) -> frozenset[int]:
    """The item keys in a cursor; none where there is no cursor (or an empty one: the first page)."""
    if raw is None or raw == "":
        return frozenset()
    try:
        return read_cursor(raw if isinstance(raw, str) else "!")
    except CursorError:
        raise QueryError(
            422,
            "invalid_cursor",
            f"{name}: {str(raw)[:32]!r} is none of ours; send `next_cursor` of the page before (of a row, in "
            "that row) as it stood there, or leave it out for the first page",
        ) from None


def fields_asked(asked: Iterable[Any], known: frozenset[str]) -> tuple[str, ...]:
    """Names of catalogue fields, each once; `all` (or `*`) for all of them."""
    names: list[str] = []
    for name in asked:
        if not isinstance(name, str):
            wrong("fields", "a list of strings")
        if name in {"all", "*"}:
            names.extend(sorted(known))
        elif name not in known:
            unknown("field", name, known)
        else:
            names.append(name)
    return tuple(dict.fromkeys(names))


def context_of(raw: object, where: str = "context") -> Mapping[str, Any]:
    """What a request says of its circumstances: up to MAX_CONTEXT names, each with a value or a list."""
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > MAX_CONTEXT:
        wrong(where, f"an object of at most {MAX_CONTEXT} entries")
    for key, value in raw.items():
        values = value if isinstance(value, list) else [value]
        fits = len(key) <= MAX_CONTEXT_CHARS and len(values) <= MAX_CONTEXT_VALUES
        if not fits or not all(map(_is_plain, values)):
            wrong(
                f"{where}.{key[:64]}",
                f"a string, number or boolean of at most {MAX_CONTEXT_CHARS} characters, or a list of at "
                f"most {MAX_CONTEXT_VALUES} of them",
            )
    return raw


def _is_plain(value: object) -> bool:
    return value is None or (
        isinstance(value, str | int | float | bool) and len(str(value)) <= MAX_CONTEXT_CHARS
    )


def split(values: Iterable[str]) -> list[str]:
    """The words of comma-separated texts."""
    return [word for value in values for word in value.split(",") if word]


def ids_of(values: list[Any], name: str, most: int) -> frozenset[str]:
    """A set of ids."""
    check_length(values, name, most)
    return frozenset(identifier(value, name) for value in values)


def array(given: Mapping[str, Any], name: str, most: int) -> list[Any]:
    """A list of a body, empty where there is none."""
    raw = given.get(name)
    if raw is None:
        return []
    if not isinstance(raw, list):
        wrong(name, "a list")
    check_length(raw, name, most)
    return raw


def check_length(values: list[Any], name: str, most: int) -> None:
    """Raises QueryError for a list of more than `most`."""
    if len(values) > most:
        raise QueryError(422, "too_many", f"{name}: holds {len(values)}; at most {most}")


def only(given: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    """Raises QueryError for a field that is none of `names`."""
    for name in given:
        if name not in names:
            unknown(f"field of {where}", name, names)


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> NoReturn:
    """Raises QueryError for a name that there is not, with the nearest that there is."""
    names = sorted(known)
    near = _OTHER_WORDS.get(name)
    if near not in names:
        near = nearest(name, names)
    meant = f"did you mean {near!r}?"
    field = _OTHER_FILTERS.get(name, name)
    if "context" in names and name in CONTEXT_NAMES:
        meant = f'it is part of `context`: {{"context": {{"{name}": …}}}}.'
    elif (
        "filter" in names
        and (field in FIELDS or field.startswith("properties."))
        and name not in _OTHER_WORDS
    ):
        example = _EXAMPLES.get(field, f"{field}:value")
        meant = f'it is a field of items: filter by it, as "{example}" in `filter`.'
    code = f"unknown_{kind.split(' ', 1)[0]}"
    raise QueryError(422, code, f"{name[:64]!r} is no {kind}; {hint or meant} There are: {', '.join(names)}")


def wrong(name: str, should_be: str) -> NoReturn:
    """Raises QueryError for a value that is none."""
    raise QueryError(422, "invalid_value", f"{name}: must be {should_be}")
