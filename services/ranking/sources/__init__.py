"""Where candidates come from: a file each, and their names. docs/EXTENDING.md shows how one is added."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.ranking.sources.bought_together import BoughtTogether
from services.ranking.sources.catalogue_order import CatalogueOrder
from services.ranking.sources.chosen_together import ChosenTogether
from services.ranking.sources.continue_watching import ContinueWatching
from services.ranking.sources.history import History
from services.ranking.sources.model import Model
from services.ranking.sources.new_arrivals import New, NewArrivals
from services.ranking.sources.popular import Popular
from services.ranking.sources.popular_here import PopularHere
from services.ranking.sources.protocol import Found, Source
from services.ranking.sources.recently_viewed import RecentlyViewed
from services.ranking.sources.session import Session
from services.ranking.sources.similar import Similar
from services.ranking.sources.transitions import Transitions
from services.ranking.sources.trending import Trending

__all__ = ["SOURCES", "Found", "Source"]

SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        "model": Model(),
        "transitions": Transitions(),
        "chosen_together": ChosenTogether(),
        "bought_together": BoughtTogether(),
        "history": History(),
        "session": Session(),
        "similar": Similar(),
        "recently_viewed": RecentlyViewed(),
        "continue_watching": ContinueWatching(),
        "trending": Trending(),
        "popular": Popular(),
        "popular_here": PopularHere(),
        "new": New(),
        "new_arrivals": NewArrivals(),
        "catalogue": CatalogueOrder(),
    }
)
