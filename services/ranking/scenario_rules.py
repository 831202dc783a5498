"""Reads the rules of a scenario: filters, what is hidden and for how long, boosts, pins and caps.

The same keys stand in a scenario file (TOML) and in the body of POST /recommend (JSON).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, time
from typing import Any, Final

from services.kernel.ids import IdError, read_id
from services.ranking.filter_fields import check_field
from services.ranking.filters import Filter, FilterError, both, clauses
from services.ranking.scenario import (
    FOR_EVER_S,
    SEEN_REASONS,
    Boost,
    Cap,
    Everywhere,
    Pin,
    Scenario,
)
from services.ranking.scenario_problems import (
    Problem,
    Problems,
    ScenarioError,
    Table,
    is_none_of,
    shown,
    shown_path,
)
from services.ranking.toml_lines import Path

MAX_BOOSTS: Final = 50  # a mask and an addition over the candidates each
MAX_BOOST_CLAUSES: Final = 200  # of all boosts: 10 ms at 100,000 items where none of them was asked before
MAX_PINS: Final = 20  # more is a list made by hand; POST /recommend takes one as `candidates`
MAX_CAPS: Final = 10  # each counts the values of the whole list
MAX_SLOT: Final = 200  # no list is longer
_MAX_DAYS: Final = 3650  # as long as FRESHET_PROFILE_TTL_DAYS may be
_MAX_IMPRESSIONS: Final = 128  # a profile remembers as many events
_MAX_BY: Final = 10.0  # standard deviations; ten lift anything above all else

# The fields that hold one value an item, which a cap can count; beside these any `properties.NAME`.
CAP_FIELDS: Final = ("categories", "brand", "language", "currency", "group_id")
_SECONDS: Final[Mapping[str, int]] = {"d": 86_400, "h": 3600, "m": 60}
# Requests of one page bring the same filter again and again: to read one takes 50 µs.
_KEPT_FILTERS: Final = 512
_KEPT_CHARS: Final = 2048  # each as it was written; all of them take some MB
_kept: dict[str, Filter] = {}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([dhm])")


def read_rules(raw: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The rules of a request, decoded from JSON, as fields of a Scenario; see `with_values`.

    `where` is the field of the body that `raw` stands in, for complaints. Raises ScenarioError.
    """
    problems = Problems()
    table = Table(raw, (where,) if where else (), problems)
    table.only(RULES, "rule of a request")
    values = rule_values(table, Scenario(""))
    if problems.found:
        raise ScenarioError(
            Problem(at, message, code=problems.codes.get(at)) for at, message in problems.found
        )
    return values


def with_values(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """The scenario with what `read_rules` made.

    The filter holds beside the scenario's own; boosts, pins and caps are added (a pin takes the place of the
    scenario's at its slot, a cap that of the same field); the rest replaces. What holds everywhere stays.
    """
    if not values:
        return scenario
    made = dict(values)
    if "filter" in made:
        made["filter"] = both(scenario.filter, made["filter"])
    if "hide" in made:
        made["hide"] = scenario.everywhere.hidden_too(made["hide"])
    if "boosts" in made:
        made["boosts"] = scenario.boosts + made["boosts"]
    if pins := made.get("pins"):
        slots, items = {pin.slot for pin in pins}, {pin.item_id for pin in pins}
        kept = tuple(pin for pin in scenario.pins if pin.slot not in slots and pin.item_id not in items)
        made["pins"] = kept + pins
    if caps := made.get("caps"):
        fields, kept_caps = {cap.field for cap in caps}, scenario.everywhere.caps
        still = (cap for cap in scenario.caps if cap.field not in fields or cap in kept_caps)
        made["caps"] = (*still, *caps)
    return replace(scenario, **made)


def rule_values(table: Table, start: Scenario) -> dict[str, Any]:
    """The rules that the table of a request names, as fields of a Scenario; others are left out."""
    ways = rule_readers()
    return {name: read(table, name, start) for name, read in ways.items() if name in table}


def everywhere(table: Table) -> Everywhere:
    """What holds in every scenario: rules that add to whatever a scenario and a request say."""
    table.only(EVERYWHERE, "key of [all], whose rules hold beside those of each scenario")
    ways, blank = rule_readers(), Scenario("")
    return Everywhere(**{name: ways[name](table, name, blank) for name in EVERYWHERE if name in table})


EVERYWHERE: Final = ("filter", "hide", "boosts", "caps")
RULES: Final = (
    *("filter", "relax", "at_least", "hide", "boosts", "pins", "caps"),
    *("diversity", "rotate_after", "one_per_group", "series_in_order"),
)
Read = Callable[[Table, str, Scenario], Any]


def rule_readers() -> dict[str, Read]:
    """How each of RULES is read."""
    return {
        "filter": lambda table, name, _: a_filter(table.raw(name), (*table.path, name), table.problems),
        "relax": lambda table, name, _: _relax(table, name),
        "at_least": lambda table, name, start: table.whole(name, 1, MAX_SLOT, start.at_least),
        "hide": lambda table, name, start: hide(table, name, start.hide),
        "boosts": lambda table, name, _: boosts(table, name),
        "pins": lambda table, name, _: pins(table, name),
        "caps": lambda table, name, _: caps(table, name),
        "diversity": lambda table, name, start: table.number(name, 0.0, 1.0, start.diversity),
        "rotate_after": lambda table, name, start: table.whole(name, 0, _MAX_IMPRESSIONS, start.rotate_after),
        "one_per_group": lambda table, name, start: table.flag(name, start.one_per_group),
        "series_in_order": lambda table, name, start: table.flag(name, start.series_in_order),
    }


def seconds(raw: object) -> float | None:
    """ "always", "30d", "12h" or "45m" in seconds; None for anything else."""
    if raw == "always":
        return FOR_EVER_S
    found = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        return None
    value = int(found[1]) * _SECONDS[found[2]]
    return float(value) if value <= _MAX_DAYS * 86_400 else None


def duration_text(value_s: float) -> str:
    """Seconds as a scenario file writes them."""
    if math.isinf(value_s):
        return "always"
    unit = next(unit for unit, size in _SECONDS.items() if not value_s % size or unit == "m")
    return f"{value_s / _SECONDS[unit]:.0f}{unit}"


def hide(table: Table, name: str, default: Mapping[int, float]) -> Mapping[int, float]:
    """`{ bought = "30d", disliked = "always" }`: which seen items stay away, and for how long."""
    raw = table.raw(name)
    inner = Table.of(raw, (*table.path, name), table.problems, '{ bought = "30d", disliked = "always" }')
    if inner is None:
        return default
    inner.only(SEEN_REASONS, "way of having seen an item")
    found = {}
    for word, bit in SEEN_REASONS.items():
        if word not in inner:
            continue
        value_s = seconds(inner.raw(word))
        if value_s is None:
            example = f"{inner.raw(word)}d" if type(inner.raw(word)) is int else "30d"
            inner.wrong(
                word,
                f'must be a duration like "{example}", "12h" or "45m" (at most "{_MAX_DAYS}d"), or "always", '
                f"not {shown(inner.raw(word))}",
            )
        else:
            found[bit] = value_s
    return found


def a_filter(raw: object, path: Path, problems: Problems) -> Filter | None:
    """A filter in the JSON form of docs/FILTERS.md, or as text in the short one; `{}` is none."""
    # Not before there is a filter to read.
    from services.ranking.filter_json import parse_filter
    from services.ranking.filter_text import parse_short

    if raw is None or raw == {}:
        return None
    try:
        if isinstance(raw, str):
            return parse_short(raw, shown_path(path))
        raw = _as_json(raw)
        written = repr(raw)
        if (found := _kept.get(written)) is None:
            found = parse_filter(raw, shown_path(path))
            if len(written) <= _KEPT_CHARS:
                if len(_kept) >= _KEPT_FILTERS:
                    _kept.clear()
                _kept[written] = found
        return found
    except FilterError as error:
        problems.add_at(error.where, _message(error), error.code)
        return None


def boosts(table: Table, name: str) -> tuple[Boost, ...]:
    """Tables `{ filter = { brand = "Acme" }, by = 0.5 }`."""

    def read(raw: object, path: Path) -> Boost | None:
        inner = Table.of(raw, path, table.problems, '{ filter = { brand = "Acme" }, by = 0.5 }')
        if inner is None:
            return None
        inner.only(("filter", "by"), "key of a boost")
        _needs(inner, "filter", "by")
        by = inner.number("by", -_MAX_BY, _MAX_BY, 0.0)
        matched = a_filter(inner.raw("filter"), (*path, "filter"), table.problems)
        if matched is None and inner.raw("filter") == {}:
            inner.wrong("filter", "is empty: lifting everything changes nothing")
        return None if matched is None else Boost(matched, by)

    made = table.each(name, MAX_BOOSTS, "each goes over all candidates", read)
    asked = sum(1 for boost in made for _ in clauses(boost.filter.root))
    if asked > MAX_BOOST_CLAUSES:
        table.wrong(
            name, f"holds {asked} conditions in all; at most {MAX_BOOST_CLAUSES}, each is asked of all items"
        )
        return ()
    return made


def pins(table: Table, name: str) -> tuple[Pin, ...]:
    """Tables `{ item = "p_1", slot = 1 }`."""

    def read(raw: object, path: Path) -> Pin | None:
        inner = Table.of(raw, path, table.problems, '{ item = "p_1", slot = 1 }')
        if inner is None:
            return None
        inner.only(("item", "item_id", "slot"), "key of a pin")
        key = "item_id" if "item_id" in inner and "item" not in inner else "item"
        if not _needs(inner, key, "slot"):
            return None
        slot = inner.whole("slot", 1, MAX_SLOT, 0)
        try:
            return Pin(read_id(inner.raw(key)), slot)
        except IdError as error:
            inner.wrong(key, str(error))
            return None

    made = table.each(name, MAX_PINS, "POST /recommend ranks a list of yours, as `candidates`", read)
    table.once(name, [str(pin.slot) for pin in made if pin.slot], "slot")
    table.once(name, [pin.item_id for pin in made], "item")
    return made


def caps(table: Table, name: str) -> tuple[Cap, ...]:
    """Tables `{ field = "brand", most = 2 }` or `{ field = "categories", share = 0.4, at_least = 3 }`."""

    def read(raw: object, path: Path) -> Cap | None:
        inner = Table.of(raw, path, table.problems, '{ field = "brand", most = 2 }')
        if inner is None:
            return None
        inner.only(("field", "most", "share", "at_least", "soft"), "key of a cap")
        if not _needs(inner, "field"):
            return None
        field = inner.text("field", 256)
        if field and field not in CAP_FIELDS and not _is_property(field):
            inner.wrong(
                "field", is_none_of(field, "field that a cap counts", (*CAP_FIELDS, "properties.NAME"))
            )
        if ("most" in inner) == ("share" in inner):
            inner.problems.add(
                path, "needs either most (items) or share (a part of the list, 0 to 1), and not both"
            )
        most = inner.whole("most", 1, MAX_SLOT, 0)
        share = inner.number("share", 0.0, 1.0, 0.0)
        if "at_least" in inner and "most" in inner:
            inner.wrong("at_least", "belongs to share; with most it has no meaning")
        return Cap(field, most, share, inner.whole("at_least", 1, MAX_SLOT, 1), inner.flag("soft", False))

    made = table.each(name, MAX_CAPS, "each counts the values of the whole list", read)
    table.once(name, [cap.field for cap in made], "field")
    return made


def _relax(table: Table, name: str) -> tuple[str, ...]:
    def read(raw: object, path: Path) -> str | None:
        if not isinstance(raw, str) or not raw or len(raw) > 256:
            table.problems.add(
                path, f"must be the name of a field that the filter is about, not {shown(raw)}"
            )
            return None
        try:
            check_field(raw, shown_path(path))
        except FilterError as error:
            table.problems.add(path, _message(error))
        return raw

    made = table.each(name, MAX_CAPS, "a filter of more fields is hard to relax in an order", read)
    table.once(name, list(made), "field")
    return made


def _needs(inner: Table, *names: str) -> bool:
    for name in names:
        if name not in inner:
            inner.problems.add(inner.path, f"lacks {name}")
    return all(name in inner for name in names)


def _is_property(field: str) -> bool:
    return field.startswith("properties.") and len(field) > len("properties.")


def check_rules(table: Table, made: Scenario) -> None:
    """Warn of rules that say nothing together with the others."""
    if "at_least" in table and not made.relax:
        table.problems.warn((*table.path, "at_least"), "has no effect without relax")
    if "series_in_order" in table and made.series_in_order and not made.one_per_group:
        table.problems.warn((*table.path, "series_in_order"), "has no effect without one_per_group")
    if made.filter is None or "relax" not in table:  # requests may bring the filter
        return
    fields = made.filter.fields()
    for place, name in enumerate(made.relax):
        if name not in fields:
            message = f"the filter is not about {name!r}; it is about {', '.join(sorted(fields))}"
            table.problems.warn((*table.path, "relax", place), message)


def _message(error: FilterError) -> str:
    return str(error).removeprefix(f"{error.where}: ")


def _as_json(raw: Any) -> Any:
    """The same as JSON would have it: dates and times as text, and `properties.season = …`, which TOML takes
    apart, as the one name that it is.
    """
    if isinstance(raw, Mapping):
        own = raw.get("properties")
        if isinstance(own, Mapping):
            names = {f"properties.{name}": value for name, value in own.items()}
            raw = {**{name: value for name, value in raw.items() if name != "properties"}, **names}
        return {name: _as_json(value) for name, value in raw.items()}
    if isinstance(raw, list | tuple):
        return [_as_json(value) for value in raw]
    return raw.isoformat() if isinstance(raw, date | time) else raw
