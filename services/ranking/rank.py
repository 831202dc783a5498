"""From a profile and a state to a ranked list: the one entry to this room."""

from __future__ import annotations

from services.kernel.profile import Profile
from services.ranking.model import ModelAnswer
from services.ranking.state import Ranking, RankingState, RankRequest


def wants_model(state: RankingState, profile: Profile | None, request: RankRequest) -> bool:
    """Whether an answer of the model would be used: a for_you list for somebody with events the release knows."""
    raise NotImplementedError


def rank(
    state: RankingState, profile: Profile | None, request: RankRequest, model_answer: ModelAnswer | None
) -> Ranking:
    """The list that `request` asks for; never empty while the catalogue holds a servable item.

    `profile` None: nobody in particular. `model_answer` None: the model was late or is missing, and the ladder
    starts at `session`. Pure: no clock, no I/O. Does not raise for unknown items or scenarios without evidence.
    """
    raise NotImplementedError
