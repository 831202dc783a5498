"""`python -m services.ingest`: the ingest service."""

from __future__ import annotations

if __name__ == "__main__":  # before all others, which it makes cheaper
    import services.http.process  # noqa: F401

import sys

from services.http.server import check_binding, serve
from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from services.kernel.settings import SettingsError


def main() -> None:
    """Read the settings, serve until stopped. Exits with 2 and one line when a setting is wrong."""
    try:
        settings = IngestSettings.from_environment()
        check_binding(settings)  # before the log is opened
        serve(create_ingest_app(settings), settings)
    except SettingsError as error:
        sys.exit(_complain(error))


def _complain(error: SettingsError) -> int:
    print(f"freshet: {error}", file=sys.stderr)  # noqa: T201 - the user's terminal
    return 2


if __name__ == "__main__":
    main()
