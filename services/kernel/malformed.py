"""Why some bytes are no JSON, in words that say what to change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_A_NUMBER: Final = re.compile(rb"(?:^|[:\[,])\s*-?(?:NaN|Infinity)\b")


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is no JSON. In a list its neighbours may be."""

    code: str
    message: str


def explain_json_error(error: Exception, piece: bytes) -> Malformed:
    """What is wrong with `piece`, which msgspec could not decode, and what to change."""
    if isinstance(error, RecursionError):
        return Malformed("nested_too_deeply", "the JSON is nested too deeply; flatten it")
    if isinstance(error, UnicodeDecodeError) or not _is_utf8(piece):
        return Malformed("not_utf8", "the body is not UTF-8; encode it as UTF-8")
    if _NOT_A_NUMBER.search(piece):
        return Malformed("not_a_number", "NaN and Infinity are not JSON; leave the field out")
    if _SURROGATE.search(piece):
        return Malformed("lone_surrogate", r"a \u escape is half of a surrogate pair, which is no character")
    if isinstance(error, msgspec.ValidationError):
        return Malformed("number_out_of_range", "a number is too large; send less, or an id as a string")
    return Malformed("invalid_json", f"{error}; check quotes, commas and brackets")


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
