"""Filters as a query string writes them: `brand:Acme,Zenith;price:5..20;!tags:sale`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from services.ranking.filter_conflicts import refuse_conflicts
from services.ranking.filter_fields import (
    RANGED,
    Kind,
    check_field,
    field_of,
    loose_values,
    read_value,
    typed,
)
from services.ranking.filter_json import Budget, equal, joined
from services.ranking.filters import AnyOf, Exists, Filter, FilterError, Node, Not, Value, Within

SHORT_CHARS_MAX: Final = 8192  # of the line that servers and proxies take; longer ones go in a POST
_EXAMPLE: Final = 'such as brand:Acme,Zenith;price:5..20;!tags:sale (";" and "," in a value: "in quotes")'


class _Token(NamedTuple):
    """A value; `quoted` ones are text as they stand."""

    text: str
    quoted: bool


def parse_short(text: str, where: str = "filter") -> Filter:
    """The filter of a query string's short form. Raises FilterError: what to change, and where.

    Also refuses what no item can ever pass.
    """
    if len(text) > SHORT_CHARS_MAX:
        raise FilterError(
            "filter_too_large", where, f"is longer than {SHORT_CHARS_MAX} characters; send it by POST"
        )
    budget = Budget(where)
    parts = [_clause(piece, where, budget) for piece in _split(text, ";", where) if piece.strip()]
    if not parts:
        raise FilterError("invalid_filter", where, f"is empty; write field:value, {_EXAMPLE}")
    return refuse_conflicts(Filter(joined(parts)), where)


def _split(text: str, separator: str, where: str) -> Iterator[str]:
    """Pieces between separators that stand in no quotes; quotes and escapes are left in."""
    start, at, quoted = 0, 0, False
    while at < len(text):
        letter = text[at]
        if quoted and letter == "\\":
            at += 1
        elif letter == '"':
            quoted = not quoted
        elif letter == separator and not quoted:
            yield text[start:at]
            start = at + 1
        at += 1
    if quoted:
        raise FilterError(
            "invalid_filter",
            where,
            f"{text[start:][:40]!r}: close the quote; write field:value, {_EXAMPLE}",
        )
    yield text[start:]


def _clause(piece: str, where: str, budget: Budget) -> Node:
    name, colon, rest = piece.partition(":")
    name = name.strip()
    negated = name.startswith("!")
    name = name.removeprefix("!").strip()
    if not colon or not name or not rest.strip():
        raise FilterError(
            "invalid_filter", where, f"{piece.strip()[:40]!r} is no clause; write field:value, {_EXAMPLE}"
        )
    inside = f"{where}.{name[:64]}"
    check_field(name, inside)
    tokens = [_token(one, inside) for one in _split(rest, ",", inside)]
    budget.take(len(tokens), inside)
    if any(token == _Token("*", False) for token in tokens):
        return Not(Exists(name)) if negated else Exists(name)
    values: list[Value] = []
    ranges: list[Node] = []
    for token in tokens:
        span = _range(name, token, inside)
        if span is not None:
            ranges.append(span)
        else:
            values += _values(name, token, inside)
    parts = [*([equal(name, values, inside)] if values else []), *ranges]
    for _ in parts[1:]:
        budget.take(0, inside)
    found = parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
    return Not(found) if negated else found


def _token(piece: str, where: str) -> _Token:
    text = piece.strip()
    if not text:
        raise FilterError("invalid_filter", where, "a value is missing beside a comma; take the comma out")
    if not text.startswith('"'):
        if '"' in text:
            raise FilterError("invalid_filter", where, f'{text[:40]!r}: put the whole value in quotes: "…"')
        return _Token(text, False)
    inner: list[str] = []
    letters = iter(text[1:])
    for letter in letters:
        if letter == '"':
            break
        inner.append(next(letters, "") if letter == "\\" else letter)
    if any(True for _ in letters):
        raise FilterError("invalid_filter", where, f"{text[:40]!r}: put a comma behind the closing quote")
    return _Token("".join(inner), True)


def _range(name: str, token: _Token, where: str) -> Node | None:
    """`lo..hi` where the field has an order; None for what is no range."""
    kind = field_of(name).kind
    if token.quoted or ".." not in token.text or kind not in RANGED:
        return None
    low, _, high = (end.strip() for end in token.text.partition(".."))
    try:
        ends = [_bound(name, kind, end, where) if end else None for end in (low, high)]
    except FilterError:
        if kind is Kind.ANY:  # "A..B" is a text as any other
            return None
        raise
    if ends == [None, None]:
        raise FilterError("invalid_value", where, f"a range needs a bound, such as {name}:5.. or {name}:..20")
    return Within(name, ends[0], ends[1])


def _bound(name: str, kind: Kind, text: str, where: str) -> Value:
    if text.startswith("$") or kind is Kind.TIME:
        return read_value(name, text, where, bound=True)
    return _typed(Kind.NUMBER, text, where)


def _values(name: str, token: _Token, where: str) -> list[Value]:
    kind = field_of(name).kind
    if not token.text.startswith("$"):
        if kind in {Kind.NUMBER, Kind.FLAG}:
            return [_typed(kind, token.text, where)]
        if kind is Kind.ANY and not token.quoted:
            return loose_values(token.text)
    return [read_value(name, token.text, where)]


def _typed(kind: Kind, text: str, where: str) -> Value:
    try:
        return typed(kind, text)
    except ValueError as error:
        raise FilterError("invalid_value", where, str(error)) from None
