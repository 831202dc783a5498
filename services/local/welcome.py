"""What `freshet run` prints when it is up."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from services.kernel.settings import HttpSettings

SAMPLE_USER = "u_12345"
SAMPLE_EVENT = (
    '{"user_id": "u_12345", "event_type": "product_view", "product_id": "p_67890", "timestamp": 1687872000}'
)


def address(settings: HttpSettings) -> str:
    """The URL under which this machine reaches the server."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def welcome(settings: HttpSettings, *, empty: bool) -> str:
    """Where it is, and three calls to try; with an empty catalogue also how to fill it."""
    url = address(settings)
    write, read = _key_flags(settings)
    locked = "" if read or not write else "  (reading needs a key too: set FRESHET_KEYS)\n"
    return f"""\
Freshet is up: {url}  (a shop to click through; every call: {url}/docs; Ctrl-C stops it)

Post an event, see what it did, ask for recommendations:

  curl{write} {url}/events -d '{SAMPLE_EVENT}'
  curl{read} {url}/users/{SAMPLE_USER}/profile
  curl{read} '{url}/recommend/{SAMPLE_USER}?n=5&fields=title,price'
{locked}{_filling(settings) if empty else ""}"""


def command() -> str:
    """How the `freshet` of this installation is called from here: by its path when the shell finds another
    or none."""
    ours = Path(sys.executable).with_name("freshet")
    found = shutil.which("freshet")
    if not ours.exists() or (found is not None and Path(found).absolute() == ours.absolute()):
        return "freshet"
    return os.path.relpath(ours) if ours.is_relative_to(Path.cwd()) else str(ours)


def _filling(settings: HttpSettings) -> str:
    url = address(settings)
    where = "" if url == address(HttpSettings.model_construct()) else f" --url {url}"
    return f"""
The catalogue is empty. Fill it (CSV, NDJSON or Parquet; --help says how columns are named):

  {command()} items import FILE{where}
  {command()} events import FILE{where}

A first release is built from the catalogue by itself, a few seconds after it stands still.
(The demo shop is loaded where a start without --empty finds nothing: set another FRESHET_DATA_DIR for it.)
"""


def _key_flags(settings: HttpSettings) -> tuple[str, str]:
    """What `curl` needs to post events, and for everything else."""
    keys, write_keys = sorted(settings.key_set()), sorted(settings.write_key_set())
    if not sys.stderr.isatty():  # a log is no place for a key
        keys, write_keys = keys and ["KEY"], write_keys and ["WRITE_KEY"]
    write, read = (
        f" -H 'Authorization: Bearer {found[0]}'" if found else "" for found in (keys or write_keys, keys)
    )
    return write, read
