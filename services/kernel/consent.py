"""What an event's `consent` says about keeping a profile of its subject.

    consent                                                         personalisation
    true, "granted", "yes", "accepted", "allow", "opt-in" …         allowed
    false, "denied", "no", "rejected", "withdrawn", "opt-out" …     denied
    {"personalization": V} or {"personalisation": V}                what V says, as above; 1 and 0 too
    {"personalization_storage": V}                                  the same (Google's consent mode)
    {"ad_personalization": V, "analytics_storage": V}               the same (Google's consent mode)
    an IAB TCF string, other words, other purposes, null, absent    nothing: what was said before holds

The rows of purposes are read from above: the first of them in which any value says something decides, and in
it a denial wins. Case, spaces, "-" and "_" do not matter, neither in names nor in values.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_WORDS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        word: said
        for said, words in {
            True: "granted grant given true yes y on 1 allow allowed accept accepted agree agreed optin"
            " optedin",
            False: "denied deny false no n off 0 disallow disallowed reject rejected decline declined refuse"
            " refused withdrawn withdraw revoked revoke optout optedout",
        }.items()
        for word in words.split()
    }
)
_PURPOSES: Final = (
    frozenset({"personalization", "personalisation"}),
    frozenset({"personalizationstorage"}),
    frozenset({"adpersonalization", "analyticsstorage"}),
)
_IGNORED: Final = str.maketrans("", "", " -_")
_LONGEST: Final = 32  # characters of a word; TCF strings are longer, and are not folded


def personalization(consent: bool | str | dict[str, Any] | None) -> bool | None:
    """True: allowed, False: denied, None: it says nothing about it."""
    if not isinstance(consent, dict):
        return _said(consent)
    said: dict[str, list[bool]] = {}
    for name, value in consent.items():
        word = _said(value)
        if word is not None:
            said.setdefault(_folded(name), []).append(word)
    for purposes in _PURPOSES:
        words = [word for purpose in purposes for word in said.get(purpose, ())]
        if words:
            return all(words)
    return None


def _said(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and len(value) <= _LONGEST:
        return _WORDS.get(_folded(value))
    return None


def _folded(text: str) -> str:
    return text.strip().lower().translate(_IGNORED)
