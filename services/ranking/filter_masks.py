"""What a filter means for one request, and its answer over the columns of a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import partial
from itertools import chain, repeat
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item
from services.ranking.column_kinds import Column
from services.ranking.column_numbers import Mask, Rows
from services.ranking.filter_fields import Kind, field_of, given_values
from services.ranking.filters import (
    PROPERTIES,
    All,
    AnyOf,
    Equal,
    Exists,
    Filter,
    Moment,
    Node,
    Not,
    Value,
    Variable,
    Within,
    clauses,
    plain,
    spelled,
)

# Of so many values and properties that no item has the nearest is looked for, up to 2 ms each the first time.
# Who asks for all the brands that somebody follows has made no mistake; who has made many sees it from these.
MEANT_MAX: Final = 3
FEW_OF: Final = 16  # fewer than one row in so many: to list them and ask them alone is faster than to ask all
_NOBODY_KNOWS: Final = AnyOf(())  # a clause whose variable is missing; its opposite holds nowhere either
_LEFT_OUT: Final = All(())  # a clause whose optional variable is missing


class Variables(NamedTuple):
    """What a request brings for `$context.NAME` and `$item.FIELD`."""

    context: Mapping[str, Any] = {}
    item: Item | None = None


NO_VARIABLES: Final = Variables()


@dataclass(frozen=True, slots=True)
class UnknownValue:
    """A value that no item has, or (`value` None) a property that no item has or that cannot be filtered by.

    `nearest` is what was probably meant, worked out when it is asked for.
    """

    field: str
    value: str | int | float | bool | list[str] | None
    reason: str  # "no item has it" or why it cannot be filtered by
    find: Callable[[], str | None] = dataclass_field(repr=False, compare=False)

    @property
    def nearest(self) -> str | None:
        """The nearest value (or property) that items have; None where nothing comes near."""
        return self.find()

    def __str__(self) -> str:
        meant = self.nearest
        return self.reason + (f"; did you mean {meant!r}?" if meant is not None else "")


@dataclass(frozen=True, slots=True)
class Masked:
    """A filter's answer for all rows.

    `filter`: with values in place of variables. `mask`: bool[n], n ≥ row_count, read-only; False for deleted
    rows. `count`: how many rows pass; `few`: which, rising, read-only, where they are listed. `missing`: the
    variables that the request lacks, so that their clauses let nothing through.
    """

    filter: Filter
    mask: NDArray[np.bool_]
    count: int
    few: NDArray[np.int64] | None
    unknown: tuple[UnknownValue, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rising rows that pass."""
        return self.mask.nonzero()[0] if self.few is None else self.few


def resolved(filter: Filter, variables: Variables) -> tuple[Filter, tuple[str, ...]]:
    """(the filter with values in place of variables, the variables that are missing)."""
    if not filter.needs():
        return filter, ()
    missing: dict[str, None] = {}
    node = _resolved(filter.root, variables, missing)
    return Filter(node), tuple(missing)


def value_of(item: Item, name: str) -> Any:
    """What an item has in a field; a property by its path; None where it has nothing."""
    if name.startswith(PROPERTIES):
        return property_of(item.properties, name.removeprefix(PROPERTIES))
    return getattr(item, name)


def property_of(properties: Any, path: str) -> Any:
    """A property by its path: `size`, or `frame.size` of an object within; None where there is none."""
    if not isinstance(properties, Mapping):
        return None
    if path in properties:
        return properties[path]
    first, dot, rest = path.partition(".")
    return property_of(properties.get(first), rest) if dot else None


def names_of(properties: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The paths by which `property_of` finds something: `frame`, and `frame.size` of an object within."""
    for name, value in properties.items():
        yield before + name
        if isinstance(value, dict):
            yield from names_of(value, f"{before}{name}.")


def _resolved(node: Node, variables: Variables, missing: dict[str, None]) -> Node:
    if isinstance(node, All | AnyOf):
        parts = tuple(
            part for inner in node.parts if (part := _resolved(inner, variables, missing)) is not _LEFT_OUT
        )
        return type(node)(parts) if parts else _LEFT_OUT
    if isinstance(node, Not):
        part = _resolved(node.part, variables, missing)
        return part if part is _LEFT_OUT else Not(part)
    if isinstance(node, Equal):
        return _equal(node, variables, missing)
    return node if isinstance(node, Exists) else _within(node, variables, missing)


def _equal(node: Equal, variables: Variables, missing: dict[str, None]) -> Node:
    values: list[Value] = []
    for value in node.values:
        if not isinstance(value, Variable):
            values.append(value)
            continue
        given = _given(node.field, value, variables, bound=False)
        if not given and not value.optional:
            missing[value.needs] = None
            return _NOBODY_KNOWS
        values += given
    return Equal(node.field, tuple(dict.fromkeys(values))) if values else _LEFT_OUT


def _within(node: Within, variables: Variables, missing: dict[str, None]) -> Node:
    bounds: list[Value | None] = []
    for bound, of_several in ((node.low, min), (node.high, max)):
        if not isinstance(bound, Variable):
            bounds.append(bound)
            continue
        given = _given(node.field, bound, variables, bound=True)
        if not given and not bound.optional:
            missing[bound.needs] = None
            return _NOBODY_KNOWS
        bounds.append(of_several(given, key=_order) if given else None)
    if bounds == [None, None]:
        return _LEFT_OUT
    return Within(node.field, bounds[0], bounds[1], node.low_excluded, node.high_excluded)


def _given(name: str, variable: Variable, variables: Variables, *, bound: bool) -> list[Value]:
    """The values that a request has for a variable; none where it has none of use."""
    raw: Any
    if variable.source == "item":
        raw = None if variables.item is None else value_of(variables.item, variable.name)
        if raw is not None and field_of(variable.name).kind is Kind.TIME:
            raw = Moment(raw)
        if isinstance(raw, Moment):
            return [raw] if field_of(name).kind is Kind.TIME else []
    else:
        raw = property_of(variables.context, variable.name)
    return [] if raw is None else given_values(field_of(name).kind, raw, bound=bound)


def _order(value: Value) -> float:
    if isinstance(value, Moment):
        return value.unix_ms
    return value if isinstance(value, int | float) else 0.0


def evaluated(node: Node, column_of: Callable[[str], Column | str | None], rows: Rows, length: int) -> Mask:
    """Where a resolved filter holds, bool[n] over `rows`.

    `column_of` answers a field's column, None where no item has the field, or why there is no column;
    `length`: how many rows there are in `rows`.
    """
    return _Evaluation(column_of, rows, length).of(node, False)


class _Evaluation:
    """One pass. A `not` is carried down to the clauses: what nobody knows stays False either way."""

    def __init__(self, column_of: Callable[[str], Column | str | None], rows: Rows, length: int) -> None:
        self._column_of = column_of
        self._rows = rows
        self._length = length

    def of(self, node: Node, negated: bool) -> Mask:
        """Where the node (negated: its opposite) surely holds."""
        if isinstance(node, Not):
            return self.of(node.part, not negated)
        if node is _NOBODY_KNOWS:
            return np.zeros(self._length, dtype=np.bool_)
        if isinstance(node, All | AnyOf):
            return self._several(node.parts, isinstance(node, All) is not negated, negated)
        column = self._column_of(node.field)
        if isinstance(column, str):
            return np.zeros(self._length, dtype=np.bool_)
        if column is None:
            return np.full(self._length, negated)
        if isinstance(node, Equal):
            held = column.equal(node.values, self._rows)
        elif isinstance(node, Within):
            held = column.within(node, self._rows)
        else:
            held = column.present(self._rows)
        return ~held if negated else held

    def _several(self, parts: tuple[Node, ...], together: bool, negated: bool) -> Mask:
        """Where all parts hold (`together`), or any; few rows that all so far let in are asked one by one."""
        found: Mask | None = None
        for at, part in enumerate(parts):
            if found is not None and together and np.count_nonzero(found) < self._length // FEW_OF:
                (few,) = found.nonzero()
                rows = few if isinstance(self._rows, slice) else self._rows[few]
                left = _Evaluation(self._column_of, rows, len(few))
                found[few] = left._several(parts[at:], together, negated)
                return found
            more = self.of(part, negated)
            found = more if found is None else found & more if together else found | more
        return np.ones(self._length, dtype=np.bool_) if found is None else found


def unknown_in(
    node: Node,
    column_of: Callable[[str], Column | str | None],
    nearest_to: Callable[[str, str | None], str | None],
) -> Iterator[UnknownValue]:
    """Values and properties of a resolved filter that no item has, in the order they stand there.

    `nearest_to` answers the nearest of a field's values, or of a property's name (no value); of the first
    MEANT_MAX it is asked.
    """
    finders = chain([nearest_to] * MEANT_MAX, repeat(_no_other))
    for clause in clauses(node):
        name = clause.field
        column = column_of(name)
        if isinstance(column, str):
            yield UnknownValue(name, None, f"{name}: {column}", partial(_no_other, name, None))
        elif column is None:
            yield UnknownValue(name, None, f"{name}: no item has it", partial(next(finders), name, None))
        elif isinstance(clause, Equal):
            for text, value in _strange(clause.values, column).items():
                reason = f"{name}: no item has {text!r}"
                yield UnknownValue(name, plain(value), reason, partial(next(finders), name, text))


def _strange(values: tuple[Value, ...], column: Column) -> dict[str, Value]:
    """The values that no item has, by their text.

    A query string has no types: where 5 is asked for as text and as a number, one of them is enough.
    """
    found = column.strangers(values)
    if not found:
        return {}
    strange = {spelled(value): value for value in found}
    if len(found) < len(values):
        unknown = set(found)
        for value in values:
            if value not in unknown:
                strange.pop(spelled(value), None)
    return strange


def _no_other(_name: str, _text: str | None) -> str | None:
    return None
