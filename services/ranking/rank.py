"""From a profile and a state to a ranked list: the one entry to this room.

scenario → sources find candidates → a ranker scores them → boosts, diversity, caps, pins arrange them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.kernel.profile import Profile
from services.ranking.arrange import arrange
from services.ranking.gather import gather, stages_of
from services.ranking.listing import Listing
from services.ranking.model import ModelAnswer
from services.ranking.question import Question
from services.ranking.rankers import RANKERS
from services.ranking.scenario import MODEL_RANKERS, SourceUse
from services.ranking.sources import SOURCES
from services.ranking.state import FilterNote, Ranking, RankingState, RankRequest, Unknown


def wants_model(state: RankingState, profile: Profile | None, request: RankRequest) -> bool:
    """Whether an answer of the model would be used: the scenario's ranker or a source reads one, and the
    profile has an event that the model can read.
    """
    scenario = request.scenario
    asks = any(SOURCES[use.name].needs_model for use in scenario.sources)
    if profile is None or not (asks or scenario.ranker.name in MODEL_RANKERS):
        return False
    ring = profile.ring
    if not len(ring):
        return False
    release, row_of_key = state.catalogue.release, state.catalogue.row_of_key
    return release is None or any(
        release.index_of(key) >= 0 or row_of_key(key) >= 0 for key in ring["item"][::-1].tolist()
    )


def rank(
    state: RankingState, profile: Profile | None, request: RankRequest, model_answer: ModelAnswer | None
) -> Ranking:
    """The list that `request` asks for; never empty while the catalogue holds an item that may be shown and
    the scenario has a `fill` that ends with the catalogue.

    `profile` None: nobody in particular. `model_answer` None: the model was late or is missing, and the
    ladder starts at `session`. Pure: no clock, no I/O. Unknown items and missing evidence are no errors.

    1. Make the list.
    2. While the filter leaves too little, drop the conditions on the next field that the scenario names.
    """
    # 1.
    listing = _made(state, profile, request, model_answer)
    # 2.
    relaxed: list[str] = []
    scenario = request.scenario
    for name in scenario.relax:
        if scenario.filter is None or len(listing.items()) >= min(scenario.at_least, listing.n):
            break
        looser = scenario.relaxed(name)
        if looser.filter == scenario.filter:
            continue
        scenario = looser
        relaxed.append(name)
        listing = _made(state, profile, replace(request, scenario=scenario), model_answer)
    release = state.catalogue.release
    return Ranking(
        listing.items(), listing.strategy, release.name if release else None, _note(listing.question, relaxed)
    )


def _made(
    state: RankingState, profile: Profile | None, request: RankRequest, model_answer: ModelAnswer | None
) -> Listing:
    """1. The scenario's sources and ranker, and those of the scenarios that `then` names.
    2. What is still missing from the sources of `fill`, in their order.
    """
    question = Question(state, profile, request, model_answer)
    listing = Listing(question)
    # 1.
    for stage in stages_of(request):
        if not listing.wanted:
            break
        _go_on(question, stage.sources, stage.ranker.name, listing)
    # 2.
    if request.scenario.fill_when == "short" or listing.empty:
        for use in request.scenario.fill:
            if listing.wanted:
                _go_on(question, (use,), "in_order", listing)
    return listing


def _go_on(question: Question, uses: Sequence[SourceUse], ranker: str, listing: Listing) -> None:
    """Append what some sources find."""
    pool = gather(question, uses)
    scored = RANKERS[ranker].score(question, pool)
    if scored is not None:
        arrange(question, pool, scored, listing)


def _note(question: Question, relaxed: list[str]) -> FilterNote | None:
    masked = question.masked
    if masked is None:
        return FilterNote(len(question.catalogue), tuple(relaxed)) if relaxed else None
    unknown = tuple(Unknown(one.field, one.value, str(one)) for one in masked.unknown)
    return FilterNote(masked.count, tuple(relaxed), unknown, masked.missing)
