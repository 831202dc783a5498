"""What became of events and items that were sent."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is in the log.

    `id` is its event_id or item_id, `position` where it stands (what `after=` takes), `subject` whose it is:
    the user, else the anonymous id; of an item, the item.
    """

    id: str
    position: str
    subject: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It is not accepted for what it is. `index` counts from 0 in what was given to send."""

    index: int
    id: str
    code: str
    error: str


@dataclass(slots=True)
class Sent:
    """The outcomes of many: `accepted` as they were acknowledged, `rejected` as they were given to send."""

    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def position_of(self, subject: str) -> str | None:
        """The position of the last one of a user (or anonymous id); None where nothing of theirs is there."""
        return next((one.position for one in reversed(self.accepted) if one.subject == subject), None)
