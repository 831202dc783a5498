"""`freshet recommend` on the command line."""

from __future__ import annotations

from typing import Any

from services.cli.parser_flags import add_command, count, server_flags

_EPILOG = """\
Names and values are those of GET /recommend, which says what is wrong with them; docs/FILTERS.md has filters.

  freshet recommend ada --filter 'categories:Grocery > Cheese;price:..5' --relax price --at-least 5
  freshet recommend ada --scenario similar --item-id 1096036 --filter 'brand:$item.brand'
  freshet recommend --context country=PT --context device=mobile --explain"""


def recommend_command(commands: Any) -> None:
    """`freshet recommend`."""
    recommend = add_command(commands, "recommend", "requests:recommend", "ask for recommendations")
    recommend.epilog = _EPILOG
    recommend.add_argument("user_id", nargs="?", help="without one: what a visitor without history sees")
    recommend.add_argument("-n", type=count, default=10, help="how many (default 10)")
    recommend.add_argument("--scenario", help="for_you, similar, trending, …; `freshet scenarios list`")
    recommend.add_argument("--item-id", help="the item that the list is about (similar, bought_together)")
    recommend.add_argument("--anonymous-id", metavar="ID", help="a subject whose profile counts as well")
    recommend.add_argument("--filter", metavar="TEXT", help="which items may come: 'brand:Acme;price:5..20'")
    recommend.add_argument(
        "--relax", metavar="FIELDS", help="whose conditions go, in this order, where too little is left"
    )
    recommend.add_argument("--at-least", metavar="N", help="what too little is (default 1)")
    recommend.add_argument("--exclude", metavar="IDS", help="items that must not come, comma-separated")
    recommend.add_argument("--diversity", metavar="0–1", help="0: by score alone, 1: unlike each other")
    recommend.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="country, language, device or what filters read as $context.NAME; may be repeated",
    )
    recommend.add_argument("--explain", action="store_true", help="say what each place came from")
    recommend.add_argument(
        "--cursor", help="the next page: `next_cursor` of the one before (--json shows it)"
    )
    server_flags(recommend)
