"""The command line: names, flags and their help. What a command does is imported when it is chosen."""

from __future__ import annotations

from typing import Any

from services.cli.parser_cost import cost_command
from services.cli.parser_flags import (
    add_command,
    add_group,
    count,
    file_flags,
    json_flag,
    server_flags,
    unit_flag,
)
from services.cli.parser_recommend import recommend_command
from services.cli.parser_release import release_commands
from services.cli.parser_scenarios import scenario_commands
from services.cli.parser_training import evaluate_command, train_command
from services.cli.parser_users import users_commands
from services.cli.usage import Parser, Version

_EPILOG = """\
start here:
  freshet run                       everything on this machine, with a demo shop
  freshet run --empty               the same without the demo
  freshet items import products.csv --map item_id=sku
  freshet events import events.ndjson

Settings come from the environment; `freshet settings` lists them. `freshet COMMAND --help` says more.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but something was rejected or needs attention,
130 interrupted."""
_EVENTS_EPILOG = """\
A column is read under its own name, or under the one that --map gives it. Names are those of POST /events:
user_id (or anonymous_id), event_type, item_id, timestamp, value, price, currency, quantity, rating, order_id,
items, session_id, context.country and so on; other columns become properties. NDJSON has one event a line.

  freshet events import history.parquet --map user_id=customer --map item_id=sku --set event_type=purchase
  zcat log.ndjson.gz | freshet events import - --format ndjson

An import that was stopped, by Ctrl-C or a crash, goes on where it was when the same command is run again, and
counts nothing twice. A file that has grown brings only its new rows. How far an import has come is kept in
FRESHET_DATA_DIR/imports, by content, mapping and server."""
_SEND_EPILOG = """\
What POST /events answers is printed as it came. An event needs user_id (or anonymous_id) and event_type.

  freshet events send '{"user_id": "u_12345", "event_type": "view", "item_id": "p_67890"}'
  freshet events send - --url https://shop.example --key KEY < events.json"""
_TAIL_EPILOG = """\
NDJSON, one event a line, with and without --json; nothing else stands on standard output.

  freshet events tail
  freshet events tail --from-start -n 5"""
_COMPLETION_EPILOG = """\
Commands, options and files; the script knows them all, and asks nobody while you type.

  eval "$(freshet completion bash)"                                    in ~/.bashrc
  source <(freshet completion zsh)                                     in ~/.zshrc, after compinit
  freshet completion fish > ~/.config/fish/completions/freshet.fish    once"""
_EXPORT_EPILOG = """\
Run it again, by hand or by a timer, to add what has come since: archive.json says how far the archive has
come, and an export that was stopped goes on from there. Events of deleted users leave the archive with the
next export. The files are plain Parquet, one row an event; `freshet train` reads the folder.

  freshet events export --to archive
  freshet events export --to s3://bucket/shop/events"""
_ITEMS_EPILOG = """\
Names are those of PUT /items/{item_id}: item_id, title, description, url, image_urls, categories, brand,
tags, price, list_price, currency, language, group_id, available, published_at, expires_at; other columns
become properties. Several categories, tags or image_urls of one cell stand apart by |, levels of a category
by >.

  freshet items import products.csv --map item_id=sku --map title=name
  freshet items import products.csv --delimiter ';' --decimal-comma --dry-run
  freshet items import products.csv --replace

Importing a file twice is the same as once. Some seconds later `freshet run` builds a day-0 release by itself;
other deployments: freshet release init."""
SHELLS = ("bash", "zsh", "fish")
_REPLAY_TEXT = """\
Rebuild profiles, catalogue and aggregates from the log beside the live ones, then switch. Requests and events
go on meanwhile. For a store that was lost or emptied, and for a topic that was recreated."""
_SETUP_TEXT = """\
What a deployment needs once: wait for log and store, create the topics, publish a first release where none is
live (day 0: from the catalogue alone). May run at any time and any number of times: what is there stays."""
_DOCTOR_TEXT = """\
Look at every part of this deployment (settings, server, scenario file, log, store, profiler, release,
catalogue, clocks) and say what to mend.
Exit status: 0 all is well, 3 something needs attention, 1 something fails."""


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="freshet",
        description="Real-time recommendations: an event posted now changes the next answer.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _run(commands)
    _events(commands)
    _items(commands)
    scenario_commands(commands)
    release_commands(commands)
    train_command(commands)
    evaluate_command(commands)
    _reading(commands)
    users_commands(commands)
    _operations(commands)
    cost_command(commands)
    return parser


def _run(commands: Any) -> None:
    run = add_command(
        commands,
        "run",
        "run:run",
        "run everything in one process on one port",
        example="freshet run\nfreshet run --empty\nFRESHET_PORT=8001 freshet run --json",
    )
    run.add_argument("--empty", action="store_true", help="start with no catalogue and no history")
    run.add_argument(
        "--demo-orders", type=count, metavar="N", help="load only the newest N orders of the demo shop"
    )
    run.add_argument(
        "--json",
        dest="as_json",
        action="store_true",
        help="when it is up, say so as one line of JSON: url, pid, data_dir",
    )


def _events(commands: Any) -> None:
    events = add_group(commands, "events", "import, export, send and watch events")
    load = add_command(events, "import", "files:events", "import events from CSV, NDJSON or Parquet")
    load.epilog = _EVENTS_EPILOG
    file_flags(load)
    unit_flag(load)
    load.add_argument(
        "--restart",
        action="store_true",
        help="forget how far an earlier import of this file came; what it sent counts again",
    )
    export = add_command(events, "export", "export:export", "write the events of the log to Parquet files")
    export.epilog = _EXPORT_EPILOG
    export.add_argument("--to", required=True, metavar="URL", help="a folder: a path, s3://…, gs://…, …")
    export.add_argument(
        "--allow-gap", action="store_true", help="go on although the log no longer holds what comes next"
    )
    json_flag(export)
    send = add_command(events, "send", "requests:send", "send one event, or a list of them")
    send.epilog = _SEND_EPILOG
    send.add_argument("event", help="the event as JSON; - reads standard input")
    server_flags(send)
    tail = add_command(events, "tail", "tail:tail", "show events as they come in (reads the log)")
    tail.epilog = _TAIL_EPILOG
    tail.add_argument("--from-start", action="store_true", help="begin at the oldest event of the log")
    tail.add_argument("-n", type=count, metavar="N", help="end after N events")
    json_flag(tail)


def _items(commands: Any) -> None:
    items = add_group(commands, "items", "import the catalogue")
    load = add_command(items, "import", "files:items", "import items from CSV, NDJSON or Parquet")
    load.epilog = _ITEMS_EPILOG
    file_flags(load)
    load.add_argument("--replace", action="store_true", help="hide what the file lacks (available: false)")
    load.add_argument("--force", action="store_true", help="with --replace: hide even more than 20 %%")


def _reading(commands: Any) -> None:
    recommend_command(commands)
    profile = add_group(commands, "profile", "look at what is known about a user")
    show = add_command(
        profile,
        "show",
        "requests:profile",
        "show a user's profile as JSON, as GET /users/{id}/profile does",
        example="freshet profile show u_12345\n"
        "freshet profile show u_12345 --url https://shop.example --key KEY",
    )
    show.add_argument("user_id")
    server_flags(show)


def _operations(commands: Any) -> None:
    settings = add_command(
        commands,
        "settings",
        "settings_table:settings",
        "list all settings and their values",
        example="freshet settings\nfreshet settings --json",
    )
    json_flag(settings)
    setup = add_command(
        commands,
        "setup",
        "setup:setup",
        "create topics and a first release; a job that ends",
        example="freshet setup\nfreshet setup --items items.ndjson --wait-s 60\nfreshet setup --demo",
    )
    setup.description = _SETUP_TEXT
    setup.add_argument(
        "--demo", action="store_true", help="load the demo shop too, unless the log holds data"
    )
    setup.add_argument(
        "--demo-orders", type=count, metavar="N", help="with --demo: only the newest N orders of it"
    )
    setup.add_argument(
        "--items",
        metavar="FILE",
        help="items of the first release as NDJSON (default: the store's catalogue)",
    )
    setup.add_argument("--release-url", metavar="URL", help="default: FRESHET_RELEASE_URL")
    setup.add_argument(
        "--wait-s",
        type=float,
        metavar="S",
        default=300.0,
        help="how long to wait for log and store, and then for the demo to be applied (default 300)",
    )
    json_flag(setup)
    replay = add_command(
        commands,
        "replay",
        "replay:replay",
        "rebuild the store from the log beside the live one",
        example="freshet replay\nfreshet replay --allow-partial --json",
    )
    replay.description = _REPLAY_TEXT
    replay.add_argument(
        "--allow-partial", action="store_true", help="go on although the log no longer holds everything"
    )
    json_flag(replay)
    doctor = add_command(
        commands,
        "doctor",
        "doctor:doctor",
        "check this deployment and say what to mend",
        example="freshet doctor\nfreshet doctor --json",
    )
    doctor.description = _DOCTOR_TEXT
    json_flag(doctor)
    completion = add_command(
        commands, "completion", "completion:completion", "print what completes `freshet` in your shell"
    )
    completion.epilog = _COMPLETION_EPILOG
    completion.add_argument("shell", choices=SHELLS, help="yours")
    json_flag(completion)
