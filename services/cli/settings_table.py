"""`freshet settings`: every setting, its value here, and where that comes from."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

from services.cli.failure import EXIT_OK
from services.cli.output import print_json, print_table
from services.kernel.setting_fields import SecretStr
from services.kernel.settings import GROUPS, PREFIX, SettingsGroup, reject_unknown

# `freshet run` puts what it embeds in the place of these defaults.
_EMBEDDED = frozenset({"FRESHET_LOG_URL", "FRESHET_STORE_URL", "FRESHET_RELEASE_URL"})
_PASSWORD = re.compile(r"(://[^:/@]*:).+@")  # to the last @: it may be in the password too
_UNITS = {"_ms": "ms", "_s": "s", "_h": "h", "_days": "days", "_bytes": "bytes"}


def settings(arguments: argparse.Namespace) -> int:
    """List them; a setting without a usable value is an error, as it would be at a start."""
    reject_unknown(os.environ)
    rows = [row for group in GROUPS for row in _rows(group)]
    unique = list({row["name"]: row for row in rows}.values())
    if arguments.as_json:
        print_json(unique)
    else:
        header = ("name", "value", "unit", "from", "default", "meaning")
        print_table(header, [[str(row[column]) for column in header] for row in unique])
    return EXIT_OK


def _rows(group: type[SettingsGroup]) -> list[dict[str, Any]]:
    current = group.from_environment()
    return [
        {
            "name": (name := PREFIX + field.upper()),
            "value": _shown(getattr(current, field)),
            "unit": next((unit for ending, unit in _UNITS.items() if field.endswith(ending)), ""),
            "from": _source(name, field, current),
            "default": _shown(info.default),
            "meaning": info.description or "",
        }
        for field, info in group.model_fields.items()
    ]


def _source(name: str, field: str, current: SettingsGroup) -> str:
    if name in os.environ:
        return "environment"
    if field == "port" and field in current.model_fields_set:
        return "PORT"
    return "default (freshet run: its own)" if name in _EMBEDDED else "default"


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else ""
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1…@", value)
    return value if isinstance(value, int | float) else str(value)
