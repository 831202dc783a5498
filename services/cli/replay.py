"""`freshet replay`: rebuild what the store holds from the log, beside the live epoch, then switch."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from services.cli.backend import backend
from services.cli.failure import EXIT_OK, CommandError
from services.cli.output import print_json, print_line
from services.cli.progress import progress
from services.local.settings import RunSettings
from services.log.open import open_log
from services.profiler.replay import Replayed, ReplayError
from services.profiler.replay import replay as rebuild
from services.store.connection import connect


def replay(arguments: argparse.Namespace) -> int:
    """Rebuild and switch; the live epoch serves until then, and stays when this fails."""
    with backend() as settings:
        try:
            done = asyncio.run(_replay(settings, arguments.allow_partial, quiet=arguments.as_json))
        except ReplayError as error:
            raise CommandError(str(error)) from None
    if arguments.as_json:
        print_json(msgspec.to_builtins(done))
    else:
        print_line(f"data epoch {done.epoch} is live: {done.records:,} records in {done.took_s:.1f} s")
    return EXIT_OK


async def _replay(settings: RunSettings, allow_partial: bool, *, quiet: bool) -> Replayed:
    log, connection = open_log(settings), connect(settings)
    try:
        with progress("replaying the log", 1.0, quiet=quiet) as show:
            return await rebuild(
                settings,
                log,
                connection,
                allow_partial=allow_partial,
                progress=lambda done, total: show(done / max(total, 1), f"{done:,} of {total:,} records"),
            )
    finally:
        await connection.close()
        await log.close()
