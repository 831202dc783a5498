"""What the documentation says of scenarios and releases."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import array, of, record, text
from services.ranking.scenario_file import built_in

_NULL_TEXT: Final = ["string", "null"]
_TIME_S: Final = of("integer", "Unix time, s", 1795672274)
_WHERE: Final = record(
    "ScenarioProblem",
    "a mistake, or something odd",
    {
        "where": text("its place in the file", "scenarios.sale.sources[0]"),
        "line": of(["integer", "null"], "of the file"),
        "message": text("what to change"),
    },
    "*",
)
_ALL: Final = of("object", "what holds in every scenario: `[all]` of the file")
_SCENARIO: Final = record(
    "Scenario",
    "a kind of list, in the words of a scenario file (docs/SCENARIOS.md); what is at its default is left out",
    {
        "scenario": text("its name", *built_in()),
        "own": of("boolean", "defined by the deployment's file"),
        "text": text("what it is for"),
        "sources": array({}, "what finds candidates: names, or objects with limits and weights"),
        "ranker": {"description": "what orders them: a name, or an object"},
    },
    "*",
)
SCENARIOS: Final = record(
    "ScenarioList",
    "The lists there are, and what they may be made of",
    {
        "all": _ALL,
        "scenarios": array(_SCENARIO),
        "sources": of("object", "what finds candidates, in words", additionalProperties=text()),
        "rankers": of("object", "what orders them, in words", additionalProperties=text()),
        "languages": array(text(), "that reasons are there in"),
        "file": {
            "anyOf": [
                record(
                    "ScenarioFile",
                    "the deployment's own",
                    {
                        "path": text(),
                        "version": of(_NULL_TEXT),
                        "loaded_at": of(["integer", "null"], "Unix time, s"),
                        "problem": of(_NULL_TEXT, "why the newest version is not in use"),
                        "problems": array(_WHERE),
                    },
                    "*",
                ),
                {"type": "null"},
            ],
            "description": "null: those that come with Freshet",
        },
        "warnings": array(_WHERE, "what is odd about the deployment's own"),
    },
    "*",
    additionalProperties=False,
)
SCENARIOS_ANSWER: Final[dict[str, Any]] = {
    "all": {},
    "scenarios": [
        {
            "scenario": "trending",
            "own": False,
            "text": "What many users turn to now (half-life of a day).",
            "sources": ["trending"],
            "ranker": "in_order",
            "fill": ["popular", "catalogue"],
            "hide": {"disliked": "always"},
        }
    ],
    "sources": {"trending": "what many turn to now (half-life of a day)"},
    "rankers": {"in_order": "the sources' own order, one after the other"},
    "languages": ["en"],
    "file": None,
    "warnings": [],
}
CHECK: Final = record(
    "ScenarioCheck",
    "what would become of a scenario file",
    {
        "ok": of("boolean", "it could be used"),
        "all": _ALL,
        "own": array(text(), "the scenarios that it defines"),
        "problems": array(_WHERE, "mistakes: it could not be used"),
        "warnings": array(_WHERE, "what is odd beside this catalogue"),
    },
    "*",
    additionalProperties=False,
)
CHECK_FILES: Final = {
    "sale": {
        "summary": "a list of what is on sale",
        "value": '[scenarios.sale]\ntext = "Reduced now."\nsources = ["trending", "popular"]\nfilter = '
        '"price:..5"\n',
    },
    "mistake": {"summary": "a misspelt source", "value": '[scenarios.sale]\nsources = ["trendign"]\n'},
}
CHECK_ANSWER: Final[dict[str, Any]] = {
    "ok": False,
    "all": {},
    "own": [],
    "problems": [
        {
            "where": "scenarios.sale.sources[0]",
            "line": 2,
            "message": "'trendign' is no source; did you mean 'trending'? There are: …",
        }
    ],
    "warnings": [],
}
_LOADED: Final = record(
    "LoadedRelease",
    "the release that answers",
    {
        "release": text("its name: a content hash"),
        "kind": text("", "day0", "trained", "packed"),
        "items": of("integer", "with a vector"),
        "space": text("the vector space"),
        "created_at": _TIME_S,
        "loaded_at": _TIME_S,
        "load_ms": of("number"),
    },
    "*",
)
RELEASES: Final = record(
    "ReleaseList",
    "which model answers, and which could not",
    {
        "live": of(_NULL_TEXT, "the name that was promoted"),
        "loaded": {"anyOf": [_LOADED, {"type": "null"}]},
        "before": array(
            record("FormerRelease", "one in use before", {"release": text(), "loaded_at": _TIME_S}, "*")
        ),
        "refused": array(
            record(
                "RefusedRelease",
                "one that could not be used",
                {"release": text(), "reason": text("what is wrong with it"), "at": _TIME_S},
                "*",
            )
        ),
        "degraded": array(text(), "what is amiss although answers go out"),
    },
    "*",
    additionalProperties=False,
)
RELEASES_ANSWER: Final[dict[str, Any]] = {
    "live": "day0-52cf944804c2",
    "loaded": {
        "release": "day0-52cf944804c2",
        "kind": "day0",
        "items": 6946,
        "space": "day0-d9425a257126",
        "created_at": 1795672267,
        "loaded_at": 1795672274,
        "load_ms": 9.4,
    },
    "before": [],
    "refused": [],
    "degraded": [],
}
