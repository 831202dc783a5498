"""Filters asked item by item, straight from their JSON: what masks are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from services.kernel.item import Item

OUT = "left out"
_Truth = bool | str | None  # None: nobody knows, since a variable is missing
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


def passes(raw: Mapping[str, Any], item: Item, context: Mapping[str, Any], page: Item | None) -> bool:
    """Whether an item passes a filter."""
    return _judged(raw, item, context, page) in {True, OUT}


def elements(item: Item, name: str) -> list[Any]:
    """What an item has in a field, one by one; of a category path every path above too."""
    if name == "categories":
        return [tuple(path[:end]) for path in item.categories for end in range(1, len(path) + 1)]
    found: Any = item.properties if name.startswith("properties.") else getattr(item, name)
    if name.startswith("properties."):
        for step in name.split(".")[1:]:
            found = found.get(step) if isinstance(found, dict) else None
    if found is None:
        return []
    return [one for one in found if one is not None] if isinstance(found, list) else [found]


def _judged(raw: Mapping[str, Any], item: Item, context: Mapping[str, Any], page: Item | None) -> _Truth:
    parts: list[_Truth] = []
    for name, value in raw.items():
        if name in {"all", "any"}:
            inner = [_judged(one, item, context, page) for one in value]
            parts.append(_every(inner) if name == "all" else _not(_every([_not(one) for one in inner])))
        elif name == "not":
            parts.append(_not(_judged(value, item, context, page)))
        else:
            parts.append(_field(name, value, item, context, page))
    return _every(parts)


def _every(parts: list[_Truth]) -> _Truth:
    left = [part for part in parts if part != OUT]
    if not left:
        return OUT
    if False in left:
        return False
    return None if None in left else True


def _not(truth: _Truth) -> _Truth:
    return truth if truth is None or truth == OUT else not truth


def _field(name: str, raw: Any, item: Item, context: Mapping[str, Any], page: Item | None) -> _Truth:
    if isinstance(raw, list):
        raw = {"in": raw}
    elif not isinstance(raw, dict):
        raw = {"eq": raw}
    had = elements(item, name)
    parts: list[_Truth] = []
    bounds = {operator: value for operator, value in raw.items() if operator in _BOUNDS}
    if bounds:
        parts.append(_range(name, bounds, had, context, page))
    for operator, value in raw.items():
        if operator == "exists":
            parts.append(bool(had) is value)
        elif operator not in _BOUNDS:
            many = value if operator in {"in", "nin"} else [value]
            values = [one for raw_value in many for one in _values(name, raw_value, context, page)]
            held: _Truth
            if None in values:
                held = None
            elif not values:
                held = OUT
            else:
                held = any(_same(one, value) for one in had for value in values)
            parts.append(_not(held) if operator in {"ne", "nin"} else held)
    return _every(parts)


def _range(
    name: str, raw: Mapping[str, Any], had: list[Any], context: Mapping[str, Any], page: Item | None
) -> _Truth:
    """One element answers both bounds."""
    bounds: dict[str, Any] = {}
    for operator, value in raw.items():
        found = _values(name, value, context, page)
        if None in found:
            return None
        if found:
            bounds[operator] = (min if operator in {"gt", "gte"} else max)(found)
    if not bounds:
        return OUT
    numbers = [one for one in had if isinstance(one, int | float) and not isinstance(one, bool)]
    return any(all(_BOUNDS[operator](one, limit) for operator, limit in bounds.items()) for one in numbers)


def _values(name: str, raw: Any, context: Mapping[str, Any], page: Item | None) -> list[Any]:
    """What a written value stands for; [None] for a variable that is missing."""
    if isinstance(raw, str) and raw.startswith("$") and not raw.startswith("$$"):
        source, _, variable = raw[1:].removesuffix("?").partition(".")
        found: Any
        if source == "context":
            found = context.get(variable)
            found = [] if found is None else found if isinstance(found, list) else [found]
            found = [tuple(one.split(" > ")) for one in found] if name == "categories" else found
        elif variable == "categories":
            found = [] if page is None else [tuple(path) for path in page.categories]
        else:
            found = [] if page is None else elements(page, variable)
        # An empty text is as good as none, and an object is nothing that could be equal.
        found = [one for one in found if one != "" and not isinstance(one, dict)]
        return found or ([] if raw.endswith("?") else [None])
    if name == "categories":
        return [tuple(raw.split(" > ") if isinstance(raw, str) else raw)]
    if name in {"published_at", "expires_at"}:
        return [int(datetime.fromisoformat(raw).timestamp() * 1000)]
    return [raw.removeprefix("$") if isinstance(raw, str) else raw]


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)
