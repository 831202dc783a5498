"""`freshet run`."""

from __future__ import annotations

import argparse

from services.cli.failure import EXIT_OK, EXIT_USAGE, CommandError


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    if arguments.empty and arguments.demo_orders:
        raise CommandError("--empty and --demo-orders exclude each other", EXIT_USAGE)
    from services.local.first_start import DemoWish
    from services.local.run import run as serve
    from services.local.settings import RunSettings

    serve(RunSettings.from_environment(), DemoWish(arguments.empty, arguments.demo_orders))
    return EXIT_OK
