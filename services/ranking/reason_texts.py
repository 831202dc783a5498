"""What a reason says, by code and language: the English that comes with Freshet, and a deployment's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from services.kernel.event_type import EventType
from services.ranking.scenario_problems import Problems, Table, is_none_of, shown
from services.ranking.toml_lines import Path

ENGLISH: Final = "en"
MAX_LANGUAGES: Final = 50  # a table of some twenty texts each, held in memory
MAX_TEXT: Final = 200  # characters; it stands below a tile
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")

# Every code of a reason, and the placeholders that it has values for. What each is evidence of stands in
# docs/SCENARIOS.md.
CODES: Final[Mapping[str, frozenset[str]]] = {
    "bought_before": frozenset(),
    "viewed_before": frozenset(),
    "recently_viewed": frozenset({"deed"}),
    "continue_watching": frozenset(),
    "next_episode": frozenset({"item"}),
    "chosen_with_item": frozenset({"item"}),
    "bought_with_item": frozenset({"item"}),
    "similar_to_item": frozenset({"item", "deed"}),
    "same_category": frozenset({"category"}),
    "same_series": frozenset({"item"}),
    "taste": frozenset(),
    "trending": frozenset(),
    "trending_in_category": frozenset({"category"}),
    "popular": frozenset(),
    "popular_in_category": frozenset({"category"}),
    "popular_here": frozenset({"country"}),
    "popular_on_device": frozenset({"device"}),
    "new": frozenset(),
    "pinned": frozenset(),
    "catalogue": frozenset(),
}
# What a user did with an item, as `words` names it.
DEEDS: Final[Mapping[int, str]] = {
    EventType.VIEW: "viewed",
    EventType.CLICK: "viewed",
    EventType.PURCHASE: "bought",
    EventType.CART_ADD: "carted",
    EventType.LIKE: "liked",
    EventType.VIDEO_START: "watched",
    EventType.VIDEO_PROGRESS: "watched",
    EventType.VIDEO_COMPLETE: "watched",
    EventType.RATING: "rated",
    EventType.SHARE: "shared",
}
# `recently_viewed` shows these too. Nothing is recommended by "which you disliked".
DONE: Final[Mapping[int, str]] = {
    **DEEDS,
    EventType.CART_REMOVE: "removed",
    EventType.DISLIKE: "disliked",
}
# The one reason that is about what was done and nothing else: a language may have a sentence for each deed.
BY_DEED: Final = "recently_viewed"
OTHER: Final = "other"
THIS_ITEM: Final = "this_item"
SENTENCES: Final = frozenset({*DONE.values(), OTHER})
WORDS: Final = SENTENCES | {THIS_ITEM}
# What stands where a placeholder outside [ ] has no value.
_WITHOUT: Final[Mapping[str, str]] = {"deed": OTHER, "item": THIS_ITEM}


class _Part(NamedTuple):
    """Literals, each followed by a placeholder ("" for none). Left out as a whole where `is_optional`."""

    pieces: tuple[tuple[str, str], ...]
    is_optional: bool

    def shows(self, values: Mapping[str, str | None]) -> bool:
        return not self.is_optional or all(values.get(name) for _, name in self.pieces if name)


class Template:
    """A text with placeholders, taken apart once. Raises ValueError with what is wrong with it."""

    __slots__ = ("_parts",)

    def __init__(self, text: str, placeholders: frozenset[str]) -> None:
        self._parts = tuple(_parts_of(text, placeholders))

    def fill(self, values: Mapping[str, str | None], words: Mapping[str, str]) -> str:
        """The text with values; a text that begins with one begins with a capital."""
        made = []
        for part in self._parts:
            if part.shows(values):
                for literal, name in part.pieces:
                    made.append(literal)
                    if name:
                        made.append(values.get(name) or words.get(_WITHOUT.get(name, ""), ""))
        text = "".join(made)
        first = self._parts[0].pieces[0] if self._parts else ("", "")
        return text[:1].upper() + text[1:] if first == ("", "deed") else text


@dataclass(frozen=True, slots=True, eq=False)
class LanguageTexts:
    """The texts of one language; what it lacks is taken from the wider one, at last from English."""

    templates: Mapping[str, Template]
    sentences: Mapping[str, Template]  # of BY_DEED, by deed
    words: Mapping[str, str]

    def text(
        self,
        code: str,
        *,
        item: str | None = None,
        category: str | None = None,
        deed: str | None = None,
        country: str | None = None,
        device: str | None = None,
    ) -> str:
        """What a reason says. `deed` is one of WORDS (see `DEEDS`). KeyError: no such code."""
        values = {
            "item": item,
            "category": category,
            "deed": None if deed is None else self.words[deed],
            "country": country,
            "device": device,
        }
        template = self.sentences[deed or OTHER] if code == BY_DEED else self.templates[code]
        return template.fill(values, self.words)


@dataclass(frozen=True, slots=True)
class ReasonTexts:
    """All languages of a deployment, by lower-case tag; English is always there and has every code."""

    by_language: Mapping[str, LanguageTexts]

    def of(self, language: str | None) -> LanguageTexts:
        """The texts for a language such as `de-CH`: `de-ch` if it is there, else `de`, else English."""
        tag = (language or "").lower().replace("_", "-")
        while tag:
            if (found := self.by_language.get(tag)) is not None:
                return found
            tag = tag.rpartition("-")[0]
        return self.by_language[ENGLISH]

    def text(
        self,
        code: str,
        language: str | None,
        *,
        item: str | None = None,
        category: str | None = None,
        deed: str | None = None,
        country: str | None = None,
        device: str | None = None,
    ) -> str:
        """One text; see LanguageTexts.text. Where many are made, `of` once is cheaper."""
        texts = self.of(language)
        return texts.text(code, item=item, category=category, deed=deed, country=country, device=device)


@cache
def built_in_texts() -> ReasonTexts:
    """The texts that come with Freshet."""
    raw = tomllib.loads((files("services.ranking") / "reason_texts.toml").read_text(encoding="utf-8"))
    problems = Problems()
    made = read_texts(raw["reasons"], ("reasons",), problems, None)
    assert not problems.found, problems.found
    return made


def read_texts(
    raw: Mapping[str, object], path: Path, problems: Problems, base: ReasonTexts | None
) -> ReasonTexts:
    """`[reasons.LANGUAGE]` tables upon those of `base`; mistakes go to `problems`."""
    if len(raw) > MAX_LANGUAGES:
        problems.add(path, f"holds {len(raw)} languages; at most {MAX_LANGUAGES}")
        return base or built_in_texts()
    made = dict(base.by_language) if base is not None else {}
    # The wider language first, and English before all: the others take from it what they lack.
    for tag in sorted(raw, key=lambda tag: (_tag(tag) != ENGLISH, tag.count("-") + tag.count("_"), tag)):
        at = (*path, tag)
        if not _LANGUAGE.fullmatch(tag):
            problems.add(at, 'is no language; write one like "de", "pt-BR" or "zh-Hant"')
            continue
        table = Table.of(raw[tag], at, problems, '{ popular = "Beliebt in den letzten Wochen" }')
        if table is not None:
            made[_tag(tag)] = _language(table, _wider(_tag(tag), made))
    return ReasonTexts(made)


def _tag(language: str) -> str:
    return language.lower().replace("_", "-")


def _wider(tag: str, made: Mapping[str, LanguageTexts]) -> LanguageTexts:
    """What a language takes its missing texts from."""
    while tag and tag not in made:
        tag = tag.rpartition("-")[0]
    return made.get(tag) or made.get(ENGLISH) or LanguageTexts({}, {}, {})


def _language(table: Table, wider: LanguageTexts) -> LanguageTexts:
    table.only((*CODES, "words"), "code of a reason")
    templates, sentences = dict(wider.templates), dict(wider.sentences)
    for code in CODES:
        if code == BY_DEED:
            sentences |= _sentences(table)
        elif code in table and (made := _template(table, code, code)) is not None:
            templates[code] = made
    words = dict(wider.words)
    if "words" in table:
        inner = _inner(table, "words", '{ bought = "du gekauft hast" }', WORDS)
        if inner is not None:
            words |= {word: inner.text(word, MAX_TEXT) for word in WORDS if word in inner}
    return LanguageTexts(templates, sentences, words)


def _sentences(table: Table) -> Mapping[str, Template]:
    """What BY_DEED says: one text for all deeds, or a table with some of them."""
    if BY_DEED not in table:
        return {}
    if isinstance(table.raw(BY_DEED), str):
        made = _template(table, BY_DEED, BY_DEED)
        return {} if made is None else dict.fromkeys(SENTENCES, made)
    inner = _inner(table, BY_DEED, '{ bought = "Du hast das gekauft" }', SENTENCES)
    if inner is None:
        return {}
    found = {deed: _template(inner, deed, BY_DEED) for deed in SENTENCES if deed in inner}
    return {deed: made for deed, made in found.items() if made is not None}


def _inner(table: Table, name: str, example: str, known: frozenset[str]) -> Table | None:
    inner = Table.of(table.raw(name), (*table.path, name), table.problems, example)
    if inner is not None:
        inner.only(known, "word")
    return inner


def _template(table: Table, name: str, code: str) -> Template | None:
    """The text under `name`, with the placeholders of `code`; None where it is wrong, which is noted."""
    try:
        return Template(table.text(name, MAX_TEXT), CODES[code])
    except ValueError as error:
        table.wrong(name, str(error))
        return None


_TOKEN: Final = re.compile(r"\{([^{}\[\]]*)\}|([\[\]{}])")


def _parts_of(text: str, placeholders: frozenset[str]) -> list[_Part]:
    if not text:
        raise ValueError("says nothing; leave it out to have the English text")
    parts: list[_Part] = []
    pieces: list[tuple[str, str]] = []
    optional, end = False, 0
    for token in _TOKEN.finditer(text):
        literal, end = text[end : token.start()], token.end()
        name, mark = token[1], token[2]
        if mark in {"{", "}"} or mark == ("[" if optional else "]"):
            raise ValueError(f"has a {mark!r} without its partner: {shown(text)}")
        pieces.append((literal, name or ""))
        if mark is not None:  # a part ends here
            parts.append(_Part(tuple(pieces), optional))
            pieces, optional = [], not optional
        elif name not in placeholders:
            if not placeholders:
                raise ValueError(f"has no value for {{{name}}}: this reason has no placeholders")
            known = [f"{{{word}}}" for word in placeholders]
            raise ValueError(is_none_of(f"{{{name}}}", "placeholder of this reason", known))
    if optional:
        raise ValueError(f"has a '[' without its partner: {shown(text)}")
    if text[end:]:
        pieces.append((text[end:], ""))
    parts.append(_Part(tuple(pieces), False))
    return [part for part in parts if any(literal or name for literal, name in part.pieces)]
