"""From the body of POST /recommend/batch to a question for each user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from services.ranking.scenario_file import Scenarios
from services.recommender.parse_query import COMMON_NAMES, body_of, common_of
from services.recommender.parse_values import (
    array,
    context_of,
    identifier,
    ids_of,
    only,
    optional_id,
    unknown,
    wrong,
)
from services.recommender.query import MAX_EXCLUDE, Query, QueryError

MAX_USERS: Final = 1000  # some seconds of one core; a call that breaks off is not much to do again
_EXAMPLE: Final = '{"user_ids": ["u_12345", "u_67890"], "n": 5}'
BATCH_NAMES: Final = COMMON_NAMES | {"user_ids", "users"}
_USER_NAMES: Final = frozenset({"user_id", "anonymous_id", "item_id", "context", "exclude"})
_OF_THE_CALL: Final = COMMON_NAMES - _USER_NAMES


@dataclass(frozen=True, slots=True)
class Asked:
    """One line to answer: what it begins with, and the question, or what is wrong with it."""

    named: Mapping[str, Any]
    query: Query | QueryError


@dataclass(slots=True)
class Batch:
    """`query` is what holds for all. `repeated` fills while `lines` are taken: the subjects of questions that
    stood there before.
    """

    query: Query
    entries: Sequence[tuple[str, object]]
    repeated: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[Asked]:
        """Each question once, in the order of the body; read when it is its turn, so that a long list holds
        nobody up. What is wrong with one user is told in its line.
        """
        known: set[object] = set()
        for at, (name, raw) in enumerate(self.entries):
            asked = _asked(self.query, name, raw)
            key = _key(asked, at)
            if key in known:
                self.repeated.append(str(asked.named["user_id"] or asked.named["anonymous_id"]))
            else:
                known.add(key)
                yield asked


def from_batch(body: bytes, fields: frozenset[str], scenarios: Scenarios) -> Batch:
    """The questions of a batch. Raises QueryError for what is wrong with all of them."""
    given = body_of(body, _EXAMPLE)
    only(given, BATCH_NAMES, "the body")
    if (given.get("user_ids") is None) == (given.get("users") is None):
        detail = f"send either user_ids or users, like {_EXAMPLE}"
        raise QueryError(422, "invalid_body", detail)
    name = "users" if given.get("user_ids") is None else "user_ids"
    raws = array(given, name, MAX_USERS)
    if not raws:
        raise QueryError(422, "invalid_body", f"{name}: is empty; name whom to answer for, like {_EXAMPLE}")
    entries = [(f"{name}[{at}]", raw) for at, raw in enumerate(raws)]
    return Batch(common_of(given, fields, scenarios), entries)


def _asked(query: Query, name: str, raw: object) -> Asked:
    try:
        if not name.startswith("user_ids"):
            return _question(query, name, raw)
        user_id = identifier(raw, name)
        return Asked({"user_id": user_id, "anonymous_id": None}, replace(query, user_id=user_id))
    except QueryError as error:
        told = raw.get("user_id") if isinstance(raw, dict) else raw
        return Asked({"user_id": told if isinstance(told, str | int) else None}, error)


def _question(query: Query, name: str, raw: object) -> Asked:
    if not isinstance(raw, dict):
        wrong(name, 'an object like {"user_id": "u_12345", "context": {"country": "PT"}}')
    for given in raw:
        if given in _OF_THE_CALL:
            hint = f"it holds for the whole call: write it beside `{name.partition('[')[0]}`."
            unknown(f"field of {name}", given, _USER_NAMES, hint)
    only(raw, _USER_NAMES, name)
    user_id, anonymous_id = optional_id(raw, "user_id", name), optional_id(raw, "anonymous_id", name)
    if user_id is None and anonymous_id is None:
        wrong(f"{name}.user_id", "there")
    named: dict[str, Any] = {"user_id": user_id, "anonymous_id": anonymous_id}
    made = replace(query, user_id=user_id, anonymous_id=anonymous_id)
    if raw.get("item_id") is not None:
        named["item_id"] = item_id = optional_id(raw, "item_id", name)
        rows = (replace(row, item_id=item_id) if row.item_id == query.item_id else row for row in query.rows)
        made = replace(made, item_id=item_id, rows=tuple(rows))
    if raw.get("context") is not None:
        made = replace(made, context={**query.context, **context_of(raw["context"], f"{name}.context")})
    if raw.get("exclude") is not None:
        more = ids_of(array(raw, "exclude", MAX_EXCLUDE), f"{name}.exclude", MAX_EXCLUDE)
        made = replace(made, exclude=query.exclude | more)
    return Asked(named, made)


def _key(asked: Asked, at: int) -> object:
    """What two entries have in common that ask the same; an entry with a mistake stands alone."""
    query = asked.query
    if isinstance(query, QueryError):
        return at
    context = repr(sorted(query.context.items(), key=lambda pair: pair[0]))
    return query.user_id, query.anonymous_id, query.item_id, context, query.exclude
