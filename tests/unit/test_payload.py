"""Bodies: what is read, and that a bad entry spoils no neighbour."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.payload import MAX_ENTRIES, read_entries, read_one
from services.kernel.malformed import Malformed
from services.kernel.problem import ProblemError

GOOD = b'{"user_id": "u, ]}\\" [", "n": [1, {"x": []}]}'
DEEP = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def refusal(body: bytes, media_type: str = "application/json") -> tuple[int, str]:
    with pytest.raises(ProblemError) as caught:
        read_entries(body, media_type)
    return caught.value.problem.status, caught.value.problem.code


def test_one_a_list_and_lines() -> None:
    value = json.loads(GOOD)
    assert read_entries(GOOD, "application/json") == ([value], False)
    assert read_entries(b"\xef\xbb\xbf" + GOOD, "text/plain") == ([value], False)
    assert read_entries(b"[%s, %s]" % (GOOD, GOOD), "") == ([value, value], True)
    assert read_entries(b"%s\r\n\n%s\n" % (GOOD, GOOD), "application/x-ndjson") == ([value, value], True)
    assert read_one(GOOD) == value


def test_lines_under_another_media_type() -> None:
    """What `curl --data-binary @events.ndjson` sends."""
    value = json.loads(GOOD)
    entries, is_list = read_entries(b"%s\n{bad\n%s" % (GOOD, GOOD), "application/x-www-form-urlencoded")
    assert is_list
    assert entries[0] == entries[2] == value
    assert isinstance(entries[1], Malformed)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'{"value": NaN}', "not_a_number"),
        (b'{"value": -Infinity}', "not_a_number"),
        (b'{"user_id": "\\ud800"}', "lone_surrogate"),
        (b'{"user_id": "\xff"}', "not_utf8"),
        (b'{"\xc3": 1}', "not_utf8"),
        (DEEP, "nested_too_deeply"),
        (b'{"value": 1e400}', "number_out_of_range"),
        (b'{"value": ' + b"9" * 5000 + b"}", "number_out_of_range"),
        (b'{"user_id" "u"}', "invalid_json"),
        (b'{"user_id": }', "invalid_json"),
        (b"{'user_id': 1}", "invalid_json"),
    ],
)
def test_a_bad_entry_spoils_no_neighbour(bad: bytes, code: str) -> None:
    value = json.loads(GOOD)
    for body in (b"[%s, %s, %s]" % (GOOD, bad, GOOD), b" [%s,%s,\n%s] " % (GOOD, bad, GOOD)):
        entries, is_list = read_entries(body, "application/json")
        assert is_list
        assert entries[0] == entries[2] == value
        assert isinstance(entries[1], Malformed)
        assert entries[1].code == code
    entries, _ = read_entries(b"%s\n%s\n%s" % (GOOD, bad, GOOD), "application/x-ndjson")
    assert [type(entry) for entry in entries] == [dict, Malformed, dict]
    assert refusal(bad) == (400, code)


@pytest.mark.parametrize("scalars", [b"NaN", b"1,2,NaN", b"null , NaN"])
def test_scalars_keep_their_places(scalars: bytes) -> None:
    entries, _ = read_entries(b"[%s, %s, %s]" % (scalars, GOOD, scalars), "application/json")
    count = scalars.count(b",") + 1
    assert len(entries) == 2 * count + 1
    assert entries[count] == json.loads(GOOD)


@pytest.mark.parametrize(
    ("body", "status_and_code"),
    [
        (b"", (400, "empty_body")),
        (b" \n", (400, "empty_body")),
        (b"{", (400, "invalid_json")),
        (b"[1, 2", (400, "invalid_json")),
        (b'[{"a": 1}} , {"b": 2}]', (400, "invalid_json")),
        (b'[{"a": 1}] {"b": 2}', (400, "invalid_json")),
        (b'["a, b", NaN, {}]', (400, "not_a_number")),
        (b"user_id=1&event_type=view", (400, "invalid_json")),
        (b"[" * 1_000_000, (400, "nested_too_deeply")),
        (b"[{}," * 250_000, (400, "nested_too_deeply")),
        (b"[]" * 500_000, (400, "invalid_json")),
        (b'["' + b"\\" * 1_000_000, (400, "invalid_json")),
        (b'"' * 1_000_000, (400, "invalid_json")),
        (b'["' + b'\\"' * 500_000, (400, "invalid_json")),
        (b'[NaN, "' + b'\\"' * 500_000, (400, "not_a_number")),
        (b"[" + b"{}," * MAX_ENTRIES + b"{}]", (413, "too_many_entries")),
        (b"[" + b"{}," * MAX_ENTRIES + b"NaN]", (413, "too_many_entries")),
    ],
)
def test_what_cannot_be_read_at_all(body: bytes, status_and_code: tuple[int, str]) -> None:
    assert refusal(body) == status_and_code


def test_other_media_types_are_refused_when_they_are_no_json() -> None:
    assert refusal(b"<event/>", "application/xml") == (415, "unsupported_media_type")
    assert refusal(b"a,b\n1,2", "text/csv") == (415, "unsupported_media_type")
    assert refusal(b"{}\n" * (MAX_ENTRIES + 1), "application/x-ndjson") == (413, "too_many_entries")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), max_size=6), st.integers(0, 6))
def test_mending_finds_every_good_entry(values: list[Any], place: int) -> None:
    parts = [json.dumps(value) for value in values]
    parts.insert(place, '{"x": NaN}')
    place = min(place, len(values))
    entries, _ = read_entries(f"[{', '.join(parts)}]".encode(), "application/json")
    assert isinstance(entries.pop(place), Malformed)
    assert entries == values


@given(st.binary(max_size=60) | st.text('[]{},:"\\ \n1aN', max_size=60).map(str.encode))
def test_any_bytes_are_entries_or_a_problem(body: bytes) -> None:
    try:
        entries, _ = read_entries(body, "application/json")
    except ProblemError as error:
        assert 400 <= error.problem.status < 500  # noqa: PT017 - either way is right
        error.problem.body()
    else:
        assert len(entries) <= MAX_ENTRIES
