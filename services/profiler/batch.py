"""One batch in memory: its records, the profiles that they change, what they add to the aggregates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from services.kernel.change import weight_of
from services.kernel.contributions import Contribution, contributions_of
from services.kernel.event import Event, item_lines
from services.kernel.event_type import EventTypes
from services.kernel.ids import item_key
from services.kernel.position import Position
from services.kernel.profile import Change, LayoutError, PositionMismatchError, Profile, ProfileRules
from services.log.protocol import Topic
from services.profiler.dead_letters import DeadLetter
from services.profiler.outcomes import SafetyError
from services.profiler.reading import Work
from services.profiler.release_follower import Live
from services.store.aggregates import EVICT_EVERY_RECORDS
from services.store.fence import Fence
from services.store.profiles import ProfileWrite

_log = logging.getLogger(__name__)


class Batch:
    """Records of one partition in log order, inside one block of EVICT_EVERY_RECORDS offsets."""

    def __init__(self, works: Sequence[Work], live: Live, ttl_ms: int, seen_capacity: int) -> None:
        self.works = works
        self._live = live
        self.rules = ProfileRules(
            live.space, live.items.vector_of, weight_of(live.types), ttl_ms, seen_capacity
        )
        self.changes: list[Change | None] = [
            work.change(live.types) if work.event is not None else None for work in works
        ]
        self.subjects = list(dict.fromkeys(work.subject for work in works if not work.poison))
        self.contributions: list[Contribution] = []
        self.letters: list[DeadLetter] = []
        self.fates: list[str] = []  # of each record: applied, duplicate, old, dead; or none that counts
        self.unlisted: Set[int] = frozenset()  # items touched that are in no catalogue
        self.first_applied: Event | None = None
        self.lines = 0  # applied item lines
        self.unlisted_lines = 0
        self._raw: dict[str, bytes | None] = {}
        self._profiles: dict[str, Profile] = {}
        self._changed: dict[str, Profile] = {}

    @property
    def outcomes(self) -> Counter[str]:
        """How many records had each fate."""
        return Counter(fate for fate in self.fates if fate)

    def item_keys(self) -> set[int]:
        """Items that the batch's events touch."""
        return {line.item for change in self.changes if change is not None for line in change.lines}

    def names_of(self, keys: set[int]) -> dict[int, str]:
        """Item ids by key, of the items touched."""
        return {
            key: item_id
            for work in self.works
            if work.event is not None
            for item_id, _, _ in item_lines(work.event)
            if (key := item_key(item_id)) in keys
        }

    def cut_after_first_of_block(self, fence: Fence | None) -> int:
        """How many records to apply now.

        What is evicted must be a function of the log, not of how it is cut into batches: eviction follows the
        first record of each block of offsets, which is therefore written alone (with old ones before it).
        """
        for index, work in enumerate(self.works):
            if is_above(work.position, fence):
                return index + 1 if enters_block(work.position, fence) else len(self.works)
        return len(self.works)

    def load(self, subjects: Sequence[str], raws: Sequence[bytes | None]) -> set[int]:
        """Take the profiles as they were read. Answers items whose vectors a change of space asks for."""
        wanted: set[int] = set()
        for subject, raw in zip(subjects, raws, strict=True):
            profile = decode_or_empty(raw, self.rules)
            self._raw[subject] = raw
            self._profiles[subject] = profile
            if not profile.in_space(self.rules.space):
                wanted.update(profile.ring["item"].tolist())
        return wanted

    def apply(self, fence: Fence | None, types: EventTypes) -> None:
        """Apply all records in log order. `types` are the deployment's own weights, for the aggregates.

        A record counts for the profile iff it is above the profile's position, for the aggregates iff it is
        also above the fence. Aggregates are written first, so what is above the fence is above the profile.
        Raises SafetyError where positions cannot be compared.
        """
        weights = weight_of(types)
        for index, work in enumerate(self.works):
            above = is_above(work.position, fence)
            if work.poison:
                if above:
                    self.letters.append(DeadLetter(Topic.EVENTS, work.record, work.poison))
                self.fates.append("dead" if above else "")
                continue
            profile = self._profiles[work.subject]
            if not is_new(profile, work.position):
                self.fates.append("old")
                continue
            change = self.changes[index]
            made: list[Contribution] = []
            if change is not None and above and change.lines:
                made = contributions_of(profile, change, weights, self.rules.ttl_ms)
            if self._apply_one(profile, work, change):
                self.contributions += made
                self.fates.append("applied")
                self.first_applied = self.first_applied or work.event
                self._count_lines(change)
            else:
                self.fates.append("duplicate")
            self._changed[work.subject] = profile

    def apply_again(self, subject: str) -> None:
        """Apply a subject's records to its profile as loaded anew; aggregates are done."""
        profile = self._profiles[subject]
        del self._changed[subject]
        for index, work in enumerate(self.works):
            if work.subject == subject and not work.poison and is_new(profile, work.position):
                self._apply_one(profile, work, self.changes[index])
                self._changed[subject] = profile

    def writes(self) -> list[ProfileWrite]:
        """The profiles that changed, with what was read of each."""
        return [
            ProfileWrite(subject, self._raw[subject], profile.encode())
            for subject, profile in self._changed.items()
        ]

    def positions(self) -> Mapping[str, Position]:
        """How far each changed subject has got."""
        return {
            subject: profile.position
            for subject, profile in self._changed.items()
            if profile.position is not None
        }

    def _count_lines(self, change: Change | None) -> None:
        if change is None:
            return
        self.lines += len(change.lines)
        if self.unlisted:
            self.unlisted_lines += sum(line.item in self.unlisted for line in change.lines)

    def _apply_one(self, profile: Profile, work: Work, change: Change | None) -> bool:
        if work.deletion is not None:
            profile.delete(work.position, work.deletion.received_at)
            return True
        assert change is not None
        return profile.apply(change, self.rules)


def is_above(position: Position, fence: Fence | None) -> bool:
    """Whether the aggregates have not seen a record yet."""
    if fence is None or position.generation > fence.position.generation:
        return True
    return position.generation == fence.position.generation and position.offset > fence.position.offset


def is_new(profile: Profile, position: Position) -> bool:
    """Profile.is_new, as rule 8 of the profiler's safety."""
    try:
        return profile.is_new(position)
    except PositionMismatchError as error:
        raise SafetyError(
            8,
            f"{error}; set FRESHET_LOG_URL, FRESHET_LOG_GENERATION and FRESHET_STORE_URL to a log and a "
            "store that belong together, or rebuild the store from the log: `freshet replay`",
        ) from None


def enters_block(position: Position, fence: Fence | None) -> bool:
    """Whether a record above the fence is the first one of its block of offsets."""
    if fence is None or position.generation != fence.position.generation:
        return True
    return position.offset // EVICT_EVERY_RECORDS > fence.position.offset // EVICT_EVERY_RECORDS


def block_end(works: Sequence[Work]) -> int:
    """How many of the first records share a block."""
    first = works[0].position.offset // EVICT_EVERY_RECORDS
    if works[-1].position.offset // EVICT_EVERY_RECORDS == first:
        return len(works)
    return next(n for n, work in enumerate(works) if work.position.offset // EVICT_EVERY_RECORDS != first)


def decode_or_empty(raw: bytes | None, rules: ProfileRules) -> Profile:
    """A stored profile; one of an unknown layout is rebuilt from nothing, never guessed."""
    if raw is None:
        return Profile.empty(rules.space)
    try:
        return Profile.decode(raw)
    except LayoutError as error:
        _log.warning("a profile is rebuilt from nothing: %s", error)
        return Profile.empty(rules.space)


def halves(items: Sequence[ProfileWrite]) -> Iterator[Sequence[ProfileWrite]]:
    """Two halves, for tests that let the process die between them."""
    middle = (len(items) + 1) // 2
    yield items[:middle]
    if items[middle:]:
        yield items[middle:]
