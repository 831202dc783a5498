"""`python -m services.profiler`: the profiler service."""

from __future__ import annotations

if __name__ == "__main__":  # before all others, which it makes cheaper
    import services.http.process  # noqa: F401

import logging
import sys

from services.http.server import check_binding, serve
from services.kernel.settings import SettingsError
from services.profiler.app import create_profiler_app
from services.profiler.settings import ProfilerSettings
from services.store.errors import StoreMisconfiguredError


def main() -> None:
    """Read the settings, serve until stopped. Exits with 2 and one line when a setting is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = ProfilerSettings.from_environment()
        check_binding(settings)  # before the log is opened
        serve(create_profiler_app(settings), settings)
    except (SettingsError, StoreMisconfiguredError) as error:
        print(f"freshet: {error}", file=sys.stderr)  # noqa: T201 - the user's terminal
        sys.exit(2)


if __name__ == "__main__":
    main()
