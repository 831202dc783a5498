"""`freshet run`."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from services.cli.failure import EXIT_OK, EXIT_USAGE, CommandError


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    if arguments.empty and arguments.demo_orders:
        raise CommandError("--empty and --demo-orders exclude each other", EXIT_USAGE)
    from services.local.first_start import DemoWish
    from services.local.run import run as serve
    from services.local.settings import RunSettings
    from services.local.welcome import address

    settings = RunSettings.from_environment()

    def tell() -> None:
        up = {
            "state": "up",
            "url": address(settings),
            "pid": os.getpid(),
            "data_dir": os.path.abspath(settings.data_dir),
        }
        sys.stdout.write(msgspec.json.encode(up).decode() + "\n")
        sys.stdout.flush()  # whoever waits for it reads a pipe

    wish = DemoWish(arguments.empty, arguments.demo_orders)
    serve(settings, wish, tell_up=tell if arguments.as_json else None)
    return EXIT_OK
