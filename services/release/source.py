"""Where the live release is: follows the pointer at a path or URL and brings the release to local disk."""

from __future__ import annotations

from pathlib import Path


class ReleaseSource:
    """Releases behind a URL: a root with a `live` pointer, or one pinned release.

    A local path (or file:// URL) is used where it lies; anything else goes through fsspec, and a release is
    copied once into `cache_dir` under its name, which is a content hash. Blocking: call it from a thread.
    """

    def __init__(self, url: str, cache_dir: Path | None = None) -> None:
        raise NotImplementedError

    def live_name(self) -> str:
        """Name of the live release: one small read, to poll with. Raises NoReleaseError, ReleaseError."""
        raise NotImplementedError

    def live(self) -> Path:
        """Local directory of the live release, fetched and verified if it is remote and new.

        Raises NoReleaseError where nothing is live yet, ReleaseError where the pointer or the release is broken.
        """
        raise NotImplementedError
