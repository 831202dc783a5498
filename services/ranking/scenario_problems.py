"""What is wrong with scenarios, each with its path and its line, and the tables that complaints come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Final, TypeVar

from services.kernel.nearest import nearest
from services.ranking.toml_lines import Path

T = TypeVar("T")

MAX_PROBLEMS: Final = 20  # as many as somebody mends before looking again
OR_MORE: Final = f"There may be more: {MAX_PROBLEMS} mistakes are told at once."
_MAX_SHOWN: Final = 64  # characters of a wrong value


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: `where` as `scenarios.sale.caps[0].field`, the line of the file if there is one, and the
    code of one in a filter.
    """

    where: str
    message: str
    line: int | None = None
    code: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As answers and `--json` show it."""
        return {"where": self.where, "line": self.line, "message": self.message}

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.where}: {self.message}" if self.where else f"{place}{self.message}"


class ScenarioError(ValueError):
    """Scenarios or rules that cannot be used. `problems` are all the mistakes found, in order, 20 at most."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        more = [OR_MORE] if len(self.problems) >= MAX_PROBLEMS else []
        super().__init__("\n".join([*map(str, self.problems), *more]))


class Problems:
    """Collects what is wrong, and what is odd, while a file is read, so that one look names all of it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []  # (where, message)
        self.codes: dict[str, str] = {}  # of mistakes in filters, by where
        self.odd: list[tuple[str, str]] = []

    def add(self, path: Path, message: str) -> None:
        """Note a mistake at a path."""
        self.add_at(shown_path(path), message)

    def add_at(self, where: str, message: str, code: str | None = None) -> None:
        """Note a mistake at a path in writing."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append((where, message))
            if code is not None:
                self.codes[where] = code

    def warn(self, path: Path, message: str) -> None:
        """Note what can be used, but is hardly meant so."""
        if len(self.odd) < MAX_PROBLEMS:
            self.odd.append((shown_path(path), message))


def shown_path(path: Path) -> str:
    """A path as people write it: `scenarios.sale.caps[0].field`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """A wrong value in an error as TOML and JSON write it, but for quotes; cut where it is long."""
    text = _spelled(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_spelled(inner)}' for name, inner in value.items())}}}"
    if isinstance(value, date | time):
        return value.isoformat()
    return "null" if value is None else repr(value)


def is_none_of(word: str, kind: str, names: Iterable[str]) -> str:
    """'catgories' is no field; did you mean 'categories'? There are: …"""
    known = sorted(names)
    listed = ", ".join(known)
    return f"{shown(word)} is no {kind}; did you mean {nearest(word, known)!r}? There are: {listed}"


class Table:
    """A table (or JSON object) whose values are read one by one; what cannot be read is noted, and the
    default stands in its place.
    """

    def __init__(self, raw: Mapping[str, Any], path: Path, problems: Problems) -> None:
        self._raw = raw
        self.path = path
        self.problems = problems

    @classmethod
    def of(cls, raw: object, path: Path, problems: Problems, example: str) -> Table | None:
        """The table in `raw`, or None (noted) for anything else."""
        if isinstance(raw, Mapping):
            return cls(raw, path, problems)
        problems.add(path, f"must be a table like {example}")
        return None

    def __contains__(self, name: str) -> bool:
        return self._raw.get(name) is not None  # null in JSON means absent

    def wrong(self, name: str, message: str) -> None:
        """Note a mistake in the value of `name`."""
        self.problems.add((*self.path, name), message)

    def only(self, names: Iterable[str], kind: str) -> None:
        """Note every key that is none of `names`."""
        known = set(names)
        for name in self._raw:
            if name not in known:
                self.wrong(name, is_none_of(name, kind, known))

    def raw(self, name: str) -> Any:
        """The value as it stands, None where there is none."""
        return self._raw.get(name)

    def text(self, name: str, most: int, default: str = "") -> str:
        """A text of at most `most` characters."""
        value = self._raw.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            self.wrong(name, f"must be a text of one line and at most {most} characters")
            return default
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """A number within bounds."""
        value = self._raw.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.wrong(name, f"must be a number from {low:g} to {high:g}, not {shown(value)}")
            return default
        return float(value)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number within bounds."""
        value = self._raw.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(name, f"must be a whole number from {low} to {high}, not {shown(value)}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""
        value = self._raw.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, f"must be true or false, not {shown(value)}")
            return default
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        value = self._raw.get(name)
        if value is None:
            return default
        if value not in choices:
            self.wrong(name, f"must be {' or '.join(map(repr, choices))}, not {shown(value)}")
            return default
        return str(value)

    def each(self, name: str, most: int, why: str, read: Callable[[object, Path], T | None]) -> tuple[T, ...]:
        """What `read` makes of every element of a list; None is left out (and was noted)."""
        value = self._raw.get(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.wrong(name, f"must be a list, not {shown(value)}")
            return ()
        if len(value) > most:
            self.wrong(name, f"holds {len(value)}; at most {most} ({why})")
            return ()
        made = (read(raw, (*self.path, name, place)) for place, raw in enumerate(value))
        return tuple(one for one in made if one is not None)

    def once(self, name: str, values: list[str], kind: str) -> None:
        """Note each of the values of a list that stands there twice."""
        for value in sorted({value for value in values if values.count(value) > 1}):
            self.wrong(name, f"names the {kind} {value!r} twice")
