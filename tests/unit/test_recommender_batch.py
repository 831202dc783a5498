"""The body of POST /recommend/batch, and whose turn it is."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec
import pytest

from services.ranking.filter_json import parse_filter
from services.ranking.scenario_file import built_in_scenarios
from services.recommender.parse_batch import Asked, from_batch
from services.recommender.query import Query, QueryError
from services.recommender.turns import AT_ONCE, Turns

FIELDS = frozenset({"title", "price"})


class Taken(NamedTuple):
    """A batch after its last line."""

    lines: list[Asked]
    repeated: list[str]


def batch(body: Any) -> Taken:
    made = from_batch(msgspec.json.encode(body), FIELDS, built_in_scenarios())
    return Taken(list(made.lines()), made.repeated)


def queries(made: Taken) -> list[Query]:
    found = [line.query for line in made.lines]
    assert all(isinstance(query, Query) for query in found)
    return [query for query in found if isinstance(query, Query)]


def test_ids_in_their_order_with_what_holds_for_all() -> None:
    made = batch({"user_ids": ["b", "a", 7], "n": 3, "scenario": "popular", "filter": "price:..5"})
    found = queries(made)
    assert [query.user_id for query in found] == ["b", "a", "7"]
    assert {query.n for query in found} == {3}
    assert all(query.scenario.filter == parse_filter({"price": {"lte": 5}}) for query in found)
    assert made.lines[0].named == {"user_id": "b", "anonymous_id": None}
    assert made.repeated == []


def test_users_with_something_of_their_own() -> None:
    made = batch(
        {
            "users": [
                {"user_id": "a", "context": {"country": "PT"}, "item_id": "p1"},
                {"anonymous_id": "cookie", "exclude": ["x"]},
            ],
            "context": {"country": "US", "store": 12},
            "exclude": ["y"],
            "rows": [{"id": "one"}, {"id": "two", "item_id": "mine"}],
        }
    )
    one, two = queries(made)
    assert one.context == {"country": "PT", "store": 12}
    assert [row.item_id for row in one.rows] == ["p1", "mine"]
    assert [row.item_id for row in two.rows] == [None, "mine"]
    assert (two.user_id, two.anonymous_id, set(two.exclude)) == (None, "cookie", {"x", "y"})
    assert made.lines[0].named == {"user_id": "a", "anonymous_id": None, "item_id": "p1"}


def test_the_same_question_is_answered_once() -> None:
    made = batch({"user_ids": ["a", "b", "a", "a"]})
    assert [query.user_id for query in queries(made)] == ["a", "b"]
    assert made.repeated == ["a", "a"]
    asked = {"user_id": "a", "item_id": "p1"}
    made = batch({"users": [asked, {"user_id": "a", "item_id": "p2"}, {"user_id": "a"}, asked]})
    assert [query.item_id for query in queries(made)] == ["p1", "p2", None]
    assert made.repeated == ["a"]


def test_a_mistake_of_one_user_is_told_in_its_line() -> None:
    raws = ["a", "", {"user_id": ""}, {"user_id": "b", "itemid": "p"}, {}, {"user_id": "c"}]
    made = batch({"users": [{"user_id": raw} if isinstance(raw, str) else raw for raw in raws]})
    errors = [line.query for line in made.lines]
    said = [error.detail if isinstance(error, QueryError) else None for error in errors]
    assert (said[0], said[5]) == (None, None)
    assert "users[1].user_id: " in str(said[1])
    assert "'itemid' is no field of users[3]; did you mean 'item_id'?" in str(said[3])
    assert "users[4].user_id: must be there" in str(said[4])
    made = batch({"user_ids": ["a", None, ["b"]]})
    assert [type(line.query) for line in made.lines] == [Query, QueryError, QueryError]
    assert made.lines[2].named == {"user_id": None}


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "invalid_body", "either user_ids or users"),
        ({"user_ids": ["a"], "users": []}, "invalid_body", "either user_ids or users"),
        ({"user_ids": ["a"] * 1001}, "too_many", "user_ids: holds 1001; at most 1000"),
        ({"users": [{}] * 1001}, "too_many", "users: holds 1001; at most 1000"),
        ({"user_ids": "a"}, "invalid_value", "user_ids: must be a list"),
        ({"user_id": "a"}, "unknown_field", "did you mean 'user_ids'?"),
        ({"user_ids": ["a"], "cursor": "x"}, "unknown_field", "'cursor' is no field of the body"),
        ({"user_ids": ["a"], "scenario": "foryou"}, "unknown_scenario", "did you mean 'for_you'?"),
        ({"user_ids": ["a"], "filter": {"prize": 1}}, "unknown_field", "filter.prize: "),
        ({"user_ids": ["a"], "n": 201}, "invalid_value", "n: must be a whole number from 1 to 200"),
    ],
)
def test_what_is_wrong_with_all_of_it_is_told_before_anything_is_answered(
    body: Any, code: str, said: str
) -> None:
    with pytest.raises(QueryError) as error:
        batch(body)
    assert (error.value.status, error.value.code) == (422, code)
    assert said in error.value.detail


def test_a_batch_for_nobody_is_a_mistake() -> None:
    for name in ("user_ids", "users"):
        with pytest.raises(QueryError, match=f"{name}: is empty; name whom to answer for") as caught:
            batch({name: []})
        assert caught.value.status == 422


def test_users_of_a_batch_wait_for_who_waits_for_an_answer() -> None:
    asyncio.run(_waits())


async def _waits() -> None:
    turns = Turns()
    turns.enter()
    turns.enter()
    began: list[int] = []

    async def one(number: int) -> None:
        async with turns.of_batch():
            began.append(number)

    waiting = asyncio.create_task(one(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    turns.leave()
    await asyncio.sleep(0)
    assert began == [], "somebody still waits for an answer"
    turns.leave()
    await waiting
    assert began == [0]
    turns.enter()
    await asyncio.gather(*(one(number) for number in range(1, 2 * AT_ONCE)))  # patience ends
    assert len(began) == 2 * AT_ONCE


def test_as_many_users_are_under_way_as_have_a_turn() -> None:
    asyncio.run(_many())


async def _many() -> None:
    turns = Turns()
    under_way = 0
    most = 0

    async def one() -> None:
        nonlocal under_way, most
        async with turns.of_batch():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == AT_ONCE


def test_what_holds_for_the_whole_call_is_not_said_of_one_user() -> None:
    (line,) = batch({"users": [{"user_id": "a", "n": 3}]}).lines
    assert isinstance(line.query, QueryError)
    assert (
        "'n' is no field of users[0]; it holds for the whole call: write it beside `users`."
        in line.query.detail
    )
    assert "did you mean" not in line.query.detail
    (line,) = batch({"users": [{"usr_id": "a"}]}).lines
    assert isinstance(line.query, QueryError)
    assert "did you mean 'user_id'?" in line.query.detail
