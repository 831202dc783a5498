"""Scenarios in TOML: those that come with Freshet, those of a deployment, and the rules of a request."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from services.ranking.filters import FilterError, both
from services.ranking.reason_texts import ReasonTexts, built_in_texts, read_texts
from services.ranking.scenario import NOTHING_MORE, Everywhere, Scenario
from services.ranking.scenario_parts import KEYS, Known, read_scenario
from services.ranking.scenario_problems import (
    MAX_PROBLEMS,
    Problem,
    Problems,
    ScenarioError,
    Table,
    is_none_of,
    shown,
    shown_path,
)
from services.ranking.scenario_rules import everywhere, read_rules, with_values
from services.ranking.toml_lines import DEPTH_MAX, DepthError, Path, lines_of

MAX_FILE_BYTES: Final = (
    256 << 10
)  # a hundred scenarios of 2.5 KB; read within a moment, mounted as a ConfigMap
MAX_SCENARIOS: Final = 100  # each is a label of metrics
_EXAMPLES: Final = {
    "all": '[all] with filter = { "properties.territories" = ["$context.country?", "WORLD"] }',
    "scenarios": "[scenarios.sale]",
    "reasons": "[reasons.de]",
}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BAD_NAME: Final = "is no name: use 1 to 64 of a-z, 0-9, '_' and '-', starting with a letter or digit"
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Scenarios:
    """What a deployment answers with: all scenarios by name, and the texts of reasons.

    `own`: the names that the deployment's file defines. `everywhere` holds in all of `by_name`; `written` has
    them without it. `warnings`: what is odd in the file, with lines.
    """

    by_name: Mapping[str, Scenario]
    texts: ReasonTexts
    written: Mapping[str, Scenario]
    own: frozenset[str] = frozenset()
    everywhere: Everywhere = NOTHING_MORE
    warnings: tuple[Problem, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)  # of each path in the file

    def line(self, where: str) -> int | None:
        """The line of a path such as `scenarios.sale.pins[0]`, or of the nearest part around it."""
        return _line_of(where, self.lines)


@cache
def built_in() -> Mapping[str, Scenario]:
    """The scenarios that come with Freshet, by name, in the order in which they are listed."""
    problems = Problems()
    raw = tomllib.loads(_resource("scenarios.toml"))
    made = _Reader(raw["scenarios"], {}, problems, None).all()
    assert not problems.found, problems.found
    return MappingProxyType(made)


@cache
def built_in_scenarios() -> Scenarios:
    """What a deployment without a file has."""
    return Scenarios(built_in(), built_in_texts(), built_in())


def read_scenarios(text: str, base: Mapping[str, Scenario] | None = None) -> Scenarios:
    """The scenarios of a file together with `base` (those that come with Freshet); the file wins by name.

    Raises ScenarioError with all that is wrong (20 mistakes at most), each with its line.
    """
    base = built_in() if base is None else base
    raw, lines = _toml(text)
    problems = Problems()
    root = Table(raw, (), problems)
    root.only(("all", "scenarios", "reasons"), "part of a scenario file")
    reader = _Reader(_tables(root, "scenarios"), base, problems, known_names())
    own = reader.all()
    above = _everywhere(root, own)
    texts = read_texts(_tables(root, "reasons"), ("reasons",), problems, built_in_texts())
    by_where = {shown_path(path): line for path, line in lines.items()}
    if problems.found:
        raise ScenarioError(_with_lines(problems.found, by_where))
    written = {**base, **own}
    by_name = {name: one.under(above) for name, one in written.items()} if above.any else written
    return Scenarios(
        by_name=MappingProxyType(by_name),
        texts=texts,
        written=MappingProxyType(written),
        own=frozenset(own),
        everywhere=above,
        warnings=tuple(_with_lines(problems.odd, by_where)),
        lines=by_where,
    )


def read_file(content: bytes) -> Scenarios:
    """`read_scenarios` of a file's bytes. Raises ScenarioError."""
    if len(content) > MAX_FILE_BYTES:
        raise ScenarioError([Problem("", f"has more than {MAX_FILE_BYTES} bytes; at most so many are read")])
    try:
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError([Problem("", "is not UTF-8; save it as UTF-8", line)]) from None
    if not text.strip():  # what a full disk or a killed editor leaves behind; nobody writes that
        raise ScenarioError([Problem("", "is empty; a file that defines nothing on purpose has a comment")])
    return read_scenarios(text)


def with_rules(scenario: Scenario, raw: Mapping[str, Any], where: str = "") -> Scenario:
    """The scenario as one request wants it. `raw` holds any of RULES, decoded from JSON.

    The filter holds beside the scenario's own; boosts, pins and caps are added (a pin takes the place of the
    scenario's at its slot, a cap that of the same field); the rest replaces. `where` is the field of the body
    that `raw` stands in, for complaints. Raises ScenarioError.
    """
    return with_values(scenario, read_rules(raw, where))


def known_names() -> Known:
    """The names of the sources and rankers that there are."""
    # Not at the top: sources and rankers work on a state that holds scenarios.
    from services.ranking.rankers import RANKERS
    from services.ranking.sources import SOURCES

    return Known(frozenset(SOURCES), {name: ranker.terms for name, ranker in RANKERS.items()})


class _Reader:
    """Reads the scenarios of one file, each once, those that it extends before it."""

    def __init__(
        self,
        raws: Mapping[str, Any],
        base: Mapping[str, Scenario],
        problems: Problems,
        known: Known | None,
    ) -> None:
        self._raws = raws
        self._base = base
        self._problems = problems
        self._known = known
        self._made: dict[str, Scenario] = {}
        self._open: list[str] = []  # being read: who extends whom

    def all(self) -> dict[str, Scenario]:
        """Every scenario of the file, in its order."""
        if len(self._raws) > MAX_SCENARIOS:
            self._problems.add(
                ("scenarios",),
                f"holds {len(self._raws)} scenarios; at most {MAX_SCENARIOS} (each is a label of metrics)",
            )
            return {}
        for name in self._raws:
            self._scenario(name)
        made = {name: self._made[name] for name in self._raws if name in self._made}
        for name, scenario in made.items():
            self._check_then(name, scenario, {**self._base, **made})
        return made

    def _scenario(self, name: str) -> Scenario | None:
        path: Path = ("scenarios", name)
        if name in self._made:
            return self._made[name]
        table = Table.of(
            self._raws[name], path, self._problems, '[scenarios.sale] with sources = ["trending"]'
        )
        if table is None:
            return None
        if not _NAME.fullmatch(name):
            self._problems.add(path, _BAD_NAME)
        table.only(KEYS, "key of a scenario")
        self._open.append(name)
        start = self._start(name, table)
        self._open.pop()
        made = read_scenario(table, start, self._known)
        if "then" in table:  # "" takes away what was extended
            made = replace(made, then=table.text("then", 64) or None)
        self._made[name] = made
        return made

    def _start(self, name: str, table: Table) -> Scenario:
        """What the scenario begins as: the one that it extends under its own name, or the defaults."""
        blank = Scenario(name)
        if "extends" not in table:
            return blank
        extended = table.raw("extends")
        if extended == name and name in self._base:  # the one that comes with Freshet, changed a little
            return self._base[name]
        if not isinstance(extended, str):
            table.wrong("extends", f"must be the name of a scenario, not {shown(extended)}")
        elif extended in self._open:
            way = " extends ".join([*self._open[self._open.index(extended) :], extended])
            table.wrong("extends", f"goes round in a circle: {way}")
        elif extended in self._raws:
            return replace(self._scenario(extended) or blank, name=name)
        elif extended in self._base:
            return replace(self._base[extended], name=name)
        else:
            table.wrong("extends", is_none_of(extended, "scenario", {*self._base, *self._raws}))
        return blank

    def _check_then(self, name: str, scenario: Scenario, every: Mapping[str, Scenario]) -> None:
        way = [name]
        following = scenario.then
        while following is not None:
            if following not in every:
                if len(way) == 1 and following not in self._raws:
                    message = is_none_of(following, "scenario", {*every, *self._raws})
                    self._problems.add(("scenarios", name, "then"), message)
                return
            if following in way:
                if following == name:  # told once for each that is on the circle, not for those before it
                    circle = " then ".join([*way, following])
                    self._problems.add(("scenarios", name, "then"), f"goes round in a circle: {circle}")
                return
            way.append(following)
            following = every[following].then


def _toml(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """What a text says, and the lines of its parts. Raises ScenarioError."""
    try:
        lines = lines_of(text)  # first: it refuses what tomllib would take for ever for
        return tomllib.loads(text), lines
    except DepthError as error:
        raise ScenarioError([Problem("", f"is nested deeper than {DEPTH_MAX}", error.line)]) from None
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        message = _TOML_PLACE.sub("", str(error))
        if "initial character for a key" in message:  # what a line break in { } leads to
            message += "; a table in { } must stand on one line"
        raise ScenarioError([Problem("", f"is no TOML: {message}", line)]) from None


def _tables(root: Table, name: str) -> Mapping[str, Any]:
    raw = root.raw(name)
    if raw is None:
        return {}
    inner = Table.of(raw, (name,), root.problems, _EXAMPLES[name])
    return {} if inner is None else raw


def _everywhere(root: Table, own: Mapping[str, Scenario]) -> Everywhere:
    """What [all] says; noted are scenarios that nothing can pass beside it, or that relax it in vain."""
    table = Table(_tables(root, "all"), ("all",), root.problems)
    made = everywhere(table)
    if made.filter is None:
        return made
    # Not before there is a filter to read.
    from services.ranking.filter_conflicts import refuse_conflicts

    for name, scenario in own.items():
        path: Path = ("scenarios", name)
        mine = scenario.filter
        for at, relaxed in enumerate(scenario.relax if "relax" in root.raw("scenarios")[name] else ()):
            # Of a field that its own filter is not about, it was told already.
            if relaxed in made.filter.fields() and (mine is None or relaxed in mine.fields()):
                message = f"has no effect on the filter of [all], which is about {relaxed!r} and always holds"
                root.problems.warn((*path, "relax", at), message)
        if mine is not None and (together := both(made.filter, mine)) is not None:
            try:
                refuse_conflicts(together, "filter")
            except FilterError as error:
                message = f"{error} (together with the filter of [all])"
                root.problems.add((*path, "filter"), message)
    return made


def _with_lines(found: Iterable[tuple[str, str]], by_where: Mapping[str, int]) -> list[Problem]:
    made = [Problem(where, message, _line_of(where, by_where)) for where, message in found]
    return sorted(made, key=lambda problem: problem.line or 0)[:MAX_PROBLEMS]


def _line_of(where: str, by_where: Mapping[str, int]) -> int | None:
    while where:
        if (line := by_where.get(where)) is not None:
            return line
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return None


def _resource(name: str) -> str:
    return (files("services.ranking") / name).read_text(encoding="utf-8")
