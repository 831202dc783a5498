"""On which line of a TOML text each value stands: tomllib keeps no lines, and an error should name one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

DEPTH_MAX: Final = 32  # nobody writes deeper ones, and tomllib takes the square of a depth in time and memory

Path = tuple[str | int, ...]  # keys and places in arrays, from the root

_SPACE: Final = " \t"
_BLANK: Final = " \t\r\n"
_BARE_ENDS: Final = frozenset(",]}#\n")
_ESCAPES: Final[Mapping[str, str]] = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class DepthError(ValueError):
    """A key of very many parts, or values very deep in each other; `line` is where."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}: nested deeper than {DEPTH_MAX}")
        self.line = line


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of every table, key and array element of a text.

    A key stands where its name stands, an element where its value begins. Of a text that is no TOML the
    answer is what could be followed. Raises DepthError; a text that passes is safe to give to tomllib.
    """
    scanner = _Scanner(text)
    with suppress(IndexError):  # no TOML: what was found until here stands
        scanner.document()
    return scanner.lines


class _Scanner:
    """Walks over the text once. Past its end an IndexError ends the walk."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._breaks = [at for at, character in enumerate(self._text) if character == "\n"]
        self._counts: dict[Path, int] = {}  # elements of arrays of tables
        self.lines: dict[Path, int] = {}

    def document(self) -> None:
        """Tables and keys up to the end of the text."""
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return
            began = self._at
            if self._text[self._at] == "#":
                self._to_line_end()
            elif self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            if self._at == began:  # no TOML; go on with the next line
                self._to_line_end()

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`: the path that the keys below it belong to."""
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        names = self._key()
        self._at += 2 if is_array else 1
        path: Path = ()
        for depth, name in enumerate(names, 1):
            path = (*path, name)
            self.lines.setdefault(path, line)
            if is_array and depth == len(names):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self.lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        """`key = value`."""
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._skip(_SPACE)
        if self._text[self._at] == "=":
            self._at += 1
            self._value(path)

    def _value(self, path: Path) -> None:
        if len(path) > DEPTH_MAX:
            raise DepthError(self._line())
        self._skip(_SPACE)
        opening = self._text[self._at]
        if opening in "\"'":
            self._string(multiline=True)
        elif opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in _BARE_ENDS:
                self._at += 1

    def _array(self, path: Path) -> None:
        self._at += 1
        place = 0
        while True:
            self._filler()
            if self._text[self._at] == "]":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            began = self._at
            self.lines[*path, place] = self._line()
            self._value((*path, place))
            place += 1
            self._at += self._at == began  # no TOML: step over it

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._filler()
            if self._text[self._at] == "}":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            began = self._at
            self._pair(path)
            self._at += self._at == began

    def _key(self) -> list[str]:
        """A dotted key; ends before what follows it."""
        names: list[str] = []
        while True:
            if len(names) > DEPTH_MAX:
                raise DepthError(self._line())
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                names.append(self._string(multiline=False))
            else:
                began = self._at
                while self._text[self._at] not in " \t.=]\n\"'#":
                    self._at += 1
                names.append(self._text[began : self._at])
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _string(self, *, multiline: bool) -> str:
        """A quoted text of any of the four kinds; the scanner stands behind it then."""
        quote = self._text[self._at]
        if multiline and self._text.startswith(quote * 3, self._at):
            self._at += 3
            while not self._text.startswith(quote * 3, self._at):
                self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
            while self._text.startswith(quote * 4, self._at):  # quotes may stand before the end
                self._at += 1
            self._at += 3
            return ""  # only keys are asked for, and these are none
        self._at += 1
        parts = []
        while (character := self._text[self._at]) not in (quote, "\n"):
            if quote == '"' and character == "\\":
                parts.append(self._escape())
            else:
                parts.append(character)
                self._at += 1
        self._at += 1
        return "".join(parts)

    def _escape(self) -> str:
        kind = self._text[self._at + 1]
        digits = {"x": 2, "u": 4, "U": 8}.get(kind, 0)
        self._at += 2 + digits
        if not digits:
            return _ESCAPES.get(kind, kind)
        try:
            return chr(int(self._text[self._at - digits : self._at], 16))
        except (ValueError, OverflowError):
            return ""

    def _filler(self) -> None:
        """Blanks, line ends and comments between the parts of an array."""
        while True:
            self._skip(_BLANK)
            if self._text[self._at] != "#":
                return
            self._to_line_end()

    def _skip(self, characters: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in characters:
            self._at += 1

    def _to_line_end(self) -> None:
        found = self._text.find("\n", self._at)
        self._at = len(self._text) if found < 0 else found + 1

    def _line(self) -> int:
        return bisect_right(self._breaks, self._at - 1) + 1
