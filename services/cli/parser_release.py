"""The command line of `freshet release`."""

from __future__ import annotations

import argparse
from typing import Any

from services.cli.parser_flags import add_command, add_group, json_flag, table_flags

_INIT_EPILOG = """\
Day 0 needs no events: vectors come from titles, categories, tags and brands.

  freshet release init
  freshet release init --items items.ndjson --release-url s3://bucket/releases"""
_PACK_EPILOG = """\
docs/MODEL.md lists the inputs that a graph may take, the outputs that it must give, and what each message
means. The graph is run on short, long, empty and unknown histories before anything is written.

  freshet release pack --model sasrec.onnx --items items.ndjson --vectors vectors.npy --publish --promote
  freshet release check sasrec.onnx --items items.txt --vectors vectors.npy

Without --vectors they are made from titles, categories, tags and brands of --items; a graph that answers
user_vector, or takes bank, needs its own."""


def release_commands(commands: Any) -> None:
    """init, list, promote, remove, check, pack, publish."""
    release = add_group(commands, "release", "build, check and switch releases")
    init = add_command(
        release, "init", "releases:init", "build a day-0 release from the catalogue and promote it"
    )
    init.epilog = _INIT_EPILOG
    init.add_argument("--items", metavar="FILE", help="take the items from NDJSON instead of the store")
    init.add_argument("--no-promote", action="store_true", help="publish it, but leave the live one as it is")
    listing = add_command(
        release,
        "list",
        "releases:listing",
        "list releases, the live one marked",
        example="freshet release list\nfreshet release list --release-url s3://bucket/releases --json",
    )
    promote = add_command(
        release,
        "promote",
        "releases:promote",
        "make a published release the live one",
        example="freshet release promote day0-52cf944804c2",
    )
    promote.add_argument("name", help="as `freshet release list` shows it")
    remove = add_command(
        release,
        "remove",
        "releases:remove",
        "take releases away where they live; never the live one",
        example="freshet release remove day0-52cf944804c2",
    )
    remove.add_argument("names", nargs="+", metavar="NAME", help="as `freshet release list` shows it")
    check = add_command(
        release,
        "check",
        "packing:check",
        "check a release or an ONNX file against the contract, and run it",
        example="freshet release check\n"
        "freshet release check sasrec.onnx --items items.txt --vectors vectors.npy",
    )
    check.add_argument("directory", nargs="?", metavar="DIR|FILE.onnx", help="default: the live release")
    table_flags(check, "for an ONNX file: ")
    pack = _pack(release)
    publish = add_command(
        release,
        "publish",
        "releases:publish",
        "copy a release directory to where releases live",
        example="freshet release publish releases/own-52cf944804c2 --promote",
    )
    publish.add_argument("directory")
    publish.add_argument("--promote", action="store_true", help="and make it the live one")
    for command in (init, listing, promote, remove, check, pack, publish):
        command.add_argument("--release-url", metavar="URL", help="default: FRESHET_RELEASE_URL")
        json_flag(command)


def _pack(release: Any) -> argparse.ArgumentParser:
    pack = add_command(release, "pack", "packing:pack", "make a release of an ONNX model of your own")
    pack.epilog = _PACK_EPILOG
    pack.add_argument("--model", required=True, metavar="M.onnx", help="its weights' files stay beside it")
    table_flags(pack)
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
    return pack
