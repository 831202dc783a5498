"""Questions as clients send them, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.kernel.position import Position
from services.ranking.scenario_file import built_in_scenarios
from services.recommender.parse_query import (
    GET_NAMES,
    POST_NAMES,
    from_body,
    from_parameters,
    refuse_beside_a_body,
)
from services.recommender.query import Query, QueryError, RecentItem, Row

SCENARIOS = built_in_scenarios()
FIELDS = frozenset({"title", "price", "brand"})


def get(user_id: str | None = "u", **parameters: str) -> Query:
    return from_parameters(user_id, parameters.items(), FIELDS, SCENARIOS)


def post(body: Any) -> Query:
    return from_body(body if isinstance(body, bytes) else msgspec.json.encode(body), FIELDS, SCENARIOS)


def refused(code: str, call: Any) -> str:
    with pytest.raises(QueryError) as error:
        call()
    assert error.value.code == code
    assert 400 <= error.value.status < 500
    return error.value.detail


def test_a_get_with_everything() -> None:
    query = get(
        "gid://shopify/Customer/1",
        n="25",
        scenario="similar",
        exclude="a,b",
        item_id="gid://shopify/Product/1",
        fields="title,price",
        after="1-2-30",
        anonymous_id="cookie",
    )
    assert query.subjects == ("gid://shopify/Customer/1", "cookie")
    assert (query.n, query.scenario) == (25, SCENARIOS.by_name["similar"])
    assert query.exclude == {"a", "b"}
    assert query.fields == ("title", "price")
    assert query.after == Position(1, 2, 30)


def test_one_subject_named_twice_is_one() -> None:
    assert get("u", anonymous_id="u").subjects == ("u",)
    assert get(None).subjects == ()


@pytest.mark.parametrize("n", ["0", "-1", "201", "1e1", "ten", "1.5", "", "٣", "9" * 5000])
def test_n_out_of_bounds_names_the_bounds(n: str) -> None:
    assert "from 1 to 200" in refused("invalid_value", lambda: get(n=n))


@pytest.mark.parametrize("n", [1, 200])
def test_n_at_its_bounds(n: int) -> None:
    assert get(n=str(n)).n == n
    assert post({"n": n}).n == n


def test_what_is_unknown_names_the_nearest() -> None:
    assert "did you mean 'trending'" in refused("unknown_scenario", lambda: get(scenario="trendin"))
    assert "did you mean 'scenario'" in refused("unknown_parameter", lambda: get(secnario="trending"))
    assert "did you mean 'n'" in refused("unknown_parameter", lambda: get(limit="3"))
    assert "did you mean 'title'" in refused("unknown_field", lambda: get(fields="titel"))
    assert "did you mean 'recent_items'" in refused("unknown_field", lambda: post({"recent_item": []}))


def test_keys_and_cache_busters_are_not_ours() -> None:
    assert get(key="secret", _="123") == get()


@pytest.mark.parametrize("after", ["", "1", "1-2", "1-2-3-4", "-1-2-3", "a-b-c", "1-2-" + "9" * 40])
def test_a_malformed_position_is_refused(after: str) -> None:
    assert "202" in refused("invalid_position", lambda: get(after=after))


def test_a_parameter_twice_is_refused_where_one_is_meant() -> None:
    refused("repeated_parameter", lambda: from_parameters("u", [("n", "1"), ("n", "2")], FIELDS, SCENARIOS))
    given = [("exclude", "a"), ("exclude", "b,c")]
    assert from_parameters("u", given, FIELDS, SCENARIOS).exclude == {"a", "b", "c"}


def test_all_fields() -> None:
    assert set(get(fields="all").fields) == FIELDS


@pytest.mark.parametrize("user", ["", "x" * 257, "a\nb", "a\x00", "\ud800", "\x85"])
def test_ids_that_are_no_ids(user: str) -> None:
    refused("invalid_id", lambda: get(user))


def test_a_post_with_everything() -> None:
    query = post(
        {
            "user_id": 12345,
            "anonymous_id": "cookie",
            "n": 5,
            "recent_items": ["a", {"item_id": "b", "event_type": "cart_add", "timestamp": 1687872000}],
            "exclude": ["x"],
            "candidates": ["c", "d", "c"],
            "context": {"country": "PT", "hour": 12},
            "fields": "title",
            "rows": [{"id": "top", "scenario": "trending", "n": 3}, {"scenario": "for_you"}],
            "dedupe": False,
        }
    )
    assert query.subjects == ("12345", "cookie")
    assert query.recent == (RecentItem("a"), RecentItem("b", "cart_add", 1687872000000))
    assert query.candidates == ("c", "d")
    assert query.rows == (
        Row("top", SCENARIOS.by_name["trending"], 3),
        Row("1", SCENARIOS.by_name["for_you"], 5),
    )
    assert not query.dedupe


def test_an_empty_post_is_a_landing_page() -> None:
    assert post(b"") == post({}) == Query()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff\xfe", "not_utf8"),
        (b"[" * 100_000, "nested_too_deeply"),
        (b"[]", "invalid_body"),
        (b'{"n": NaN}', "not_a_number"),
        ({"n": True}, "invalid_value"),
        ({"n": "5"}, "invalid_value"),
        ({"user_id": 1.5}, "invalid_id"),
        ({"user_id": ["a"]}, "invalid_id"),
        ({"exclude": "a"}, "invalid_value"),
        ({"exclude": ["a"] * 501}, "too_many"),
        ({"candidates": ["a"] * 501}, "too_many"),
        ({"candidates": [None]}, "invalid_id"),
        ({"recent_items": ["a"] * 101}, "too_many"),
        ({"recent_items": [{"event_type": "view"}]}, "invalid_value"),
        ({"recent_items": [{"item_id": "a", "timestamp": "yesterday"}]}, "invalid_timestamp"),
        ({"recent_items": [{"item_id": "a", "timestamp": -1}]}, "invalid_timestamp"),
        ({"rows": [{"id": "a"}] * 13}, "too_many"),
        ({"rows": [{"id": "a"}, {"id": "a"}]}, "repeated_row"),
        ({"rows": ["a"]}, "invalid_value"),
        ({"rows": []}, "invalid_value"),
        ({"rows": [{"scenario": "foryou"}]}, "unknown_scenario"),
        ({"context": []}, "invalid_value"),
        ({"context": {"a": {"b": 1}}}, "invalid_value"),
        ({"context": {"a": "x" * 257}}, "invalid_value"),
        ({"dedupe": 1}, "invalid_value"),
        ({"scenario": 7}, "unknown_scenario"),
        ({"after": 7}, "invalid_position"),
        ({"fields": [7]}, "invalid_value"),
        ({"fields": 7}, "invalid_value"),
    ],
)
def test_bad_bodies(body: Any, code: str) -> None:
    assert len(refused(code, lambda: post(body))) < 1000


@pytest.mark.parametrize("name", ["n", "scenario", "candidates", "context.country"])
def test_what_belongs_into_the_body_is_not_read_beside_it(name: str) -> None:
    detail = refused("unknown_parameter", lambda: refuse_beside_a_body([("key", "of the edge"), (name, "5")]))
    assert f"{name!r} is read from the body" in detail


def test_what_is_not_ours_may_stand_beside_a_body() -> None:
    refuse_beside_a_body([("key", "of the edge"), ("_", "17"), ("utm_source", "mail")])


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def is_answered_or_refused(call: Callable[[], Query]) -> bool:
    try:
        return isinstance(call(), Query)
    except QueryError as error:
        return 400 <= error.status < 500 and bool(error.detail)


@given(st.dictionaries(st.sampled_from(sorted(POST_NAMES)), JSON))
@example({"fields": [{}]})
def test_whatever_a_body_holds_it_is_a_query_or_refused(body: dict[str, Any]) -> None:
    assert is_answered_or_refused(lambda: from_body(msgspec.json.encode(body), FIELDS, SCENARIOS))


@given(st.lists(st.tuples(st.sampled_from(sorted(GET_NAMES)) | st.text(), st.text())), st.none() | st.text())
def test_whatever_a_line_holds_it_is_a_query_or_refused(
    parameters: list[tuple[str, str]], user_id: str | None
) -> None:
    assert is_answered_or_refused(lambda: from_parameters(user_id, parameters, FIELDS, SCENARIOS))
