"""One request, one straight line: profile → co-visitation rows → model → ranking → names → JSON.

Every stage has a part of the deadline. What fails or is late costs the answer a step of the ladder and is
counted; nothing here raises for a store, a model or a release that is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import msgspec

from services.kernel.bank import FloatArray, VectorOf
from services.kernel.ids import item_key
from services.kernel.item import Item
from services.kernel.position import Position
from services.kernel.profile import Profile
from services.kernel.recommendation_id import encode_recommendation_id
from services.ranking.catalogue import Catalogue
from services.ranking.gather import rows_read
from services.ranking.inputs import ModelQuestion
from services.ranking.model import ModelAnswer
from services.ranking.rank import rank, wants_model
from services.ranking.state import RankedItem, Ranking, RankingState, RankRequest, Reason
from services.recommender.batching import BusyError
from services.recommender.cursor import next_cursor
from services.recommender.deadline import Deadline, LateError, within
from services.recommender.notes import notes_of
from services.recommender.profiles import all_alive, rules_of, view_of
from services.recommender.query import Query, QueryError, Row
from services.recommender.state import State, now_ms
from services.store.errors import StoreError

log = logging.getLogger(__name__)

# Rows of co-visitation and names of unknown items are small extras: the model and the rest come first.
EXTRA_SHARE = 0.3
MODEL_SHARE = 0.8
# A release may be swapped while the model runs or items are fetched; its answer then fits no catalogue and is
# asked again, once.
MODEL_TRIES = 2
ARM = "live"  # experiments bring others
ITEM_FIELDS = frozenset(Item.__struct_fields__) - {"item_id"}


@dataclass(slots=True)
class Answer:
    """An answer before it is JSON. `position` is where the (first) subject's profile stands."""

    content: dict[str, Any]
    position: Position | None
    server_timing: str


async def answer(state: State, query: Query, until: Deadline) -> Answer:
    """Answer one question, whatever happens. Raises QueryError for an event type that does not exist."""
    try:
        return await _answer(state, query, until)
    except QueryError:
        raise
    except Exception:
        log.exception("an answer failed; the catalogue in its order goes out")
        state.tally.fell("answer", "error")
    shaped = []
    for row in query.lists():
        request = _request(query, row, now_ms())
        shaped.append(_shape(state, row, _catalogue_order(state, request), query, {}))
        state.tally.answered(row.scenario.name, "catalogue")
    facts = {**_subjects(query), "profile_events": 0, "profile_age_ms": None, "fresh": False}
    return Answer(_content(query, shaped, facts), None, until.server_timing())


async def _answer(state: State, query: Query, until: Deadline) -> Answer:
    moment_ms = now_ms()
    profile, position, facts = await _who(state, query, until, moment_ms)
    lists = query.lists()
    requests = [_request(query, row, moment_ms) for row in lists]
    await state.have_columns([row.scenario for row in lists])
    await _neighbours(state, profile, requests, until)
    until.mark("store")
    rankings = await _rank_all(state, profile, requests, query.dedupe and bool(query.rows), until)
    names = await _names(state, rankings, until)
    made = list(zip(lists, rankings, strict=True))
    shaped = [_shape(state, row, ranking, query, names) for row, ranking in made]
    until.mark("rank")
    for row, ranking in made:
        state.tally.answered(row.scenario.name, ranking.strategy)
    state.tally.stages(until.stages_ms, facts["profile_age_ms"])
    return Answer(_content(query, shaped, facts), position, until.server_timing())


def _content(query: Query, shaped: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    if query.rows:
        return {"rows": shaped, **facts}
    content = {**shaped[0], **facts}
    del content["id"]  # the only list needs no name
    return content


def _subjects(query: Query) -> dict[str, Any]:
    return {"user_id": query.user_id, "anonymous_id": query.anonymous_id}


async def _who(
    state: State, query: Query, until: Deadline, moment_ms: int
) -> tuple[Profile | None, Position | None, dict[str, Any]]:
    """The profile to answer for, the user's position, and what the answer says about both."""
    read = await state.fresh.read(query.subjects, query.after, until)
    if read.trouble is not None:
        state.tally.fell("profile", read.trouble)
    living = all_alive(read.profiles, moment_ms, state.ttl_ms)
    serving = state.releases.serving
    rules = rules_of(serving, _vector_of(state), state.types, state.ttl_ms, state.settings.seen_capacity)
    profile = view_of(living, query.recent, rules, state.types, moment_ms)
    positions = [raw.position for raw in read.profiles if raw is not None and raw.position is not None]
    received_at_ms = max((found.received_at_ms for found in living), default=None)
    facts = {
        **_subjects(query),
        "profile_events": sum(found.events for found in living),
        "profile_age_ms": None if received_at_ms is None else max(0, moment_ms - received_at_ms),
        "fresh": read.fresh,
    }
    return profile, positions[0] if positions else None, facts


def _vector_of(state: State) -> VectorOf:
    """Vectors of the release, and of the items that came after it."""
    serving, catalogue = state.releases.serving, state.catalogue.catalogue
    if serving is None:
        return lambda _key: None
    release = serving.release

    def vector_of(key: int) -> FloatArray | None:
        found = release.vector_of(key)
        if found is not None or (row := catalogue.row_of_key(key)) < 0:
            return found
        return catalogue.vector(row)

    return vector_of


def _request(query: Query, row: Row, moment_ms: int) -> RankRequest:
    return RankRequest(
        now_ms=moment_ms,
        scenario=row.scenario,
        n=row.n,
        item_id=row.item_id,
        exclude=query.exclude,
        candidates=query.candidates,
        context=query.context,
        shown=query.kept_out(row),
        explain=query.explain,
        texts=query.scenarios.texts.of(_language(query)),
        scenarios=query.scenarios.by_name,
    )


def _language(query: Query) -> str | None:
    language = query.context.get("language")
    return language if isinstance(language, str) else None


async def _neighbours(
    state: State, profile: Profile | None, requests: Sequence[RankRequest], until: Deadline
) -> None:
    keys = {key: None for request in requests for key in rows_read(profile, request)}
    if not keys or state.live.trouble is not None:
        return
    try:
        await within(state.aggregates.neighbours.want(keys), until.part(EXTRA_SHARE))
    except LateError:
        state.tally.fell("neighbours", "late")
    except StoreError:
        state.tally.fell("neighbours", "store")


async def _rank_all(
    state: State, profile: Profile | None, requests: Sequence[RankRequest], dedupe: bool, until: Deadline
) -> list[Ranking]:
    """All lists of a request. With `dedupe` what stands in one is in none of those after it."""
    for _ in range(MODEL_TRIES):
        serving = state.releases.serving
        answers = await _ask_model(state, profile, requests, until)
        until.mark("model")
        if serving is state.releases.serving:
            await _first_items(state, profile, requests, answers, until)
        if serving is state.releases.serving:
            break
    else:
        answers = {}
        state.tally.fell("model", "swapped")
    ranking_state = state.ranking()
    rankings: list[Ranking] = []
    shown: frozenset[str] = frozenset()
    for request in requests:
        asked = replace(request, exclude=request.exclude | shown) if shown else request
        key = item_key(request.item_id) if request.item_id is not None else 0
        if rankings:
            await asyncio.sleep(0)  # others have the thread between two lists of a page
            if serving is not state.releases.serving:  # swapped meanwhile: the answers are the old one's
                serving, ranking_state, answers = state.releases.serving, state.ranking(), {}
        ranking = _rank(state, ranking_state, profile, asked, answers.get(key))
        rankings.append(ranking)
        if dedupe:
            shown |= {item.item_id for item in ranking.items if item.item_id is not None}
    return rankings


async def _first_items(
    state: State,
    profile: Profile | None,
    requests: Sequence[RankRequest],
    answers: dict[int, ModelAnswer],
    until: Deadline,
) -> None:
    """While the catalogue is still being loaded: have here what these lists are made of."""
    first = state.catalogue.first
    if first is None or state.live.trouble is not None:
        return
    wanted = first.want_for(profile, requests, answers.values(), state.aggregates.aggregates)
    try:
        await within(wanted, until.part(MODEL_SHARE))
    except LateError:
        state.tally.fell("items", "late")
    except StoreError:
        state.tally.fell("items", "store")


async def _ask_model(
    state: State, profile: Profile | None, requests: Sequence[RankRequest], until: Deadline
) -> dict[int, ModelAnswer]:
    """The model's answers by the key of the item that a list names (0: none); none when it is late."""
    ranking_state, serving = state.ranking(), state.releases.serving
    wanted = [request for request in requests if wants_model(ranking_state, profile, request)]
    if not wanted:
        return {}
    if serving is None or profile is None:
        state.tally.fell("model", "missing")
        return {}
    keys = list({item_key(request.item_id) if request.item_id is not None else 0: None for request in wanted})
    try:
        asked = [
            serving.batcher.ask(ModelQuestion(profile, requests[0].now_ms, context_key=key)) for key in keys
        ]
        left_s = until.part(MODEL_SHARE)
        if len(asked) == 1:
            answers = [await within(asked[0], left_s)]
        else:
            answers = await within(asyncio.gather(*asked), left_s)
    except LateError:
        state.tally.fell("model", "late")
    except BusyError:
        state.tally.fell("model", "busy")
    except Exception:
        log.exception("the model of release %s failed; answering without it", serving.release.name)
        state.tally.fell("model", "error")
    else:
        return dict(zip(keys, answers, strict=True))
    return {}


def _rank(
    state: State,
    ranking_state: RankingState,
    profile: Profile | None,
    request: RankRequest,
    model_answer: ModelAnswer | None,
) -> Ranking:
    """Rank; should that fail, once more for nobody; should that fail too, the catalogue in its order."""
    try:
        return rank(ranking_state, profile, request, model_answer)
    except Exception:
        log.exception("ranking failed; answering as for nobody")
        state.tally.fell("rank", "error")
    try:
        return rank(ranking_state, None, request, None)
    except Exception:
        log.exception("ranking for nobody failed; answering in catalogue order")
    return _catalogue_order(state, request)


def _catalogue_order(state: State, request: RankRequest) -> Ranking:
    """The end of the ladder that needs no ranking: what is available now, and neither excluded nor shown.

    A filter may stand for rights: a list that could not be filtered is empty. So is one that its scenario
    does not fill from the catalogue.
    """
    scenario, catalogue = request.scenario, state.catalogue.catalogue
    filled = any(use.name == "catalogue" for use in (*scenario.sources, *scenario.fill))
    if scenario.filter is not None or request.candidates is not None or not filled:
        return Ranking([], "catalogue", None)
    reason = Reason("catalogue", request.texts.text("catalogue"))
    items = [
        RankedItem(catalogue.id_of(row), int(catalogue.keys[row]), row, 1.0 / place, reason)
        for place, row in enumerate(islice(_rows_in_order(catalogue, request), request.n), 1)
    ]
    return Ranking(items, "catalogue", None)


def _rows_in_order(catalogue: Catalogue, request: RankRequest) -> Iterator[int]:
    start = 0
    while start >= 0:
        rows, start = catalogue.in_order(start, request.now_ms)
        for row in rows.tolist():
            if catalogue.id_of(row) not in request.exclude and int(catalogue.keys[row]) not in request.shown:
                yield row


async def _names(state: State, rankings: Sequence[Ranking], until: Deadline) -> dict[int, str]:
    keys = [item.key for ranking in rankings for item in ranking.items if item.item_id is None]
    if not keys:
        return {}
    try:
        return await within(state.names.of(keys), until.part(EXTRA_SHARE))
    except LateError:
        state.tally.fell("names", "late")
    except StoreError:
        state.tally.fell("names", "store")
    return {}


def _shape(state: State, row: Row, ranking: Ranking, query: Query, names: dict[int, str]) -> dict[str, Any]:
    catalogue = state.catalogue.catalogue
    items: list[dict[str, Any]] = []
    for ranked in ranking.items:
        item_id = ranked.item_id if ranked.item_id is not None else names.get(ranked.key)
        if item_id is None or item_id in query.exclude:
            continue
        shaped: dict[str, Any] = {
            "item_id": item_id,
            "score": round(ranked.score, 6),
            "rank": len(items) + 1,
            "reason": ranked.reason,
        }
        if ranked.explain is not None:
            shaped["explain"] = ranked.explain
        if query.fields:
            item = catalogue.get(item_id)
            shaped.update({name: getattr(item, name, None) for name in query.fields})
        items.append(shaped)
    release = ranking.release or ""
    more: dict[str, Any] = {} if ranking.filter is None else {"filter": ranking.filter}
    if notes := notes_of(query, row, catalogue):
        more["notes"] = notes
    return {
        "id": row.id,
        "items": items,
        **more,
        "next_cursor": next_cursor(query.shown | row.shown, ranking, row.n),
        "recommendation_id": encode_recommendation_id(now_ms(), row.scenario.name, release, ARM),
        "scenario": row.scenario.name,
        "strategy": ranking.strategy,
        "release": ranking.release,
    }


_encoder = msgspec.json.Encoder()


def to_json(answered: Answer) -> bytes:
    """The answer as clients get it."""
    return _encoder.encode(answered.content)
