"""Python client for Freshet: `Freshet` and `AsyncFreshet`, the same calls twice."""

from __future__ import annotations

from freshet_client.answers import (
    BatchLine,
    Page,
    Problem,
    Profile,
    Reason,
    Recommendations,
    RecommendedItem,
)
from freshet_client.async_client import AsyncFreshet
from freshet_client.errors import ApiError, FreshetError, RejectedError, UnreachableError, UnsentError
from freshet_client.question import BatchUser, PageQuestion, Question, Row
from freshet_client.sent import Accepted, Rejected, Sent
from freshet_client.sync_client import Freshet
from freshet_client.version import __version__

__all__ = [
    "Accepted",
    "ApiError",
    "AsyncFreshet",
    "BatchLine",
    "BatchUser",
    "Freshet",
    "FreshetError",
    "Page",
    "PageQuestion",
    "Problem",
    "Profile",
    "Question",
    "Reason",
    "Recommendations",
    "RecommendedItem",
    "Rejected",
    "RejectedError",
    "Row",
    "Sent",
    "UnreachableError",
    "UnsentError",
    "__version__",
]
