"""Filters that no item can ever pass: found when a filter is read, and said with the field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from services.ranking.filter_fields import Kind, field_of
from services.ranking.filters import (
    AnyOf,
    CategoryPath,
    Clause,
    Equal,
    Exists,
    Filter,
    FilterError,
    Flag,
    Moment,
    Node,
    Not,
    Value,
    Variable,
    Within,
    plain,
)

FEW: Final = 8  # values that are looked for one by one


class Conflict(NamedTuple):
    """The field whose clauses exclude each other, and how."""

    field: str
    message: str


class _Literal(NamedTuple):
    """A clause, or its opposite."""

    clause: Clause
    negated: bool


_Branch = tuple[Node, bool]


def conflict_in(filter: Filter) -> Conflict | None:
    """Why no item can pass, or a part of an `any` never helps; None where nothing is known to be wrong.

    1. Every conjunction for itself.
    2. Every conjunction together with each part of an `any` in it: one of them must be possible.
    """
    for node, negated in _nodes(filter.root, False):  # 1
        found = _checked(_split(node, negated)[0], ())
        if found is not None:
            return found
    return _blocked(filter.root, False, ())  # 2


def refuse_conflicts(filter: Filter, where: str) -> Filter:
    """The filter. Raises FilterError where no item can ever pass it."""
    found = conflict_in(filter)
    if found is not None:
        raise FilterError("contradictory_filter", f"{where}.{found.field}", found.message)
    return filter


def _nodes(node: Node, negated: bool) -> Iterable[_Branch]:
    """Every place where a conjunction may begin."""
    yield node, negated
    _, groups = _split(node, negated)
    for part, opposite in (branch for group in groups for branch in group):
        yield from _nodes(part, opposite)


def _split(node: Node, negated: bool) -> tuple[list[_Literal], list[list[_Branch]]]:
    """What must all hold: (clauses, groups of which one part must hold)."""
    if isinstance(node, Not):
        return _split(node.part, not negated)
    if isinstance(node, Equal | Within | Exists):
        return [_Literal(node, negated)], []
    if isinstance(node, AnyOf) is negated:  # all of them; or none of any
        literals: list[_Literal] = []
        groups: list[list[_Branch]] = []
        for part in node.parts:
            more, further = _split(part, negated)
            literals += more
            groups += further
        return literals, groups
    return [], [[(part, negated) for part in node.parts]]


def _blocked(node: Node, negated: bool, outer: tuple[_Literal, ...]) -> Conflict | None:
    literals, groups = _split(node, negated)
    found = _checked(literals, outer)
    if found is not None:
        return found
    together = (*outer, *literals)
    for group in groups:
        conflicts = [_blocked(part, opposite, together) for part, opposite in group]
        first = conflicts[0]
        if first is not None and all(conflicts):
            return first
    return None


def _checked(literals: Sequence[_Literal], outer: tuple[_Literal, ...]) -> Conflict | None:
    for name in dict.fromkeys(literal.clause.field for literal in literals):
        about = [literal for literal in (*outer, *literals) if literal.clause.field == name]
        message = _why(name, about)
        if message is not None:
            return Conflict(name, message)
    return None


def _why(name: str, literals: list[_Literal]) -> str | None:
    kind, many = field_of(name)
    asks = [literal.clause for literal in literals if not literal.negated]
    bars = [literal.clause for literal in literals if literal.negated]
    if asks and any(isinstance(clause, Exists) for clause in bars):
        return f"asks for a {name} and for items that have none; keep one of the two"
    barred = {value for clause in bars if isinstance(clause, Equal) for value in clause.values}
    equals = [clause for clause in asks if isinstance(clause, Equal) and not _open(clause.values)]
    ranges = [clause for clause in asks if isinstance(clause, Within)]
    for clause in equals:
        if all(_is_barred(value, barred) for value in clause.values):
            return f"asks for {_list(clause.values)} and excludes it; keep one of the two"
    for clause_ in ranges:
        if _empty(clause_.low, clause_.high, clause_.low_excluded or clause_.high_excluded):
            return f"nothing is {_span(clause_)}; change one of the bounds"
    if many:
        return None  # another element of the list may answer each clause
    if kind is Kind.FLAG and {Flag.TRUE, Flag.FALSE} <= barred:
        return "excludes both true and false; keep one of the two"
    return _why_of_one(name, equals, ranges, bars, barred)


def _why_of_one(
    name: str, equals: list[Equal], ranges: list[Within], bars: list[Clause], barred: set[Value]
) -> str | None:
    """Clauses that one value cannot answer together."""
    if equals:
        common = _common(equals)
        if not common:
            texts = " and ".join(_list(clause.values) for clause in equals)
            return f"an item has one {name}, which cannot be {texts}; to accept either, name them in one list"
        left = [value for value in common if value not in barred]
        if not left:
            return f"asks for {_list(equals[0].values)} and excludes it; keep one of the two"
        for clause in ranges:
            left = [value for value in left if _lies_in(value, clause)]
            if not left:
                return f"{_list(equals[0].values)} is not {_span(clause)}; change one of the two"
    for at, span in enumerate(ranges):
        for second in ranges[at + 1 :]:
            if _apart(span, second) or _apart(second, span):
                return f"nothing is both {_span(span)} and {_span(second)}; change one of the bounds"
        for bar in bars:
            if isinstance(bar, Within) and _covers(bar, span):
                return f"asks for {_span(span)} and excludes {_span(bar)}; keep one of the two"
    return None


def _common(equals: Sequence[Equal]) -> list[Value]:
    """The values that all clauses ask for. A clause of many values beside which each part of an `any` stands
    is asked for the few values of that part; to make a set of the many each time takes ten times as long.
    """
    fewest = min((clause.values for clause in equals), key=len)
    others = [clause.values for clause in equals if clause.values is not fewest]
    if len(fewest) > FEW:
        sets = [frozenset(other) for other in others]
        return [value for value in fewest if all(value in other for other in sets)]
    return [value for value in fewest if all(value in other for other in others)]


def _open(values: Iterable[Value]) -> bool:
    return any(isinstance(value, Variable) for value in values)


def _is_barred(value: Value, barred: set[Value]) -> bool:
    if isinstance(value, CategoryPath):
        return any(CategoryPath(value.names[:end]) in barred for end in range(1, len(value.names) + 1))
    return value in barred


def _order(value: Value | None) -> float | None:
    """What bounds are compared by; None where that is not known."""
    if isinstance(value, Moment):
        return value.unix_ms
    return value if isinstance(value, int | float) else None


def _empty(low: Value | None, high: Value | None, excluded: bool) -> bool:
    least, most = _order(low), _order(high)
    return least is not None and most is not None and (least > most or (least == most and excluded))


def _apart(lower: Within, upper: Within) -> bool:
    return _empty(upper.low, lower.high, upper.low_excluded or lower.high_excluded)


def _lies_in(value: Value, clause: Within) -> bool:
    return not _empty(clause.low, value, clause.low_excluded) and not _empty(
        value, clause.high, clause.high_excluded
    )


def _covers(outer: Within, inner: Within) -> bool:
    """Whether all that `inner` lets through surely lies in `outer`."""
    for bar, ask, sign in ((outer.low, inner.low, 1), (outer.high, inner.high, -1)):
        if bar is None:
            continue
        limit, asked = _order(bar), _order(ask)
        if limit is None or asked is None or sign * asked < sign * limit:
            return False
        excluded = (outer.low_excluded, inner.low_excluded)
        if sign < 0:
            excluded = (outer.high_excluded, inner.high_excluded)
        if limit == asked and excluded[0] and not excluded[1]:
            return False
    return True


def _list(values: tuple[Value, ...]) -> str:
    shown = [plain(value) for value in values[:3]]
    texts = ", ".join(repr(value) if isinstance(value, str) else str(value) for value in shown)
    return texts if len(values) <= 3 else f"{texts}, …"


def _span(clause: Within) -> str:
    texts = []
    if clause.low is not None:
        texts.append(f"{'above' if clause.low_excluded else 'at least'} {plain(clause.low)}")
    if clause.high is not None:
        texts.append(f"{'below' if clause.high_excluded else 'at most'} {plain(clause.high)}")
    return " and ".join(texts)
