"""`freshet train`: events in, a checked release out; with --publish, served a moment later."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.cli.backend import backend, release_source, release_url
from services.cli.export import exported
from services.cli.failure import EXIT_OK, CommandError
from services.cli.history import read_history, rules_of_deployment
from services.cli.output import print_json, print_line, say
from services.cli.progress import Progress, progress
from services.cli.releases import items_of_store
from services.cli.timestamps import moment_s
from services.kernel.item import Item
from services.kernel.release import NoReleaseError
from services.kernel.settings import LocalSettings
from services.release.place import shown_url

if TYPE_CHECKING:
    from services.release.files import Release
    from services.trainer.train import Material, TrainConfig, Trained

_STAGES: Final = {
    "network": "training the network",
    "examples": "collecting what the ranker learns from",
    "ranker": "training the ranker",
    "gate": "asking held-out questions",
    "newest": "training on with the newest events",
}


def train(arguments: argparse.Namespace) -> int:
    """Export, train, gate, and publish where asked to."""
    from services.release.repository import promote, publish
    from services.trainer.archive_place import ArchiveError

    _check(arguments)
    url = release_url(arguments.release_url) if arguments.publish else arguments.to
    quiet = arguments.as_json
    try:
        material = _material(arguments, quiet=quiet)
    except ArchiveError as error:
        raise CommandError(str(error)) from None
    live = None if arguments.force else _live(release_url(arguments.release_url))
    waiting = _too_few_new(material, live)
    if waiting and arguments.publish:
        return _nothing_new(waiting, as_json=arguments.as_json)
    now_ms = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory(prefix="freshet-trained-") as scratch:
        trained = _trained(arguments, material, None if waiting else live, Path(scratch), now_ms)
        name = publish(trained.directory, url)
    promoted = arguments.publish and not arguments.no_promote
    if promoted:
        promote(url, name, time.time_ns() // 1_000_000)
    if arguments.as_json:
        print_json({"release": name, "live": promoted, "url": shown_url(url), "metrics": trained.metrics})
    else:
        _print(name, shown_url(url), promoted=promoted, published=arguments.publish, metrics=trained.metrics)
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> None:
    if arguments.publish and arguments.to is not None:
        raise CommandError("--to names a directory, --publish where releases live: take one of them")
    if arguments.no_promote and not arguments.publish:
        raise CommandError("--no-promote belongs to --publish")
    if not arguments.publish and arguments.to is None:
        arguments.to = "."


def _material(arguments: argparse.Namespace, *, quiet: bool) -> Material:
    """Events and items as they were asked for: from files, or from the running deployment."""
    from services.trainer.events import read_items
    from services.trainer.train import material_of

    rules = rules_of_deployment()
    items: list[Item] | None = None
    source = arguments.events
    if source is None:
        source = arguments.archive or str(LocalSettings.from_environment().data_dir.absolute() / "archive")
        with backend() as settings:
            asyncio.run(exported(settings, source, quiet=quiet))
            items = asyncio.run(items_of_store(settings))
    if arguments.items is not None:
        items = read_items(arguments.items)
    table = read_history(source, arguments, rules.types)
    material = material_of(table, items, rules)
    if material.dropped_lines:
        say(f"{material.dropped_lines:,} event lines name items that are in no catalogue; they are left out")
    return material


def _live(url: str) -> Release | None:
    from services.release.files import open_release

    try:
        return open_release(release_source(url).live())
    except NoReleaseError:
        return None


def _too_few_new(material: Material, live: Release | None) -> str:
    """Why nothing could be said about a new release beside the live one; nothing where something can."""
    from services.trainer.evaluate import trained_until_s
    from services.trainer.gate import JUDGED_MIN
    from services.trainer.learn_ranker import JUDGED_SHARE

    until_s = trained_until_s(live) if live is not None else 0
    new, needed = int((material.table.times_s > until_s).sum()), int(JUDGED_MIN / JUDGED_SHARE)
    if not until_s or new >= needed:
        return ""
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until_s))
    return (
        f"the live release {live.name if live else ''} was trained on events up to {moment}; {new:,} event "
        f"lines came since, and about {needed:,} are needed to tell whether a new one is better "
        "(--force trains and publishes without that)"
    )


def _nothing_new(why: str, *, as_json: bool) -> int:
    if as_json:
        print_json({"release": None, "live": False, "reason": why})
    else:
        print_line(f"nothing to do: {why}")
    return EXIT_OK


def _config(arguments: argparse.Namespace) -> TrainConfig:
    from services.trainer.fit import FitConfig
    from services.trainer.train import TrainConfig

    return TrainConfig(
        d=arguments.d,
        hidden=arguments.hidden,
        fit=FitConfig(
            epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            dropout=arguments.dropout,
            seed=arguments.seed,
        ),
        holdout_share=arguments.holdout_share,
        holdout_from_s=moment_s(arguments.holdout_from) if arguments.holdout_from else None,
    )


def _trained(
    arguments: argparse.Namespace, material: Material, live: Release | None, scratch: Path, now_ms: int
) -> Trained:
    from services.trainer.train import train as run

    checkpoints = arguments.checkpoints or LocalSettings.from_environment().data_dir / "training"
    with _stages(quiet=arguments.as_json) as tell:
        return run(
            material,
            _config(arguments),
            scratch,
            now_ms,
            live=live,
            checkpoint_dir=Path(checkpoints),
            tell=tell,
        )


@contextmanager
def _stages(*, quiet: bool) -> Iterator[Any]:
    """One bar after another, as the stages come."""
    held: list[tuple[str, Any, Progress]] = []

    def end() -> None:
        if held:
            held.pop()[1].__exit__(None, None, None)

    def tell(stage: str, done: float, total: float, note: str = "") -> None:
        if not held or held[-1][0] != stage:
            end()
            manager = progress(_STAGES.get(stage, stage), total, quiet=quiet)
            held.append((stage, manager, manager.__enter__()))
        held[-1][2](done, note)

    try:
        yield tell
    finally:
        end()


def _print(name: str, url: str, *, promoted: bool, published: bool, metrics: dict[str, Any]) -> None:
    held = metrics["held_out"]
    line = f"{metrics['lines']:,} event lines of {metrics['subjects']:,} subjects, {metrics['items']:,} items"
    if held.get("questions"):
        line += (
            f"; on {held['questions']:,.0f} held-out questions HR@10 {held['hr_at_10']:.4f}, NDCG@10 "
            f"{held['ndcg_at_10']:.4f}"
        )
    before = metrics["live"]
    if before and before.get("questions"):
        line += f" (the release before it: {before['hr_at_10']:.4f}, {before['ndcg_at_10']:.4f})"
    print_line(line)
    if promoted:
        print_line(f"{name} is live at {url}")
    elif published:
        print_line(f"{name} published; `freshet release promote {name}` makes it live; {url}")
    else:
        folder = Path(url) / name
        print_line(f"{folder}: all checks passed; `freshet release publish {folder} --promote`")
