"""The fields that a filter may name, what their values are, and how values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from math import isfinite
from typing import Any, Final, NamedTuple

from services.kernel.ids import IdError, json_type, read_id
from services.kernel.nearest import likely_meant
from services.kernel.timestamps import TimestampError, read_timestamp_ms
from services.ranking.filters import (
    PATH_SEPARATOR,
    PROPERTIES,
    CategoryPath,
    FilterError,
    Flag,
    Moment,
    Value,
    Variable,
)

VALUE_CHARS_MAX: Final = 2048  # the longest text of an item that is worth comparing: a URL
PATH_NAMES_MAX: Final = 10  # as deep as paths of items may be
_INTEGER_BOUND: Final = 2**63  # what every JSON reader on the way can hold
_CONTEXT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class Kind(Enum):
    """What the values of a field are."""

    TEXT = "text"
    ID = "an id"
    CURRENCY = "a currency"
    NUMBER = "a number"
    TIME = "a time"
    FLAG = "true or false"
    PATH = "a category path"
    ANY = "anything"  # a property: text, number, true or false, or a list of them


class Field(NamedTuple):
    """A field that items have. `many`: an item may have several values of it."""

    kind: Kind
    many: bool = False


FIELDS: Final[dict[str, Field]] = {
    "item_id": Field(Kind.ID),
    "title": Field(Kind.TEXT),
    "description": Field(Kind.TEXT),
    "url": Field(Kind.TEXT),
    "image_urls": Field(Kind.TEXT, many=True),
    "categories": Field(Kind.PATH, many=True),
    "brand": Field(Kind.TEXT),
    "tags": Field(Kind.TEXT, many=True),
    "price": Field(Kind.NUMBER),
    "list_price": Field(Kind.NUMBER),
    "currency": Field(Kind.CURRENCY),
    "language": Field(Kind.TEXT),
    "group_id": Field(Kind.ID),
    "group_order": Field(Kind.NUMBER),
    "available": Field(Kind.FLAG),
    "published_at": Field(Kind.TIME),
    "expires_at": Field(Kind.TIME),
}
_PROPERTY: Final = Field(Kind.ANY, many=True)
_TEXTS: Final = frozenset({Kind.TEXT, Kind.ID, Kind.CURRENCY})
RANGED: Final = frozenset({Kind.NUMBER, Kind.TIME, Kind.ANY})


def field_of(name: str) -> Field:
    """What a field that `check_field` has let through is."""
    return FIELDS.get(name, _PROPERTY)


def check_field(name: str, where: str) -> Field:
    """The field of that name. Raises FilterError for a name that no item can have."""
    if name in FIELDS:
        return FIELDS[name]
    if name.startswith(PROPERTIES) and name != PROPERTIES:
        return _PROPERTY
    if name in {PROPERTIES, "properties"}:
        raise FilterError(
            "unknown_field",
            where,
            "properties is an object; name a field of it, such as properties.season",
        )
    meant = likely_meant(name, FIELDS)
    raise FilterError(
        "unknown_field",
        where,
        f"{name[:64]!r} is no field of an item; "
        + (f"did you mean {meant!r}? A field" if meant else "a field")
        + f" of your own is {PROPERTIES}{name[:64]}. There are: {', '.join(FIELDS)}",
    )


def read_value(name: str, raw: object, where: str, *, bound: bool = False) -> Value:
    """A value as JSON gives it, or a variable; `bound`: of a range. Raises FilterError."""
    kind = field_of(name).kind
    if isinstance(raw, str) and raw.startswith("$"):
        if not raw.startswith("$$"):
            return _variable(name, kind, raw, where)
        raw = raw[1:]
    if raw is None:
        raise FilterError(
            "invalid_value", where, 'is null; for items without the field write {"exists": false}'
        )
    if isinstance(raw, str) and len(raw) > VALUE_CHARS_MAX:
        raise FilterError("invalid_value", where, f"is longer than {VALUE_CHARS_MAX} characters")
    try:
        return _number(raw) if bound and kind is Kind.ANY else _READERS[kind](raw)
    except ValueError as error:
        raise FilterError("invalid_value", where, str(error)) from None


def given_values(kind: Kind, raw: object, *, bound: bool) -> list[Value]:
    """What a request's value for a variable stands for; none where it is of no use for such a field.

    What comes in a query string is text: "18" is the number too where a number is asked for.
    """
    found: list[Value] = []
    for one in raw if isinstance(raw, list | tuple) else (raw,):
        if one is None or one == "":
            continue
        if kind is Kind.ANY and isinstance(one, str):
            found += loose_values(one, bound=bound)
            continue
        try:
            if isinstance(one, str) and kind in {Kind.NUMBER, Kind.FLAG}:
                found.append(typed(kind, one))
            else:
                found.append(_number(one) if bound and kind is Kind.ANY else _READERS[kind](one))
        except ValueError:
            continue
    return found


def loose_values(text: str, *, bound: bool = False) -> list[Value]:
    """Text that has no type, for a property: itself, and the number, true or false that it looks like."""
    found: list[Value] = [] if bound else [text]
    for kind in (Kind.NUMBER,) if bound else (Kind.NUMBER, Kind.FLAG):
        try:
            found.append(typed(kind, text))
        except ValueError:
            continue
    return found


def typed(kind: Kind, text: str) -> Value:
    """A number, true or false written as text. Raises ValueError."""
    if kind is Kind.FLAG:
        flag = {"true": Flag.TRUE, "false": Flag.FALSE}.get(text.strip().lower())
        if flag is None:
            raise ValueError(f"must be true or false, not {text[:64]!r}")
        return flag
    try:
        if "_" in text:  # Python's own spelling of numbers
            raise ValueError
        number = float(text)
        return _number(int(number) if number.is_integer() else number)
    except ValueError:
        raise ValueError(f"must be a number such as 5 or 19.99, not {text[:64]!r}") from None


def _variable(name: str, kind: Kind, raw: str, where: str) -> Variable:
    optional = raw.endswith("?")
    source, _, variable = raw[1 : len(raw) - optional].partition(".")
    if source not in {"context", "item"} or not variable:
        raise FilterError(
            "invalid_value",
            where,
            f"{raw[:64]!r} is no variable; there are $context.NAME and $item.FIELD (a ? at the end leaves "
            f"the clause out where there is none). A text that begins with $ is written ${raw[:64]}",
        )
    if source == "context" and not _CONTEXT_NAME.fullmatch(variable):
        raise FilterError(
            "invalid_value", where, f"{raw[:64]!r}: a name in the context is up to 64 of A–Z a–z 0–9 _ - ."
        )
    if source == "item":
        other = check_field(variable, where).kind
        texts = {kind, other} <= _TEXTS
        if not texts and kind is not other and Kind.ANY not in {kind, other}:
            raise FilterError(
                "invalid_value", where, f"{name} is {kind.value}, but {raw[:64]} is {other.value}"
            )
    return Variable(source, variable, optional)


def _text(raw: object) -> Value:
    if not isinstance(raw, str):
        hint = "; put it in quotes" if isinstance(raw, int | float) else ""
        raise ValueError(f"must be a string, not {json_type(raw)}{hint}")
    return raw


def _id(raw: object) -> Value:
    try:
        return read_id(raw)
    except IdError as error:
        raise ValueError(str(error)) from None


def _currency(raw: object) -> Value:
    if not (isinstance(raw, str) and len(raw) == 3 and raw.isascii() and raw.isalpha()):
        raise ValueError("must be an ISO 4217 code such as EUR")
    return raw.upper()


def _number(raw: object) -> Value:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(f"must be a number such as 5 or 19.99, not {_shown(raw)}")
    if not isfinite(raw) if isinstance(raw, float) else not -_INTEGER_BOUND <= raw < _INTEGER_BOUND:
        raise ValueError("must be a finite number of at most 64 bits")
    return raw


def _time(raw: object) -> Value:
    if isinstance(raw, Moment):
        return raw
    try:
        return Moment(read_timestamp_ms(raw))
    except TimestampError as error:
        raise ValueError(str(error)) from None


def _flag(raw: object) -> Value:
    if not isinstance(raw, bool):
        raise ValueError(f"must be true or false, not {_shown(raw)}")
    return Flag.TRUE if raw else Flag.FALSE


def _path(raw: object) -> Value:
    parts = raw.split(PATH_SEPARATOR) if isinstance(raw, str) else raw
    if not (isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts)):
        raise ValueError(f'must be a path, "Food > Cheese" or ["Food", "Cheese"], not {json_type(raw)}')
    names = tuple(part.strip() for part in parts)
    if not (0 < len(names) <= PATH_NAMES_MAX and all(names)):
        raise ValueError(f'must be a path of 1 to {PATH_NAMES_MAX} names, such as "Food > Cheese"')
    return CategoryPath(names)


def _any(raw: object) -> Value:
    if isinstance(raw, bool):
        return _flag(raw)
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int | float):
        return _number(raw)
    raise ValueError(f"must be a string, a number, true or false, not {json_type(raw)}")


def _shown(raw: object) -> str:
    return f"{raw[:64]!r}" if isinstance(raw, str) else json_type(raw)


_READERS: Final[dict[Kind, Callable[[Any], Value]]] = {
    Kind.TEXT: _text,
    Kind.ID: _id,
    Kind.CURRENCY: _currency,
    Kind.NUMBER: _number,
    Kind.TIME: _time,
    Kind.FLAG: _flag,
    Kind.PATH: _path,
    Kind.ANY: _any,
}
