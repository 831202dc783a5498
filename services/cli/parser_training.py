"""The command line of training and evaluation."""

from __future__ import annotations

from typing import Any

from services.cli.parser_flags import add_command, count, json_flag, mapping_flags, share, unit_flag

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
  freshet evaluate --events archive --refresh live,1min,1h,1d    what real-time profiles are worth

Columns, for lists of k items:
  HR                   share of the questions with a hit: what was chosen stood in the list
  NDCG, MRR            how far up the hits stood
  recall               share of the wanted items that stood in the list
  coverage             share of the catalogue that was ever shown
  popularity, bias     mean popularity percentile of what was shown; that minus the one of what was wanted
  HR − for_you         the difference on the same questions
Brackets hold 95 % intervals. Figures are honest for what came after the training; once the archive holds
events of that time, the questions are about them."""


def train_command(commands: Any) -> None:
    """`freshet train`."""
    train = add_command(commands, "train", "train:train", "train a model on the events and build a release")
    train.description, train.epilog = _TRAIN_TEXT, _TRAIN_EPILOG
    train.add_argument("--events", metavar="URL", help="an archive, Parquet, NDJSON or CSV (default: export)")
    mapping_flags(train)
    unit_flag(train)
    train.add_argument("--archive", metavar="URL", help="where the export goes (FRESHET_DATA_DIR/archive)")
    train.add_argument("--items", metavar="FILE", help="items as NDJSON (default: the store's catalogue)")
    train.add_argument("--to", metavar="DIR", help="write the release into this directory (default: here)")
    train.add_argument("--publish", action="store_true", help="publish and promote it, if the gate lets it")
    train.add_argument("--no-promote", action="store_true", help="with --publish: keep the live one")
    train.add_argument("--force", action="store_true", help="do not compare with the live release")
    train.add_argument("--release-url", metavar="URL", help="default: FRESHET_RELEASE_URL")
    train.add_argument("--d", type=count, default=64, help="numbers of a vector (default 64)")
    train.add_argument("--hidden", type=count, default=512, help="width of the network (default 512)")
    train.add_argument("--epochs", type=count, default=10, help="at most so many (default 10)")
    train.add_argument("--learning-rate", type=float, default=3e-3, help="Adam's at its peak (default 0.003)")
    train.add_argument("--dropout", type=float, default=0.2, help="share of inputs dropped (default 0.2)")
    train.add_argument("--seed", type=count, default=1, help="same seed, data and machine: same release")
    train.add_argument("--holdout-share", type=share, default=0.1, help="newest part held out (default 0.1)")
    train.add_argument("--holdout-from", metavar="TIME", help="hold out what happened from then on")
    train.add_argument("--checkpoints", metavar="DIR", help="default: FRESHET_DATA_DIR/training")
    json_flag(train)


def evaluate_command(commands: Any) -> None:
    """`freshet evaluate`."""
    command = add_command(
        commands, "evaluate", "evaluate:evaluate", "measure a release on held-out events, beside baselines"
    )
    command.description, command.epilog = _EVALUATE_TEXT, _EVALUATE_EPILOG
    command.add_argument("--events", required=True, metavar="URL", help="an archive, Parquet, NDJSON or CSV")
    mapping_flags(command)
    unit_flag(command)
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
    part.add_argument("--holdout-share", type=share, default=0.1, help="or about the newest (default 0.1)")
    command.add_argument(
        "--max-questions", type=int, default=20_000, metavar="N", help="a sample of N (default 20000; 0: all)"
    )
    command.add_argument("--frozen", action="store_true", help="popularity stops where the questions begin")
    command.add_argument("--refresh", metavar="R,…", help="profiles of other ages, e.g. live,1min,1h,1d")
    command.add_argument("--plot", metavar="FILE", help="draw it as FILE.svg or FILE.png")
    json_flag(command)
