"""The command line of what is known about people: showing it to them, and forgetting it."""

from __future__ import annotations

from typing import Any

from services.cli.parser_flags import add_command, add_group, server_flags

_EXPORT_TEXT = """\
All that is stored about a user or a visitor: the profile, as GET /users/{id}/export shows it, and every event
that names the id on the log and, with --archive, in an archive. Events that came before a deletion and still
lie there are shown too: this is what is stored, not what is used."""
_EXPORT_EPILOG = """\
NDJSON, one object a line: the profile, then the records in the order in which they are found, then a summary.
--json makes one document of it. An event that is on the log and in the archive is there twice, with the same
position.

  freshet users export u_12345 --to u_12345.ndjson
  freshet users export u_12345 --archive s3://bucket/shop/events --json"""
_DELETE_TEXT = """\
Forget a user or a visitor: DELETE /users/{id}, and wait until it is done. The deletion is a record of the
log, so a replay repeats it. Ids are deleted one by one: a visitor's anonymous id needs a call of its own."""
_DELETE_EPILOG = """\
Profile and recommendations are empty when this ends. Events leave an archive with the next `freshet events
export`; on the log they stay until its retention removes them. docs/PRIVACY.md says more.
Exit status: 0 deleted, 3 on the log and not applied yet.

  freshet users delete u_12345
  freshet users delete u_12345 --wait-s 5 --json"""


def users_commands(commands: Any) -> None:
    """`freshet users export` and `freshet users delete`."""
    users = add_group(commands, "users", "export or delete what is stored about somebody")
    export = add_command(users, "export", "users:export", "write all that is stored about a user")
    export.description, export.epilog = _EXPORT_TEXT, _EXPORT_EPILOG
    export.add_argument("user_id", help="a user id, or a visitor's anonymous id")
    export.add_argument("--to", metavar="FILE", help="write it there (default: standard output)")
    export.add_argument("--archive", metavar="URL", help="an archive of `freshet events export`")
    export.add_argument(
        "--no-log", action="store_true", help="leave the log out, where only the server can be reached"
    )
    server_flags(export)
    delete = add_command(users, "delete", "users:delete", "forget a user")
    delete.description, delete.epilog = _DELETE_TEXT, _DELETE_EPILOG
    delete.add_argument("user_id", help="a user id, or a visitor's anonymous id")
    delete.add_argument(
        "--wait-s",
        type=float,
        metavar="S",
        default=30.0,
        help="how long to wait until it is applied (default 30)",
    )
    server_flags(delete)
