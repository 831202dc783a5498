"""The command line: names, flags and their help. What a command does is imported when it is chosen."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

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
  freshet items import products.csv --delimiter ';' --replace

Importing a file twice is the same as once. Some seconds later `freshet run` builds a day-0 release by itself;
other deployments: freshet release init."""
_PACK_EPILOG = """\
docs/MODEL.md lists the inputs that a graph may take, the outputs that it must give, and what each message
means. The graph is run on short, long, empty and unknown histories before anything is written.

  freshet release pack --model sasrec.onnx --items items.ndjson --vectors vectors.npy --publish --promote
  freshet release check sasrec.onnx --items items.txt --vectors vectors.npy

Without --vectors they are made from titles, categories, tags and brands of --items; a graph that answers
user_vector, or takes bank, needs its own."""
_REPLAY_TEXT = """\
Rebuild profiles, catalogue and aggregates from the log beside the live ones, then switch. Requests and events
go on meanwhile. For a store that was lost or emptied, and for a topic that was recreated."""
_TRAIN_TEXT = """\
Train the model of this deployment and build a release. The newest events are held out: they say when to stop,
teach the ranker, and judge the result beside the live release. A release whose graph differs from what was
trained, or that ranks worse than the live one, is not published, and the command says why."""
_TRAIN_EPILOG = """\
  freshet train --publish                                  a job for every night: exports, trains, promotes
  freshet train --events history.parquet --items items.ndjson --to releases

A run that was killed goes on at its last whole epoch when the same command is run again on the same events
(new ones that an export brings begin it anew). Memory: about 100 bytes an event line, (12 d + 8) bytes and a
few KB of metadata an item, and 2 GB."""
_EVALUATE_TEXT = """\
Replay held-out events through a release and the code that answers HTTP: before each event of somebody with a
history the list is made that they would have been shown, and held against what they chose. The baselines
answer the same questions."""
_EVALUATE_EPILOG = """\
  freshet evaluate --events archive
  freshet evaluate --events history.parquet --map item_id=sku --set event_type=purchase --plot quality.svg
  freshet evaluate --events archive --refresh live,1min,1h,1d    what real-time profiles are worth"""
_DOCTOR_TEXT = """\
Look at every part of this deployment (settings, server, log, store, profiler, release, catalogue, clock) and
say what to mend. Exit status: 0 all is well, 3 something needs attention, 1 something fails."""


class _Parser(argparse.ArgumentParser):
    """Keeps the line breaks of its texts, and answers a missing command with its help."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with status 2."""
        if message.endswith("are required: COMMAND"):
            self.print_help(sys.stderr)
            self.exit(2)
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="freshet",
        description="Real-time recommendations: an event posted now changes the next answer.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"freshet {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _run(commands)
    _events(commands)
    _items(commands)
    _release(commands)
    _training(commands)
    _evaluating(commands)
    _reading(commands)
    _operations(commands)
    return parser


def _run(commands: Any) -> None:
    run = _command(commands, "run", "run:run", "run everything in one process on one port")
    run.add_argument("--empty", action="store_true", help="start with no catalogue and no history")
    run.add_argument(
        "--demo-orders", type=_count, metavar="N", help="load only the newest N orders of the demo shop"
    )


def _events(commands: Any) -> None:
    events = _group(commands, "events", "import, export, send and watch events")
    load = _command(events, "import", "files:events", "import events from CSV, NDJSON or Parquet")
    load.epilog = _EVENTS_EPILOG
    _file_flags(load)
    _unit_flag(load)
    load.add_argument(
        "--restart",
        action="store_true",
        help="forget how far an earlier import of this file came; what it sent counts again",
    )
    load.add_argument("--dry-run", action="store_true", help="show the first events as they would be sent")
    export = _command(events, "export", "export:export", "write the events of the log to Parquet files")
    export.epilog = _EXPORT_EPILOG
    export.add_argument("--to", required=True, metavar="URL", help="a folder: a path, s3://…, gs://…, …")
    export.add_argument(
        "--allow-gap", action="store_true", help="go on although the log no longer holds what comes next"
    )
    _json_flag(export)
    send = _command(events, "send", "requests:send", "send one event, or a list of them")
    send.add_argument("event", help="the event as JSON; - reads standard input")
    _server_flags(send)
    tail = _command(events, "tail", "tail:tail", "show events as they come in (reads the log)")
    tail.add_argument("--from-start", action="store_true", help="begin at the oldest event of the log")
    tail.add_argument("-n", type=_count, metavar="N", help="end after N events")


def _items(commands: Any) -> None:
    items = _group(commands, "items", "import the catalogue")
    load = _command(items, "import", "files:items", "import items from CSV, NDJSON or Parquet")
    load.epilog = _ITEMS_EPILOG
    _file_flags(load)
    load.add_argument("--replace", action="store_true", help="hide what the file lacks (available: false)")
    load.add_argument("--force", action="store_true", help="with --replace: hide even more than 20 %%")


def _release(commands: Any) -> None:
    release = _group(commands, "release", "build, check and switch releases")
    init = _command(
        release, "init", "releases:init", "build a day-0 release from the catalogue and promote it"
    )
    init.add_argument("--items", metavar="FILE", help="take the items from NDJSON instead of the store")
    init.add_argument("--no-promote", action="store_true", help="publish it, but leave the live one as it is")
    listing = _command(release, "list", "releases:listing", "list releases, the live one marked")
    promote = _command(release, "promote", "releases:promote", "make a published release the live one")
    promote.add_argument("name", help="as `freshet release list` shows it")
    check = _command(
        release, "check", "packing:check", "check a release or an ONNX file against the contract, and run it"
    )
    check.add_argument("directory", nargs="?", metavar="DIR|FILE.onnx", help="default: the live release")
    _table_flags(check, "for an ONNX file: ")
    pack = _command(release, "pack", "packing:pack", "make a release of an ONNX model of your own")
    pack.epilog = _PACK_EPILOG
    pack.add_argument("--model", required=True, metavar="M.onnx", help="its weights' files stay beside it")
    _table_flags(pack)
    pack.add_argument(
        "--event-weights",
        action="append",
        default=[],
        metavar="TYPE=W,…",
        help="what events add to the bank, where not the default, e.g. view=1,purchase=5",
    )
    pack.add_argument(
        "--blend",
        action="append",
        default=[],
        metavar="TERM=W,…",
        help="what the terms of a score weigh, where not the default, e.g. similarity=1,popularity=0.5",
    )
    pack.add_argument("--gammas", metavar="G,…", help="the bank's decays (default 0,0.5,0.8,0.92,0.98,1)")
    pack.add_argument("--kind", default="own", metavar="NAME", help="what its name begins with (default own)")
    where = pack.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", metavar="DIR", help="write it below this directory")
    where.add_argument("--publish", action="store_true", help="write it where releases live")
    pack.add_argument("--promote", action="store_true", help="with --publish: and make it the live one")
    publish = _command(
        release, "publish", "releases:publish", "copy a release directory to where releases live"
    )
    publish.add_argument("directory")
    publish.add_argument("--promote", action="store_true", help="and make it the live one")
    for command in (init, listing, promote, check, pack, publish):
        command.add_argument("--release-url", metavar="URL", help="default: FRESHET_RELEASE_URL")
        _json_flag(command)


def _table_flags(command: argparse.ArgumentParser, when: str = "") -> None:
    command.add_argument(
        "--items",
        required=not when,
        metavar="I",
        help=f"{when}the id table, in index order: NDJSON, CSV, Parquet, a JSON list, or one id a line",
    )
    command.add_argument("--vectors", metavar="V.npy", help=f"{when}item vectors, floats [items, d]")


def _training(commands: Any) -> None:
    train = _command(commands, "train", "train:train", "train a model on the events and build a release")
    train.description, train.epilog = _TRAIN_TEXT, _TRAIN_EPILOG
    train.add_argument("--events", metavar="URL", help="an archive, Parquet, NDJSON or CSV (default: export)")
    _mapping_flags(train)
    _unit_flag(train)
    train.add_argument("--archive", metavar="URL", help="where the export goes (FRESHET_DATA_DIR/archive)")
    train.add_argument("--items", metavar="FILE", help="items as NDJSON (default: the store's catalogue)")
    train.add_argument("--to", metavar="DIR", help="write the release into this directory (default: here)")
    train.add_argument("--publish", action="store_true", help="publish and promote it, if the gate lets it")
    train.add_argument("--no-promote", action="store_true", help="with --publish: keep the live one")
    train.add_argument("--force", action="store_true", help="do not compare with the live release")
    train.add_argument("--release-url", metavar="URL", help="default: FRESHET_RELEASE_URL")
    train.add_argument("--d", type=_count, default=64, help="numbers of a vector (default 64)")
    train.add_argument("--hidden", type=_count, default=512, help="width of the network (default 512)")
    train.add_argument("--epochs", type=_count, default=10, help="at most so many (default 10)")
    train.add_argument("--learning-rate", type=float, default=3e-3, help="Adam's at its peak (default 0.003)")
    train.add_argument("--dropout", type=float, default=0.2, help="share of inputs dropped (default 0.2)")
    train.add_argument("--seed", type=_count, default=1, help="same seed, data and machine: same release")
    train.add_argument("--holdout-share", type=_share, default=0.1, help="newest part held out (default 0.1)")
    train.add_argument("--holdout-from", metavar="TIME", help="hold out what happened from then on")
    train.add_argument("--checkpoints", metavar="DIR", help="default: FRESHET_DATA_DIR/training")
    _json_flag(train)


def _share(text: str) -> float:
    number = float(text)
    if not 0.0 < number < 1.0:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return number


def _evaluating(commands: Any) -> None:
    command = _command(
        commands, "evaluate", "evaluate:evaluate", "measure a release on held-out events, beside baselines"
    )
    command.description, command.epilog = _EVALUATE_TEXT, _EVALUATE_EPILOG
    command.add_argument("--events", required=True, metavar="URL", help="an archive, Parquet, NDJSON or CSV")
    _mapping_flags(command)
    _unit_flag(command)
    command.add_argument("--items", metavar="FILE", help="items as NDJSON (default: the release's own)")
    command.add_argument("--release", metavar="DIR|URL", help="a release, or a root with a live one")
    command.add_argument(
        "--compare",
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR|URL",
        help="other releases beside it",
    )
    command.add_argument("--k", default="10,20", metavar="K,…", help="lengths of the lists (default 10,20)")
    part = command.add_mutually_exclusive_group()
    part.add_argument("--from", dest="from_time", metavar="TIME", help="ask about events from then on")
    part.add_argument("--holdout-share", type=_share, default=0.1, help="or about the newest (default 0.1)")
    command.add_argument(
        "--max-questions", type=int, default=20_000, metavar="N", help="a sample of N (default 20000; 0: all)"
    )
    command.add_argument("--frozen", action="store_true", help="popularity stops where the questions begin")
    command.add_argument("--refresh", metavar="R,…", help="profiles of other ages, e.g. live,1min,1h,1d")
    command.add_argument("--plot", metavar="FILE", help="draw it as FILE.svg or FILE.png")
    _json_flag(command)


def _reading(commands: Any) -> None:
    recommend = _command(commands, "recommend", "requests:recommend", "ask for recommendations")
    recommend.add_argument("user_id", nargs="?", help="without one: what a visitor without history sees")
    recommend.add_argument("-n", type=_count, default=10, help="how many (default 10)")
    recommend.add_argument("--scenario", help="for_you, recently_viewed, similar, trending, popular")
    recommend.add_argument("--item-id", help="the item that the list is about (similar)")
    _server_flags(recommend)
    profile = _group(commands, "profile", "look at what is known about a user")
    show = _command(profile, "show", "requests:profile", "show a user's profile")
    show.add_argument("user_id")
    _server_flags(show)


def _operations(commands: Any) -> None:
    settings = _command(commands, "settings", "settings_table:settings", "list all settings and their values")
    _json_flag(settings)
    replay = _command(
        commands, "replay", "replay:replay", "rebuild the store from the log beside the live one"
    )
    replay.description = _REPLAY_TEXT
    replay.add_argument(
        "--allow-partial", action="store_true", help="go on although the log no longer holds everything"
    )
    _json_flag(replay)
    doctor = _command(commands, "doctor", "doctor:doctor", "check this deployment and say what to mend")
    doctor.description = _DOCTOR_TEXT
    _json_flag(doctor)


def _file_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", help="CSV, TSV, NDJSON or Parquet, gzipped or not; - reads standard input")
    command.add_argument("--format", choices=("csv", "tsv", "ndjson", "parquet"), help="default: by the name")
    command.add_argument("--delimiter", metavar="CHARACTER", help="of a CSV file (default ,)")
    _mapping_flags(command)
    command.add_argument("--rejects", metavar="FILE", help="where rejected rows are listed with reasons")
    command.add_argument(
        "--patience-s",
        type=float,
        metavar="S",
        default=120.0,
        help="how long to wait for a server that is away (default 120)",
    )
    _server_flags(command)


def _mapping_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="take NAME from this column, e.g. --map item_id=sku; may be repeated",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the same value in every row, e.g. --set event_type=purchase; may be repeated",
    )


def _unit_flag(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timestamp-unit",
        choices=("s", "ms", "us", "ns"),
        help="unit of numeric timestamps (default: by magnitude)",
    )


def _server_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--url", help="the running Freshet (default: this machine, FRESHET_PORT)")
    command.add_argument("--key", help="API key (default: the first of FRESHET_KEYS)")
    _json_flag(command)


def _json_flag(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", dest="as_json", action="store_true", help="print the result as JSON")


def _group(commands: Any, name: str, text: str) -> Any:
    group = commands.add_parser(name, help=text, description=text)
    return group.add_subparsers(metavar="COMMAND", required=True)


def _command(commands: Any, name: str, handler: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(handler=handler)
    return command


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _version() -> str:
    try:
        return version("freshet")
    except PackageNotFoundError:
        return "(not installed)"
