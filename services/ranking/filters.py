"""Filters over catalogue fields: what a clause says, how clauses are put together, and back to JSON.

A filter does not change and may stand in a dictionary. How it is written is docs/FILTERS.md; `filter_json`
and `filter_text` read it, `columns` turns it into a mask over the rows of a catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import chain
from typing import Any, Final, NamedTuple

PATH_SEPARATOR: Final = " > "
PROPERTIES: Final = "properties."
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class FilterError(ValueError):
    """A filter cannot be used: a stable `code`, `where` it stands (`filter.price.gte`), what to change."""

    def __init__(self, code: str, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.code = code
        self.where = where


class Flag(Enum):
    """true and false: Python's own are equal to 1 and 0, and a dictionary would take one for the other."""

    FALSE = "false"
    TRUE = "true"


class Variable(NamedTuple):
    """`$context.country`: a value that the request brings. `optional`: left out where it brings none."""

    source: str  # "context" or "item"
    name: str
    optional: bool

    @property
    def needs(self) -> str:
        """`context.country`."""
        return f"{self.source}.{self.name}"

    def __str__(self) -> str:
        return f"${self.needs}{'?' if self.optional else ''}"


class CategoryPath(NamedTuple):
    """A path from the root; what lies below it is meant too."""

    names: tuple[str, ...]


class Moment(NamedTuple):
    """A point in time."""

    unix_ms: int


Value = str | int | float | Flag | CategoryPath | Moment | Variable


@dataclass(frozen=True, slots=True)
class Equal:
    """Holds where any element of the field is any of the values."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """Holds where any element of the field lies between the bounds; None: open."""

    field: str
    low: Value | None
    high: Value | None
    low_excluded: bool = False
    high_excluded: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """Holds where the item has the field."""

    field: str


@dataclass(frozen=True, slots=True)
class All:
    """Holds where every part does."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where at least one part does."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where the part does not. Where nobody knows (a variable is missing) neither holds."""

    part: Node


Clause = Equal | Within | Exists
Node = Equal | Within | Exists | All | AnyOf | Not


@dataclass(frozen=True, eq=False)
class Filter:
    """A filter as it was written, checked."""

    root: Node
    _hash: int = field(init=False, repr=False)
    _fields: frozenset[str] = field(init=False, repr=False)
    _needs: frozenset[str] = field(init=False, repr=False)
    size_bytes: int = field(init=False, repr=False)  # nearly: of its values
    properties: tuple[str, ...] = field(init=False, repr=False)  # those of its fields that are no fixed ones

    def __post_init__(self) -> None:
        # A filter is looked up with every request: what a thousand values hash to is worked out once.
        object.__setattr__(self, "_hash", hash(self.root))
        object.__setattr__(self, "_fields", frozenset(clause.field for clause in clauses(self.root)))
        needs = (variable.needs for clause in clauses(self.root) for variable in variables_of(clause))
        object.__setattr__(self, "_needs", frozenset(needs))
        own = (name for name in sorted(self._fields) if name.startswith(PROPERTIES))
        object.__setattr__(self, "properties", tuple(own))
        values = (clause.values for clause in clauses(self.root) if isinstance(clause, Equal))
        object.__setattr__(self, "size_bytes", sum(map(_size_bytes, chain.from_iterable(values))))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Filter) and self.root == other.root)

    @property
    def parts(self) -> tuple[Node, ...]:
        """What must all hold."""
        return _conjuncts(self.root)

    def fields(self) -> frozenset[str]:
        """The fields that its clauses are about: `brand`, `properties.season`."""
        return self._fields

    def needs(self) -> frozenset[str]:
        """The variables that it asks for: `context.country`, `item.brand`."""
        return self._needs

    def without(self, field: str) -> Filter | None:
        """What is left once the clauses about `field` alone are dropped; None where nothing is.

        A clause about several fields (`any` of a brand and a price) stays.
        """
        left = [part for part in self.parts if {clause.field for clause in clauses(part)} != {field}]
        return _conjunction(left)

    def to_json(self) -> dict[str, Any]:
        """The JSON form; `parse_filter` makes an equal filter of it."""
        return _rendered(self.root)


def both(left: Filter | None, right: Filter | None) -> Filter | None:
    """What both let through; None stands for no filter. That nothing may pass is no error here."""
    if left is None or right is None or left == right:
        return right if left is None else left
    return _conjunction(dict.fromkeys([*left.parts, *right.parts]))


def clauses(node: Node) -> Iterator[Clause]:
    """Every clause, from left to right."""
    if isinstance(node, All | AnyOf):
        for part in node.parts:
            yield from clauses(part)
    elif isinstance(node, Not):
        yield from clauses(node.part)
    else:
        yield node


def variables_of(clause: Clause) -> Iterator[Variable]:
    """The variables of one clause."""
    values: tuple[Value | None, ...] = ()
    if isinstance(clause, Equal):
        values = clause.values
    elif isinstance(clause, Within):
        values = (clause.low, clause.high)
    return (value for value in values if isinstance(value, Variable))


def _conjuncts(node: Node) -> tuple[Node, ...]:
    if not isinstance(node, All):
        return (node,)
    return tuple(inner for part in node.parts for inner in _conjuncts(part))


def _conjunction(parts: dict[Node, None] | list[Node]) -> Filter | None:
    found = tuple(parts)
    if not found:
        return None
    return Filter(found[0] if len(found) == 1 else All(found))


def _size_bytes(value: Value) -> int:
    """About: a text takes one to four bytes a character."""
    return 80 + 2 * len(value) if isinstance(value, str) else 80


def plain(value: Value) -> Any:
    """A value as JSON writes it."""
    if isinstance(value, Flag):
        return value is Flag.TRUE
    if isinstance(value, Variable):
        return str(value)
    if isinstance(value, Moment):
        moment = _EPOCH + timedelta(milliseconds=value.unix_ms)
        return moment.isoformat(timespec="milliseconds").replace(".000", "").replace("+00:00", "Z")
    if isinstance(value, CategoryPath):
        text = PATH_SEPARATOR.join(value.names)
        if text.split(PATH_SEPARATOR) != list(value.names):
            return list(value.names)
        return _escaped(text)
    return _escaped(value) if isinstance(value, str) else value


def spelled(value: Value) -> str:
    """A value as a text that people read."""
    if isinstance(value, CategoryPath):
        return PATH_SEPARATOR.join(value.names)
    if isinstance(value, Flag):
        return value.value
    return f"{value:g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return f"${text}" if text.startswith("$") else text


def _rendered(node: Node) -> dict[str, Any]:
    if isinstance(node, All):
        rendered = [_rendered(part) for part in node.parts]
        names = [name for part in rendered for name in part]
        if len(set(names)) < len(names):
            return {"all": rendered}
        return {name: value for part in rendered for name, value in part.items()}
    if isinstance(node, AnyOf):
        return {"any": [_rendered(part) for part in node.parts]}
    if isinstance(node, Not):
        if isinstance(node.part, Equal):
            return {node.part.field: _values(node.part, "ne", "nin")}
        if isinstance(node.part, Exists):
            return {node.part.field: {"exists": False}}
        return {"not": _rendered(node.part)}
    if isinstance(node, Equal):
        return {node.field: _equality(node)}
    if isinstance(node, Exists):
        return {node.field: {"exists": True}}
    bounds: dict[str, Any] = {}
    if node.low is not None:
        bounds["gt" if node.low_excluded else "gte"] = plain(node.low)
    if node.high is not None:
        bounds["lt" if node.high_excluded else "lte"] = plain(node.high)
    return {node.field: bounds}


def _equality(node: Equal) -> Any:
    values = _values(node, "eq", "in")
    (_, value), *_ = values.items()
    return values if isinstance(value, list) and len(node.values) == 1 else value


def _values(node: Equal, one: str, many: str) -> dict[str, Any]:
    if len(node.values) == 1:
        return {one: plain(node.values[0])}
    return {many: [plain(value) for value in node.values]}
