"""What `freshet run` prints when it is up."""

from __future__ import annotations

from services.kernel.settings import HttpSettings

SAMPLE_USER = "u_12345"
SAMPLE_EVENT = (
    '{"user_id": "u_12345", "event_type": "product_view", "product_id": "p_67890", "timestamp": 1687872000}'
)

_EMPTY = """
The catalogue is empty. Fill it, and a first release is built from it by itself:

  freshet items import FILE     (CSV, NDJSON or Parquet; columns by --map)
  freshet events import FILE
"""


def address(settings: HttpSettings) -> str:
    """The URL under which this machine reaches the server."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def welcome(settings: HttpSettings, *, empty: bool) -> str:
    """Where it is, and three calls to try; with an empty catalogue also how to fill it."""
    url = address(settings)
    keys = sorted(settings.key_set())
    key = f' -H "Authorization: Bearer {keys[0]}"' if keys else ""
    return f"""\
Freshet is up: {url}  (documentation: {url}/docs, stop it with Ctrl-C)

  curl{key} {url}/events -d '{SAMPLE_EVENT}'
  curl{key} {url}/recommend/{SAMPLE_USER}
  curl{key} {url}/users/{SAMPLE_USER}/profile
{_EMPTY if empty else ""}"""
