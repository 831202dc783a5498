"""What the commands that look behind the HTTP edge work on: the log, the store and the releases.

`freshet run` keeps its own in the data directory. The commands find them there when no setting says
otherwise, and start the embedded Valkey for themselves when `freshet run` is not up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from services.cli.failure import CommandError
from services.cli.output import say
from services.kernel.settings import ReleaseSettings
from services.local.data_dir import DataDir
from services.local.embedded_valkey import EmbeddedValkey
from services.local.failure import LocalError
from services.local.settings import RunSettings

if TYPE_CHECKING:
    from services.release.source import ReleaseSource


@contextmanager
def backend() -> Iterator[RunSettings]:
    """Settings whose URLs lead to the running parts. Raises CommandError, LocalError, SettingsError."""
    settings = RunSettings.from_environment()
    data_dir = DataDir(settings.data_dir)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it warns of is the error that ends us
    with ExitStack() as held:
        if not settings.needs_embedded:
            yield settings.placed(data_dir, None)
            return
        if not data_dir.valkey.exists():
            raise CommandError(
                f"there is nothing in {data_dir.path}: start `freshet run` first, set FRESHET_DATA_DIR to "
                "where it keeps its data, or FRESHET_STORE_URL and FRESHET_LOG_URL to servers of your own"
            )
        valkey = EmbeddedValkey(data_dir.valkey)
        try:
            held.enter_context(data_dir)
        except LocalError:
            pass  # `freshet run` is up and serves it
        else:
            valkey.start(say)
            held.callback(valkey.stop)
        yield settings.placed(data_dir, valkey.url)


def release_url(given: str | None) -> str:
    """Where releases live: the flag, the setting, or the data directory of `freshet run`."""
    if given:
        return given
    settings = ReleaseSettings.from_environment()
    if "release_url" in settings.model_fields_set:
        return settings.release_url
    return str(DataDir(RunSettings.from_environment().data_dir).releases)


def release_source(url: str) -> ReleaseSource:
    """The releases behind a URL; what is not local is copied to FRESHET_CACHE_DIR. Raises ReleaseError."""
    from services.release.source import ReleaseSource

    return ReleaseSource(url, ReleaseSettings.from_environment().cache_dir)


def is_expected(error: Exception) -> bool:
    """A failure of a part that its message explains; everything else is a fault of ours."""
    from services.log.protocol import LogError
    from services.store.errors import StoreError

    return isinstance(error, (LocalError, LogError, StoreError))
