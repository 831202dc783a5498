"""From a body's bytes to its entries: one JSON value, a list, or lines. A bad entry spoils no neighbour."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from services.kernel.malformed import explain_json_error
from services.kernel.problem import Problem, ProblemError

MAX_ENTRIES: Final = (
    1000  # a request's answer comes when its last event is acknowledged: larger ones are slow
)
_MAX_TOKENS: Final = 50_000  # what mending a broken list may look at: about 40 ms; 1,000 events have 20,000
_BOM: Final = b"\xef\xbb\xbf"
_NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
# What may well hold JSON: beacons send text/plain, `curl -d` sends a form, some clients send nothing.
_JSON: Final = frozenset({"", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream"})
# A string without an end is one token too, and nothing is tried twice: linear in the body.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]+|[\]}]+', re.DOTALL)
_QUOTE: Final = ord('"')
_OPENING: Final = b"[{"

_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def read_one(body: bytes) -> Any:
    """The single JSON value of a body. Raises ProblemError 400."""
    body = _filled(body)
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        malformed = explain_json_error(error, body)
        raise ProblemError(Problem(400, malformed.code, malformed.message)) from None


def read_entries(body: bytes, media_type: str) -> tuple[list[Any], bool]:
    """The entries of a body, and whether it was a list (or lines) rather than one value.

    An entry that cannot be read is a `Malformed`. Raises ProblemError 400, 413 or 415 for the whole body.
    """
    body = _filled(body)
    if media_type in _NDJSON:
        return _read_lines(body), True
    try:
        value = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _mend(body, error, media_type), True
    if isinstance(value, list):
        _check_count(len(value))
        return value, True
    return [value], False


def _filled(body: bytes) -> bytes:
    body = body.removeprefix(_BOM)
    if not body.strip():
        raise ProblemError(
            Problem(400, "empty_body", "the body is empty; send a JSON object or a list of them")
        )
    return body


def _mend(body: bytes, error: Exception, media_type: str) -> list[Any]:
    """The entries of a body that is no JSON as a whole. Raises ProblemError when nothing can be saved."""
    if media_type not in _JSON and not media_type.endswith("json"):
        raise ProblemError(
            Problem(415, "unsupported_media_type", f"Content-Type {media_type[:64]!r}: send JSON or NDJSON")
        )
    if body.lstrip().startswith(b"["):
        pieces = _cut_list(body)
        if pieces is not None:
            return [_read_piece(piece) for piece in pieces]
    elif _is_lines(body):
        return _read_lines(body)
    malformed = explain_json_error(error, body)
    raise ProblemError(Problem(400, malformed.code, malformed.message))


def _read_lines(body: bytes) -> list[Any]:
    lines = [line for line in body.split(b"\n") if line.strip()]
    _check_count(len(lines))
    return [_read_piece(line) for line in lines]


def _read_piece(piece: bytes) -> Any:
    try:
        return _decoder.decode(piece)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return explain_json_error(error, piece)


def _is_lines(body: bytes) -> bool:
    """Whether the body is NDJSON under another media type: its first line is an object by itself."""
    first, newline, _ = body.lstrip().partition(b"\n")
    return bool(newline) and isinstance(_read_piece(first), dict)


def _check_count(count: int) -> None:
    if count > MAX_ENTRIES:
        raise ProblemError(
            Problem(413, "too_many_entries", f"the body holds {count} entries; send {MAX_ENTRIES} at most")
        )


def _cut_list(body: bytes) -> list[bytes] | None:
    """The pieces of a JSON list, found by brackets and strings alone; None where that does not work out."""
    pieces: list[bytes] = []
    depth = 0
    cut = 0  # where what is not in `pieces` yet begins
    for count, token in enumerate(_TOKEN.finditer(body)):
        if count > _MAX_TOKENS or (depth == 0 and count > 0):
            return None
        start, run = token.start(), token.end() - token.start()
        kind = body[start]
        if kind == _QUOTE:
            continue
        if kind in _OPENING:
            if depth == 0:
                cut = start + 1
            if depth <= 1 < depth + run:  # an entry begins in this run of brackets
                begin = start + 1 - depth
                if not _add_scalars(body[cut:begin], pieces):
                    return None
                cut = begin
            depth += run
        else:
            if depth > 1 >= depth - run:  # an entry ends
                end = start + depth - 1
                pieces.append(body[cut:end])
                cut = end
            if run >= depth:  # the list ends
                end = start + depth
                if run > depth or not _add_scalars(body[cut : end - 1], pieces):
                    return None
                cut = end
            depth -= run
    if depth != 0 or body[cut:].strip():
        return None
    _check_count(len(pieces))
    return pieces


def _add_scalars(between: bytes, pieces: list[bytes]) -> bool:
    """Add the scalars between two nested entries; false when strings make that a guess."""
    if b'"' in between:
        return False
    pieces.extend(scalar for scalar in between.split(b",") if scalar.strip())
    return True
