"""Reads one scenario: its sources, its ranker, and with `scenario_rules` its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from services.ranking.scenario import RankerUse, Scenario, SourceUse
from services.ranking.scenario_problems import Problems, Table, is_none_of
from services.ranking.scenario_rules import RULES, Read, check_rules, rule_readers
from services.ranking.toml_lines import Path

MAX_SOURCES: Final = 20  # each is asked at every request
MAX_TEXT: Final = 500  # characters of what GET /scenarios says
_MAX_NAME: Final = 64
_MAX_WEIGHT: Final = 1000.0
_MAX_LIMIT: Final = 1000  # candidates of a source; the ranker's graph takes no more in time

KEYS: Final = ("extends", "text", "sources", "ranker", "then", "fill", "fill_when", *RULES)


class Known(NamedTuple):
    """The names that there are: those of sources, and of each ranker the terms that it weighs."""

    sources: frozenset[str]
    rankers: Mapping[str, frozenset[str]]


def read_scenario(table: Table, start: Scenario, known: Known | None) -> Scenario:
    """`start` with everything that the table names put in its place. `known` None: names are not checked.

    `extends` and `then` are the caller's, who knows the other scenarios.
    """
    ways = _readers(known)
    changes: dict[str, Any] = {name: read(table, name, start) for name, read in ways.items() if name in table}
    made = replace(start, **changes)
    named = [table.raw(name) for name in ("sources", "fill") if name in table]
    is_empty = not any(named) and (bool(named) or "extends" not in table)
    if is_empty and not made.sources and not made.fill:
        table.problems.add(
            table.path, 'names no source; say where its items come from, like sources = ["trending"]'
        )
    _check_weights(table, made)
    check_rules(table, made)
    return made


def _readers(known: Known | None) -> dict[str, Read]:
    return {
        "text": lambda table, name, start: table.text(name, MAX_TEXT, start.text),
        "sources": lambda table, name, _: sources(table, name, known),
        "ranker": lambda table, name, start: ranker(table, name, known) or start.ranker,
        "fill": lambda table, name, _: sources(table, name, known),
        "fill_when": lambda table, name, start: table.choice(name, ("short", "empty"), start.fill_when),
        **rule_readers(),
    }


def sources(table: Table, name: str, known: Known | None) -> tuple[SourceUse, ...]:
    """Names, or tables `{ name = "trending", limit = 50, weight = 2 }`."""

    def read(raw: object, path: Path) -> SourceUse | None:
        inner = _named(raw, path, table.problems, '{ name = "trending", limit = 50 }')
        if inner is None:
            return None
        inner.only(("name", "limit", "weight"), "key of a source")
        called = _name_of(inner, "source", None if known is None else known.sources)
        if called is None:
            return None
        limit = inner.whole("limit", 1, _MAX_LIMIT, 0) or None
        return SourceUse(called, limit, inner.number("weight", 0.0, _MAX_WEIGHT, 1.0))

    made = table.each(name, MAX_SOURCES, "each is asked at every request", read)
    table.once(name, [use.name for use in made], "source")
    return made


def ranker(table: Table, name: str, known: Known | None) -> RankerUse | None:
    """A name, or a table `{ name = "blend", weights = { popularity = 2 } }`."""
    path = (*table.path, name)
    inner = _named(table.raw(name), path, table.problems, '{ name = "blend", weights = { popularity = 2 } }')
    if inner is None:
        return None
    inner.only(("name", "weights"), "key of a ranker")
    called = _name_of(inner, "ranker", None if known is None else known.rankers)
    if called is None:
        return None
    return RankerUse(called, _weights(inner, None if known is None else known.rankers[called], called))


def _weights(inner: Table, terms: frozenset[str] | None, called: str) -> dict[str, float]:
    if "weights" not in inner:
        return {}
    path = (*inner.path, "weights")
    weights = Table.of(inner.raw("weights"), path, inner.problems, "{ popularity = 2 }")
    if weights is None:
        return {}
    if terms is not None:
        if not terms:
            inner.wrong("weights", f"the ranker {called!r} has no terms that could be weighed")
            return {}
        weights.only(terms, f"term of the ranker {called!r}")
    names = [term for term in inner.raw("weights") if terms is None or term in terms]
    return {term: weights.number(term, -_MAX_WEIGHT, _MAX_WEIGHT, 0.0) for term in names}


def _named(raw: object, path: Path, problems: Problems, example: str) -> Table | None:
    """A table that may be written as its name alone."""
    return (
        Table({"name": raw}, path, problems)
        if isinstance(raw, str)
        else Table.of(raw, path, problems, f"{example}, or a name")
    )


def _name_of(inner: Table, kind: str, known: Any) -> str | None:
    called = inner.raw("name")
    if not isinstance(called, str) or not 0 < len(called) <= _MAX_NAME:
        inner.problems.add(inner.path, f"needs the name of a {kind}")
        return None
    if known is not None and called not in known:
        inner.problems.add(inner.path, is_none_of(called, kind, known))
        return None
    return called


def _check_weights(table: Table, made: Scenario) -> None:
    if made.ranker.name != "mix" and any(use.weight != 1.0 for use in made.sources):
        table.problems.warn(
            (*table.path, "sources"),
            f"have weights, which the ranker {made.ranker.name!r} does not use; 'mix' does",
        )
