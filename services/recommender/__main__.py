"""`python -m services.recommender`: the recommender as a service of its own."""

from __future__ import annotations

if __name__ == "__main__":  # before all others, which it makes cheaper
    import services.http.process  # noqa: F401

import logging
import sys

from services.http.server import serve
from services.kernel.settings import SettingsError
from services.recommender.app import create_app
from services.recommender.settings import RecommenderSettings
from services.store.errors import StoreMisconfiguredError


def main() -> int:
    """Serve until told to stop; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = RecommenderSettings.from_environment()
        serve(create_app(settings), settings)
    except (SettingsError, StoreMisconfiguredError) as error:
        print(f"freshet recommender: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
