"""A scenario as `GET /scenarios` shows it: the keys of a scenario file, but for defaults."""

from __future__ import annotations

from typing import Any, Final

from services.ranking.scenario import SEEN_REASONS, Boost, Cap, Everywhere, RankerUse, Scenario, SourceUse
from services.ranking.scenario_rules import duration_text

_PLAIN: Final = ("fill_when", "at_least", "diversity", "rotate_after", "one_per_group", "series_in_order")


def scenario_json(scenario: Scenario) -> dict[str, Any]:
    """The scenario in JSON; read as a table of a scenario file it gives an equal one (but for `extends`)."""
    default = Scenario(scenario.name)
    shown: dict[str, Any] = {
        "text": scenario.text,
        "sources": [_source(use) for use in scenario.sources],
        "ranker": _ranker(scenario.ranker),
    }
    optional = {
        "then": scenario.then,
        "fill": [_source(use) for use in scenario.fill],
        **everywhere_json(scenario),
        "relax": list(scenario.relax),
        "pins": [{"item": pin.item_id, "slot": pin.slot} for pin in scenario.pins],
    }
    shown |= {name: value for name, value in optional.items() if value}
    for name in _PLAIN:
        if (value := getattr(scenario, name)) != getattr(default, name):
            shown[name] = value
    return shown


def everywhere_json(rules: Everywhere | Scenario) -> dict[str, Any]:
    """The rules that may hold everywhere, but for those that say nothing."""
    shown = {
        "filter": None if rules.filter is None else rules.filter.to_json(),
        "hide": {
            word: duration_text(rules.hide[bit]) for word, bit in SEEN_REASONS.items() if bit in rules.hide
        },
        "boosts": [_boost(boost) for boost in rules.boosts],
        "caps": [_cap(cap) for cap in rules.caps],
    }
    return {name: value for name, value in shown.items() if value}


def _source(use: SourceUse) -> str | dict[str, Any]:
    shown: dict[str, Any] = {"name": use.name}
    if use.limit is not None:
        shown["limit"] = use.limit
    if use.weight != 1.0:
        shown["weight"] = use.weight
    return shown if len(shown) > 1 else use.name


def _ranker(use: RankerUse) -> str | dict[str, Any]:
    return {"name": use.name, "weights": dict(use.weights)} if use.weights else use.name


def _boost(boost: Boost) -> dict[str, Any]:
    return {"filter": boost.filter.to_json(), "by": boost.by}


def _cap(cap: Cap) -> dict[str, Any]:
    shown: dict[str, Any] = {"field": cap.field}
    shown |= {"share": cap.share} if cap.share else {"most": cap.most}
    if cap.at_least != 1:
        shown["at_least"] = cap.at_least
    if cap.soft:
        shown["soft"] = True
    return shown
