"""The tables of a release that candidates and features are looked up in; None where it has none."""

from __future__ import annotations

from typing import NamedTuple

from services.ranking.session_neighbours import SessionNeighbours
from services.ranking.transitions import BACKWARD, FORWARD, Transitions
from services.release.files import Release


class Tables(NamedTuple):
    """What came after and before each item, and which sessions held it."""

    forward: Transitions | None
    backward: Transitions | None
    sessions: SessionNeighbours | None

    @classmethod
    def open(cls, release: Release) -> Tables:
        """Map them. Raises ReleaseError where one does not fit the release."""
        return cls(
            Transitions.open(release, FORWARD),
            Transitions.open(release, BACKWARD),
            SessionNeighbours.open(release),
        )
