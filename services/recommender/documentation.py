"""What the documentation says about what can be asked: recommendations, items, users, scenarios, releases."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import NO_JSON, answer, body, in_path, problem, text
from services.recommender import documentation_answers as answers
from services.recommender import documentation_problems as problems
from services.recommender import documentation_state as state
from services.recommender.documentation_examples import BANANAS, BATCHES, QUESTIONS
from services.recommender.documentation_recommend import (
    BATCH,
    PAGE_PARAMETERS,
    RECOMMEND_PARAMETERS,
    REQUEST,
)

_USER: Final = in_path("user_id", "the user", "u_12345")
_BUYER: Final = in_path("user_id", "the user", "u_2153")
_ITEM: Final = in_path("item_id", "the item", BANANAS)
_BAD_USER: Final = {"invalid_user_id": "user_id in the path is longer than 256 bytes"}
_BAD_QUERY: Final = {"invalid_query": "the query string is not UTF-8, percent-encoded"}
_ALWAYS: Final = "Always answers, with HTTP 200, whatever is down; `strategy` says how."
_LISTED: Final = answer(200, "The list.", answers.LIST, answers.LIST_ANSWER)
_UNREAD: Final = problem(400, "The body is no JSON.", dict(NO_JSON))
_NO_STORE: Final = problem(
    503,
    "The store does not answer, or the catalogue is not loaded yet; try again.",
    {
        "store_unavailable": "the store, where profiles are, does not answer; try again",
        "not_ready": "the catalogue is still being loaded; try again",
    },
)


CALLS: Final[dict[str, dict[str, Any]]] = {
    "GET /recommend/{user_id}": {
        "operationId": "recommend",
        "summary": "Recommend to a user",
        "description": f"A list for a user, known or not. {_ALWAYS} What was posted before counts: `after` "
        f"waits for it.",
        "tags": ["Recommendations"],
        "parameters": [_USER, *RECOMMEND_PARAMETERS],
        "responses": {
            **_LISTED,
            **problem(400, "The id or the query string cannot be read.", {**_BAD_USER, **_BAD_QUERY}),
            **problem(422, problems.SAYS, problems.OF_QUERY),
        },
    },
    "GET /recommend": {
        "operationId": "recommendToAnyone",
        "summary": "Recommend to nobody in particular",
        "description": f"A landing page, or a visitor who is known by `anonymous_id` alone. {_ALWAYS}",
        "tags": ["Recommendations"],
        "parameters": RECOMMEND_PARAMETERS,
        "responses": {
            **_LISTED,
            **problem(400, "The query string cannot be read.", _BAD_QUERY),
            **problem(422, problems.SAYS, problems.OF_QUERY),
        },
    },
    "POST /recommend": {
        "operationId": "recommendByBody",
        "summary": "Recommend, with more to say",
        "description": "Filters, rules, items to rank, what somebody did just now, several rows of a page "
        "at once: "
        f"docs/RECOMMEND.md. {_ALWAYS}",
        "tags": ["Recommendations"],
        "requestBody": body("The question.", REQUEST, QUESTIONS),
        "responses": {
            **answer(
                200,
                "The list; where `rows` were asked for, a page of lists.",
                {"anyOf": [answers.LIST, answers.PAGE]},
                answers.LIST_ANSWER,
            ),
            **_UNREAD,
            **problem(422, problems.SAYS, problems.OF_BODY),
        },
    },
    "GET /recommend/{user_id}/stream": {
        "operationId": "recommendStream",
        "summary": "Recommend, live",
        "description": "Server-sent events: a list at once, and a fresh one as soon as the profile "
        "changes. A stream ends after some minutes (FRESHET_STREAM_MAX_S); browsers connect again by "
        "themselves. The page at /docs waits for the end: try it with `curl -N`.",
        "tags": ["Recommendations"],
        "parameters": [_USER, *RECOMMEND_PARAMETERS],
        "responses": {
            **answer(
                200,
                "Each event is a whole list, like an answer of /recommend.",
                text("server-sent events"),
                answers.STREAM,
                "text/event-stream",
            ),
            **problem(400, "The id or the query string cannot be read.", {**_BAD_USER, **_BAD_QUERY}),
            **problem(422, problems.SAYS, problems.OF_QUERY),
            **problem(
                503,
                "As many streams are open as are allowed; try again after `Retry-After`.",
                {"too_many_streams": "1000 streams are open here, as many as FRESHET_MAX_STREAMS allows"},
            ),
        },
    },
    "POST /recommend/batch": {
        "operationId": "recommendBatch",
        "summary": "Recommend to up to 1,000 users",
        "description": "A line of JSON each, like an answer of /recommend, in the order asked, as it "
        "becomes ready; a line with `error` for a user that cannot be answered. The last line has `done`, "
        "how many `users` (lines), how many `failed`, and whose questions were `repeated` and answered "
        "once. Without it the answer was broken off.",
        "tags": ["Recommendations"],
        "requestBody": body("Who is asked for.", BATCH, BATCHES),
        "responses": {
            **answer(200, "Lines of JSON.", text("NDJSON"), answers.LINES, "application/x-ndjson"),
            **_UNREAD,
            **problem(422, problems.SAYS, problems.OF_BATCH),
            **problem(
                503,
                "Too many batches at once; send one after the other.",
                {"too_many_batches": "8 batches are under way here; send one after the other"},
            ),
        },
    },
    "GET /items": {
        "operationId": "listItems",
        "summary": "Read the catalogue page by page",
        "description": "In the order of the ids: all items, or those that a filter lets in.",
        "tags": ["Catalogue"],
        "parameters": PAGE_PARAMETERS,
        "responses": {
            **answer(200, "A page.", answers.ITEM_PAGE, answers.ITEM_PAGE_ANSWER),
            **problem(400, "The query string cannot be read.", _BAD_QUERY),
            **problem(422, problems.SAYS, problems.OF_ITEMS),
            **problem(
                503,
                "The catalogue is not loaded yet.",
                {"not_ready": "the catalogue is still being loaded; try again"},
            ),
        },
    },
    "GET /items/{item_id}": {
        "operationId": "getItem",
        "summary": "Read an item",
        "description": "As it stands in the store; while the store is away, as it was last seen.",
        "tags": ["Catalogue"],
        "parameters": [_ITEM],
        "responses": {
            **answer(
                200,
                "The item.",
                answers.STORED_ITEM,
                {
                    "item_id": BANANAS,
                    "title": "Bananas, 40 lb",
                    "categories": [["Produce", "Tropical fruit"]],
                    "brand": "National",
                    "price": 0.92,
                    "currency": "USD",
                    "properties": {"manufacturer": "2"},
                },
            ),
            **problem(
                400,
                "The id cannot be read.",
                {"invalid_item_id": "item_id in the path is longer than 256 bytes"},
            ),
            **problem(
                404,
                "There is no such item.",
                {"unknown_item": "no item 'gouda' in the catalogue; PUT /items/{item_id} adds one"},
            ),
            **problem(
                503,
                "The store does not answer, and the catalogue is not loaded yet.",
                {
                    "store_unavailable": "the store does not answer and the catalogue is not loaded yet; "
                    "try again"
                },
            ),
        },
    },
    "GET /users/{user_id}/profile": {
        "operationId": "getProfile",
        "summary": "See what is known about a user",
        "description": "Readable. Somebody nobody has heard of has 0 events, so scripts can poll.",
        "tags": ["Users"],
        "parameters": [_BUYER],
        "responses": {
            **answer(200, "The profile.", answers.PROFILE, answers.PROFILE_ANSWER),
            **problem(400, "The id cannot be read.", _BAD_USER),
            **problem(
                503,
                "The store does not answer; try again.",
                {"store_unavailable": "the store, where profiles are, does not answer; try again"},
            ),
        },
    },
    "GET /users/{user_id}/export": {
        "operationId": "exportUser",
        "summary": "Take out everything stored about a user",
        "description": "As a file, for who asks what is known about them (docs/PRIVACY.md). The raw events "
        "are in the log: `freshet users export` adds them.",
        "tags": ["Users"],
        "parameters": [_BUYER],
        "responses": {
            **answer(200, "All of it.", answers.EXPORT, answers.EXPORT_ANSWER),
            **problem(400, "The id cannot be read.", _BAD_USER),
            **_NO_STORE,
        },
    },
    "GET /scenarios": {
        "operationId": "listScenarios",
        "summary": "See which lists there are",
        "description": "What each is made of, what it could be made of, and what is odd about the "
        "deployment's own.",
        "tags": ["Scenarios"],
        "responses": answer(200, "The scenarios.", state.SCENARIOS, state.SCENARIOS_ANSWER),
    },
    "POST /scenarios/check": {
        "operationId": "checkScenarios",
        "summary": "Check a scenario file",
        "description": "Reads a file (TOML, docs/SCENARIOS.md) without using it.",
        "tags": ["Scenarios"],
        "requestBody": body("The file.", text("TOML"), state.CHECK_FILES, "application/toml"),
        "responses": answer(
            200,
            "Whether it could be used; mistakes and warnings with their lines.",
            state.CHECK,
            state.CHECK_ANSWER,
        ),
    },
    "GET /releases": {
        "operationId": "listReleases",
        "summary": "See which release answers",
        "description": "Which came before, which was refused and why, and what is amiss.",
        "tags": ["Operations"],
        "responses": answer(200, "The releases.", state.RELEASES, state.RELEASES_ANSWER),
    },
}
