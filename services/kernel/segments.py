"""Where and on what an event happened, as a few names that popularity is counted by.

There are 676 countries (two letters) and the devices below, whatever clients send, and each has its frozen
number: the rows that the aggregates keep are bounded by construction. A request's context is read by the same
function as an event's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

# Frozen: their places stand in every store. New ones go to the end.
DEVICES: Final = ("mobile", "tablet", "desktop", "tv", "console", "watch", "other")

_LETTERS: Final = 26
_COUNTRIES: Final = _LETTERS * _LETTERS
# A range that the hash of an item id meets with a probability of 2^-54: as good as never.
_NUMBER_BITS: Final = 10
_FIRST_KEY: Final = 0x5E63_4D45_4E54_5000 & ~((1 << _NUMBER_BITS) - 1)
_MAX_CHARS: Final = 64  # what an event may carry; a request's text may be longer

# Case, spaces, "-" and "_" do not matter.
_DEVICE_SPELLINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        spelling: device
        for device, spellings in {
            "mobile": "mobile phone smartphone cellphone handset ios iphone android mobileweb mobileapp",
            "tablet": "tablet ipad androidtablet",
            "desktop": "desktop web pc laptop computer browser website mac macos windows linux chromebook",
            "tv": "tv smarttv television connectedtv ctv ott settopbox stb appletv androidtv firetv roku",
            "console": "console gameconsole gamingconsole playstation xbox",
            "watch": "watch smartwatch wearable applewatch",
            "other": "other",
        }.items()
        for spelling in spellings.split()
    }
)
_IGNORED: Final = str.maketrans("", "", " -_")
_COUNTRY_SPELLINGS: Final[Mapping[str, str]] = MappingProxyType({"UK": "GB"})
_NO_COUNTRY: Final = frozenset({"XX", "ZZ"})  # how "unknown" is spelt


def segments_of(context: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The segments of a context, such as ("country=DE", "device=mobile"); what cannot be read has none.

    `country` is an ISO 3166 code of two letters. A device of a kind that is not listed is "other".
    """
    return _read(context)[0]


def segment_keys_of(context: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The row keys of `segments_of`, in its order."""
    return _read(context)[1]


def segment_key(segment: str) -> int:
    """The row key, u64, of a segment as `segments_of` spells it. Raises ValueError for any other text."""
    field, _, value = segment.partition("=")
    if field == "country" and _country(value) == value:
        number = (ord(value[0]) - ord("A")) * _LETTERS + ord(value[1]) - ord("A")
    elif field == "device" and value in DEVICES:
        number = _COUNTRIES + DEVICES.index(value)
    else:
        raise ValueError(
            f"{segment[:_MAX_CHARS]!r} is no segment; they are country=DE (two capital letters) and "
            f"device= one of {', '.join(DEVICES)}"
        )
    return _FIRST_KEY + number


def is_segment_key(key: int) -> bool:
    """Whether a row key is that of a segment, not of an item."""
    return key >> _NUMBER_BITS == _FIRST_KEY >> _NUMBER_BITS


def _read(context: Mapping[str, Any] | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if not context:
        return (), ()
    country, device = context.get("country"), context.get("device")
    return _named(country if isinstance(country, str) else "", device if isinstance(device, str) else "")


@lru_cache(maxsize=1024)  # clients choose the texts; the few that matter stay
def _named(country: str, device: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    names: list[str] = []
    if code := _country(country):
        names.append(f"country={code}")
    if kind := _device(device):
        names.append(f"device={kind}")
    return tuple(names), tuple(map(segment_key, names))


def _country(text: str) -> str:
    code = text[:_MAX_CHARS].strip()
    if not (len(code) == 2 and code.isascii() and code.isalpha()):
        return ""
    code = _COUNTRY_SPELLINGS.get(code.upper(), code.upper())
    return code if code not in _NO_COUNTRY else ""


def _device(text: str) -> str:
    folded = text[:_MAX_CHARS].lower().translate(_IGNORED)
    return _DEVICE_SPELLINGS.get(folded, "other") if folded else ""
