"""What a list is made of: sources, a ranker, and the rules that arrange what they find.

The definitions that come with Freshet stand in `scenarios.toml`, in the form in which a deployment writes its
own; `scenario_file.py` reads both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from services.kernel.profile import SEEN_BOUGHT, SEEN_DISLIKED, SEEN_FINISHED, SEEN_VIEWED
from services.ranking.filters import Filter, both

# Why an item may be hidden, by the name that scenario files use.
SEEN_REASONS: Final[Mapping[str, int]] = {
    "viewed": SEEN_VIEWED,
    "bought": SEEN_BOUGHT,
    "finished": SEEN_FINISHED,
    "disliked": SEEN_DISLIKED,
}
FOR_EVER_S: Final = float("inf")
# Rankers that use the release's second graph where it has one.
TRAINED_RANKERS: Final = frozenset({"auto", "trained"})
# Rankers that look at the model's answer.
MODEL_RANKERS: Final = TRAINED_RANKERS | {"blend"}


@dataclass(frozen=True, slots=True)
class SourceUse:
    """A source of candidates as a scenario uses it. `limit` None: as many as the source thinks fit."""

    name: str
    limit: int | None = None
    weight: float = 1.0  # for the ranker `mix`


@dataclass(frozen=True, slots=True)
class RankerUse:
    """A ranker as a scenario uses it. `weights` are those of its terms, where they differ."""

    name: str = "auto"
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Boost:
    """Lift what `filter` matches by `by` standard deviations of the candidates' scores; bury below 0."""

    filter: Filter
    by: float


@dataclass(frozen=True, slots=True)
class Pin:
    """An item that stands at place `slot` (from 1) while it may be shown at all."""

    item_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` items of a list with the same value of `field`: `categories` (the first path), `brand`
    or another field with one text.

    `share` in place of `most`: that part of the list, `at_least` where it is short. `soft`: what is one too
    many stands behind the rest instead of being left out.
    """

    field: str
    most: int = 0
    share: float = 0.0
    at_least: int = 1
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What holds in every list of a deployment, whatever scenario and request say."""

    filter: Filter | None = None
    hide: Mapping[int, float] = field(default_factory=dict)
    boosts: tuple[Boost, ...] = ()
    caps: tuple[Cap, ...] = ()

    @property
    def any(self) -> bool:
        """Whether it says anything."""
        return self != NOTHING_MORE

    def hidden_too(self, hide: Mapping[int, float]) -> Mapping[int, float]:
        """What is hidden for whichever is longer."""
        return {bit: max(hide.get(bit, 0.0), self.hide.get(bit, 0.0)) for bit in {**hide, **self.hide}}


NOTHING_MORE: Final = Everywhere()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of list. Immutable; a request may carry one with rules of its own.

    What holds `everywhere` stands among the scenario's own rules as well, so that nobody looks in two places.
    """

    name: str
    text: str = ""
    sources: tuple[SourceUse, ...] = ()
    ranker: RankerUse = RankerUse()
    # Where the list is short: the name of a scenario whose sources and ranker go on, then sources in order.
    then: str | None = None
    fill: tuple[SourceUse, ...] = ()
    fill_when: str = "short"  # or "empty": what does not belong here is shown only in place of nothing
    filter: Filter | None = None
    relax: tuple[str, ...] = ()  # fields whose conditions are dropped, in this order,
    at_least: int = 1  # while fewer items than this are left
    hide: Mapping[int, float] = field(default_factory=dict)  # SEEN_ bit → for how long, s (FOR_EVER_S)
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    caps: tuple[Cap, ...] = ()
    diversity: float = 0.0  # 0: by score alone, 1: as unlike each other as can be (MMR)
    rotate_after: int = 0  # impressions in this session after which what was ignored sinks; 0: never
    one_per_group: bool = True
    series_in_order: bool = False  # which one: of episodes (`group_order`) the next, or the first
    everywhere: Everywhere = NOTHING_MORE

    def under(self, everywhere: Everywhere) -> Scenario:
        """The scenario with what holds everywhere beside its own rules."""
        return replace(
            self,
            filter=both(everywhere.filter, self.filter),
            hide=everywhere.hidden_too(self.hide),
            boosts=self.boosts + everywhere.boosts,
            caps=self.caps + tuple(cap for cap in everywhere.caps if cap not in self.caps),
            everywhere=everywhere,
        )

    def relaxed(self, name: str) -> Scenario:
        """Without the conditions on a field, but for those that hold everywhere."""
        left = None if self.filter is None else self.filter.without(name)
        return replace(self, filter=both(self.everywhere.filter, left))
