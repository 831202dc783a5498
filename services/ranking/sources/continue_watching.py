"""What the subject began to watch."""

from __future__ import annotations

import numpy as np

from services.ranking.question import Question
from services.ranking.series import Following
from services.ranking.sources.protocol import Found, Source, nothing
from services.ranking.state import Reason
from services.ranking.watching import watched_in


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
        series = Following(catalogue, profile, videos, question.rules.lets_in)
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
            elif (following := series.after(row, video.finished_times)) is not None:
                later, progress, was_begun = following
                lines.append((later, -1 if was_begun else row, progress))
        lines = lines[:limit]
        say = question.say

        def reason_of(place: int) -> Reason:
            _, before, progress = lines[place]
            return say.about("next_episode", before) if before >= 0 else say.unfinished(progress)

        return Found(np.array([row for row, _, _ in lines], dtype=np.int64), reason_of)
