"""GET /items: the catalogue in the order of its ids, page by page, whole or as far as a filter lets it in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np

from services.kernel.ids import read_id
from services.kernel.item import decode_item
from services.ranking.catalogue import Catalogue
from services.ranking.filter_masks import NO_VARIABLES, Masked
from services.ranking.filters import Filter
from services.ranking.scenario import Scenario
from services.ranking.state import FilterNote, Unknown
from services.recommender.answer import ITEM_FIELDS
from services.recommender.parse_query import FOREIGN_NAMES
from services.recommender.parse_rules import a_filter
from services.recommender.parse_values import fields_asked, split, unknown, whole
from services.recommender.query import QueryError
from services.recommender.state import State

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000  # some MB of items
NAMES: Final = frozenset({"limit", "cursor", "filter", "fields"})
_STEP: Final = 1000  # ids looked at at once
# To put one matching id in its place takes as long as to look at so many ids that are in their order.
_SORTING: Final = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page: up to `limit` items behind the id `after`. `fields` empty: the items as they are."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None
    filter: Filter | None = None
    fields: tuple[str, ...] = ()


def wanted_of(parameters: list[tuple[str, str]]) -> Wanted:
    """What a query string asks for. Raises QueryError."""
    given: dict[str, str] = {}
    for name, value in parameters:
        if name in NAMES:
            if name in given:
                raise QueryError(422, "repeated_parameter", f"{name} is there twice; send it once")
            given[name] = value
        elif name not in FOREIGN_NAMES and not name.startswith("_"):
            unknown("parameter", name, NAMES)
    wanted = a_filter(given.get("filter"), "filter")
    if wanted is not None and (needs := sorted(wanted.needs())):
        detail = f"filter: ${needs[0]} has no value here; lists of /recommend know variables, /items does not"
        raise QueryError(422, "invalid_value", detail)
    return Wanted(
        limit=whole(given["limit"], "limit", MAX_LIMIT) if "limit" in given else DEFAULT_LIMIT,
        after=_after(given.get("cursor")),
        filter=wanted,
        fields=fields_asked(split([given.get("fields", "")]), ITEM_FIELDS),
    )


async def page_of(state: State, wanted: Wanted) -> dict[str, Any]:
    """The page in JSON. The whole catalogue must be in memory."""
    if wanted.filter is not None:
        await state.have_columns([Scenario("items", filter=wanted.filter)])
    catalogue = state.catalogue.catalogue
    masked = None
    if wanted.filter is not None:
        masked = catalogue.columns.mask(wanted.filter, NO_VARIABLES)
    found = list(islice(_ids(state, wanted, masked), wanted.limit + 1))
    ids = found[: wanted.limit]
    rows = [row for item_id in ids if (row := catalogue.row_of(item_id)) >= 0]
    content: dict[str, Any] = {
        "items": [_item(catalogue.raw(row), wanted.fields) for row in rows],
        "next_cursor": _cursor(ids[-1]) if len(found) > len(ids) else None,
        "total": len(catalogue) if masked is None else masked.count,
    }
    if masked is not None:
        strange = tuple(Unknown(one.field, one.value, str(one)) for one in masked.unknown)
        content["filter"] = FilterNote(masked.count, unknown=strange)
    return content


def _ids(state: State, wanted: Wanted, masked: Masked | None) -> Iterator[str]:
    """Ids behind `after` that the filter lets in, in order. Of few matching ones each is put in its place; of
    many, some stand near any place, and are looked for from there on.
    """
    catalogue, after = state.catalogue.catalogue, wanted.after
    if masked is not None and masked.count**2 * _SORTING < wanted.limit * len(catalogue):
        matching = map(catalogue.id_of, np.flatnonzero(masked.mask).tolist())
        yield from sorted(item_id for item_id in matching if after is None or item_id > after)
        return
    while ids := state.catalogue.page(after, _STEP):
        yield from ids if masked is None else _matching(catalogue, ids, masked)
        after = ids[-1]


def _matching(catalogue: Catalogue, ids: list[str], masked: Masked) -> Iterator[str]:
    rows = [catalogue.row_of(item_id) for item_id in ids]
    passes = masked.mask[rows].tolist()
    return (item_id for item_id, row, one in zip(ids, rows, passes, strict=True) if one and row >= 0)


def _item(raw: bytes, fields: tuple[str, ...]) -> Any:
    if not fields:
        return msgspec.Raw(raw)
    item = decode_item(raw)
    return {"item_id": item.item_id, **{name: getattr(item, name) for name in fields}}


def _after(cursor: str | None) -> str | None:
    if not cursor:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return read_id(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError):  # IdError too
        detail = "cursor: is not one of ours; take `next_cursor` of the page before"
        raise QueryError(422, "invalid_cursor", detail) from None


def _cursor(item_id: str) -> str:
    return base64.urlsafe_b64encode(item_id.encode()).rstrip(b"=").decode()
