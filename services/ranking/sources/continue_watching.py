"""What the subject began to watch."""

from __future__ import annotations

import numpy as np

from services.kernel.profile import SEEN_DISLIKED, SEEN_FINISHED, Profile
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, nothing
from services.ranking.state import Reason
from services.ranking.watching import Watched, watched_in


class ContinueWatching(Source):
    """Videos begun and not finished, the last first; the next episode after a finished one.

    Of a group the video watched last decides, and only it: who went on to the third episode does not want
    the rest of the second.
    """

    strategy = "session"
    text = "videos begun and not finished, and the next episode of those finished"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find. Begun: started or reported below FINISHED_FROM, and not disliked since."""
        profile, catalogue = question.profile, question.catalogue
        if profile is None or not (videos := watched_in(profile)):
            return nothing()
        series = _Series(question, profile, videos)
        lines: list[tuple[int, int, float | None]] = []  # row, of what was finished before it, progress
        groups: set[int] = set()
        for video in videos:
            row = catalogue.row_of_key(video.key)
            group = int(catalogue.group[row]) if row >= 0 else 0
            if row < 0 or group in groups:
                continue
            if group:
                groups.add(group)
            if video.is_disliked:
                continue
            if not video.is_finished:
                lines.append((row, -1, video.progress))
            elif (following := series.after(row, video)) is not None:
                lines.append(following)
        lines = lines[:limit]
        say = question.say

        def reason_of(place: int) -> Reason:
            _, before, progress = lines[place]
            return say.about("next_episode", before) if before >= 0 else say.unfinished(progress)

        return Found(np.array([row for row, _, _ in lines], dtype=np.int64), reason_of)


class _Series:
    """Finds what comes after a finished episode."""

    def __init__(self, question: Question, profile: Profile, videos: list[Watched]) -> None:
        self._question = question
        self._profile = profile
        self._by_key = {video.key: video for video in videos}
        self._marks: dict[int, int] = {}

    def after(self, row: int, finished: Watched) -> tuple[int, int, float | None] | None:
        """The first later episode that may be shown, as a line; None where there is none.

        Left out are those finished as often as this one: who sees a series again is led through it again.
        """
        question, keys = self._question, self._question.catalogue.keys
        following = question.catalogue.groups.after(row)
        if not following:
            return None
        rows = np.array(following, dtype=np.int64)
        shown = question.catalogue.servable(rows, question.request.now_ms)
        if question.rules.mask is not None:
            shown &= question.rules.mask[rows]
        for later in rows[shown].tolist():
            key = int(keys[later])
            video = self._by_key.get(key)
            if video is not None and not video.is_finished and not video.is_disliked:
                return later, -1, video.progress
            marks = self._marks_of(key)
            disliked = marks & SEEN_DISLIKED if video is None else video.is_disliked
            times = max(0 if video is None else video.finished_times, int(marks & SEEN_FINISHED > 0))
            if not disliked and times < finished.finished_times:
                return later, row, None
        return None

    def _marks_of(self, key: int) -> int:
        """Why an episode is seen, by SEEN_ bits; they reach further back than the ring."""
        if not self._marks:
            for mark, reason in self._profile.seen[["fingerprint", "reason"]].tolist():
                self._marks[mark] = self._marks.get(mark, 0) | reason
        return self._marks.get(key & 0xFFFFFFFF, 0)
