"""Filters as JSON or TOML write them: `{"brand": "Acme", "price": {"gte": 5, "lt": 20}}`."""

from __future__ import annotations

from typing import Any, Final

from services.kernel.ids import json_type
from services.kernel.nearest import likely_meant
from services.ranking.filter_conflicts import refuse_conflicts
from services.ranking.filter_fields import RANGED, Kind, check_field, field_of, read_value
from services.ranking.filters import All, AnyOf, Equal, Exists, Filter, FilterError, Node, Not, Value, Within

DEPTH_MAX: Final = 8  # all, any and not in each other: deeper ones nobody can read, and reading recurses
CLAUSES_MAX: Final = 64  # each is a pass over a column of the catalogue, up to 0.1 ms at 100,000 items
VALUES_MAX: Final = 1000  # of a clause: a basket or a shelf of ids; more is a tag that the items should carry
ALL_VALUES_MAX: Final = 4000  # of a filter: reading and checking them takes 1 µs each, while others wait

_BOUNDS: Final = frozenset({"gt", "gte", "lt", "lte"})
OPERATORS: Final = ("eq", "ne", "in", "nin", "gt", "gte", "lt", "lte", "under", "exists")
_OTHER_WORDS: Final = {
    "min": "gte",
    "max": "lte",
    "from": "gte",
    "to": "lte",
    "equals": "eq",
    "==": "eq",
    "=": "eq",
    "!=": "ne",
    "not": "ne",
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
    "not_in": "nin",
    "any": "in",
    "prefix": "under",
}


class Budget:
    """Counts clauses and their values while a filter is read."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._clauses = 0
        self._values = 0

    def take(self, values: int, where: str) -> None:
        """One more clause with so many values. Raises FilterError for too many."""
        self._clauses += 1
        self._values += values
        if values > VALUES_MAX:
            raise FilterError(
                "filter_too_large",
                where,
                f"holds {values} values, {VALUES_MAX} at most; give the items a tag and filter by that",
            )
        if self._values > ALL_VALUES_MAX:
            raise FilterError(
                "filter_too_large",
                self._where,
                f"holds more than {ALL_VALUES_MAX} values; give the items a tag and filter by that",
            )
        if self._clauses > CLAUSES_MAX:
            raise FilterError(
                "filter_too_large",
                self._where,
                f"holds more than {CLAUSES_MAX} clauses; name several values of a field in one list",
            )


def parse_filter(raw: object, where: str = "filter") -> Filter:
    """The filter of one decoded JSON object. Raises FilterError: what to change, and where.

    Also refuses what no item can ever pass.
    """
    return refuse_conflicts(Filter(_node(raw, where, 1, Budget(where))), where)


def joined(parts: list[Node]) -> Node:
    """All of the parts; a single one as it is, nested ones beside each other."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,))]
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def equal(name: str, values: list[Value], where: str) -> Node:
    """A clause of membership. Raises FilterError for no value."""
    if not values:
        raise FilterError("contradictory_filter", where, "an empty list lets nothing through; leave it out")
    return Equal(name, tuple(dict.fromkeys(values)))


def _node(raw: object, where: str, depth: int, budget: Budget) -> Node:
    if depth > DEPTH_MAX:
        raise FilterError("filter_too_large", where, f"is nested more than {DEPTH_MAX} deep; flatten it")
    if not isinstance(raw, dict):
        hint = "; the short form brand:Acme goes in the query string" if isinstance(raw, str) else ""
        raise FilterError(
            "invalid_filter",
            where,
            f'must be an object such as {{"brand": "Acme"}}, not {json_type(raw)}{hint}',
        )
    if not raw:
        raise FilterError("invalid_filter", where, "is empty; leave it out where nothing is filtered")
    parts: list[Node] = []
    for name, value in raw.items():
        inside = f"{where}.{str(name)[:64]}"
        if name in {"all", "any"}:
            parts.append(_several(str(name), value, inside, depth, budget))
        elif name == "not":
            parts.append(Not(_node(value, inside, depth + 1, budget)))
        else:
            parts.append(_field(str(name), value, inside, budget))
    return joined(parts)


def _several(name: str, raw: object, where: str, depth: int, budget: Budget) -> Node:
    if not isinstance(raw, list) or not raw:
        found = "an empty list" if raw == [] else json_type(raw)
        raise FilterError(
            "invalid_filter", where, f'must be a list of filters such as [{{"brand": "Acme"}}], not {found}'
        )
    parts = [_node(part, f"{where}[{at}]", depth + 1, budget) for at, part in enumerate(raw)]
    return parts[0] if len(parts) == 1 else joined(parts) if name == "all" else AnyOf(tuple(parts))


def _field(name: str, raw: object, where: str, budget: Budget) -> Node:
    check_field(name, where)
    if not isinstance(raw, dict):  # short for eq, or in
        budget.take(len(raw) if isinstance(raw, list) else 1, where)
        return _clause(name, "in" if isinstance(raw, list) else "eq", raw, where)
    if not raw:
        raise FilterError("invalid_filter", where, f"is empty; the operators are {', '.join(OPERATORS)}")
    for operator in raw:
        _check_operator(name, operator, f"{where}.{str(operator)[:64]}")
    parts: list[Node] = []
    if not _BOUNDS.isdisjoint(raw):
        budget.take(1, where)
        parts.append(_range(name, raw, where))
    for operator, value in raw.items():
        if operator not in _BOUNDS:
            budget.take(len(value) if isinstance(value, list) else 1, f"{where}.{operator}")
            parts.append(_clause(name, operator, value, f"{where}.{operator}"))
    return joined(parts)


def _check_operator(name: str, operator: object, where: str) -> None:
    if operator not in OPERATORS:
        word = str(operator)
        meant = _OTHER_WORDS.get(word) or likely_meant(word, OPERATORS)
        raise FilterError(
            "unknown_operator",
            where,
            f"{word[:64]!r} is no operator"
            + (f"; did you mean {meant!r}?" if meant else ";")
            + f" There are: {', '.join(OPERATORS)}",
        )
    kind = field_of(name).kind
    if operator in _BOUNDS and kind not in RANGED:
        raise FilterError(
            "invalid_operator",
            where,
            f"{name} is {kind.value} and has no order; use eq, ne, in, nin or exists",
        )
    if operator == "under" and kind is not Kind.PATH:
        raise FilterError(
            "invalid_operator", where, f"only categories are paths; for {name} use eq, ne, in, nin or exists"
        )


def _range(name: str, raw: dict[str, Any], where: str) -> Node:
    bounds: dict[str, Value] = {}
    for operator in ("gt", "gte", "lt", "lte"):
        if operator in raw:
            bounds[operator] = read_value(name, raw[operator], f"{where}.{operator}", bound=True)
    for pair in (("gt", "gte"), ("lt", "lte")):
        if all(operator in bounds for operator in pair):
            raise FilterError("invalid_filter", where, f"gives both {pair[0]} and {pair[1]}; keep one")
    return Within(
        name,
        bounds.get("gt", bounds.get("gte")),
        bounds.get("lt", bounds.get("lte")),
        "gt" in bounds,
        "lt" in bounds,
    )


def _clause(name: str, operator: str, raw: object, where: str) -> Node:
    if operator == "exists":
        if not isinstance(raw, bool):
            raise FilterError("invalid_value", where, f"must be true or false, not {json_type(raw)}")
        return Exists(name) if raw else Not(Exists(name))
    if operator in {"in", "nin"}:
        if not isinstance(raw, list):
            raise FilterError(
                "invalid_value", where, f"must be a list, not {json_type(raw)}; for one value use eq or ne"
            )
        found = equal(name, [read_value(name, one, f"{where}[{at}]") for at, one in enumerate(raw)], where)
        return Not(found) if operator == "nin" else found
    if isinstance(raw, list) and field_of(name).kind is not Kind.PATH:
        other = "nin" if operator == "ne" else "in"
        raise FilterError("invalid_value", where, f"must be one value, not a list; for several use {other}")
    found = Equal(name, (read_value(name, raw, where),))
    return Not(found) if operator == "ne" else found
