"""Calls of clients made for something else: what became of each, counted, and named in the log if of no use.

Such clients throw the answer away and hear "success" whatever they sent, so that whoever wonders why nothing
arrives needs another place to look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from prometheus_client import Counter

from services.kernel.ids import IdError, read_id
from services.kernel.nearest import likely_meant

_log = logging.getLogger(__name__)
MAX_NAME: Final = 64
_MAX_NAMED: Final = 20  # lines in the log in a process's life: whoever looks sees the first ones
_MAX_TOLD: Final = 10  # in an answer
_CURRENCY_LETTERS: Final = 3
_MAX_QUANTITY: Final = 1e6


class Unused(msgspec.Struct, frozen=True):
    """Why a call did not reach the log. `outcome` is one of a closed set, `name` is the event's.

    Of an unknown name, `known` are those that may have been meant: the nearest is looked for when somebody is
    told, as a thousand of them take 0.2 s to look for.
    """

    outcome: str
    message: str
    name: str = ""
    known: tuple[str, ...] = ()

    def told(self) -> str:
        """The reason in words."""
        near = likely_meant(self.name, self.known) if self.known else None
        return f"{self.message}; the nearest is {near!r}" if near else self.message


class Call(msgspec.Struct):
    """One call: the events that it becomes, as `parse_event` takes them, or why none."""

    kind: str
    events: list[dict[str, Any]] = msgspec.field(default_factory=list)
    unused: Unused | None = None


def ignored(kind: str, message: str) -> Call:
    """A call that is understood and says nothing about an item."""
    return Call(kind, unused=Unused("ignored", message))


def incomplete(kind: str, name: str, lacks: str) -> Call:
    """A call about an item that does not say which one, or an event without a name."""
    return Call(kind, unused=Unused("incomplete", f"{name[:MAX_NAME]!r} lacks {lacks}", name[:MAX_NAME]))


def unknown_event(kind: str, name: str, known: tuple[str, ...]) -> Call:
    """A call of a name that is in no table."""
    name = name[:MAX_NAME]
    return Call(kind, unused=Unused("unknown_event", f"{name!r} is no event known here", name, known))


class Tally:
    """Counts calls by what became of them, and tells the first of those that are lost by mistake."""

    def __init__(self, counter: Counter, api: str) -> None:
        self._counter = counter
        self._api = api
        self._named: set[tuple[str, str]] = set()

    def count(self, kind: str, unused: Unused | None) -> None:
        """Count one call."""
        self._counter.labels(self._api, kind, "accepted" if unused is None else unused.outcome).inc()
        if unused is None or unused.outcome == "ignored":
            return
        key = unused.outcome, unused.name
        if key not in self._named and len(self._named) < _MAX_NAMED:
            self._named.add(key)
            _log.warning("%s: %s; it is not used (docs/SEGMENT.md)", self._api, unused.told())


def told_all(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """The first calls that were not used, for the answer."""
    found: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        if call.unused is not None:
            found.append({"index": index, "outcome": call.unused.outcome, "reason": call.unused.told()})
            if len(found) == _MAX_TOLD:
                break
    return found


def first_id(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """The first of the fields that holds a usable id."""
    for name in names:
        found = usable_id(fields.get(name))
        if found is not None:
            return found
    return None


def usable_id(raw: object) -> str | None:
    """The id, None where it is none."""
    try:
        return read_id(raw)
    except IdError:
        return None


def amount(raw: object, low: float = 0.0, high: float = 1e12) -> float | None:
    """A number within bounds, from a number or from text such as "18.99"; None for all else."""
    if isinstance(raw, str) and len(raw) <= MAX_NAME:
        try:
            raw = float(raw)
        except ValueError:
            return None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return float(raw) if low <= raw <= high else None


def currency(raw: object) -> str | None:
    """An ISO 4217 code, None for all else."""
    return (
        raw
        if isinstance(raw, str) and len(raw) == _CURRENCY_LETTERS and raw.isascii() and raw.isalpha()
        else None
    )


def line(product: object, id_names: Iterable[str]) -> dict[str, Any] | None:
    """A line of an order or a list; None where the product does not say which it is."""
    item_id = first_id(product, id_names) if isinstance(product, dict) else None
    if item_id is None:
        return None
    assert isinstance(product, dict)
    found = {
        "quantity": amount(product.get("quantity"), 1e-9, _MAX_QUANTITY),
        "price": amount(product.get("price")),
    }
    return {"item_id": item_id, **{name: value for name, value in found.items() if value is not None}}


def split(event: dict[str, Any], lines: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The event with its lines, in pieces of at most `most`. Ids of further pieces follow from the first."""
    if len(lines) <= most:
        return [{**event, "items": lines}]
    pieces = []
    for number, start in enumerate(range(0, len(lines), most)):
        piece = {**event, "items": lines[start : start + most]}
        if number and event.get("event_id") is not None:
            piece["event_id"] = f"{event['event_id']}/{number + 1}"
        pieces.append(piece)
    return pieces
